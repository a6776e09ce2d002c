//! When the credentials end, by the secret and by the API.

use slowlane_worker::Target as _;
use slowlane_worker::profile::shipped;

use super::auth::{Vault, in_turn};
use super::{changed, of, post, succeeded};
use crate::server::{Server, answer};

const HEADER: &str = "x-secret-ends";

fn until(end: &str) -> String {
    answer(200, &[&format!("{HEADER}: {end}")], "")
}

#[tokio::test]
async fn the_secret_says_it_and_another_one_says_it_anew() {
    let vault = Vault::holding(r#"{"api_key":"old","expires_at":"2027-06-30"}"#).await;
    let api = in_turn([answer(200, &[], ""), answer(401, &[], ""), answer(200, &[], "")]).await;
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
    let http = http.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    assert_eq!(http.secret_ends(), None, "nobody has read it");
    succeeded(http.call(&post()).await);
    assert_eq!(http.secret_ends(), "2027-06-30T00:00:00Z".parse().ok());
    vault.put(r#"{"api_key":"new","expires_at":"2028-06-30"}"#);
    assert_eq!(http.secret_ends(), "2027-06-30T00:00:00Z".parse().ok(), "the old one is in use");
    succeeded(http.call(&post()).await);
    assert_eq!(http.secret_ends(), "2028-06-30T00:00:00Z".parse().ok());
    assert_eq!(vault.reads(), 2, "nothing is read for it");
}

#[tokio::test]
async fn a_secret_that_says_it_badly_serves_all_the_same() {
    let vault = Vault::holding(r#"{"api_key":"old","expires_at":"in June"}"#).await;
    let api = Server::answering(answer(200, &[], "")).await;
    let http = of(shipped::get("http").unwrap(), &api.url()).auth("header");
    let http = http.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    succeeded(http.call(&post()).await);
    assert_eq!(http.secret_ends(), None);
}

#[tokio::test]
async fn the_earlier_of_what_the_secret_and_the_api_say_counts() {
    let profile = changed(|text| {
        let ends = format!("secret_ends = [{{ header = \"{HEADER}\" }}]\n");
        text.replacen("settles_after", &(ends + "settles_after"), 1)
    });
    let vault = Vault::holding(r#"{"api_key":"old","expires_at":"2027-06-30"}"#).await;
    let answers = [until("2027-01-31 05:00:00 UTC"), answer(200, &[], ""), until("2029-01-31")];
    let api = in_turn(answers).await;
    let http = of(profile, &api.url()).auth("header");
    let http = http.stored_secret(&vault.sdk().await, "crm").build().unwrap();
    for end in ["2027-01-31T05:00:00Z", "2027-01-31T05:00:00Z", "2027-06-30T00:00:00Z"] {
        succeeded(http.call(&post()).await);
        assert_eq!(http.secret_ends(), end.parse().ok());
    }
}
