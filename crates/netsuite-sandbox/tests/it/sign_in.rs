//! OAuth 2.0 machine-to-machine. The assertions are made by another library than the one that
//! verifies them.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use slowlane_netsuite_sandbox::{Begun, DemoKey, Finished, KeyKind, Sandbox, Settings};

use crate::client::{Served, open};

const TOKEN_PATH: &str = "/services/rest/auth/oauth2/v1/token";

struct Integration {
    served: Served,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Integration {
    async fn with(kind: KeyKind, algorithm: Algorithm, settings: Settings) -> Self {
        Self::with_key(DemoKey::generate(kind).unwrap(), kind, algorithm, settings).await
    }

    async fn with_key(
        demo: DemoKey,
        kind: KeyKind,
        algorithm: Algorithm,
        settings: Settings,
    ) -> Self {
        let key = match kind {
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
                EncodingKey::from_ec_pem(demo.private_key_pem.as_bytes())
            }
            KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
                EncodingKey::from_rsa_pem(demo.private_key_pem.as_bytes())
            }
        };
        let mut sandbox = Sandbox::new(settings);
        sandbox.register("client-1", "cert-1", demo.public_key);
        Self { served: Served::start_with(sandbox).await, key: key.unwrap(), algorithm }
    }

    fn claims(&self) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({
            "iss": "client-1",
            "aud": format!("{}{TOKEN_PATH}", self.served.base_url),
            "iat": now,
            "exp": now + 3600,
            "scope": ["restlets", "rest_webservices"],
        })
    }

    fn assertion(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    async fn ask(&self, assertion: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        let answer =
            self.served.request(Method::POST, TOKEN_PATH).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn token(&self) -> String {
        let (status, body) = self.ask(&self.assertion("cert-1", &self.claims())).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["token_type"], "bearer");
        body["access_token"].as_str().unwrap().to_owned()
    }
}

fn closed() -> Settings {
    Settings { open: false, ..open() }
}

#[tokio::test]
async fn every_algorithm_of_netsuites_list_signs_in() {
    let table = [
        (KeyKind::P256, Algorithm::ES256),
        (KeyKind::P384, Algorithm::ES384),
        (KeyKind::Rsa3072, Algorithm::PS256),
        (KeyKind::Rsa3072, Algorithm::PS384),
        (KeyKind::Rsa3072, Algorithm::PS512),
    ];
    // RSA keys are slow to make, so one does for its three algorithms.
    let rsa = DemoKey::generate(KeyKind::Rsa3072).unwrap();
    for (kind, algorithm) in table {
        let key = match kind {
            KeyKind::Rsa3072 => rsa.clone(),
            kind => DemoKey::generate(kind).unwrap(),
        };
        let integration = Integration::with_key(key, kind, algorithm, closed()).await;
        let token = integration.token().await;
        let answer = integration.served.upsert("o-1").bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_bad_assertion_gets_no_token_and_hears_why() {
    let integration = Integration::with(KeyKind::P256, Algorithm::ES256, closed()).await;
    let now = jsonwebtoken::get_current_timestamp();
    let with = |name: &str, value: Value| {
        let mut claims = integration.claims();
        claims[name] = value;
        integration.assertion("cert-1", &claims)
    };
    let good = integration.assertion("cert-1", &integration.claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other = Integration::with(KeyKind::P256, Algorithm::ES256, closed()).await;
    let table = [
        (integration.assertion("cert-2", &integration.claims()), "invalid_grant", "kid"),
        (with("iss", json!("client-2")), "invalid_client", "client-2"),
        (with("aud", json!("https://example.com/token")), "invalid_grant", "aud"),
        (with("iat", json!(now + 600)), "invalid_grant", "iat"),
        (with("exp", json!(now - 1)), "invalid_grant", "exp"),
        (with("exp", json!(now + 3700)), "invalid_grant", "60 minutes"),
        (with("scope", json!([])), "invalid_grant", "scope"),
        (with("scope", json!(["everything"])), "invalid_grant", "scope"),
        (with("scope", json!("restlets")), "invalid_request", "claims"),
        (other.assertion("cert-1", &integration.claims()), "invalid_grant", "signature"),
        (signed.to_owned(), "invalid_request", "JWT"),
        ("x".to_owned(), "invalid_request", "JWT"),
    ];
    for (assertion, error, why) in table {
        let (status, body) = integration.ask(&assertion).await;
        assert_eq!(status, if error == "invalid_client" { 401 } else { 400 }, "{body}");
        assert_eq!(body["error"], error, "{body}");
        assert!(body["error_description"].as_str().unwrap().contains(why), "{why}: {body}");
    }
    // The account's own host is a good audience too: a client keeps it and changes its base address.
    let account = format!("https://1234567-sb1.suitetalk.api.netsuite.com{TOKEN_PATH}");
    assert_eq!(integration.ask(&with("aud", json!(account))).await.0, 200);
}

#[tokio::test]
async fn a_call_without_a_good_token_is_refused_and_takes_no_permit() {
    let integration =
        Integration::with(KeyKind::P256, Algorithm::ES256, Settings { limit: 1, ..closed() }).await;
    let answer = integration.served.upsert("o-1").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    let answer = integration.served.upsert("o-1").bearer_auth("made-up").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let token = integration.token().await;
    assert_eq!(
        integration.served.upsert("o-1").bearer_auth(&token).send().await.unwrap().status(),
        204
    );
    let report = integration.served.report().await;
    assert_eq!((report.requests, report.calls.len()), (3, 1));
}

/// In the core, whose time the test rules.
#[tokio::test]
async fn a_token_is_good_for_its_scopes_and_its_life() {
    let demo = DemoKey::generate(KeyKind::P256).unwrap();
    let key = EncodingKey::from_ec_pem(demo.private_key_pem.as_bytes()).unwrap();
    let life = Duration::from_secs(5);
    let mut sandbox = Sandbox::new(Settings { token_life: life, ..closed() });
    sandbox.register("client-1", "cert-1", demo.public_key);
    let now = Duration::from_secs(1_795_255_200);
    let claims = json!({
        "iss": "client-1", "aud": format!("https://1234567-sb1.suitetalk.api.netsuite.com{TOKEN_PATH}"),
        "iat": now.as_secs(), "exp": now.as_secs() + 60, "scope": ["rest_webservices"],
    });
    let header = Header { kid: Some("cert-1".to_owned()), ..Header::new(Algorithm::ES256) };
    let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let form = format!(
        "grant_type=client_credentials&client_assertion={assertion}\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let ask = || {
        http::Request::post(TOKEN_PATH)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes::Bytes::from(form.clone()))
            .unwrap()
    };
    let Begun::Answer(answer) = sandbox.begin(ask(), now) else {
        panic!("a token needs no permit")
    };
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!("5"), &json!("bearer")));
    let token = body["access_token"].as_str().unwrap();
    let mut call = |path: &str, at: Duration| {
        let request = http::Request::get(path).header("authorization", format!("Bearer {token}"));
        match sandbox.begin(request.body(bytes::Bytes::new()).unwrap(), at) {
            Begun::Admitted(admitted) => {
                let end = admitted.finish_at();
                assert!(matches!(sandbox.finish(admitted, end), Finished::Answer(_)));
                true
            }
            Begun::Answer(answer) => {
                assert_eq!(answer.status(), 401);
                false
            }
        }
    };
    let (record, restlet) =
        ("/services/rest/record/v1/customer", "/app/site/hosting/restlet.nl?script=1&deploy=1");
    assert!(call(record, now));
    assert!(!call(restlet, now), "the token has not the scope of RESTlets");
    assert!(call(record, now + life - Duration::from_millis(1)));
    assert!(!call(record, now + life));
    let Begun::Answer(late) = sandbox.begin(ask(), now + Duration::from_secs(60)) else {
        panic!("no permit")
    };
    assert_eq!(late.status(), 400, "the assertion itself has run out");
}
