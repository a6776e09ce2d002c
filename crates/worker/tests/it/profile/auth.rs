//! Who calls: each way to authenticate, and what happens when it is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_async::time::TimeSource;
use futures::future::join_all;
use serde_json::{Value, json};
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::aws_config::{BehaviorVersion, Region, SdkConfig, defaults};
use slowlane_worker::profile::{Profile, shipped};
use slowlane_worker::targets::profile::{Error, ProfiledApi};
use tokio::io::AsyncWriteExt as _;

use super::{builder, call, get, name, of, post, succeeded, why};
use crate::server::{Server, answer};

/// A server that answers one request after another, the last answer for ever.
pub(super) async fn in_turn(answers: impl IntoIterator<Item = String>) -> Server {
    let mut answers: Vec<String> = answers.into_iter().collect();
    answers.reverse();
    let answers = Mutex::new(answers);
    Server::start(move |mut stream| {
        let mut left = answers.lock().unwrap();
        let answer = if left.len() > 1 { left.pop() } else { left.last().cloned() }.unwrap();
        async move { stream.write_all(answer.as_bytes()).await.unwrap() }
    })
    .await
}

fn token(value: &str, lives_secs: u64) -> String {
    let body = json!({ "access_token": value, "expires_in": lives_secs });
    answer(200, &["content-type: application/json"], &body.to_string())
}

/// A token service that gives `token-1`.
pub(super) async fn tokens() -> Server {
    Server::answering(token("token-1", 3600)).await
}

/// Salesforce's rules, with another token service.
pub(super) async fn salesforce(api: &Server, tokens: &Server) -> ProfiledApi {
    let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "salesforce").unwrap();
    let profile = Profile::parse(&at_service(text, tokens)).unwrap();
    let secret = json!({ "client_id": "us", "client_secret": "secret-credential" });
    of(profile, &api.url()).auth("client_credentials").secret(secret.to_string()).build().unwrap()
}

/// The profile's text with its token URLs at this server.
fn at_service(text: &str, tokens: &Server) -> String {
    let lines = text.lines().map(|line| match line.starts_with("token_url = ") {
        true => format!("token_url = \"{}/token\"", tokens.url()),
        false => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

/// An API that gets tokens by client credentials, and nothing more.
fn by_client_credentials(tokens: &Server) -> Profile {
    let profile = format!(
        "name = \"crm\"\ntitle = \"CRM\"\nsettles_after = \"1m\"\n\
         [auth.client_credentials]\ntoken_url = \"{}/token\"\n\
         [[answers]]\nstatus = \"200-299\"\noutcome = \"succeeded\"\n\
         [[answers]]\nstatus = 401\noutcome = \"unauthorized\"\nrenew = \"credentials\"\n",
        tokens.url()
    );
    Profile::parse(&profile).unwrap()
}

const CLIENT: &str = r#"{"client_id":"us","client_secret":"secret-credential"}"#;

/// Secrets Manager, as far as one secret needs it.
pub(super) struct Vault {
    server: Server,
    held: Arc<Mutex<String>>,
    clock: ManualClock,
}

impl Vault {
    pub(super) async fn holding(secret: &str) -> Self {
        let held = Arc::new(Mutex::new(secret.to_owned()));
        let player = held.clone();
        let server = Server::serving(move |request, mut stream| {
            let held = player.clone();
            async move {
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                let body: Value = serde_json::from_str(body).unwrap();
                let answered = if head.contains("secretsmanager.PutSecretValue") {
                    *held.lock().unwrap() = body["SecretString"].as_str().unwrap().to_owned();
                    json!({})
                } else {
                    json!({ "SecretString": *held.lock().unwrap() })
                };
                let headers = ["content-type: application/x-amz-json-1.1"];
                let answer = answer(200, &headers, &answered.to_string());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        Vault { server, held, clock: ManualClock::default() }
    }

    pub(super) fn put(&self, secret: &str) {
        *self.held.lock().unwrap() = secret.to_owned();
    }

    pub(super) fn reads(&self) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|request| request.contains("GetSecretValue")).count()
    }

    pub(super) async fn sdk(&self) -> SdkConfig {
        let endpoint = format!("http://{}", self.server.url().authority());
        defaults(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKID", "key", None, None, "test"))
            .time_source(self.clock.clone())
            .load()
            .await
    }
}

/// A clock that stands until it is moved.
#[derive(Clone, Debug)]
struct ManualClock(Arc<Mutex<SystemTime>>);

impl Default for ManualClock {
    fn default() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        ManualClock(Arc::new(Mutex::new(start)))
    }
}

impl ManualClock {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl TimeSource for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

fn ok() -> String {
    answer(200, &[], "")
}

fn refused() -> String {
    answer(401, &[], "")
}

/// The values of a header in the requests so far.
pub(super) fn sent(server: &Server, header: &str) -> Vec<String> {
    let of_one = |request: &String| {
        let line = request.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")));
        line.unwrap_or("none").to_owned()
    };
    server.requests().iter().map(of_one).collect()
}

#[tokio::test]
async fn user_and_password_go_in_a_header() {
    let api = Server::answering(ok()).await;
    let secret = json!({ "user": "ada", "password": "p:w" }).to_string();
    let basic = of(shipped::get("http").unwrap(), &api.url()).auth("basic").secret(secret);
    succeeded(basic.build().unwrap().call(&post()).await);
    assert_eq!(sent(&api, "authorization"), ["Basic YWRhOnA6dw=="]);
}

#[tokio::test]
async fn a_token_serves_many_calls_and_is_got_once_however_many_wait_for_it() {
    let (api, tokens) = (Server::answering(ok()).await, tokens().await);
    let crm = of(by_client_credentials(&tokens), &api.url()).secret(CLIENT).build().unwrap();
    let calls: Vec<_> = (0..8).map(|_| post()).collect();
    for outcome in join_all(calls.iter().map(|call| crm.call(call))).await {
        assert_eq!(name(&outcome), "succeeded", "{outcome:?}");
    }
    succeeded(crm.call(&get()).await);
    assert_eq!(tokens.requests().len(), 1);
    assert_eq!(sent(&api, "authorization"), vec!["Bearer token-1"; 9]);
    let asked = &tokens.requests()[0];
    for part in ["grant_type=client_credentials", "client_id=us", "client_secret=secret-credential"]
    {
        assert!(asked.contains(part), "{part}: {asked}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let api = in_turn([ok(), refused(), ok()]).await;
    let tokens = in_turn([token("one", 3600), token("two", 3600)]).await;
    let crm = of(by_client_credentials(&tokens), &api.url()).secret(CLIENT).build().unwrap();
    succeeded(crm.call(&post()).await);
    succeeded(crm.call(&post()).await);
    assert_eq!(sent(&api, "authorization"), ["Bearer one", "Bearer one", "Bearer two"]);

    let api = Server::answering(refused()).await;
    let crm = of(by_client_credentials(&tokens), &api.url()).secret(CLIENT).build().unwrap();
    let outcome = crm.call(&post()).await;
    assert_eq!((name(&outcome), api.requests().len()), ("unauthorized", 2));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_serves_until_it() {
    let api = Server::answering(ok()).await;
    let down = || answer(503, &[], "");
    let tokens = in_turn([token("one", 1000), token("two", 1000), down()]).await;
    let vault = Vault::holding(CLIENT).await;
    let crm = of(by_client_credentials(&tokens), &api.url());
    let crm = crm.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    // A tenth of its life ahead; while the service is down the present one is good to its end.
    for (passed, outcome) in [
        (0, "succeeded"),
        (899, "succeeded"),
        (2, "succeeded"),
        (950, "succeeded"),
        (60, "transient"),
    ] {
        vault.clock.pass(Duration::from_secs(passed));
        assert_eq!(name(&crm.call(&post()).await), outcome, "after {passed} s more");
    }
    let bearer = ["Bearer one", "Bearer one", "Bearer two", "Bearer two"];
    assert_eq!(sent(&api, "authorization"), bearer);
}

#[tokio::test]
async fn a_token_service_that_gives_none_costs_the_api_nothing() {
    let html = "<html>sign in</html>";
    for (answered, expected) in [
        (answer(429, &[], ""), "throttled"),
        (answer(500, &[], ""), "transient"),
        (String::new(), "transient"),
        (answer(400, &[], r#"{"error":"invalid_client"}"#), "unauthorized"),
        (answer(302, &["location: /login"], ""), "unauthorized"),
        (answer(200, &["content-type: text/html"], html), "unauthorized"),
    ] {
        let (api, tokens) =
            (Server::answering(ok()).await, Server::answering(answered.clone()).await);
        let crm = of(by_client_credentials(&tokens), &api.url()).secret(CLIENT).build().unwrap();
        let outcome = crm.call(&post()).await;
        assert_eq!(name(&outcome), expected, "{answered}: {outcome:?}");
        assert_eq!(api.requests(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_secret_that_was_changed_is_read_anew_when_the_old_one_is_refused() {
    let vault = Vault::holding(r#"{"api_key":"old"}"#).await;
    let api = in_turn([ok(), refused(), ok(), refused()]).await;
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
    let http = http.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    succeeded(http.call(&post()).await);
    vault.put(r#"{"api_key":"new"}"#);
    succeeded(http.call(&post()).await);
    assert_eq!(sent(&api, "authorization"), ["Bearer old", "Bearer old", "Bearer new"]);
    assert_eq!(vault.reads(), 2);
    // The same again would be refused again.
    let outcome = http.call(&post()).await;
    assert_eq!((name(&outcome), api.requests().len(), vault.reads()), ("unauthorized", 4, 3));
    assert_eq!(why(outcome).status, Some(401));
}

#[tokio::test]
async fn whoever_tries_again_after_a_refusal_gets_the_secret_of_that_time() {
    let vault = Vault::holding(r#"{"api_key":"old"}"#).await;
    let api = Server::answering(ok()).await;
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
    let http = http.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    succeeded(http.call(&post()).await);
    vault.put(r#"{"api_key":"new"}"#);
    http.renew_credentials().await;
    succeeded(http.call(&post()).await);
    assert_eq!(sent(&api, "authorization"), ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn a_client_secret_that_was_changed_is_read_anew_when_the_token_service_refuses_it() {
    let vault = Vault::holding(CLIENT).await;
    let no = answer(401, &["content-type: application/json"], r#"{"error":"invalid_client"}"#);
    let tokens = in_turn([token("one", 100), no, token("two", 3600)]).await;
    let api = Server::answering(ok()).await;
    let crm = of(by_client_credentials(&tokens), &api.url());
    let crm = crm.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    succeeded(crm.call(&post()).await);
    vault.put(&CLIENT.replace("secret-credential", "secret-of-today"));
    vault.clock.pass(Duration::from_secs(200));
    succeeded(crm.call(&post()).await);
    assert_eq!(sent(&api, "authorization"), ["Bearer one", "Bearer two"]);
    assert!(tokens.requests()[2].contains("client_secret=secret-of-today"));
}

#[tokio::test]
async fn a_refresh_token_that_was_replaced_is_kept_where_others_find_it() {
    let secret = json!({ "client_id": "us", "client_secret": "s", "refresh_token": "first" });
    let vault = Vault::holding(&secret.to_string()).await;
    let given = |access: &str, refresh: &str| {
        let body = json!({ "access_token": access, "expires_in": 100, "refresh_token": refresh });
        answer(200, &["content-type: application/json"], &body.to_string())
    };
    let tokens = in_turn([given("one", "second"), given("two", "second")]).await;
    let api = Server::answering(ok()).await;
    let profile = format!(
        "name = \"crm\"\ntitle = \"CRM\"\nsettles_after = \"1m\"\n\
         [auth.refresh_token]\ntoken_url = \"{}/token\"\n\
         [[answers]]\nstatus = \"200-299\"\noutcome = \"succeeded\"\n",
        tokens.url()
    );
    let crm = of(Profile::parse(&profile).unwrap(), &api.url());
    let crm = crm.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    succeeded(crm.call(&post()).await);
    vault.clock.pass(Duration::from_secs(200));
    succeeded(crm.call(&post()).await);
    let asked = tokens.requests();
    assert!(asked[0].contains("refresh_token=first"), "{}", asked[0]);
    assert!(asked[1].contains("refresh_token=second"), "{}", asked[1]);
    let held: Value = serde_json::from_str(&vault.held.lock().unwrap()).unwrap();
    assert_eq!(held, json!({ "client_id": "us", "client_secret": "s", "refresh_token": "second" }));
    let writes = vault.server.requests();
    assert_eq!(writes.iter().filter(|request| request.contains("PutSecretValue")).count(), 1);
}

#[tokio::test]
async fn an_assertion_is_signed_with_the_key_in_the_secret() {
    let (api, tokens) = (Server::answering(ok()).await, tokens().await);
    let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "salesforce").unwrap();
    let profile = Profile::parse(&at_service(text, &tokens)).unwrap();
    let auth = profile.auth.get("jwt_bearer").unwrap();
    let fields = auth.secret_fields().into_iter().map(|field| {
        let key = include_str!("../../../../profile/tests/keys/rsa.pem");
        (field.to_owned(), if field == "private_key_pem" { key } else { "ada" }.to_owned())
    });
    let secret = json!(fields.collect::<HashMap<_, _>>()).to_string();
    let salesforce = of(profile, &api.url()).auth("jwt_bearer").secret(secret).build().unwrap();
    succeeded(salesforce.call(&get()).await);
    let asked = &tokens.requests()[0];
    assert!(asked.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"));
    // Header, claims and signature.
    let assertion = asked.split("assertion=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(assertion.split('.').count(), 3, "{assertion}");
    assert_eq!(sent(&api, "authorization"), ["Bearer token-1"]);
}

#[tokio::test]
async fn calls_go_where_the_token_service_says() {
    let (elsewhere, api) = (Server::answering(ok()).await, Server::answering(ok()).await);
    let host = format!("http://{}", elsewhere.url().authority());
    let body = json!({ "access_token": "token-1", "instance_url": host }).to_string();
    let tokens = Server::answering(answer(200, &["content-type: application/json"], &body)).await;
    let salesforce = salesforce(&api, &tokens).await;
    succeeded(salesforce.call(&call("GET", "services/data/v62.0/limits", None)).await);
    assert_eq!((elsewhere.requests().len(), api.requests().len()), (1, 0));

    // But never in the clear.
    let body = json!({ "access_token": "t", "instance_url": "http://crm.example" }).to_string();
    let tokens = Server::answering(answer(200, &["content-type: application/json"], &body)).await;
    let outcome = self::salesforce(&api, &tokens).await.call(&get()).await;
    assert_eq!(name(&outcome), "unauthorized", "{outcome:?}");
    assert!(why(outcome).message.contains("https"));
}

#[tokio::test]
async fn a_role_signs_where_the_profile_says_so() {
    let vault = Vault::holding("").await;
    let api = Server::answering(ok()).await;
    let bedrock = of(shipped::get("bedrock").unwrap(), &api.url()).auth("sigv4");
    let bedrock = bedrock.role(&vault.sdk().await).build().unwrap();
    let call = call("POST", "model/some-model/converse", Some(json!({ "messages": [] })));
    succeeded(bedrock.call(&call).await);
    let signed = &sent(&api, "authorization")[0];
    let scope = "AWS4-HMAC-SHA256 Credential=AKID/20270115/eu-central-1/bedrock/aws4_request, ";
    assert!(signed.starts_with(scope), "{signed}");
    assert_eq!(sent(&api, "x-amz-date"), ["20270115T080000Z"]);
}

#[test]
fn what_the_way_to_authenticate_lacks_is_told_when_the_target_is_made() {
    let url = "https://crm.example".parse().unwrap();
    let http = || of(shipped::get("http").unwrap(), &url);
    let bedrock = || of(shipped::get("bedrock").unwrap(), &url);
    for (made, expected) in [
        (bedrock(), "`sigv4` signs by the function's role"),
        (bedrock().secret(r#"{"key":"hidden"}"#), "`sigv4` signs by the function's role"),
        (http(), "several ways to authenticate, so one must be named: `header`, `basic`"),
        (http().auth("heeder"), "no way to authenticate `heeder`: it has `header`, `basic`"),
        (
            http().auth("basic"),
            "the way to authenticate `basic` takes a secret with `password`, `user`",
        ),
        (http().auth("basic").secret("hidden"), "the secret must be a JSON object of texts"),
        (http().auth("header").secret(r#"{"key":"hidden"}"#), "the secret has no field `api_key`"),
    ] {
        let error: Error = made.build().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!format!("{error:?}{text}").contains("hidden"), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_none_is_told_and_nothing_is_sent() {
    let api = Server::answering(ok()).await;
    let secret = json!({ "certificate_pem": "hidden", "private_key_pem": "hidden" }).to_string();
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("client_certificate");
    let outcome = http.secret(secret).build().unwrap().call(&post()).await;
    let Outcome::Unauthorized(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.message.contains("client certificate"), "{why}");
    assert!(!why.message.contains("hidden") && api.requests().is_empty(), "{why}");
}

#[test]
fn nothing_that_authenticates_is_shown() {
    let url = "https://crm.example".parse().unwrap();
    let text = format!("{:?}", builder(&url).build().unwrap());
    assert!(text.contains("crm.example") && !text.contains("secret-credential"), "{text}");
}
