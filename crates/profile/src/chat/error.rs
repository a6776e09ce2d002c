//! Why a question in the common form is not asked.

/// Why a question in the common form is not asked. Nothing was sent. No message holds a text of the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// It says by method or resource that it is another call.
    #[error(
        "a call in the common form is `POST chat`: its method is POST, and its resource `chat`"
    )]
    NotChat,
    /// The API's profile speaks none.
    #[error(
        "the profile `{0}` does not say how its API is asked in the common form: it needs a line such as \
         `chat = \"openai\"`"
    )]
    NoForm(String),
    /// Its body.
    #[error(
        "the body of a call in the common form is an object with `model`, `messages` and `max_tokens`"
    )]
    NoObject,
    /// Streams.
    #[error(
        "streaming is not for queues: nobody listens while a call waits, so leave `stream` out"
    )]
    Stream,
    /// A field that the form does not have.
    #[error(
        "the common form has no `{0}`: it has model, system, messages or prompt, max_tokens, temperature and \
         stop. Send a call that needs more in its provider's own form"
    )]
    Unknown(String),
    /// A field that is needed, or has another shape.
    #[error("`{field}` must be {expected}")]
    Unfit {
        /// Its path, such as `messages[0].role`.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A message with more than text in it.
    #[error("`{0}` must be a text: the common form has no images, documents and results of tools")]
    NoText(String),
    /// Whose turn it is.
    #[error("in `messages` the user and the assistant take turns, and the user begins and ends")]
    Turns,
    /// A prompt beside what it says.
    #[error("a call with `prompt` has its `{0}` from there: leave one of the two out")]
    Both(&'static str),
    /// A prompt that is not there.
    #[error("there is no prompt `{name}`: {}", listed("there are", there, "there are none"))]
    NoPrompt {
        /// Its name.
        name: String,
        /// The names of those that there are.
        there: Vec<String>,
    },
    /// A version that was left out, or is not there.
    #[error(
        "the call must say which `version` of the prompt `{name}` it means: {}",
        listed("there are", there, "there are none")
    )]
    NoVersion {
        /// The prompt's name.
        name: String,
        /// The versions that there are.
        there: Vec<String>,
    },
    /// An input that a prompt needs and the call lacks.
    #[error("the prompt `{prompt}` needs the input `{input}`, and the call does not have it")]
    NoInput {
        /// The prompt's name and version.
        prompt: String,
        /// The input's name.
        input: String,
    },
    /// An input that a prompt does not take.
    #[error(
        "the prompt `{prompt}` has no input `{input}`: {}",
        listed("it has", inputs, "it has none")
    )]
    UnknownInput {
        /// The prompt's name and version.
        prompt: String,
        /// The input's name.
        input: String,
        /// The inputs that it has.
        inputs: Vec<String>,
    },
}

fn listed(begin: &str, names: &[String], none: &str) -> String {
    match names {
        [] => none.to_owned(),
        names => format!("{begin} {}", names.join(", ")),
    }
}
