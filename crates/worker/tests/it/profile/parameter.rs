//! A secret in Systems Manager's Parameter Store.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use serde_json::{Value, json};
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::aws_config::{BehaviorVersion, Region, SdkConfig, defaults};
use slowlane_worker::profile::shipped;
use tokio::io::AsyncWriteExt as _;

use super::auth::{in_turn, sent};
use super::{of, post, succeeded};
use crate::server::{Server, answer};

/// Parameter Store, as far as one parameter needs it.
struct Parameters {
    server: Server,
    held: Arc<Mutex<Value>>,
}

fn parameter(form: &str, value: &str) -> Value {
    json!({ "Name": "/prod/crm", "Type": form, "Value": value })
}

impl Parameters {
    async fn holding(held: Value) -> Self {
        let held = Arc::new(Mutex::new(held));
        let player = held.clone();
        let server = Server::serving(move |_, mut stream| {
            let answered = json!({ "Parameter": *player.lock().unwrap() }).to_string();
            async move {
                let answer = answer(200, &["content-type: application/x-amz-json-1.1"], &answered);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        Parameters { server, held }
    }

    async fn sdk(&self) -> SdkConfig {
        defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", self.server.url().authority()))
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKID", "key", None, None, "test"))
            .load()
            .await
    }
}

#[tokio::test]
async fn it_is_read_once_and_read_anew_when_it_is_refused() {
    let arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/prod/crm";
    for (id, name) in [("ssm:/prod/crm", "/prod/crm"), (arn, arn)] {
        let old = parameter("SecureString", r#"{"api_key":"old"}"#);
        let store = Parameters::holding(old).await;
        let (good, refused) = (answer(200, &[], ""), answer(401, &[], ""));
        let api = in_turn([good.clone(), good.clone(), refused, good]).await;
        let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
        let http = http.stored_secret(&store.sdk().await, id).build().unwrap();
        succeeded(http.call(&post()).await);
        succeeded(http.call(&post()).await);
        let requests = store.server.requests();
        let [asked] = &requests[..] else { panic!("it is read once: {requests:?}") };
        assert!(asked.contains("x-amz-target: AmazonSSM.GetParameter"), "{asked}");
        let body: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body, json!({ "Name": name, "WithDecryption": true }));

        *store.held.lock().unwrap() = parameter("SecureString", r#"{"api_key":"new"}"#);
        succeeded(http.call(&post()).await);
        assert_eq!(store.server.requests().len(), 2);
        let keys = ["Bearer old", "Bearer old", "Bearer old", "Bearer new"];
        assert_eq!(sent(&api, "authorization"), keys);
    }
}

#[tokio::test]
async fn one_that_is_not_encrypted_is_not_used() {
    let store = Parameters::holding(parameter("String", r#"{"api_key":"in the clear"}"#)).await;
    let api = Server::answering(answer(200, &[], "")).await;
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
    let http = http.stored_secret(&store.sdk().await, "ssm:/prod/crm").build().unwrap();
    let outcome = http.call(&post()).await;
    let Outcome::Transient(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.message.contains("ssm:/prod/crm is not encrypted"), "{}", why.message);
    assert!(!why.message.contains("in the clear"), "{}", why.message);
    assert_eq!(api.requests(), Vec::<String>::new());
}
