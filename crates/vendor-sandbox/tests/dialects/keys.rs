//! Idempotency keys, as Stripe and the IETF's draft have them.

use std::time::Duration;

use serde_json::Value;
use slowlane_sandbox::{Admitted, Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Response, Sandbox, Vendor};

use crate::served::{quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);

struct Stripe(Sandbox);

impl Stripe {
    fn new() -> Self {
        Self(Sandbox::new((quick(), Vendor::new(Dialect::of("stripe").unwrap()).open())))
    }

    fn begin(&mut self, key: &str, form: &str, now: Duration) -> Box<Admitted<Vendor>> {
        let headers =
            [("idempotency-key", key), ("content-type", "application/x-www-form-urlencoded")];
        match self.0.begin(request("POST", "/v1/charges", &headers, form), now) {
            Begun::Admitted(call) => call,
            Begun::Answer(answer) => panic!("{answer:?}"),
        }
    }

    fn call(&mut self, key: &str, form: &str, now: Duration) -> Finished<Vendor> {
        let call = self.begin(key, form, now);
        let ends = call.finish_at();
        self.0.finish(call, ends)
    }

    fn answer(&mut self, key: &str, form: &str, now: Duration) -> (u16, Value, Response) {
        match self.call(key, form, now) {
            Finished::Answer(answer) => {
                let body = serde_json::from_slice(answer.body()).unwrap();
                (answer.status().as_u16(), body, answer)
            }
            other => panic!("{other:?}"),
        }
    }
}

const FORM: &str = "amount=2000&currency=eur&metadata[slowlane_key]=order-1";

#[test]
fn a_replay_is_the_first_answer_and_says_so() {
    let mut stripe = Stripe::new();
    let (status, made, first) = stripe.answer("k", FORM, NOW);
    assert_eq!((status, &made["amount"]), (200, &2000.into()));
    assert_eq!(made["metadata"]["slowlane_key"], "order-1");
    let (status, again, replay) = stripe.answer("k", FORM, NOW);
    assert_eq!((status, &again), (200, &made));
    assert_eq!(replay.headers()["idempotent-replayed"], "true");
    assert_eq!(replay.headers()["original-request"], first.headers()["request-id"]);
    assert_ne!(replay.headers()["request-id"], first.headers()["request-id"]);
    let report = stripe.0.report();
    assert_eq!((report.records_created, report.duplicate_effects), (1, 0));
}

#[test]
fn other_parameters_are_refused_and_a_running_call_is_said_to_run() {
    let mut stripe = Stripe::new();
    let running = stripe.begin("k", FORM, NOW);
    let (status, body, _) = stripe.answer("k", FORM, NOW);
    assert_eq!((status, &body["error"]["code"]), (409, &"idempotency_key_in_use".into()));
    let ends = running.finish_at();
    assert!(matches!(stripe.0.finish(running, ends), Finished::Answer(_)));
    let (status, body, _) = stripe.answer("k", "amount=1&currency=eur", ends);
    assert_eq!((status, &body["error"]["type"]), (400, &"idempotency_error".into()));
}

#[test]
fn a_failure_and_a_declined_card_are_stored_but_what_was_invalid_is_not() {
    let mut stripe = Stripe::new();
    stripe.0.inject("500:1".parse().unwrap(), NOW);
    assert_eq!(stripe.answer("failed", FORM, NOW).0, 500);
    assert_eq!(stripe.answer("failed", FORM, NOW).0, 500, "it is stored");
    let declined = "amount=1&currency=eur&source=tok_chargeDeclined";
    assert_eq!(stripe.answer("declined", declined, NOW).0, 402);
    let (_, body, answer) = stripe.answer("declined", declined, NOW);
    assert_eq!(body["error"]["code"], "card_declined");
    assert!(answer.headers().contains_key("idempotent-replayed"));
    assert_eq!(stripe.answer("invalid", "amount=1", NOW).0, 400);
    assert_eq!(stripe.answer("invalid", FORM, NOW).0, 200, "its key was let go");
    assert_eq!(stripe.0.report().records_created, 1);
}

#[test]
fn a_lost_answer_is_found_by_its_key_until_the_key_is_forgotten() {
    let mut stripe = Stripe::new();
    stripe.0.inject("drop-after-commit:1".parse().unwrap(), NOW);
    assert!(matches!(stripe.call("k", FORM, NOW), Finished::Drop));
    assert_eq!(stripe.answer("k", FORM, NOW).0, 200);
    assert_eq!(stripe.0.report().duplicate_effects, 0);
    let next_day = NOW + Duration::from_secs(24 * 3600 + 1);
    assert_eq!(stripe.answer("k", FORM, next_day).0, 200);
    assert_eq!(stripe.0.report().duplicate_effects, 1, "a day later it is executed anew");
}
