//! The first `slowlane.toml` of a team.

use slowlane_profile::auth::Auth;
use slowlane_profile::{Base, Profile};

use crate::file::NETSUITE;

/// What a team begins with: one target, to be deployed to one stage, `prod`.
#[derive(Debug, Clone, Copy)]
pub struct Starter<'a> {
    /// The target's name.
    pub target: &'a str,
    /// What its API is.
    pub api: Api<'a>,
    /// Where it is.
    pub base_url: &'a Base,
    /// The AWS region of `prod`.
    pub region: &'a str,
}

/// What an API is.
#[derive(Debug, Clone, Copy)]
pub enum Api<'a> {
    /// NetSuite, whose rules need code.
    NetSuite,
    /// One with a profile.
    Profile {
        /// What its requests and answers mean.
        profile: &'a Profile,
        /// One of the profile's ways to authenticate.
        auth: &'a str,
    },
}

impl Api<'_> {
    /// The fields that the secret must have; none where there is no secret.
    pub fn secret_fields(&self) -> Vec<&str> {
        match self {
            Self::NetSuite => vec!["client_id", "certificate_id", "private_key_pem"],
            Self::Profile { profile, auth } => {
                let auth = profile.auth.get(auth);
                auth.map(Auth::secret_fields).into_iter().flatten().collect()
            }
        }
    }

    fn name_and_title(&self) -> (&str, &str) {
        match self {
            Self::NetSuite => (NETSUITE, "NetSuite REST API"),
            Self::Profile { profile, .. } => (profile.name(), &profile.title),
        }
    }
}

impl Starter<'_> {
    /// The name of the target's secret, if it has one.
    pub fn secret(&self) -> Option<String> {
        (!self.api.secret_fields().is_empty()).then(|| format!("prod/{}", self.target))
    }

    /// The file. It is complete once the secret is there, and says what that must hold.
    pub fn text(&self) -> String {
        let Self { target, api, base_url, region } = self;
        let (name, title) = api.name_and_title();
        let base_url = base_url.url();
        let fields: Vec<String> =
            api.secret_fields().iter().map(|field| format!("\"{field}\": \"...\"")).collect();
        let secret = self.secret().map_or(String::new(), |secret| {
            format!(
                "# A secret in Secrets Manager: {{{}}}\nsecret = \"{secret}\"\n",
                fields.join(", ")
            )
        });
        let auth = match api {
            Api::Profile { profile, auth } if profile.auth.all().len() > 1 => {
                format!("auth = \"{auth}\"\n")
            }
            _ => String::new(),
        };
        format!(
            "# {title}\n\
             [targets.{target}]\n\
             profile = \"{name}\"\n\
             {auth}\
             base_url = \"{base_url}\"\n\
             {secret}\
             # The most calls at once, whatever happens.\n\
             concurrency = 5\n\
             # What the vendor allows besides, such as {{ rate = \"100/20s\" }} or {{ quota = \"15000/1d\" }}.\n\
             limits = []\n\
             \n\
             [stages.prod]\n\
             region = \"{region}\"\n"
        )
    }
}
