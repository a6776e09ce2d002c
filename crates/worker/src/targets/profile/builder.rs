//! Makes the target.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use futures::FutureExt as _;
use reqwest::ClientBuilder;
use secrecy::SecretString;
use slowlane_lambda::clock::Clock;
use slowlane_profile::auth::Auth;
use slowlane_profile::chat::Prompts;
use slowlane_profile::{Answer, Api, Base, Profile, Request};

use super::client::{Carrier, Change, Clients};
use super::credentials::{Credentials, Source, check_fields};
use super::error::Error;
use super::gifts::Gifts;
use super::refusals::Refusals;
use super::{ProfiledApi, Second};
use crate::aws::files::{Files, FilesPlace};
use crate::aws::secret::StoredSecret;
use crate::aws::signed::Unusable;

/// Makes a [`ProfiledApi`].
///
/// ```
/// use slowlane_worker::profile::{Base, shipped};
/// use slowlane_worker::targets::profile::ProfiledApi;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let profile = shipped::get("hubspot").ok_or("there is no such profile")?;
/// let crm = ProfiledApi::builder(profile, Base::parse("https://api.hubapi.com")?)
///     .auth("header")
///     .secret(r#"{"access_token": "its token"}"#)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Builder {
    profile: Profile,
    base: Base,
    auth: Option<String>,
    source: Source,
    settles_after: Option<Duration>,
    files: Option<Result<Files, Unusable>>,
    prompts: Prompts,
    second: Option<Second>,
    change: Change,
    carrier: Option<Carrier>,
    clock: Clock,
}

impl ProfiledApi {
    /// Begins a target that calls the API of `profile` below `base`.
    pub fn builder(profile: Profile, base: Base) -> Builder {
        Builder::new(profile, base)
    }
}

impl Builder {
    fn new(profile: Profile, base: Base) -> Self {
        Builder {
            profile,
            base,
            auth: None,
            source: Source::None,
            settles_after: None,
            files: None,
            prompts: Prompts::default(),
            second: None,
            change: Box::new(|client| client),
            carrier: None,
            clock: Clock::of(None),
        }
    }

    /// Chooses one of the profile's ways to authenticate. One that has a single way needs no choice.
    pub fn auth(mut self, way: impl Into<String>) -> Self {
        self.auth = Some(way.into());
        self
    }

    /// Gives the secret itself: a JSON object of texts. It is never shown.
    pub fn secret(mut self, json: impl Into<SecretString>) -> Self {
        self.source = Source::Given(json.into());
        self
    }

    /// Names the secret in Secrets Manager, or a parameter as `ssm:/NAME` or by its ARN. It is read when it is needed first, and anew when the API
    /// refuses what it holds.
    pub fn stored_secret(mut self, sdk: &SdkConfig, id: impl Into<String>) -> Self {
        self.source = Source::Stored(StoredSecret::new(sdk, id.into()));
        self.clock = Clock::of(sdk.time_source());
        self
    }

    /// Signs by the function's role, where the profile does (`sigv4`).
    pub fn role(mut self, sdk: &SdkConfig) -> Self {
        self.source = Source::Role {
            keys: sdk.credentials_provider(),
            region: sdk.region().map(|region| region.as_ref().to_owned()),
        };
        self.clock = Clock::of(sdk.time_source());
        self
    }

    /// How long the API may be at work on a call after nobody waits for its answer any more, in the
    /// place of what the profile says.
    pub fn settles_after(mut self, settles_after: Duration) -> Self {
        self.settles_after = Some(settles_after);
        self
    }

    /// Where in S3 files lie that calls send, and answers go that no workflow's state holds.
    pub fn files(mut self, sdk: &SdkConfig, place: FilesPlace) -> Self {
        self.files = Some(Files::new(sdk, place));
        self
    }

    /// Keeps prompts that questions in the common form may name.
    pub fn prompts(mut self, prompts: Prompts) -> Self {
        self.prompts = prompts;
        self
    }

    /// Names another provider, whose `model` answers questions in the common form when this one has not
    /// executed them for as long as `after`, or asks to wait so long.
    pub fn second(
        mut self,
        provider: ProfiledApi,
        model: impl Into<String>,
        after: Duration,
    ) -> Self {
        let (api, model, refusals) = (Box::new(provider), model.into(), Refusals::default());
        self.second = Some(Second { api, model, after, refusals });
        self
    }

    /// Changes the HTTP client's settings: its root certificates, a proxy, the time to connect (5 s).
    /// Redirects and retries stay off whatever it says.
    pub fn client(
        mut self,
        change: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.change = Box::new(change);
        self
    }

    /// Has requests carried by something else than an HTTP client: to an API in the same process, for a
    /// test in virtual time. `None` is what a caller sees whose connection broke.
    pub fn carried_by<F>(mut self, carry: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Answer>> + Send + 'static,
    {
        self.carrier = Some(Arc::new(move |request| carry(request).boxed()));
        self
    }

    /// Makes the target. It sends nothing.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn build(self) -> Result<ProfiledApi, Error> {
        let way = self.way()?;
        self.check_secret(way)?;
        self.check_second()?;
        let credentials = Credentials {
            way: way.map(|(name, _)| name),
            source: self.source,
            clients: Clients::new(self.change, self.carrier)?,
            clock: self.clock.clone(),
            kept: tokio::sync::Mutex::default(),
            ends: Default::default(),
        };
        Ok(ProfiledApi {
            api: Api::new(self.profile, self.base),
            credentials,
            gifts: Gifts::default(),
            refusals: Refusals::default(),
            prompts: self.prompts,
            second: self.second,
            settles_after: self.settles_after,
            files: self.files.transpose().map_err(|why| Error::Files(why.to_string()))?,
            clock: self.clock,
        })
    }

    /// Whether the chosen way to authenticate signs by the function's role, and takes no secret.
    pub(super) fn signs_by_role(&self) -> Result<bool, Error> {
        Ok(matches!(self.way()?, Some((_, Auth::SigV4(_)))))
    }

    fn way(&self) -> Result<Option<(&'static str, Auth<'_>)>, Error> {
        let ways = self.profile.auth.all();
        let names = || ways.iter().map(|(name, _)| *name).collect();
        let profile = || self.profile.name().to_owned();
        match &self.auth {
            None if ways.len() > 1 => Err(Error::WhichWay { profile: profile(), ways: names() }),
            None => Ok(ways.first().copied()),
            Some(way) => {
                let found = ways.iter().find(|(name, _)| name == way).copied();
                let missing =
                    || Error::NoSuchWay { profile: profile(), way: way.clone(), ways: names() };
                found.map(Some).ok_or_else(missing)
            }
        }
    }

    /// Both providers must be asked in the common form.
    fn check_second(&self) -> Result<(), Error> {
        let Some(second) = &self.second else { return Ok(()) };
        let mut profiles = [&self.profile, second.api.api.profile()].into_iter();
        match profiles.find(|profile| profile.chat_form().is_none()) {
            Some(profile) => Err(Error::NoChat { profile: profile.name().to_owned() }),
            None => Ok(()),
        }
    }

    fn check_secret(&self, way: Option<(&'static str, Auth<'_>)>) -> Result<(), Error> {
        let Some((way, auth)) = way else { return Ok(()) };
        let fields = auth.secret_fields();
        match &self.source {
            Source::Role { .. } if matches!(auth, Auth::SigV4(_)) => Ok(()),
            _ if matches!(auth, Auth::SigV4(_)) => Err(Error::NoRole { way }),
            Source::None | Source::Role { .. } if !fields.is_empty() => {
                let fields = fields.into_iter().map(str::to_owned).collect();
                Err(Error::NoSecret { way, fields })
            }
            Source::Given(text) => Ok(check_fields(auth, text)?),
            _ => Ok(()),
        }
    }
}
