//! AWS Signature Version 4, looked at as a service of AWS's does: the request is signed once more, with
//! the secret that it should have been signed with.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::header::{AUTHORIZATION, HOST};
use jiff::{civil::DateTime, tz::TimeZone};

use crate::Request;

/// How far a request's time may be from the service's.
const SKEW: Duration = Duration::from_secs(5 * 60);
const DATE: &str = "x-amz-date";
const SESSION: &str = "x-amz-security-token";

/// An access key, and its secret.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
}

/// The header `Authorization`, taken apart.
struct Given<'a> {
    key_id: &'a str,
    region: &'a str,
    service: &'a str,
    /// The names of the headers that are signed.
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Given<'a> {
    fn of(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| {
            let mut all = fields.split(',').map(str::trim);
            all.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = field("Credential")?.split('/');
        let mut part = || scope.next();
        let (key_id, _day, region, service) = (part()?, part()?, part()?, part()?);
        let headers = field("SignedHeaders")?.split(';').collect();
        Some(Self { key_id, region, service, headers, signature: field("Signature")? })
    }
}

/// Whether a request was signed with a key, for a service, and just now.
pub(crate) fn is_good(request: &Request, service: &str, keys: &Keys<'_>, now: Duration) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(given), Some(signed_at)) =
        (text(AUTHORIZATION.as_str()).and_then(Given::of), text(DATE).and_then(moment))
    else {
        return false;
    };
    given.key_id == keys.id
        && given.service == service
        && signed_at.abs_diff(now) <= SKEW
        && signed_again(request, &given, keys, signed_at)
            .is_some_and(|signature| signature == given.signature)
}

/// The signature that the request should have.
fn signed_again(
    request: &Request,
    given: &Given<'_>,
    keys: &Keys<'_>,
    signed_at: Duration,
) -> Option<String> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = given.headers.contains(&HOST.as_str()).then(|| text(HOST.as_str())).flatten()?;
    let session = text(SESSION).map(str::to_owned);
    let identity = Credentials::new(keys.id, keys.secret, session, None, "sandbox").into();
    let mut settings = SigningSettings::default();
    // What is signed is for the caller to say.
    settings.excluded_headers = None;
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(given.region)
        .name(given.service)
        .time(SystemTime::UNIX_EPOCH + signed_at)
        .settings(settings)
        .build()
        .ok()?;
    // These two the signer writes itself.
    let named = given.headers.iter().filter(|name| ![DATE, SESSION].contains(name));
    let headers = named.map(|name| Some((*name, text(name)?))).collect::<Option<Vec<_>>>()?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{host}{path}");
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), url, headers.into_iter(), body);
    let signed = sign(signable.ok()?, &parameters.into()).ok()?;
    Some(signed.signature().to_owned())
}

/// `20261130T120000Z`, as the time since the Unix epoch.
fn moment(text: &str) -> Option<Duration> {
    let utc = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Duration::try_from(utc.timestamp().as_duration()).ok()
}
