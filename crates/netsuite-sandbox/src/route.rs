//! Which of NetSuite's services a request goes to.

use http::Method;

use crate::Request;

/// Where access tokens are issued.
pub(crate) const TOKEN_PATH: &str = "/services/rest/auth/oauth2/v1/token";
pub(crate) const RECORD_PATH: &str = "/services/rest/record/v1/";
pub(crate) const SUITEQL_PATH: &str = "/services/rest/query/v1/suiteql";
pub(crate) const JOB_PATH: &str = "/services/rest/async/v1/job/";
pub(crate) const SERVER_TIME_PATH: &str = "/services/rest/system/v1/serverTime";
pub(crate) const GOVERNANCE_PATH: &str = "/services/rest/system/v1/governanceLimits";
pub(crate) const RESTLET_PATH: &str = "/app/site/hosting/restlet.nl";

/// A part of NetSuite that answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Token,
    Records,
    SuiteQl,
    Jobs,
    ServerTime,
    Governance,
    Restlets,
    Unknown,
}

impl Service {
    pub(crate) fn of(request: &Request) -> Self {
        match request.uri().path() {
            TOKEN_PATH => Self::Token,
            SUITEQL_PATH => Self::SuiteQl,
            SERVER_TIME_PATH => Self::ServerTime,
            GOVERNANCE_PATH => Self::Governance,
            RESTLET_PATH => Self::Restlets,
            path if path.starts_with(RECORD_PATH) => Self::Records,
            path if path.starts_with(JOB_PATH) => Self::Jobs,
            _ => Self::Unknown,
        }
    }

    /// The OAuth 2.0 scope that a token needs here.
    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::Restlets => "restlets",
            _ => "rest_webservices",
        }
    }
}

/// Whether a repeat of the request could have a second effect.
pub(crate) fn is_write(request: &Request) -> bool {
    matches!(Service::of(request), Service::Records | Service::Restlets)
        && request.method() != Method::GET
}

/// Whether the request is to be queued as a job: header `Prefer: respond-async`.
pub(crate) fn is_async(request: &Request) -> bool {
    Service::of(request) == Service::Records && prefers(request, "respond-async")
}

pub(crate) fn prefers(request: &Request, preference: &str) -> bool {
    request.headers().get_all("prefer").iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value.split([',', ';']).any(|part| part.trim().eq_ignore_ascii_case(preference))
        })
    })
}

/// A header's value, if it is text.
pub(crate) fn text_header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// The host and port that the caller addressed.
pub(crate) fn host(request: &Request) -> &str {
    text_header(request, "host")
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or("localhost")
}

/// `http://host` as the caller sees this server, for links and audiences.
pub(crate) fn base_url(request: &Request) -> String {
    format!("http://{}", host(request))
}
