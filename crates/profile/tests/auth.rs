//! Credentials: from a secret to headers, token requests and tokens.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::HeaderMap;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use slowlane_profile::auth::{Auth, AwsKeys, Secret, SecretError, TokenError};
use slowlane_profile::{Answer, Base, Method, Profile, Request, shipped};

/// Made for this test with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
const EC_PRIVATE: &str = include_str!("keys/p256.pem");
const EC_PUBLIC: &str = include_str!("keys/p256.pub.pem");
const RSA_PRIVATE: &str = include_str!("keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn profile(name: &str) -> Profile {
    shipped::get(name).unwrap()
}

fn secret(fields: Value) -> Secret {
    Secret::from_json(&fields.to_string()).unwrap()
}

fn base(text: &str) -> Base {
    Base::parse(text).unwrap()
}

fn body(request: &Request) -> String {
    String::from_utf8(request.body.to_vec()).unwrap()
}

fn answer(status: u16, body: Value) -> Answer {
    Answer::new(status, HeaderMap::new(), body.to_string())
}

#[test]
fn a_key_goes_into_its_header_and_is_not_shown() {
    let profile = profile("anthropic");
    let Some(Auth::Header(auth)) = profile.auth.get("header") else { panic!() };
    let secret = secret(json!({"api_key": "sk-secret"}));
    let headers = auth.headers(&secret).unwrap();
    assert_eq!(headers["x-api-key"], "sk-secret");
    let shown = format!("{headers:?} {secret:?}");
    assert!(!shown.contains("sk-secret"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_it() {
    let profile = profile("zendesk");
    let Some(Auth::Basic(auth)) = profile.auth.get("basic") else { panic!() };
    let headers = auth.headers(&secret(json!({"email": "a@b.example", "api_token": "t"}))).unwrap();
    assert_eq!(headers["authorization"], "Basic YUBiLmV4YW1wbGUvdG9rZW46dA==");
    let missing = auth.headers(&secret(json!({"email": "a@b.example"})));
    assert_eq!(missing.unwrap_err(), SecretError::Missing("api_token".to_owned()));
    assert_eq!(Secret::from_json("hunter2").unwrap_err(), SecretError::Shape);
    assert_eq!(Secret::from_json(r#"{"a": 1}"#).unwrap_err(), SecretError::Shape);
}

#[test]
fn client_credentials_ask_the_apis_own_host_or_another() {
    let fields = json!({"client_id": "me", "client_secret": "p&w", "tenant_id": "t1", "resource_url": "https://acme.example", "scope": "API"});
    let secret = secret(fields);
    let ask = |name: &str, url: &str| {
        let profile = profile(name);
        let Some(Auth::ClientCredentials(auth)) = profile.auth.get("client_credentials") else {
            panic!()
        };
        auth.request(&secret, &base(url)).unwrap()
    };
    let salesforce = ask("salesforce", "https://acme.my.salesforce.com");
    assert_eq!(salesforce.url.as_str(), "https://acme.my.salesforce.com/services/oauth2/token");
    let form = "grant_type=client_credentials&client_id=me&client_secret=p%26w";
    assert_eq!((salesforce.method, body(&salesforce).as_str()), (Method::Post, form));

    let dynamics = ask("dynamics", "https://acme.crm4.dynamics.com/api/data/v9.2");
    let token_url = "https://login.microsoftonline.com/t1/oauth2/v2.0/token";
    assert_eq!(dynamics.url.as_str(), token_url);
    assert!(body(&dynamics).ends_with("&scope=https%3A%2F%2Facme.example%2F.default"));

    let sap = ask("sap-odata", "https://s4.example/sap/opu/odata/sap/X");
    assert_eq!(sap.url.as_str(), "https://s4.example/sap/bc/sec/oauth2/token");
    assert_eq!(body(&sap), "grant_type=client_credentials&scope=API");
    assert_eq!(sap.headers["authorization"], "Basic bWU6cCUyNnc=");
    assert!(!format!("{sap}").contains("bWU6"), "{sap}");
}

#[test]
fn a_secret_may_name_another_token_service_than_its_profile() {
    let own = "https://login.microsoftonline.us/t1/oauth2/v2.0/token";
    let fields = |url: &str| json!({"client_id": "me", "client_secret": "s", "tenant_id": "t1", "resource_url": "https://acme.example", "token_url": url});
    for name in ["dynamics", "salesforce"] {
        let profile = profile(name);
        let Some(Auth::ClientCredentials(auth)) = profile.auth.get("client_credentials") else {
            panic!()
        };
        let ask = |url: &str| auth.request(&secret(fields(url)), &base("https://api.example"));
        assert_eq!(ask(own).unwrap().url.as_str(), own);
        assert!(ask("http://127.0.0.1:9/t1/token").is_ok());
        for bad in ["http://login.example/token", "ftp://login.example"] {
            assert!(matches!(ask(bad), Err(SecretError::TokenUrl(_))), "{bad}");
        }
    }
}

#[test]
fn a_token_url_that_is_not_https_is_refused() {
    let profile = profile("http");
    let Some(Auth::ClientCredentials(auth)) = profile.auth.get("client_credentials") else {
        panic!()
    };
    let to = |url: &str| {
        let fields = json!({"client_id": "a", "client_secret": "b", "token_url": url});
        auth.request(&secret(fields), &base("https://api.example")).map(|_| ())
    };
    assert!(to("https://login.example/token").is_ok());
    assert!(matches!(to("http://login.example/token"), Err(SecretError::TokenUrl(_))));
    assert!(to("http://127.0.0.1:8080/token").is_ok());
}

#[test]
fn a_signed_assertion_is_one_that_others_accept() {
    let own = |algorithm: &str| {
        let text = format!(
            "name = \"x\"\ntitle = \"X\"\nsettles_after = \"1m\"\n[auth.jwt_bearer]\n\
             token_url = \"/token\"\nissuer = \"{{client_id}}\"\nsubject = \"{{user}}\"\n\
             audience = \"https://login.example\"\nkey_id = \"k1\"\nalgorithm = \"{algorithm}\"\n\
             [[answers]]\noutcome = \"succeeded\"\n"
        );
        Profile::parse(&text).unwrap()
    };
    for (algorithm, name, private, public) in [
        (Algorithm::RS256, "RS256", RSA_PRIVATE, DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes())),
        (Algorithm::PS256, "PS256", RSA_PRIVATE, DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes())),
        (Algorithm::ES256, "ES256", EC_PRIVATE, DecodingKey::from_ec_pem(EC_PUBLIC.as_bytes())),
    ] {
        let profile = own(name);
        let Some(Auth::JwtBearer(auth)) = profile.auth.get("jwt_bearer") else { panic!() };
        let fields = json!({"client_id": "me", "user": "ada", "private_key_pem": private});
        let request = auth.request(&secret(fields), &base("https://api.example"), now()).unwrap();
        let form: Vec<(String, String)> =
            url::form_urlencoded::parse(&request.body).into_owned().collect();
        assert_eq!(form[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.set_audience(&["https://login.example"]);
        let token =
            jsonwebtoken::decode::<Value>(&form[1].1, &public.unwrap(), &validation).unwrap();
        assert_eq!(token.header.kid.as_deref(), Some("k1"));
        let second = now().as_second();
        let expected = json!({"iss": "me", "sub": "ada", "aud": "https://login.example", "iat": second, "exp": second + 180});
        assert_eq!(token.claims, expected);
        let head = BASE64_URL_SAFE_NO_PAD.decode(form[1].1.split('.').next().unwrap()).unwrap();
        assert!(String::from_utf8(head).unwrap().contains(name));
    }
    let profile = own("ES256");
    let Some(Auth::JwtBearer(auth)) = profile.auth.get("jwt_bearer") else { panic!() };
    let fields = json!({"client_id": "me", "user": "ada", "private_key_pem": "hunter2"});
    let error = auth.request(&secret(fields), &base("https://api.example"), now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the secret's `private_key_pem` is no private key in PEM for P-256"
    );
}

#[test]
fn a_token_is_renewed_ahead_of_its_end() {
    let profile = profile("salesforce");
    let Some(Auth::ClientCredentials(auth)) = profile.auth.get("client_credentials") else {
        panic!()
    };
    let told =
        json!({"access_token": "tok", "expires_in": 7200, "instance_url": "https://x.example"});
    let token = auth.token.read(&answer(200, told), now()).unwrap();
    let secs = |at: Timestamp| at.as_second() - now().as_second();
    assert_eq!((secs(token.renew_at), secs(token.expires_at)), (6480, 7200));
    assert_eq!(token.base_url.as_deref(), Some("https://x.example"));
    assert_eq!(auth.token.headers(&token).unwrap()["authorization"], "Bearer tok");
    assert!(!format!("{token:?}").contains("tok\""), "{token:?}");

    // Without `expires_in` it lives as long as the profile says; a short one is renewed half-way.
    let token = auth.token.read(&answer(200, json!({"access_token": "tok"})), now()).unwrap();
    assert_eq!((secs(token.renew_at), secs(token.expires_at)), (3240, 3600));
    let told = json!({"access_token": "tok", "expires_in": "30"});
    let token = auth.token.read(&answer(200, told), now()).unwrap();
    assert_eq!((secs(token.renew_at), secs(token.expires_at)), (15, 30));
}

#[test]
fn a_token_service_that_refuses_or_is_at_its_limit_is_told_apart() {
    let profile = profile("hubspot");
    let Some(Auth::RefreshToken(auth)) = profile.auth.get("refresh_token") else { panic!() };
    let fields = json!({"client_id": "a", "client_secret": "b", "refresh_token": "r"});
    let request = auth.request(&secret(fields), &base("https://api.hubapi.com")).unwrap();
    let form = "grant_type=refresh_token&refresh_token=r&client_id=a&client_secret=b";
    assert_eq!(body(&request), form);
    let read = |status, body| auth.token.read(&answer(status, body), now()).map(|_| ());
    let refused = TokenError::Refused { status: 400, code: "invalid_grant".to_owned() };
    assert_eq!(read(400, json!({"error": "invalid_grant"})), Err(refused));
    assert_eq!(read(429, json!({})), Err(TokenError::TryAgain(429)));
    assert_eq!(read(503, json!({})), Err(TokenError::TryAgain(503)));
    assert_eq!(read(200, json!({"token": "x"})), Err(TokenError::NoToken(200)));
}

/// AWS's own example of a signature: `get-vanilla` of the Signature Version 4 test suite.
#[test]
fn a_signature_is_the_one_of_awss_test_suite() {
    let text = "name = \"x\"\ntitle = \"X\"\nsettles_after = \"1m\"\n[auth.sigv4]\n\
                service = \"service\"\n[[answers]]\noutcome = \"succeeded\"\n";
    let profile = Profile::parse(text).unwrap();
    let Some(Auth::SigV4(auth)) = profile.auth.get("sigv4") else { panic!() };
    let keys = AwsKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: None,
    };
    let mut request = Request {
        method: Method::Get,
        url: "https://example.amazonaws.com/".parse().unwrap(),
        headers: HeaderMap::new(),
        body: Default::default(),
    };
    let then: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
    auth.sign(&mut request, &keys, "us-east-1", then).unwrap();
    assert_eq!(request.headers["x-amz-date"], "20150830T123600Z");
    assert_eq!(
        request.headers["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
    assert!(!format!("{request}").contains("5fa00fa3"), "{request}");
}
