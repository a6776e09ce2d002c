//! Any API over HTTP as a target, by a profile.
//!
//! A [profile](slowlane_profile) is a file that says what an API's requests and answers mean. It
//! says how the API wants a body and its idempotency key, and who may call. It says which answer is
//! a success, a refusal, a limit with a wait, or none of these. And it says what can be done when
//! no answer comes. This target runs it; it adds no rule of its own. For an API of which nothing is
//! known there is the profile `http`.
//!
//! | The profile says | The worker has |
//! |---|---|
//! | `succeeded` | succeeded |
//! | `partly_succeeded` | succeeded: the answer says `partly_succeeded`, and what became of each part |
//! | `running` | succeeded: the answer's `follow` is the resource to GET for the end |
//! | `rejected`, `already_exists`, `unauthorized`, `transient`, `unknown` | the same |
//! | `throttled`, `in_flight` | the same, with the wait |
//! | no connection | transient: not sent |
//! | no answer, or a success whose body broke off | unknown |
//!
//! **What never happens.** No request leaves the base URL, which is `https` unless it is on this
//! machine. No redirect is followed. Nothing is repeated but once, with what the profile says is to
//! be fetched anew (`renew`), and only after an answer that says that nothing was executed. Neither
//! logs nor causes get a body, a header's value, a query or a secret.
//!
//! **A second model** is asked, where the profile has one (`fallback`), for calls that the first has
//! refused for its limit and so has not executed.
//!
//! **A question in the common form** (`content = "chat"`) is asked as the profile says (`chat`), and its
//! answer is in the common form too. The [form](slowlane_profile::chat) has what all models take. It may
//! name a prompt that is kept here. Where the first provider is over its limit for long, or down, another
//! one may answer.
//!
//! **After a lost answer** the profile's `after_loss` counts. A repeat that is only good for a time
//! (`within`) is made only of calls whose deadline lies within it. An answer to a call that may be
//! repeated may come and not tell. It is looked into at once where the profile knows a question,
//! since the API is done with the call then.
//!
//! **The answer.** The workflow gets the body: parsed if it is JSON, else as text (what is not UTF-8
//! in it is replaced). Of a body above [`MAX_BODY_BYTES`], unpacked, it gets only the size and the id.
//! Of a call that was found after its answer was lost, it gets the id.
//!
//! **Files.** Where the target has a place for them in S3 ([`Builder::files`]), a call may send one as it
//! is: its content is `binary`, and its body `{"s3": ..., "etag": ..., "content_type": ...}`. It must lie
//! below that place, have that ETag, and no more than [`MAX_SENT_BYTES`]; else the call is rejected before
//! anything is sent. A body of an answer that does not fit into a workflow's state, or is no text, goes to
//! `answers/` below the place, up to [`MAX_KEPT_BYTES`]. The workflow gets `file` in its place. If S3 does
//! not take it, the call was executed all the same: the workflow gets `no_file`, which says why.

mod attempt;
mod builder;
mod client;
mod credentials;
mod error;
mod fallback;
mod file;
mod files;
mod gifts;
mod loss;
mod refusals;
mod response;
mod second;
mod send;
mod settings;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs::chain;
use slowlane_message::{Content, Method, QueuedCall};
use slowlane_policy::settle::Outcome;
use slowlane_profile::chat::{Chat, ChatError, Prompts};
use slowlane_profile::{Api, Call, Given, Loss, Recovery, Renew};
use tokio::time::Instant;

use self::credentials::Credentials;
use self::gifts::Gifts;
use self::refusals::Refusals;
use crate::aws::files::Files;
use crate::target::{AfterLoss, Reconciled, Target, TargetResponse};

pub use self::builder::Builder;
pub use self::error::Error;
pub use self::file::MAX_KEPT_BYTES;
pub use self::files::MAX_SENT_BYTES;
pub use self::send::MAX_BODY_BYTES;
pub use self::settings::{FromEnvError, load};

/// How long a call may take whose caller does not say.
const USUAL_PATIENCE: Duration = Duration::from_secs(30);
/// The resource of calls in the common form.
const CHAT: &str = "chat";

/// Calls the API that a profile describes.
pub struct ProfiledApi {
    api: Api,
    credentials: Credentials,
    gifts: Gifts,
    /// Of models.
    refusals: Refusals<String>,
    /// What questions in the common form may name.
    prompts: Prompts,
    second: Option<Second>,
    /// In the place of the profile's own.
    settles_after: Option<Duration>,
    /// Where bodies lie that are files.
    files: Option<Files>,
    clock: Clock,
}

/// Another provider of models, which is asked in the common form when the first does not answer for long.
struct Second {
    api: Box<ProfiledApi>,
    /// The model that answers in the place of the one that a call names.
    model: String,
    /// For how long the first refuses calls, asks to wait, or is down, before this one is asked.
    after: Duration,
    /// Of the first.
    refusals: Refusals<Cause>,
}

/// Why a provider does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Cause {
    /// This model is over its limit.
    Limit(String),
    /// It is down.
    Outage,
}

impl ProfiledApi {
    /// The question that a message asks, if it does so in the common form.
    fn chat(&self, queued: &QueuedCall) -> Result<Option<Chat>, ChatError> {
        let request = &queued.request;
        if request.content != Some(Content::Chat) {
            return Ok(None);
        }
        if request.method != Method::Post || request.resource != CHAT {
            return Err(ChatError::NotChat);
        }
        Chat::read(request.body.as_ref(), &self.prompts).map(Some)
    }

    /// The call of a message, in the API's own words.
    fn own_call(&self, queued: &QueuedCall) -> Result<Call, ChatError> {
        match self.chat(queued)? {
            Some(chat) => Ok(sent_for(queued, self.api.profile().chat_call(&chat)?)),
            None => Ok(call_of(queued)),
        }
    }

    fn after_loss_of(&self, queued: &QueuedCall, call: &Call) -> AfterLoss {
        match self.recovery(queued, call) {
            Recovery::Repeat { .. } => AfterLoss::Repeat,
            Recovery::LookUp(_) => AfterLoss::Reconcile,
            Recovery::Nothing(why) => AfterLoss::Nothing(why),
        }
    }

    /// Fetches anew what a request was refused for: `refused` is the number of its credentials. Whether
    /// another one has anything new to go with.
    async fn renew(&self, what: &Renew, refused: u64) -> bool {
        match what {
            Renew::PreCall(name) => {
                self.gifts.drop_those_of(name);
                true
            }
            Renew::Credentials => {
                self.gifts.clear();
                match self.credentials.renew(&self.api, refused).await {
                    Ok(renewed) => renewed,
                    Err(error) => {
                        tracing::warn!(
                            error = chain(&error),
                            "the credentials that the API refuses could not be read anew"
                        );
                        false
                    }
                }
            }
        }
    }
}

impl ProfiledApi {
    async fn drop_credentials(&self) {
        self.gifts.clear();
        if let Err(error) = self.credentials.drop_all().await {
            tracing::warn!(error = chain(&error), "the credentials could not be read anew");
        }
    }

    async fn make(
        &self,
        queued: &QueuedCall,
        call: &Call,
        until: Instant,
    ) -> Outcome<TargetResponse> {
        // What cannot be sent needs no token.
        if let Err(error) = self.api.request(call, &Given::default()) {
            return Outcome::Rejected(error.to_string().into());
        }
        let call = &*match self.with_its_file(queued, call, until).await {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        let mut renewed = Vec::new();
        let attempt = loop {
            let attempt = self.attempt(call).await;
            let what = attempt.renew.clone().filter(|what| !renewed.contains(what));
            match what {
                Some(what) if self.renew(&what, attempt.credentials).await => renewed.push(what),
                _ => break attempt,
            }
        };
        if attempt.loss == Some(Loss::Answered)
            && let Some(look_up) = self.question_at_once(queued, call)
            && let Reconciled::Done(found) = self.look_up(&look_up).await
        {
            return Outcome::Succeeded(found);
        }
        match attempt.outcome {
            Outcome::Succeeded(response) => {
                let units = counted(queued, response.units);
                let response = TargetResponse { units, ..response };
                let unheld = attempt.unheld;
                let told = self.with_its_body_kept(queued, response, unheld, until).await;
                Outcome::Succeeded(told)
            }
            outcome => outcome,
        }
    }
}

impl Target for ProfiledApi {
    async fn call(&self, queued: &QueuedCall) -> Outcome<TargetResponse> {
        self.call_within(queued, USUAL_PATIENCE).await
    }

    async fn call_within(&self, queued: &QueuedCall, longest: Duration) -> Outcome<TargetResponse> {
        let until = Instant::now() + longest;
        match self.chat(queued) {
            Ok(Some(chat)) => self.answer(queued, &chat, until).await,
            Ok(None) => self.make_or_fall_back(queued, call_of(queued), until).await,
            Err(error) => Outcome::Rejected(error.to_string().into()),
        }
    }

    async fn prepare(&self, queued: &QueuedCall) -> bool {
        match self.own_call(queued) {
            Ok(call) => self.fetch_what_is_kept(&call).await,
            Err(_) => false,
        }
    }

    fn after_loss(&self, queued: &QueuedCall) -> AfterLoss {
        // A question that cannot be read is refused before anything is sent.
        let Ok(call) = self.own_call(queued) else { return AfterLoss::Repeat };
        let own = self.after_loss_of(queued, &call);
        match self.chat(queued) {
            Ok(Some(chat)) => self.after_loss_of_either(queued, &chat, own),
            _ => own,
        }
    }

    fn settles_after(&self, queued: &QueuedCall) -> Duration {
        let settles_after = self.settles_after.unwrap_or(self.api.profile().settles_after());
        let second = self.second.as_ref().map(|second| second.api.api.profile().settles_after());
        // What the API did last of all shows so much later.
        let question = self.own_call(queued).ok().and_then(|call| self.question(queued, &call));
        let lags = question.map(|look_up| look_up.lags).unwrap_or_default();
        settles_after.max(second.unwrap_or_default()).saturating_add(lags)
    }

    fn units(&self, queued: &QueuedCall) -> Option<u64> {
        self.chat(queued).ok()?.map(|chat| chat.units())
    }

    async fn renew_credentials(&self) {
        self.drop_credentials().await;
        if let Some(second) = &self.second {
            second.api.drop_credentials().await;
        }
    }

    fn secret_ends(&self) -> Option<Timestamp> {
        let second = self.second.as_ref().and_then(|second| second.api.credentials.ends.first());
        [self.credentials.ends.first(), second].into_iter().flatten().min()
    }

    async fn reconcile(&self, queued: &QueuedCall) -> Reconciled {
        let call = self.own_call(queued).ok();
        match call.and_then(|call| self.question(queued, &call)) {
            Some(look_up) => self.look_up(&look_up).await,
            None => Reconciled::Undecidable("the profile knows no way to ask".to_owned()),
        }
    }
}

/// The call of a message, in a profile's words. [`Api::request`] makes of it the very request that
/// the worker sends, but for credentials and what calls before the call give. A question in the common
/// form is another matter: [`Profile::chat_call`](slowlane_profile::Profile::chat_call) makes a call of it.
pub fn call_of(queued: &QueuedCall) -> Call {
    let request = &queued.request;
    let mut call = Call::new(method(request.method), request.resource.clone());
    call.headers.clone_from(&request.headers);
    call.content = request.content.and_then(content);
    call.body.clone_from(&request.body);
    call.file = file::named(request);
    sent_for(queued, call)
}

/// A call with the key of the message that it is made for.
fn sent_for(queued: &QueuedCall, call: Call) -> Call {
    let mut call = call.idempotency_key(queued.idempotency_key.as_str());
    call.key_scope.clone_from(&queued.tenant);
    call
}

/// What a call counted for, if its workflow said how many units it has. Some vendors count what a request
/// asks for, and give back none of what it did not use: so it is never less than was said.
fn counted(queued: &QueuedCall, used: Option<u64>) -> Option<u64> {
    let said = queued.units.map(|units| units.get().into());
    said.map(|said| used.unwrap_or(said).max(said))
}

fn method(method: Method) -> slowlane_profile::Method {
    match method {
        Method::Get => slowlane_profile::Method::Get,
        Method::Post => slowlane_profile::Method::Post,
        Method::Put => slowlane_profile::Method::Put,
        Method::Patch => slowlane_profile::Method::Patch,
        Method::Delete => slowlane_profile::Method::Delete,
    }
}

/// `None` for the common form, which is not a way to write a body.
fn content(content: Content) -> Option<slowlane_profile::Content> {
    match content {
        Content::Json => Some(slowlane_profile::Content::Json),
        Content::Form => Some(slowlane_profile::Content::Form),
        Content::GraphQl => Some(slowlane_profile::Content::GraphQl),
        Content::Text => Some(slowlane_profile::Content::Text),
        Content::Multipart => Some(slowlane_profile::Content::Multipart),
        Content::Binary => Some(slowlane_profile::Content::Binary),
        Content::Chat => None,
    }
}

impl fmt::Debug for ProfiledApi {
    /// Leaves out what it authenticates with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfiledApi")
            .field("profile", &self.api.profile().name())
            .field("base", self.api.base())
            .field("auth", &self.credentials.way)
            .field("settles_after", &self.settles_after)
            .finish_non_exhaustive()
    }
}
