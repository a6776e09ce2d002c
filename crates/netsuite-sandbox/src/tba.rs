//! Token-based authentication: OAuth 1.0a signatures by HMAC-SHA256.
//!
//! Rules: RFC 5849 and Oracle help, "The Signature for Web Services and RESTlets"
//! (section_1534941088). A nonce is good once, a timestamp for five minutes each way, and five
//! failures in a row lock the token for half an hour.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    KeyError, Request,
    problem::Problem,
    query,
    route::{self, text_header},
};

const TIMESTAMP_WINDOW: Duration = Duration::from_secs(300);
const LOCK_AFTER: u32 = 5;
const LOCKED_FOR: Duration = Duration::from_secs(30 * 60);
const SHORTEST_NONCE: usize = 6;

/// RFC 3986's unreserved characters, and no others, are left as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The keys of an integration (consumer) and of a user's token in it.
#[derive(Clone, serde::Serialize)]
pub struct TbaCredentials {
    /// The account, such as `123_SB1`: the realm.
    pub account_id: String,
    /// `oauth_consumer_key`
    pub consumer_key: String,
    /// Signs together with the token's secret.
    pub consumer_secret: String,
    /// `oauth_token`
    pub token_id: String,
    /// Signs together with the consumer's secret.
    pub token_secret: String,
}

impl TbaCredentials {
    /// New keys from the system's random source, which no seed governs.
    ///
    /// # Errors
    /// The random source failed.
    pub fn generate(account_id: &str) -> Result<Self, KeyError> {
        let key = || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
            Ok::<String, KeyError>(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        };
        Ok(Self {
            account_id: account_id.to_owned(),
            consumer_key: key()?,
            consumer_secret: key()?,
            token_id: key()?,
            token_secret: key()?,
        })
    }
}

/// The secrets stay out of logs.
impl std::fmt::Debug for TbaCredentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TbaCredentials")
            .field("account_id", &self.account_id)
            .field("consumer_key", &self.consumer_key)
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

/// The tokens that may sign.
#[derive(Debug, Default)]
pub(crate) struct Tba {
    /// By consumer key and token id.
    tokens: HashMap<(String, String), Token>,
}

#[derive(Debug)]
struct Token {
    credentials: TbaCredentials,
    /// Nonces that were used, and when they may be forgotten.
    nonces: HashMap<String, Duration>,
    failures: u32,
    locked_until: Duration,
}

impl Tba {
    pub(crate) fn register(&mut self, credentials: TbaCredentials) {
        let name = (credentials.consumer_key.clone(), credentials.token_id.clone());
        let token = Token {
            credentials,
            nonces: HashMap::new(),
            failures: 0,
            locked_until: Duration::ZERO,
        };
        self.tokens.insert(name, token);
    }

    /// Checks a request with an `OAuth …` header.
    pub(crate) fn authenticate(&mut self, request: &Request, now: Duration) -> Result<(), Problem> {
        let header = text_header(request, "authorization").unwrap_or_default();
        let oauth = Parameters::in_header(header);
        let name =
            (oauth.get("oauth_consumer_key").to_owned(), oauth.get("oauth_token").to_owned());
        let token = self
            .tokens
            .get_mut(&name)
            .ok_or_else(|| Problem::invalid_login("unknown oauth_consumer_key or oauth_token"))?;
        if now < token.locked_until {
            return Err(Problem::invalid_login("the token is locked after five failed logins"));
        }
        match token.verify(request, &oauth, now) {
            Ok(()) => {
                token.failures = 0;
                Ok(())
            }
            Err(why) => {
                token.failures += 1;
                if token.failures >= LOCK_AFTER {
                    token.failures = 0;
                    token.locked_until = now + LOCKED_FOR;
                }
                Err(Problem::invalid_login(why))
            }
        }
    }
}

impl Token {
    fn verify(
        &mut self,
        request: &Request,
        oauth: &Parameters,
        now: Duration,
    ) -> Result<(), &'static str> {
        if oauth.get("realm") != self.credentials.account_id {
            return Err("the realm is not this account");
        }
        if oauth.get("oauth_signature_method") != "HMAC-SHA256" {
            return Err("oauth_signature_method is not HMAC-SHA256");
        }
        if !matches!(oauth.get("oauth_version"), "" | "1.0") {
            return Err("oauth_version is not 1.0");
        }
        let timestamp =
            oauth.get("oauth_timestamp").parse().map_err(|_| "oauth_timestamp is not a number")?;
        if Duration::from_secs(timestamp).abs_diff(now) > TIMESTAMP_WINDOW {
            return Err("oauth_timestamp is more than five minutes off");
        }
        let nonce = oauth.get("oauth_nonce");
        if nonce.len() < SHORTEST_NONCE {
            return Err("oauth_nonce has fewer than six characters");
        }
        let signature = BASE64_STANDARD
            .decode(oauth.get("oauth_signature"))
            .map_err(|_| "oauth_signature is not base64")?;
        if !self.is_signed(request, oauth, &signature) {
            return Err("the signature does not fit the request");
        }
        self.nonces.retain(|_, forget_at| *forget_at > now);
        let forget_at = now + 2 * TIMESTAMP_WINDOW;
        match self.nonces.insert(nonce.to_owned(), forget_at) {
            None => Ok(()),
            Some(_) => Err("oauth_nonce was used before"),
        }
    }

    /// A sandbox has no TLS, so a client may have signed either scheme.
    fn is_signed(&self, request: &Request, oauth: &Parameters, signature: &[u8]) -> bool {
        let TbaCredentials { consumer_secret, token_secret, .. } = &self.credentials;
        let key = format!("{}&{}", encode(consumer_secret), encode(token_secret));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        ["http", "https"].iter().any(|scheme| {
            hmac::verify(&key, base_string(request, scheme, oauth).as_bytes(), signature).is_ok()
        })
    }
}

/// What is signed: RFC 5849, section 3.4.1.
fn base_string(request: &Request, scheme: &str, oauth: &Parameters) -> String {
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let host = route::host(request).to_lowercase();
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    let url = format!("{scheme}://{host}{}", request.uri().path());

    let is_form = text_header(request, "content-type")
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    let form: &[u8] = if is_form { request.body() } else { &[] };
    let mut pairs: Vec<(String, String)> = oauth
        .pairs
        .iter()
        .filter(|(name, _)| name != "realm" && name != "oauth_signature")
        .cloned()
        .chain(query::query_params(request))
        .chain(url::form_urlencoded::parse(form).into_owned())
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}&{}&{}", request.method(), encode(&url), encode(&pairs.join("&")))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The parameters of an `OAuth` header, decoded.
#[derive(Debug)]
struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    fn in_header(header: &str) -> Self {
        let (_, list) = header.split_once(' ').unwrap_or_default();
        let pairs = list
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(name, value)| {
                let value =
                    percent_decode_str(value.trim_matches('"')).decode_utf8_lossy().into_owned();
                (name.to_owned(), value)
            })
            .collect();
        Self { pairs }
    }

    /// A parameter's value, empty if it is not there.
    fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "fjaLirsIcCGVZWzBX0pg";
    const TIMESTAMP: u64 = 1_508_242_306;
    const REST: (&str, &str) =
        ("GET", "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/40");
    const REST_SIGNATURE: &str = "B5OIWznZ2YP0OB7VrJrGkYsTh+8H+5T9Hag+o92q0zY=";
    const RESTLET: (&str, &str) = (
        "POST",
        "https://123456.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&customParam=someValue&testParam=someOtherValue",
    );
    const RESTLET_SIGNATURE: &str = "+KK4SKNgz4ZiILGLwOMtfYlgcXSy1eis8ldE9X90azQ=";

    /// The keys that Oracle publishes in the help page named above.
    fn oracles_sample() -> Tba {
        let mut tba = Tba::default();
        tba.register(TbaCredentials {
            account_id: "123456".to_owned(),
            consumer_key: "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4"
                .to_owned(),
            consumer_secret: "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5"
                .to_owned(),
            token_id: "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc".to_owned(),
            token_secret: "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295"
                .to_owned(),
        });
        tba
    }

    fn signed((method, url): (&str, &str), signature: &str, changed: (&str, &str)) -> Request {
        let pairs = [
            ("realm", "123456"),
            (
                "oauth_consumer_key",
                "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4",
            ),
            ("oauth_token", "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc"),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", "1508242306"),
            ("oauth_nonce", NONCE),
            ("oauth_version", "1.0"),
            ("oauth_signature", signature),
        ];
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| {
                let value = if *name == changed.0 { changed.1 } else { value };
                format!("{name}=\"{}\"", encode(value))
            })
            .collect();
        http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("OAuth {}", pairs.join(", ")))
            .body(bytes::Bytes::new())
            .unwrap()
    }

    /// The reason in brackets at the end of a refusal; nothing if the request was taken.
    fn refused(tba: &mut Tba, request: &Request, at: u64) -> Option<String> {
        let problem = tba.authenticate(request, Duration::from_secs(at)).err()?;
        let response = problem.answer_to(request);
        assert_eq!(response.status(), 401);
        Some(String::from_utf8_lossy(response.body()).into_owned())
    }

    #[test]
    fn oracles_published_signatures_are_good() {
        for (target, signature) in [(REST, REST_SIGNATURE), (RESTLET, RESTLET_SIGNATURE)] {
            assert_eq!(
                refused(&mut oracles_sample(), &signed(target, signature, ("", "")), TIMESTAMP),
                None
            );
        }
    }

    #[test]
    fn what_differs_from_the_signed_request_is_refused() {
        let other_path = (
            REST.0,
            "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/41",
        );
        let table = [
            (signed(("PATCH", REST.1), REST_SIGNATURE, ("", "")), "signature"),
            (signed(other_path, REST_SIGNATURE, ("", "")), "signature"),
            (signed(REST, RESTLET_SIGNATURE, ("", "")), "signature"),
            (signed(REST, REST_SIGNATURE, ("oauth_nonce", "otherNonce")), "signature"),
            (signed(REST, REST_SIGNATURE, ("oauth_nonce", "short")), "six characters"),
            (signed(REST, REST_SIGNATURE, ("oauth_signature", "%%%")), "base64"),
            (signed(REST, REST_SIGNATURE, ("oauth_signature_method", "HMAC-SHA1")), "HMAC-SHA256"),
            (signed(REST, REST_SIGNATURE, ("realm", "654321")), "realm"),
            (signed(REST, REST_SIGNATURE, ("oauth_timestamp", "soon")), "oauth_timestamp"),
            (signed(REST, REST_SIGNATURE, ("oauth_token", "other")), "unknown"),
            (signed(REST, REST_SIGNATURE, ("oauth_version", "2.0")), "oauth_version"),
        ];
        for (request, why) in table {
            let refusal = refused(&mut oracles_sample(), &request, TIMESTAMP).unwrap();
            assert!(refusal.contains(why), "{why}: {refusal}");
        }
    }

    #[test]
    fn a_nonce_is_good_once_and_a_timestamp_for_five_minutes() {
        let request = signed(REST, REST_SIGNATURE, ("", ""));
        let mut tba = oracles_sample();
        assert_eq!(refused(&mut tba, &request, TIMESTAMP + 300), None);
        assert!(refused(&mut tba, &request, TIMESTAMP + 300).unwrap().contains("nonce"));
        for at in [TIMESTAMP - 301, TIMESTAMP + 301] {
            assert!(refused(&mut oracles_sample(), &request, at).unwrap().contains("five minutes"));
        }
    }

    #[test]
    fn five_failures_in_a_row_lock_the_token_for_half_an_hour() {
        let bad = signed(REST, RESTLET_SIGNATURE, ("", ""));
        let good = signed(REST, REST_SIGNATURE, ("", ""));
        let mut tba = oracles_sample();
        for _ in 0..4 {
            refused(&mut tba, &bad, TIMESTAMP);
        }
        assert_eq!(refused(&mut tba, &good, TIMESTAMP), None, "four failures do not lock");
        for _ in 0..5 {
            refused(&mut tba, &bad, TIMESTAMP);
        }
        assert!(refused(&mut tba, &good, TIMESTAMP).unwrap().contains("locked"));
        assert!(refused(&mut tba, &good, TIMESTAMP + 1799).unwrap().contains("locked"));
        assert!(!refused(&mut tba, &good, TIMESTAMP + 1800).unwrap().contains("locked"));
    }
}
