//! What every dialect has from the core: limits, waits, sign-in, a report.

use std::time::Duration;

use serde_json::Value;
use slowlane_sandbox::{Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Measure, Rate, Response, Sandbox, Settings, Vendor};

use crate::served::{Served, quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn sandbox(dialect: &str, rate: &str, measure: Measure) -> Sandbox {
    let rate = Rate { measure, ..rate.parse().unwrap() };
    let vendor = Vendor::new(Dialect::of(dialect).unwrap()).open();
    Sandbox::new((Settings { rates: vec![rate], ..quick() }, vendor))
}

fn answer(sandbox: &mut Sandbox, now: Duration, path: &str, body: &str) -> Response {
    let headers = [("anthropic-version", "2023-06-01")];
    match sandbox.begin(request("POST", path, &headers, body), now) {
        Begun::Answer(answer) => answer,
        Begun::Admitted(call) => {
            let ends = call.finish_at();
            let Finished::Answer(answer) = sandbox.finish(call, ends) else { panic!("no fault") };
            answer
        }
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

fn body(answer: &Response) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

const CHAT: &str =
    r#"{"model": "m", "messages": [{"role": "user", "content": "12345678"}], "max_tokens": 97}"#;

#[test]
fn a_refusal_says_what_and_how_long_in_the_vendors_words() {
    let mut openai = sandbox("openai", "100/60s", Measure::Units);
    let first = answer(&mut openai, NOW, "/v1/chat/completions", CHAT);
    assert_eq!(first.status(), 200, "{first:?}");
    assert_eq!(header(&first, "x-ratelimit-limit-tokens"), Some("100"));
    assert_eq!(header(&first, "x-ratelimit-remaining-tokens"), Some("0"));
    let refused =
        answer(&mut openai, NOW + Duration::from_millis(500), "/v1/chat/completions", CHAT);
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after-ms"), Some("59500"));
    let message = body(&refused)["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("(TPM)") && message.contains("try again in 59.5s"), "{message}");

    let mut anthropic = sandbox("anthropic", "1/60s", Measure::Calls);
    assert_eq!(answer(&mut anthropic, NOW, "/v1/messages", CHAT).status(), 200);
    let refused = answer(&mut anthropic, NOW, "/v1/messages", CHAT);
    assert_eq!(header(&refused, "retry-after"), Some("60"));
    let reset = header(&refused, "anthropic-ratelimit-requests-reset");
    assert_eq!(reset, Some("2027-01-15T08:01:00Z"));

    let mut salesforce = sandbox("salesforce", "1/1d", Measure::Quota);
    let path = "/services/data/v62.0/sobjects/Account";
    let first = answer(&mut salesforce, NOW, path, "{}");
    assert_eq!(header(&first, "sforce-limit-info"), Some("api-usage=1/1"));
    let refused = answer(&mut salesforce, NOW, path, "{}");
    assert_eq!(refused.status(), 403);
    assert_eq!(body(&refused)[0]["errorCode"], "REQUEST_LIMIT_EXCEEDED");

    let mut http = sandbox("http", "2/10s", Measure::Calls);
    let first = answer(&mut http, NOW, "/orders", "{}");
    assert_eq!(header(&first, "ratelimit"), Some(r#""calls";r=1;t=10"#));
    assert_eq!(header(&first, "ratelimit-policy"), Some(r#""calls";q=2;w=10"#));
}

#[test]
fn a_request_larger_than_the_rate_never_fits() {
    let mut openai = sandbox("openai", "99/60s", Measure::Units);
    let refused = answer(&mut openai, NOW, "/v1/chat/completions", CHAT);
    assert!(body(&refused)["error"]["message"].as_str().unwrap().starts_with("Request too large"));
    assert_eq!(header(&refused, "retry-after"), None);
}

#[test]
fn who_does_not_heed_a_wait_is_counted() {
    let mut http = sandbox("http", "1/10s", Measure::Calls);
    let at = |seconds: u64| NOW + Duration::from_secs(seconds);
    for (second, status, came_early) in [(0, 201, 0), (3, 429, 0), (9, 429, 1), (10, 201, 1)] {
        assert_eq!(answer(&mut http, at(second), "/orders", "{}").status(), status, "{second}");
        assert_eq!(http.report().came_early, came_early, "{second}");
    }
}

#[test]
fn a_burst_may_ask_for_a_wait() {
    let mut http = sandbox("http", "100/1s", Measure::Calls);
    http.inject("429-burst:1,by=7s".parse().unwrap(), NOW);
    let refused = answer(&mut http, NOW, "/orders", "{}");
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("7")));
}

#[tokio::test]
async fn nobody_comes_in_without_credentials_or_with_a_token_that_has_ended() {
    let client = reqwest::Client::new();
    let salesforce = Served::start("salesforce", quick()).await;
    let url = format!("{}/services/data/v62.0/sobjects/Account", salesforce.base_url);
    let post = async |token: &str| {
        let sent = client.post(&url).bearer_auth(token).body("{\"Name\": \"Acme\"}").send().await;
        sent.unwrap().status().as_u16()
    };
    assert_eq!(post("guessed").await, 401);
    let token = format!("{}/services/oauth2/token", salesforce.base_url);
    let ask = async |secret: &str| {
        let grant = [("grant_type", "client_credentials"), ("client_id", "sandbox-client")];
        let form = grant.into_iter().chain([("client_secret", secret)]);
        let asked = client.post(&token).form(&form.collect::<Vec<_>>()).send().await.unwrap();
        asked.json::<Value>().await.unwrap()
    };
    assert_eq!(ask("wrong").await["error"], "invalid_client_id");
    let granted = ask("sandbox-secret").await;
    assert_eq!(granted["instance_url"], salesforce.base_url);
    assert_eq!(post(granted["access_token"].as_str().unwrap()).await, 201);
    // Questions for tokens are no calls.
    assert_eq!((salesforce.report().requests, salesforce.report().records_created), (2, 1));

    let stripe = Served::start("stripe", quick()).await;
    let url = format!("{}/v1/customers", stripe.base_url);
    let basic = client.get(&url).basic_auth("sk_test_sandbox", Some("")).send().await.unwrap();
    assert_eq!(basic.status(), 200);
    let wrong = client.get(&url).bearer_auth("sk_wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
}

#[test]
fn a_sandbox_tells_what_callers_sign_in_with() {
    let dynamics = Vendor::new(Dialect::of("dynamics").unwrap());
    let own = [("tenant_id".to_owned(), "acme".to_owned())].into();
    let credentials = dynamics.with_credentials(own).credentials("http://127.0.0.1:9");
    assert_eq!(credentials["token_url"], "http://127.0.0.1:9/acme/oauth2/v2.0/token");
    let vendor = Vendor::new(Dialect::of("http").unwrap());
    let credentials = vendor.credentials("http://127.0.0.1:9");
    assert_eq!(credentials["token_url"], "http://127.0.0.1:9/oauth/token");
    let error = Dialect::of("strpie").unwrap_err().to_string();
    assert!(error.contains("`strpie`") && error.contains("stripe"), "{error}");
}
