//! Which API a stack is for: the parameters that say so, and their earlier names.

use crate::Values;
use slowlane_profile::Profile;
use std::path::{Path, PathBuf};

/// The name of a profile of one's own in the worker's package, which `ApiProfile` then has.
pub(crate) const PROFILE_FILE: &str = "profile.toml";

/// What follows the account in NetSuite's own host names.
const NETSUITE_HOST: &str = ".suitetalk.api.netsuite.com";

/// Parameters that are no more, each with what says the same now.
const FORMER: [(&str, &str); 3] = [
    (
        "NetSuiteAccountId",
        "give ApiProfile=netsuite and ApiBaseUrl=https://ACCOUNT.suitetalk.api.netsuite.com",
    ),
    (
        "NetSuiteBaseUrl",
        "give ApiBaseUrl. Where it is not NetSuite's own host, the secret needs the field account_id",
    ),
    ("NetSuiteSecretId", "give ApiSecret"),
];

/// Why it cannot be told which API the stack is for. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter that is no more.
    #[error("there is no parameter {name} any more: {now}")]
    Former {
        /// Its name.
        name: &'static str,
        /// What to give in its place.
        now: &'static str,
    },
    /// The stack has a profile of its own, and this deploy brings none.
    #[error(
        "the stack's ApiProfile is {PROFILE_FILE}, which travels in the worker's package: give its \
         file again by --api-profile, or another profile by -p ApiProfile=NAME"
    )]
    ProfileLeftOut,
    /// The stack has a worker of its own, and this deploy brings none.
    #[error(
        "the stack runs a worker of its own: give its binary again by --worker, or a profile by \
         -p ApiProfile=NAME"
    )]
    WorkerLeftOut,
    /// Nothing says what the API is.
    #[error(
        "nothing says which API the stack is for: give -p ApiProfile=NAME (`netsuite` or {names}), \
         a profile of your own by --api-profile FILE, or a worker of your own by --worker FILE"
    )]
    Missing {
        /// The names of the profiles.
        names: String,
    },
    /// The profile's file cannot be read.
    #[error("cannot read the profile {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The profile has mistakes.
    #[error("the profile has mistakes. {path}:\n{mistakes}")]
    Mistakes {
        /// Its path.
        path: PathBuf,
        /// All of them, each with its line.
        mistakes: slowlane_profile::Mistakes,
    },
}

/// What a deploy brings with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brought {
    pub(crate) profile: bool,
    pub(crate) worker: bool,
}

/// Completes the parameters that say which API the stack is for. What an earlier version's stack said
/// of NetSuite is carried over; the answer tells it.
///
/// # Errors
/// If they say nothing, or what is no more.
pub(crate) fn choose(
    parameters: &mut Values,
    before: &Values,
    brought: Brought,
) -> Result<Option<String>, Error> {
    if let Some((name, now)) = FORMER.iter().find(|(name, _)| parameters.contains_key(*name)) {
        return Err(Error::Former { name, now });
    }
    if brought.profile {
        parameters.insert("ApiProfile".into(), PROFILE_FILE.into());
        return Ok(None);
    }
    let given = parameters.get("ApiProfile").or_else(|| before.get("ApiProfile"));
    match given.map(String::as_str) {
        Some(PROFILE_FILE) => Err(Error::ProfileLeftOut),
        Some("") if !brought.worker => Err(Error::WorkerLeftOut),
        Some(_) => Ok(None),
        None if before.contains_key("NetSuiteAccountId") => {
            Ok(Some(carry_over(parameters, before)))
        }
        None if brought.worker => {
            parameters.insert("ApiProfile".into(), String::new());
            Ok(None)
        }
        None => {
            let names: Vec<_> = slowlane_profile::shipped::names().collect();
            Err(Error::Missing { names: names.join(", ") })
        }
    }
}

fn carry_over(parameters: &mut Values, before: &Values) -> String {
    let old = |name: &str| before.get(name).map(String::as_str).unwrap_or_default();
    let host = old("NetSuiteAccountId").to_ascii_lowercase().replace('_', "-");
    let base_url = match old("NetSuiteBaseUrl") {
        "" => format!("https://{host}{NETSUITE_HOST}"),
        base_url => base_url.to_owned(),
    };
    let mut told = format!(
        "the stack's NetSuite parameters have other names now: ApiProfile=netsuite, \
         ApiBaseUrl={base_url}, ApiSecret={}",
        old("NetSuiteSecretId")
    );
    if !base_url.contains(NETSUITE_HOST) {
        told += &format!(
            "; put \"account_id\": \"{}\" into that secret, since the URL does not say it",
            old("NetSuiteAccountId")
        );
    }
    let new = [
        ("ApiProfile", "netsuite".to_owned()),
        ("ApiBaseUrl", base_url),
        ("ApiSecret", old("NetSuiteSecretId").to_owned()),
    ];
    for (name, value) in new {
        parameters.entry(name.into()).or_insert(value);
    }
    told
}

/// A profile's file, which is one.
///
/// # Errors
/// If it cannot be read, or has mistakes.
pub(crate) fn read_profile(path: &Path) -> Result<Vec<u8>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.into(), source })?;
    Profile::parse(&text).map_err(|mistakes| Error::Mistakes { path: path.into(), mistakes })?;
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Brought = Brought { profile: false, worker: false };
    const PROFILE: Brought = Brought { profile: true, worker: false };
    const WORKER: Brought = Brought { profile: false, worker: true };

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn profile(given: &[(&str, &str)], before: &[(&str, &str)], brought: Brought) -> String {
        let mut parameters = values(given);
        match choose(&mut parameters, &values(before), brought) {
            Ok(_) => parameters.remove("ApiProfile").unwrap_or_else(|| "as it was".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_stack_says_which_api_it_is_for() {
        let own = [("ApiProfile", PROFILE_FILE)];
        let http = [("ApiProfile", "http")];
        let none = [("ApiProfile", "")];
        assert_eq!(profile(&http, &[], NOTHING), "http");
        assert_eq!(profile(&[], &http, NOTHING), "as it was");
        assert_eq!(profile(&[], &[], PROFILE), PROFILE_FILE);
        assert_eq!(profile(&[], &own, PROFILE), PROFILE_FILE);
        assert_eq!(profile(&http, &own, NOTHING), "http");
        assert_eq!(profile(&[], &[], WORKER), "");
        assert_eq!(profile(&[], &http, WORKER), "as it was");
        assert_eq!(profile(&[], &none, WORKER), "as it was");
        assert!(profile(&[], &own, NOTHING).contains("give its file again by --api-profile"));
        assert!(profile(&[], &none, NOTHING).contains("give its binary again by --worker"));
        assert!(profile(&[], &[], NOTHING).contains("`netsuite` or anthropic, bedrock"));
    }

    #[test]
    fn an_earlier_name_is_told_with_the_new_one() {
        for (name, told) in [
            ("NetSuiteAccountId", "ApiProfile=netsuite and ApiBaseUrl=https://"),
            ("NetSuiteBaseUrl", "give ApiBaseUrl"),
            ("NetSuiteSecretId", "give ApiSecret"),
        ] {
            let error = profile(&[(name, "x")], &[("ApiProfile", "netsuite")], NOTHING);
            assert!(error.contains(name) && error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_an_earlier_stack_said_is_carried_over() {
        let old = |base_url| {
            values(&[
                ("NetSuiteAccountId", "1234567_SB1"),
                ("NetSuiteBaseUrl", base_url),
                ("NetSuiteSecretId", "slowlane/netsuite"),
            ])
        };
        let mut parameters = Values::new();
        let told = choose(&mut parameters, &old(""), NOTHING).unwrap().unwrap();
        let expected = values(&[
            ("ApiProfile", "netsuite"),
            ("ApiBaseUrl", "https://1234567-sb1.suitetalk.api.netsuite.com"),
            ("ApiSecret", "slowlane/netsuite"),
        ]);
        assert_eq!(parameters, expected);
        assert!(!told.contains("account_id"), "{told}");

        // What is given counts.
        let mut parameters = values(&[("ApiSecret", "other")]);
        let told = choose(&mut parameters, &old("https://proxy.example"), NOTHING).unwrap();
        assert_eq!(parameters["ApiSecret"], "other");
        assert_eq!(parameters["ApiBaseUrl"], "https://proxy.example");
        assert!(told.unwrap().contains("\"account_id\": \"1234567_SB1\""));
    }
}
