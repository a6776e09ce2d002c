//! The profile file, and what it says of calls and answers.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::answer::{Answer, Body, Seen};
use crate::auth::AuthMethods;
use crate::before::PreCall;
use crate::call::{Call, Content, graphql_reads, scalar};
use crate::chat::{Chat, ChatAnswer, ChatError, ChatForm};
use crate::fallback::{Fallback, FallbackRule};
use crate::limits::{LimitRule, UsageRule, ietf};
use crate::multipart;
use crate::parts::{Part, PartsRule};
use crate::pointer::Pointer;
use crate::recovery::{Found, LookUp, Loss, LossRule, Recovery, Then};
use crate::rule::{Asked, Holds, Rule};
use crate::shape::{Idempotency, Name, ReadCall, RequestShape};
use crate::source::Source;
use crate::template::{Template, in_url};
use crate::verdict::{Outcome, Reason, Verdict};
use crate::wait::Wait;
use crate::words::{Method, Period, Statuses, moment};

/// What an API's requests and answers mean.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The profile's name: lower-case letters, digits and hyphens.
    name: Name,
    /// The API's name, for people.
    pub title: String,
    /// The month in which the statements were checked: `2026-11`.
    pub checked: Option<String>,
    /// How long the API may be at work on a call after nobody waits for its answer any more. "I do
    /// not have it" counts only after that.
    settles_after: Period,
    /// Where that is written.
    pub settles_source: Option<String>,
    /// Answers have `RateLimit` and `RateLimit-Policy` as the IETF's draft has them.
    #[serde(default)]
    ietf_rate_limit: bool,
    /// Where an error's code stands. The first that the answer holds counts.
    #[serde(default)]
    code: Vec<Source>,
    /// Where an answer says when the secret ends with which it was asked. The first that the answer holds
    /// counts.
    #[serde(default)]
    secret_ends: Vec<Source>,
    /// Where the id of a record stands that a call made. The first that the answer holds counts.
    #[serde(default)]
    id: Vec<Source>,
    /// How the API is asked in the common form of chats. Left out, it is not.
    chat: Option<ChatForm>,
    /// How requests are shaped.
    #[serde(default)]
    pub(crate) request: RequestShape,
    /// How an idempotency key is sent. Left out, it is not.
    pub(crate) idempotency: Option<Idempotency>,
    /// The ways to authenticate that the API takes.
    #[serde(default)]
    pub auth: AuthMethods,
    /// Calls other than GET and HEAD that only read.
    #[serde(default)]
    pub(crate) reads: Vec<ReadCall>,
    /// Calls before the call.
    #[serde(default)]
    #[schemars(with = "Vec<PreCall>")]
    pub(crate) before: Vec<Spanned<PreCall>>,
    /// What answers mean. The first rule that holds counts.
    #[schemars(with = "Vec<Rule>")]
    pub(crate) answers: Vec<Spanned<Rule>>,
    /// Where an answer to several calls in one holds the answer to each.
    #[serde(default)]
    pub(crate) parts: Vec<PartsRule>,
    /// Where the API's limits stand in answers.
    #[serde(default)]
    pub(crate) limits: Vec<LimitRule>,
    /// Where an answer says what the call has used of limits that count more than calls.
    pub(crate) usage: Option<UsageRule>,
    /// A second model, for when the one that a call asks for is over its limit for long.
    pub(crate) fallback: Option<FallbackRule>,
    /// What can be done about lost answers. The first rule that holds counts.
    #[serde(default)]
    #[schemars(with = "Vec<LossRule>")]
    pub(crate) after_loss: Vec<Spanned<LossRule>>,
}

impl Profile {
    /// The profile's name: lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// Each statement about the vendor, and where the vendor makes it.
    pub fn sources(&self) -> Vec<(String, Option<&str>)> {
        let mut all = vec![("settles_after".to_owned(), self.settles_source.as_deref())];
        let numbered = |what: &str, index: usize| format!("{what}[{}]", index + 1);
        for (index, rule) in self.answers.iter().enumerate() {
            all.push((numbered("answers", index), rule.get_ref().source.as_deref()));
        }
        for (index, rule) in self.after_loss.iter().enumerate() {
            all.push((numbered("after_loss", index), rule.get_ref().source.as_deref()));
        }
        for (index, pre_call) in self.before.iter().enumerate() {
            all.push((numbered("before", index), pre_call.get_ref().source.as_deref()));
        }
        for (index, limit) in self.limits.iter().enumerate() {
            all.push((numbered("limits", index), limit.source.as_deref()));
        }
        for (index, parts) in self.parts.iter().enumerate() {
            all.push((numbered("parts", index), parts.source.as_deref()));
        }
        if let Some(usage) = &self.usage {
            all.push(("usage".to_owned(), usage.source.as_deref()));
        }
        if let Some(idempotency) = &self.idempotency {
            all.push(("idempotency".to_owned(), idempotency.source.as_deref()));
        }
        let auth = self.auth.all().into_iter();
        all.extend(auth.map(|(name, auth)| (format!("auth.{name}"), auth.source())));
        all
    }

    /// How the API is asked in the common form of [chats](crate::chat), if it is.
    pub fn chat_form(&self) -> Option<ChatForm> {
        self.chat
    }

    /// The call by which the API is asked a question in the common form.
    ///
    /// # Errors
    /// The profile does not say how.
    pub fn chat_call(&self, chat: &Chat) -> Result<Call, ChatError> {
        let form = self.chat.ok_or_else(|| ChatError::NoForm(self.name().to_owned()))?;
        Ok(form.request(chat).in_common_form())
    }

    /// The answer to such a call in the common form, if it was a success. `None` if it has not the form
    /// that the profile says.
    pub fn chat_answer(&self, call: &Call, answer: &Answer) -> Option<ChatAnswer> {
        let seen = Seen::of(answer);
        let said = self.chat?.answer(seen.body()?)?;
        let asked = self.usage.as_ref().and_then(|usage| usage.model_of(call));
        let usage = self.usage.as_ref().and_then(|usage| usage.read(call, &seen));
        Some(ChatAnswer::new(said, asked, usage.as_ref()))
    }

    /// How a call is asked of the profile's second model. `None` if it has none, or if the call names
    /// that one itself, or none.
    pub fn fallback(&self, call: &Call) -> Option<Fallback> {
        self.fallback.as_ref()?.of(self.usage.as_ref()?, call)
    }

    /// Whether the call changes nothing at the API.
    pub fn reads(&self, call: &Call) -> bool {
        match call.method {
            Method::Get | Method::Head => true,
            _ if self.content(call) == Content::GraphQl => graphql_reads(call.body.as_ref()),
            _ => self.reads.iter().any(|read| {
                read.methods.contains(&call.method)
                    && read.paths.iter().any(|path| path.matches(&call.resource))
            }),
        }
    }

    /// How long the API may be at work on a call after nobody waits for its answer any more.
    pub fn settles_after(&self) -> Duration {
        self.settles_after.0
    }

    pub(crate) fn content(&self, call: &Call) -> Content {
        call.content.unwrap_or(self.request.content[0])
    }

    /// The header that takes this call's idempotency key, and the key.
    pub(crate) fn key<'a>(&'a self, call: &'a Call) -> Option<(&'a HeaderName, Cow<'a, str>)> {
        let idempotency =
            self.idempotency.as_ref().filter(|idempotency| idempotency.serves(call))?;
        Some((&idempotency.header.0, call.whole_key()?))
    }

    fn asked<'a>(&self, call: &'a Call) -> Asked<'a> {
        Asked { call, reads: self.reads(call), with_key: self.key(call).is_some() }
    }

    /// What an answer means. `now` is the time at which it came; an end of a wait is compared with
    /// the answer's own `Date`, if it has one.
    ///
    /// An answer that no rule names is [`Outcome::Unknown`] for a write and [`Outcome::Transient`]
    /// for a read. So is one to a write whose body was not read to where a rule looks.
    pub fn verdict(&self, call: &Call, answer: &Answer, now: Timestamp) -> Verdict {
        let seen = Seen::of(answer);
        let now = seen.date().unwrap_or(now);
        let asked = self.asked(call);
        let mut unread = false;
        for rule in &self.answers {
            match rule.get_ref().holds(&asked, &seen) {
                Holds::Yes if unread && !asked.reads => break,
                Holds::Yes => return self.say(rule.get_ref(), &asked, &seen, now),
                Holds::CannotBeSaid => unread = true,
                Holds::No => {}
            }
        }
        let because = match unread {
            true => "the answer's body was not read to where it says what became of the call",
            false => "the profile names no such answer",
        };
        let outcome = if asked.reads { Outcome::Transient } else { Outcome::Unknown };
        Verdict {
            outcome,
            reason: self.reason(Some(because), outcome, &seen),
            wait: None,
            kind: None,
            id: self.id(&[], &seen),
            limits: self.seen_limits(&seen, now),
            usage: self.usage.as_ref().and_then(|usage| usage.read(call, &seen)),
            renew: None,
            follow: None,
        }
    }

    fn say(&self, rule: &Rule, asked: &Asked<'_>, seen: &Seen<'_>, now: Timestamp) -> Verdict {
        let id = self.id(&rule.id, seen);
        let follow =
            rule.follow.as_ref().map(|follow| self.fill(follow, asked.call, id.as_deref()));
        let (outcome, follow) = match follow {
            None => (rule.outcome, None),
            Some(Some(follow)) => (rule.outcome, Some(follow)),
            // Without its id nobody can ask for its end.
            Some(None) => (Outcome::Unknown, None),
        };
        Verdict {
            outcome,
            reason: self.reason(rule.because.as_deref(), outcome, seen),
            wait: Wait::first(&rule.wait, seen, now),
            kind: rule.limit,
            id,
            limits: self.seen_limits(seen, now),
            usage: self.usage.as_ref().and_then(|usage| usage.read(asked.call, seen)),
            renew: rule.renew.clone(),
            follow,
        }
    }

    fn id(&self, of_rule: &[Source], seen: &Seen<'_>) -> Option<String> {
        let places = if of_rule.is_empty() { &self.id } else { of_rule };
        places.iter().find_map(|place| place.text(seen)).map(Cow::into_owned)
    }

    /// When the secret ends with which the API was asked, if the answer says so.
    pub fn secret_ends(&self, answer: &Answer) -> Option<Timestamp> {
        let seen = Seen::of(answer);
        self.secret_ends.iter().find_map(|place| moment(&place.text(&seen)?))
    }

    fn reason(&self, because: Option<&str>, outcome: Outcome, seen: &Seen<'_>) -> Reason {
        let code = self.code.iter().find_map(|place| {
            place.text(seen).filter(|text| looks_like_a_code(text)).map(Cow::into_owned)
        });
        let message = because.unwrap_or(match outcome {
            Outcome::Succeeded => "the API executed the call",
            Outcome::PartlySucceeded => "the API executed a part of the call",
            Outcome::Running => "the API is still at work on the call",
            Outcome::Rejected => "the API refused the call",
            Outcome::AlreadyExists => "what the call would make is there already",
            Outcome::Unauthorized => "the API does not accept the credentials",
            Outcome::Throttled => "the API is at its limit",
            Outcome::InFlight => "the API is at work on an earlier attempt",
            Outcome::Transient => "the API did not execute the call, and may if it is tried again",
            Outcome::Unknown => "the API does not say whether it executed the call",
        });
        Reason { message: message.to_owned(), status: seen.status(), code }
    }

    fn seen_limits(&self, seen: &Seen<'_>, now: Timestamp) -> Vec<crate::limits::SeenLimit> {
        let named = self.limits.iter().filter_map(|limit| limit.read(seen, now));
        let drafted = self.ietf_rate_limit.then(|| ietf(seen)).into_iter().flatten();
        named.chain(drafted).collect()
    }

    /// The answer in the form in which rules and workflows read it. One in parts of MIME, to a call of
    /// [`Content::Multipart`], becomes the same in JSON. Any other is as it came.
    pub fn readable(&self, call: &Call, answer: Answer) -> Answer {
        let Body::Whole(bytes) = &answer.body else { return answer };
        let batch = call.body.as_ref().filter(|_| self.content(call) == Content::Multipart);
        let Some(read) = batch.and_then(|batch| multipart::read(batch, &answer.headers, bytes))
        else {
            return answer;
        };
        let mut headers = answer.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Answer::new(answer.status, headers, read.to_string())
    }

    /// What became of each part of a call that had several, in the answer's order; empty if the
    /// answer holds none. A part without a status is one that no rule names.
    pub fn parts(&self, call: &Call, answer: &Answer, now: Timestamp) -> Vec<Part> {
        let seen = Seen::of(answer);
        let Some(body) = seen.body() else { return Vec::new() };
        let now = seen.date().unwrap_or(now);
        let parts = self.parts.iter().flat_map(|rule| rule.answers(body));
        let told = parts.map(|(reference, answer)| Part {
            reference,
            verdict: self.verdict(call, &answer, now),
        });
        told.collect()
    }

    /// What can be done about a call if nobody knows whether it was executed. `None` of the rules
    /// holds: nothing.
    pub fn recovery(&self, call: &Call, loss: Loss) -> Recovery {
        let asked = self.asked(call);
        for (index, rule) in self.after_loss.iter().enumerate() {
            let rule = rule.get_ref();
            if !rule.holds(&asked, loss) {
                continue;
            }
            match &rule.then {
                Then::Repeat(repeat) => {
                    return Recovery::Repeat { within: repeat.within(), charged: repeat.charged };
                }
                Then::LookUp(look_up) => {
                    let lags = look_up.lags.map(|Period(lags)| lags).unwrap_or_default();
                    if let Some(resource) = self.fill(&look_up.path, call, None) {
                        return Recovery::LookUp(LookUp { resource, lags, rule: index });
                    }
                }
                Then::Nothing(why) => return Recovery::Nothing(why.clone()),
            }
        }
        Recovery::Nothing(format!("the profile `{}` knows no way to ask the API", self.name()))
    }

    /// What the answer to a look-up says.
    pub fn looked_up(&self, look_up: &LookUp, answer: &Answer, now: Timestamp) -> Found {
        let rule = self.after_loss.get(look_up.rule).map(Spanned::get_ref);
        let Some(Then::LookUp(rule)) = rule.map(|rule| &rule.then) else {
            return Found::Undecidable("this question is not of this profile".to_owned());
        };
        let seen = Seen::of(answer);
        let missing = rule.missing.as_ref();
        if missing
            .map_or(answer.status == 404, |missing: &Statuses| missing.contains(answer.status))
        {
            return Found::NotDone;
        }
        let question = Call::new(Method::Get, look_up.resource.clone());
        let verdict = self.verdict(&question, answer, now);
        match verdict.outcome {
            Outcome::Succeeded | Outcome::PartlySucceeded | Outcome::Running => {
                let done = || Found::Done { id: self.id(&rule.id, &seen) };
                match (&rule.found, seen.body()) {
                    (None, _) => done(),
                    (Some(_), None) => {
                        Found::Undecidable("its answer is too long to be read".to_owned())
                    }
                    (Some(found), Some(body)) => match found.find(body).as_slice() {
                        [] | [Value::Null] => Found::NotDone,
                        [Value::Array(items)] if items.is_empty() => Found::NotDone,
                        [Value::Array(items)] if items.len() > 1 => several(items.len()),
                        [_] => done(),
                        many => several(many.len()),
                    },
                }
            }
            Outcome::Rejected | Outcome::AlreadyExists => {
                Found::Undecidable(verdict.reason.to_string())
            }
            Outcome::Unauthorized
            | Outcome::Throttled
            | Outcome::InFlight
            | Outcome::Transient
            | Outcome::Unknown => {
                Found::TryAgain { wait: verdict.wait, why: verdict.reason.to_string() }
            }
        }
    }

    /// Fills a path. `None` if something is missing, or has a character that a URL or a query
    /// language could misread.
    pub(crate) fn fill(&self, path: &Template, call: &Call, id: Option<&str>) -> Option<String> {
        let filled = path.fill(|gap| match gap {
            "idempotency_key" => in_url(call.idempotency_key.as_deref()?),
            "id" => in_url(id?),
            "resource" => Some(Cow::Borrowed(call.resource.split('?').next()?)),
            _ => {
                let at: Pointer = gap.strip_prefix("body:")?.parse().ok()?;
                let value = scalar(at.find(call.body.as_ref()?).first()?)?;
                in_url(&value).map(|text| Cow::Owned(text.into_owned()))
            }
        });
        filled.ok()
    }
}

fn several(count: usize) -> Found {
    Found::Undecidable(format!("{count} records answer to it"))
}

fn looks_like_a_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}
