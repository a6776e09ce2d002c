//! Questions to models in one form, whoever's the model is.
//!
//! A [`Chat`] says what every vendor's API of chat models takes: a model, a system text, messages in turn,
//! the most tokens of the answer, a temperature, texts at which to stop. A profile says which form its API
//! speaks (`chat = "anthropic"`). [`Profile::chat_call`](crate::Profile::chat_call) makes the API's own
//! request of it, and [`Profile::chat_answer`](crate::Profile::chat_answer) reads the answer. What the form
//! cannot say (tools, images, an answer as a stream) is refused by its name before anything is sent.
//!
//! **Why no library does it.** Of those kept, [`genai`](https://docs.rs/genai) knows the most vendors. Its
//! adapters are private (0.7.2: `to_web_request_data` and `to_chat_response` are methods of a crate's own
//! trait): it translates only what it also sends. Limits are read from an answer's headers, a guard must
//! know what was sent, and credentials are signed for, so a caller sends for itself. The vendors' own
//! clients send too.
//!
//! | Form | Request | Source |
//! |---|---|---|
//! | `openai` | `POST v1/chat/completions` | client: openai-python, types/chat/completion_create_params.py |
//! | `openai_compatible` | the same, with `max_tokens` | client: vendors that took the form over, such as Mistral |
//! | `anthropic` | `POST v1/messages` | client: anthropic-sdk-python, types/message_create_params.py |
//! | `bedrock` | `POST model/{id}/converse` | client: AWS service model bedrock-runtime, Converse |

mod answer;
mod anthropic;
mod bedrock;
mod error;
mod form;
mod message;
mod openai;
mod prompts;
mod request;
mod second;

pub use answer::{ChatAnswer, ChatUsage, Stop};
pub use error::ChatError;
pub use form::ChatForm;
pub use message::{Message, Role};
pub use prompts::{Prompt, PromptName, Prompts};
pub use request::Chat;
pub use second::SecondProvider;
