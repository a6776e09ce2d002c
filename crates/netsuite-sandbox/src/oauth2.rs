//! OAuth 2.0 machine-to-machine: signed assertions in, bearer tokens out.
//!
//! Rules: Oracle help, "The Request Token Structure" and "POST Request to the Token Endpoint"
//! (section_162755359851).

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Request, Response,
    key::PublicKey,
    problem::{Problem, json_response},
    route::{TOKEN_PATH, base_url},
};

/// An assertion may be signed by a clock that runs this much ahead of the sandbox's.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// NetSuite refuses an assertion that lives longer than this.
const ASSERTION_LIFE: Duration = Duration::from_secs(3600);

/// The signature algorithms that NetSuite takes. A key of another kind than the assertion's
/// algorithm wants fails in the verification itself.
fn algorithm(name: &str) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match name {
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        "ES512" => &signature::ECDSA_P521_SHA512_FIXED,
        _ => return None,
    })
}

/// The integrations that may sign in, and the tokens they hold.
#[derive(Debug, Default)]
pub(crate) struct OAuth2 {
    certificates: HashMap<String, HashMap<String, PublicKey>>,
    tokens: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    expires_at: Duration,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: f64,
    exp: f64,
    scope: Vec<String>,
}

/// RFC 7519 lets `aud` be one text or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Why no token was issued, by RFC 6749's names.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl OAuth2 {
    pub(crate) fn register(&mut self, client_id: &str, certificate_id: &str, key: PublicKey) {
        self.certificates
            .entry(client_id.to_owned())
            .or_default()
            .insert(certificate_id.to_owned(), key);
    }

    /// Answers a request to the token endpoint.
    pub(crate) fn token(
        &mut self,
        request: &Request,
        account_host: &str,
        life: Duration,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Response {
        let audiences = [
            format!("https://{account_host}{TOKEN_PATH}"),
            format!("{}{TOKEN_PATH}", base_url(request)),
        ];
        match self.verify(request, &audiences, now) {
            Ok(scopes) => {
                let access_token =
                    BASE64URL.encode(std::array::from_fn::<u8, 48, _>(|_| rng.u8(..)));
                self.tokens.retain(|_, token| token.expires_at > now);
                self.tokens.insert(access_token.clone(), Token { expires_at: now + life, scopes });
                // NetSuite sends the number of seconds as a text.
                let body = json!({
                    "access_token": access_token,
                    "expires_in": life.as_secs().to_string(),
                    "token_type": "bearer",
                });
                let mut response = json_response(StatusCode::OK, &body);
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(refusal) => json_response(
                refusal.status,
                &json!({"error": refusal.error, "error_description": refusal.description}),
            ),
        }
    }

    /// Checks an assertion and gives its scopes.
    fn verify(
        &self,
        request: &Request,
        audiences: &[String],
        now: Duration,
    ) -> Result<Vec<String>, Refusal> {
        let assertion = assertion_in(request)?;
        let (signed, signature) =
            assertion.rsplit_once('.').ok_or_else(|| invalid_request("the assertion is no JWT"))?;
        let (header, claims) =
            signed.split_once('.').ok_or_else(|| invalid_request("the assertion is no JWT"))?;
        let header: Header = decode(header, "header")?;
        let claims: Claims = decode(claims, "claims")?;

        let certificates = self.certificates.get(&claims.iss).ok_or_else(|| Refusal {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: format!("no integration has the client id '{}' (iss)", claims.iss),
        })?;
        let key = header.kid.as_ref().and_then(|kid| certificates.get(kid)).ok_or_else(|| {
            invalid_grant("the header's kid is not the id of a certificate of this integration")
        })?;
        if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(invalid_grant("the header's typ is not JWT"));
        }
        let algorithm = algorithm(&header.alg).ok_or_else(|| {
            invalid_grant(format!(
                "alg {} is none of PS256, PS384, PS512, ES256, ES384, ES512",
                header.alg
            ))
        })?;
        let signature = BASE64URL
            .decode(signature)
            .map_err(|_| invalid_request("the signature is not base64url"))?;
        UnparsedPublicKey::new(algorithm, &key.subject_public_key_info)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| invalid_grant("the signature does not fit the certificate"))?;
        claims.check(audiences, now)?;
        Ok(claims.scope)
    }

    /// Whether the bearer token is good for a scope.
    pub(crate) fn authenticate(
        &self,
        token: &str,
        scope: &str,
        now: Duration,
    ) -> Result<(), Problem> {
        let token =
            self.tokens.get(token).ok_or_else(|| Problem::invalid_login("unknown access token"))?;
        if token.expires_at <= now {
            return Err(Problem::invalid_login("the access token has expired"));
        }
        if !token.scopes.iter().any(|held| held == scope) {
            return Err(Problem::invalid_login(format!(
                "the access token lacks the scope {scope}"
            )));
        }
        Ok(())
    }
}

impl Claims {
    fn check(&self, audiences: &[String], now: Duration) -> Result<(), Refusal> {
        let named = match &self.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Many(many) => many,
        };
        // Host names have no case, and the account id in one is written either way.
        if !named.iter().any(|aud| audiences.iter().any(|ours| ours.eq_ignore_ascii_case(aud))) {
            return Err(invalid_grant(format!(
                "aud is not the token endpoint {}",
                audiences.join(" or ")
            )));
        }
        let now = now.as_secs_f64();
        if self.iat > now + CLOCK_SKEW.as_secs_f64() {
            return Err(invalid_grant("iat lies in the future"));
        }
        if self.exp <= now {
            return Err(invalid_grant("the assertion has expired (exp)"));
        }
        if self.exp <= self.iat || self.exp - self.iat > ASSERTION_LIFE.as_secs_f64() {
            return Err(invalid_grant("exp is not within 60 minutes after iat"));
        }
        let known = ["restlets", "rest_webservices", "suite_analytics"];
        if self.scope.is_empty() || !self.scope.iter().all(|scope| known.contains(&scope.as_str()))
        {
            return Err(invalid_grant(
                "scope is not a list of restlets, rest_webservices, suite_analytics",
            ));
        }
        Ok(())
    }
}

/// The assertion in the form, after a check of everything else in it.
fn assertion_in(request: &Request) -> Result<String, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            ..invalid_request("use POST")
        });
    }
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
        return Err(invalid_request("the content type is not application/x-www-form-urlencoded"));
    }
    let form: HashMap<_, _> = url::form_urlencoded::parse(request.body()).into_owned().collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    for (name, value) in expected {
        if form.get(name).map(String::as_str) != Some(value) {
            return Err(invalid_request(format!("{name} is not {value}")));
        }
    }
    form.get("client_assertion")
        .cloned()
        .ok_or_else(|| invalid_request("there is no client_assertion"))
}

fn decode<T: serde::de::DeserializeOwned>(part: &str, name: &str) -> Result<T, Refusal> {
    let json = BASE64URL
        .decode(part)
        .map_err(|_| invalid_request(format!("the JWT's {name} is not base64url")))?;
    serde_json::from_slice(&json)
        .map_err(|error| invalid_request(format!("the JWT's {name}: {error}")))
}

fn invalid_request(description: impl Into<String>) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        error: "invalid_request",
        description: description.into(),
    }
}

fn invalid_grant(description: impl Into<String>) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        error: "invalid_grant",
        description: description.into(),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair},
    };

    use super::*;
    use crate::key::KeyError;
    use crate::{DemoKey, KeyKind};

    /// The JWT library of the socket tests does not know ES512.
    #[test]
    fn es512_signs_in_and_a_stranger_algorithm_does_not() {
        let demo = DemoKey::generate(KeyKind::P521).unwrap();
        let pkcs8 = pem::parse(&demo.private_key_pem).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8.contents()).unwrap();
        let mut oauth2 = OAuth2::default();
        oauth2.register("client", "certificate", demo.public_key);
        let host = "1234567.suitetalk.api.netsuite.com";
        let mut ask = |algorithm: &str| {
            let header = json!({"alg": algorithm, "typ": "JWT", "kid": "certificate"});
            let claims = json!({
                "iss": "client", "aud": format!("https://{host}{TOKEN_PATH}"),
                "iat": 1000, "exp": 1600, "scope": ["restlets"],
            });
            let signed = format!(
                "{}.{}",
                BASE64URL.encode(header.to_string()),
                BASE64URL.encode(claims.to_string())
            );
            let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &format!("{signed}.{}", BASE64URL.encode(signature))),
            ];
            let form =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let request = http::Request::post(TOKEN_PATH)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.into())
                .unwrap();
            let (life, now) = (Duration::from_secs(3600), Duration::from_secs(1100));
            oauth2
                .token(&request, host, life, now, &mut fastrand::Rng::with_seed(1))
                .status()
                .as_u16()
        };
        assert_eq!(ask("ES512"), 200);
        assert_eq!([ask("ES256"), ask("HS256"), ask("none")], [400, 400, 400]);
    }

    #[test]
    fn public_keys_are_read_and_small_or_foreign_ones_refused() {
        let demo = DemoKey::generate(KeyKind::P256).unwrap();
        let public =
            pem::encode(&pem::Pem::new("PUBLIC KEY", demo.public_key.subject_public_key_info));
        assert!(PublicKey::from_pem(&public).is_ok());
        assert!(
            matches!(PublicKey::from_pem(&demo.private_key_pem), Err(KeyError::NotAPublicKey(tag)) if tag == "PRIVATE KEY")
        );
        assert!(matches!(PublicKey::from_pem("hello"), Err(KeyError::Pem(_))));
        let certificate =
            PublicKey::from_pem(include_str!("../tests/keys/p256-certificate.pem")).unwrap();
        let its_key = PublicKey::from_pem(include_str!("../tests/keys/p256-public.pem")).unwrap();
        assert_eq!(certificate.subject_public_key_info, its_key.subject_public_key_info);
        let small = include_str!("../tests/keys/rsa-2048-public.pem");
        assert!(matches!(PublicKey::from_pem(small), Err(KeyError::RsaSize(2048))));
    }
}
