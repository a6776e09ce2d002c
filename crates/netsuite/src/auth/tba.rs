//! Token-based authentication: OAuth 1.0a with HMAC-SHA256, each request signed by itself.

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{Invalid, request::RESERVED};

/// What token-based authentication needs. NetSuite shows each part once, when it is made.
#[derive(Debug, Clone)]
pub struct Tba {
    /// The integration record's consumer key.
    pub consumer_key: String,
    /// Its secret.
    pub consumer_secret: SecretString,
    /// The access token's id.
    pub token_id: String,
    /// Its secret.
    pub token_secret: SecretString,
}

impl Tba {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let parts = [
            ("consumer key", self.consumer_key.as_str()),
            ("consumer secret", self.consumer_secret.expose_secret()),
            ("token id", &self.token_id),
            ("token secret", self.token_secret.expose_secret()),
        ];
        match parts.iter().find(|(_, part)| part.is_empty()) {
            Some((what, _)) => Err(Invalid::unquoted(what, "not empty")),
            None => Ok(()),
        }
    }

    /// The `Authorization` header for one attempt. Never for two: NetSuite refuses a nonce it has
    /// seen, and a timestamp that is more than five minutes off.
    pub(crate) fn authorization(
        &self,
        method: &Method,
        url: &Url,
        realm: &str,
        now: Timestamp,
    ) -> Result<HeaderValue, Invalid> {
        self.sign(method, url, realm, now.as_second(), &nonce()?)
    }

    fn sign(
        &self,
        method: &Method,
        url: &Url,
        realm: &str,
        timestamp: i64,
        nonce: &str,
    ) -> Result<HeaderValue, Invalid> {
        let timestamp = timestamp.to_string();
        let protocol = [
            ("oauth_consumer_key", self.consumer_key.as_str()),
            ("oauth_token", &self.token_id),
            ("oauth_nonce", nonce),
            ("oauth_timestamp", &timestamp),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_version", "1.0"),
        ];
        let secret = format!(
            "{}&{}",
            encode(self.consumer_secret.expose_secret()),
            encode(self.token_secret.expose_secret())
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature =
            STANDARD.encode(hmac::sign(&key, base_string(method, url, &protocol).as_bytes()));
        let mut header = format!("OAuth realm=\"{}\"", encode(realm));
        for (name, value) in protocol.into_iter().chain([("oauth_signature", signature.as_str())]) {
            header.push_str(&format!(", {name}=\"{}\"", encode(value)));
        }
        let mut header = HeaderValue::try_from(header)
            .map_err(|e| Invalid::unquoted("authorization", e.to_string()))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// 128 random bits in hex: 32 of the 6 to 64 characters that NetSuite takes.
fn nonce() -> Result<String, Invalid> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)
        .map_err(|_| Invalid::unquoted("nonce", "a working source of randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// RFC 5849, section 3.4.1. A JSON body takes no part, nor does the realm.
fn base_string(method: &Method, url: &Url, protocol: &[(&str, &str)]) -> String {
    let of_query = url.query_pairs().map(|(name, value)| (encode(&name), encode(&value)));
    let mut params: Vec<(String, String)> = protocol
        .iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .chain(of_query)
        .collect();
    params.sort();
    let params: Vec<String> =
        params.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut address = url.clone();
    address.set_query(None);
    address.set_fragment(None);
    format!("{method}&{}&{}", encode(address.as_str()), encode(&params.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of Oracle's page "The Signature for Web Services and RESTlets"
    /// (section_1534941088).
    fn oracles() -> Tba {
        Tba {
            consumer_key: "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4".into(),
            consumer_secret: "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5"
                .into(),
            token_id: "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc".into(),
            token_secret: "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295".into(),
        }
    }

    fn oracles_header(method: Method, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        let header =
            oracles().sign(&method, &url, "123456", 1_508_242_306, "fjaLirsIcCGVZWzBX0pg").unwrap();
        header.to_str().unwrap().to_owned()
    }

    #[test]
    fn oracles_sample_for_a_record_signs_as_published() {
        let header = oracles_header(
            Method::GET,
            "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/40",
        );
        assert_eq!(
            header,
            "OAuth realm=\"123456\", \
             oauth_consumer_key=\"ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4\", \
             oauth_token=\"2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc\", \
             oauth_nonce=\"fjaLirsIcCGVZWzBX0pg\", oauth_timestamp=\"1508242306\", \
             oauth_signature_method=\"HMAC-SHA256\", oauth_version=\"1.0\", \
             oauth_signature=\"B5OIWznZ2YP0OB7VrJrGkYsTh%2B8H%2B5T9Hag%2Bo92q0zY%3D\""
        );
    }

    #[test]
    fn oracles_sample_for_a_restlet_signs_its_query_parameters() {
        let header = oracles_header(
            Method::POST,
            "https://123456.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&customParam=someValue&testParam=someOtherValue",
        );
        assert!(
            header
                .ends_with("oauth_signature=\"%2BKK4SKNgz4ZiILGLwOMtfYlgcXSy1eis8ldE9X90azQ%3D\""),
            "{header}"
        );
    }

    /// The example of RFC 5849, section 3.4.1.1, without its form body, which we never send.
    #[test]
    fn parameters_are_encoded_sorted_and_encoded_again() {
        let url =
            Url::parse("http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b").unwrap();
        let protocol = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
        ];
        assert_eq!(
            base_string(&Method::POST, &url, &protocol),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26\
             oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26\
             oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn a_nonce_is_of_netsuites_form_and_new_each_time() {
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
