//! How a vendor's API speaks, as data: `dialects/*.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slowlane_sandbox::{Measure, Refusal};

use crate::{answer::AnswerShape, asked::Asked, keys::KeyRules, span::Span};

/// How a vendor's API speaks: who may call, how it refuses, what it says of its limits, what it does
/// with idempotency keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// The name of the profile whose API it is.
    pub name: String,
    /// The API's name, for people.
    pub title: String,
    /// The way to authenticate that its sample takes, as the profile calls it.
    pub auth: String,
    /// The path of the base URL that its calls are below, as the profile's page has it: `/api/v2`.
    #[serde(default)]
    pub base_path: String,
    /// What callers authenticate with, unless the sandbox is told otherwise. `{base_url}` stands for
    /// its own address, another name in braces for what has that name here.
    pub(crate) credentials: BTreeMap<String, String>,
    /// The ways to sign in.
    pub(crate) sign_in: Vec<SignIn>,
    /// Where access tokens are got.
    pub(crate) token: Option<TokenService>,
    /// Headers of every answer.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Headers that say what is left of a rate, by what the rate counts.
    #[serde(default)]
    pub(crate) limits: BTreeMap<Counted, BTreeMap<String, String>>,
    /// How it refuses.
    pub(crate) refusals: BTreeMap<Refused, AnswerShape>,
    /// What it does with idempotency keys.
    pub(crate) idempotency: Option<KeyRules>,
    /// Where the name stands that a caller gave to what a call makes. The first that the call has
    /// counts.
    #[serde(default)]
    pub(crate) names: Vec<NamePlace>,
    /// A call that makes a record.
    pub sample: Sample,
}

/// A way to sign in: a header that holds a text, a user and a password, or a signature of AWS's for a
/// service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub(crate) enum SignIn {
    Header { header: String, value: String },
    Basic { user: String, password: String },
    Signature { sigv4: String, access_key_id: String, secret_access_key: String },
}

/// Where access tokens are got.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenService {
    /// Its path, with credentials in braces.
    pub(crate) path: String,
    /// How long a token is good.
    pub(crate) lives: Span,
    pub(crate) granted: AnswerShape,
    pub(crate) refused: AnswerShape,
}

/// A measure, as it is written in a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counted {
    Calls,
    Units,
    Quota,
    Time,
}

/// Why a request is refused, as it is written in a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refused {
    Concurrency,
    Calls,
    Units,
    Quota,
    Time,
    TooLarge,
    Unauthorized,
    Rejected,
    Failed,
}

/// Where the name of what a call makes stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum NamePlace {
    Header(String),
    /// A JSON pointer into the call's body.
    Body(String),
    /// A path in which `*` is any one segment, and `{name}` the name.
    Path(String),
}

/// A call that makes a record, for a demo: `{key}` in its texts stands for the call's own key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The HTTP method.
    pub method: String,
    /// The path below the base URL.
    pub resource: String,
    /// The body.
    pub body: Value,
    /// Whether it is made although nothing could be learnt of it if its answer were lost.
    #[serde(default)]
    pub at_most_once: bool,
}

const FILES: [(&str, &str); 12] = [
    ("anthropic", include_str!("../dialects/anthropic.toml")),
    ("bedrock", include_str!("../dialects/bedrock.toml")),
    ("dynamics", include_str!("../dialects/dynamics.toml")),
    ("github", include_str!("../dialects/github.toml")),
    ("http", include_str!("../dialects/http.toml")),
    ("hubspot", include_str!("../dialects/hubspot.toml")),
    ("openai", include_str!("../dialects/openai.toml")),
    ("salesforce", include_str!("../dialects/salesforce.toml")),
    ("sap-odata", include_str!("../dialects/sap-odata.toml")),
    ("shopify", include_str!("../dialects/shopify.toml")),
    ("stripe", include_str!("../dialects/stripe.toml")),
    ("zendesk", include_str!("../dialects/zendesk.toml")),
];

impl Dialect {
    /// The dialects that there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The dialect of a profile's API.
    ///
    /// # Errors
    /// There is none of this name. The error lists those that there are.
    pub fn of(profile: &str) -> Result<Self, UnknownDialect> {
        let file = FILES.iter().find(|(name, _)| *name == profile);
        // That each file can be read is a test of this crate.
        let dialect = file.and_then(|(_, text)| toml::from_str(text).ok());
        dialect.ok_or_else(|| UnknownDialect(profile.to_owned()))
    }

    /// How a refusal is worded. A dialect without words of its own for it uses the nearest ones.
    pub(crate) fn refusal(&self, refused: Refused) -> Option<&AnswerShape> {
        let nearest: &[Refused] = match refused {
            Refused::TooLarge => &[Refused::TooLarge, Refused::Units, Refused::Calls],
            Refused::Units => &[Refused::Units, Refused::Calls],
            Refused::Quota => &[Refused::Quota, Refused::Calls],
            Refused::Time => &[Refused::Time, Refused::Calls],
            Refused::Concurrency => &[Refused::Concurrency, Refused::Calls],
            Refused::Calls | Refused::Unauthorized | Refused::Rejected | Refused::Failed => {
                &[refused]
            }
        };
        nearest.iter().find_map(|refused| self.refusals.get(refused))
    }

    /// The name that a caller gave to what a call makes.
    pub(crate) fn name_in(&self, asked: &Asked) -> Option<String> {
        self.names.iter().find_map(|place| match place {
            NamePlace::Header(name) => asked.header(name).map(str::to_owned),
            NamePlace::Body(pointer) => asked.text(pointer).map(str::to_owned),
            NamePlace::Path(path) => name_in_path(path, &asked.path),
        })
    }
}

fn name_in_path(pattern: &str, path: &[String]) -> Option<String> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    // The path of the base URL may stand before it.
    let path = &path[path.len().checked_sub(pattern.len())?..];
    let mut name = None;
    for (wanted, segment) in pattern.iter().zip(path) {
        match wanted.split_once("{name}") {
            Some((before, after)) => {
                name = Some(segment.strip_prefix(before)?.strip_suffix(after)?.to_owned());
            }
            None if *wanted == "*" || *wanted == segment => {}
            None => return None,
        }
    }
    name
}

/// There is no such dialect.
#[derive(Debug)]
pub struct UnknownDialect(String);

impl std::error::Error for UnknownDialect {}

impl std::fmt::Display for UnknownDialect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = Dialect::names().collect::<Vec<_>>().join(", ");
        write!(
            out,
            "no sandbox speaks the dialect of `{}`; those that there are: {names}. `http` is what HTTP \
             itself says",
            self.0
        )
    }
}

impl From<Measure> for Counted {
    fn from(measure: Measure) -> Self {
        match measure {
            Measure::Calls => Self::Calls,
            Measure::Units => Self::Units,
            Measure::Quota => Self::Quota,
            Measure::Time => Self::Time,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyRequests => Self::Concurrency,
            Refusal::OverRate { wait: None, .. } => Self::TooLarge,
            Refusal::OverRate { measure: Measure::Calls, .. } => Self::Calls,
            Refusal::OverRate { measure: Measure::Units, .. } => Self::Units,
            Refusal::OverRate { measure: Measure::Quota, .. } => Self::Quota,
            Refusal::OverRate { measure: Measure::Time, .. } => Self::Time,
            Refusal::Unauthorized => Self::Unauthorized,
            Refusal::BadRequest | Refusal::Unreadable => Self::Rejected,
            Refusal::ServerError => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_dialect_and_says_all_that_is_needed() {
        for (name, text) in FILES {
            let dialect: Dialect = toml::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(dialect.name, name);
            for refused in [
                Refused::Concurrency,
                Refused::Calls,
                Refused::Units,
                Refused::Quota,
                Refused::Time,
                Refused::TooLarge,
                Refused::Unauthorized,
                Refused::Rejected,
                Refused::Failed,
            ] {
                assert!(dialect.refusal(refused).is_some(), "{name}: {refused:?}");
            }
        }
    }

    #[test]
    fn a_name_stands_in_the_path() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let pattern = "data/*/{name}";
        assert_eq!(name_in_path(pattern, &path("data/v1/a")), Some("a".to_owned()));
        assert_eq!(name_in_path(pattern, &path("base/data/v1/a")), Some("a".to_owned()));
        assert_eq!(name_in_path(pattern, &path("data/v1")), None);
        assert_eq!(name_in_path(pattern, &path("other/v1/a")), None);
        assert_eq!(name_in_path("A_B('{name}')", &path("srv/A_B('x')")), Some("x".to_owned()));
    }
}
