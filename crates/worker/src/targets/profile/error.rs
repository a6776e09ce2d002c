//! Why a target could not be made of a profile.

use std::fmt;

use slowlane_profile::auth::SecretError;

use crate::aws::secret::SecretAccessError;

/// Why the target could not be made. No message holds any of the secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The profile has no such way to authenticate.
    #[error("the profile `{profile}` has no way to authenticate `{way}`: it has {}", listed(ways))]
    NoSuchWay {
        /// The profile's name.
        profile: String,
        /// The way that was asked for.
        way: String,
        /// The ways that it has.
        ways: Vec<&'static str>,
    },
    /// The profile has several ways to authenticate, and none is chosen.
    #[error(
        "the profile `{profile}` has several ways to authenticate, so one must be named: {}",
        listed(ways)
    )]
    WhichWay {
        /// The profile's name.
        profile: String,
        /// The ways that it has.
        ways: Vec<&'static str>,
    },
    /// The way to authenticate takes a secret, and there is none.
    #[error("the way to authenticate `{way}` takes a secret with {}", listed(fields))]
    NoSecret {
        /// The way.
        way: &'static str,
        /// The fields that the secret must have.
        fields: Vec<String>,
    },
    /// There is another provider, and one of the two is not asked in the common form.
    #[error(
        "the profile `{profile}` does not say how its API is asked in the common form (`chat`), as a second \
         provider needs it"
    )]
    NoChat {
        /// The profile's name.
        profile: String,
    },
    /// The way to authenticate signs by the function's role, and the target was given none.
    #[error(
        "the way to authenticate `{way}` signs by the function's role: give it by `Builder::role`"
    )]
    NoRole {
        /// The way.
        way: &'static str,
    },
    /// The secret could not be read.
    #[error(transparent)]
    Access(#[from] SecretAccessError),
    /// The secret does not hold what the way to authenticate needs.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The files cannot be reached.
    #[error("the files cannot be reached: {0}")]
    Files(String),
    /// The settings of the HTTP client contradict each other, or cannot be had on this machine.
    #[error("the HTTP client could not be made")]
    Client(#[from] reqwest::Error),
}

fn listed(names: &[impl fmt::Display]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
