//! A call as it would be made, to look at.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use slowlane_config::Deployment;
use slowlane_profile::auth::{Auth, Secret};
use slowlane_profile::{Api, Call, Loss, Recovery, Request};
use std::collections::BTreeMap;
use std::fmt;

/// What stands in the place of each field of the secret.
const HIDDEN: &str = "(secret)";

pub(super) struct Shown<'a> {
    deployment: &'a Deployment,
    reads: bool,
    auth: Authentication,
    /// The calls before the call, with what they are for.
    before: Vec<(&'a str, Request)>,
    request: Request,
    recovery: Recovery,
}

/// How the API knows who calls.
struct Authentication {
    way: String,
    fields: Vec<String>,
    told: &'static str,
}

impl<'a> Shown<'a> {
    /// The call as the worker would make it.
    ///
    /// # Errors
    /// It cannot be made: its path leaves the base URL, the profile does not allow one of its headers.
    pub(super) fn new(
        deployment: &'a Deployment,
        api: &'a Api,
        call: &Call,
    ) -> anyhow::Result<Self> {
        let profile = api.profile();
        let ways = profile.auth.all();
        let chosen = match &deployment.auth {
            Some(name) => ways.into_iter().find(|(known, _)| known == name),
            None => ways.into_iter().next(),
        };
        let mut request = api.request(call, &slowlane_profile::Given::default())?;
        let auth = match chosen {
            Some((way, auth)) => Authentication::new(way, auth, &mut request)?,
            None => Authentication { way: "none".into(), fields: Vec::new(), told: "" },
        };
        let mut before = Vec::new();
        for pre_call in api.before(call) {
            before.push((pre_call.name(), api.pre_call_request(pre_call, call)?));
        }
        let recovery = profile.recovery(call, Loss::NoAnswer);
        Ok(Self { deployment, reads: profile.reads(call), auth, before, request, recovery })
    }

    pub(super) fn as_json(&self) -> Value {
        let secret = &self.deployment.secret;
        json!({
            "target": self.deployment.target,
            "reads": self.reads,
            "auth": { "way": self.auth.way, "secret": secret, "fields": self.auth.fields },
            "before": self.before.iter().map(|(_, request)| as_json(request)).collect::<Vec<_>>(),
            "request": as_json(&self.request),
            "after_loss": self.after_loss(),
        })
    }

    fn after_loss(&self) -> String {
        match &self.recovery {
            Recovery::Repeat { within, charged } => {
                let within = within.and_then(|within| SignedDuration::try_from(within).ok());
                let within =
                    within.map(|within| format!(", within {within:#} of its first attempt"));
                let charged = if *charged { "; the API charges for it again" } else { "" };
                format!("it is made again{}{charged}", within.unwrap_or_default())
            }
            Recovery::LookUp(look_up) => {
                format!("the API is asked what became of it: GET {}", look_up.resource)
            }
            Recovery::Nothing(why) => format!("a person must find out: {why}"),
        }
    }
}

impl Authentication {
    /// Adds the headers that are made of the secret alone, with the secret left out.
    fn new(way: &str, auth: Auth<'_>, request: &mut Request) -> anyhow::Result<Self> {
        let fields: Vec<String> = auth.secret_fields().into_iter().map(str::to_owned).collect();
        let hidden: BTreeMap<&str, &str> =
            fields.iter().map(|field| (field.as_str(), HIDDEN)).collect();
        let hidden = Secret::from_json(&serde_json::to_string(&hidden)?)?;
        let told = match auth {
            Auth::Header(auth) => {
                request.headers.extend(auth.headers(&hidden)?);
                "its header is below"
            }
            Auth::Basic(auth) => {
                request.headers.extend(auth.headers(&hidden)?);
                "its header is below"
            }
            Auth::ClientCredentials(_) | Auth::JwtBearer(_) | Auth::RefreshToken(_) => {
                "a token is fetched with it first, kept until it ends, and sent as a header"
            }
            Auth::SigV4(_) => "the request is signed with the keys of the worker's role",
            Auth::ClientCertificate(_) => "the connection is opened with its certificate",
        };
        Ok(Self { way: way.to_owned(), fields, told })
    }
}

fn as_json(request: &Request) -> Value {
    let shown = |value: &http::HeaderValue| match value.to_str() {
        Ok(text) if !value.is_sensitive() => text.to_owned(),
        _ => HIDDEN.to_owned(),
    };
    let headers: Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), shown(value).into()))
        .collect();
    let body = String::from_utf8_lossy(&request.body);
    json!({
        "method": request.method.as_str(),
        "url": request.url.as_str(),
        "headers": headers,
        "body": (!body.is_empty()).then_some(body),
    })
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Authentication { way, fields, told } = &self.auth;
        writeln!(
            f,
            "# {}: it {}",
            self.deployment.target,
            if self.reads { "reads" } else { "writes" }
        )?;
        if let Some(secret) = &self.deployment.secret {
            writeln!(f, "# {way}, by the secret {secret} {{{}}}: {told}", fields.join(", "))?;
        } else if !told.is_empty() {
            writeln!(f, "# {way}: {told}")?;
        }
        for (name, request) in &self.before {
            writeln!(f, "# before it, `{name}`\n\n{}", request.to_string().trim_end())?;
            writeln!(f)?;
        }
        writeln!(f, "# if its answer is lost, {}\n", self.after_loss())?;
        write!(f, "{}", self.request.to_string().trim_end())
    }
}
