//! Step Functions' callbacks.

use std::time::Duration;

use aws_sdk_sfn::Client;

use super::place::Source::{Model, Report};
use super::place::{Place, Seen, word};

const LONG: Duration = Duration::from_secs(300);

pub(super) async fn observe(place: &impl Place, seen: &mut Seen) {
    let states = Client::new(place.sdk());
    let succeed = async |token: &str, output: &str| {
        word(&states.send_task_success().task_token(token).output(output).send().await)
    };
    let beat =
        async |token: &str| word(&states.send_task_heartbeat().task_token(token).send().await);

    let token = place.begin_task(LONG).await;
    let saw = format!("{}, {}", beat(&token).await, succeed(&token, "{\"id\":1}").await);
    seen.note("a task that waits: heartbeat, success", "ok, ok", Model, saw);
    let saw = place.end_of(&token).await;
    seen.note("what its workflow gets", "succeeded {\"id\":1}", Model, saw);
    let saw = format!("{}, {}", succeed(&token, "{}").await, beat(&token).await);
    seen.note(
        "a task that has succeeded: success again, heartbeat",
        "TaskTimedOut, TaskTimedOut",
        Report,
        saw,
    );

    let token = place.begin_task(LONG).await;
    let failure = states.send_task_failure().task_token(&token);
    let failed = failure.error("Order.Rejected").cause("no").send().await;
    let saw = format!("{}, {}", word(&failed), place.end_of(&token).await);
    seen.note("a task that fails by a name", "ok, failed Order.Rejected", Model, saw);

    let token = place.begin_task(LONG).await;
    place.stop(&token).await;
    let saw = format!("{}, {}", beat(&token).await, succeed(&token, "{}").await);
    let aws = "TaskTimedOut, TaskTimedOut";
    seen.note("an execution that was stopped: heartbeat, success", aws, Report, saw);

    let token = place.begin_task(Duration::from_secs(1)).await;
    let end = place.end_of(&token).await;
    let saw = format!("{end}, {}, {}", beat(&token).await, succeed(&token, "{}").await);
    seen.note(
        "a task past its TimeoutSeconds: its end, heartbeat, success",
        "timed out, TaskTimedOut, TaskTimedOut",
        Report,
        saw,
    );

    let saw = format!("{}, {}", succeed("nonsense", "{}").await, beat("nonsense").await);
    let aws = "InvalidToken, InvalidToken";
    seen.note("a token that nobody gave out: success, heartbeat", aws, Model, saw);

    let token = place.begin_task(LONG).await;
    let saw = succeed(&token, "{").await;
    seen.note("success with an output that is no JSON", "InvalidOutput", Model, saw);
    place.until_acted_on(&token).await;
    let failure = states.send_task_failure().task_token(&token).error("e".repeat(257));
    let saw = word(&failure.send().await);
    seen.note("failure with an error of 257 characters", "ValidationException", Model, saw);
    let cause = states.send_task_failure().task_token(&token).cause("c".repeat(32_769));
    let saw = word(&cause.send().await);
    seen.note("failure with a cause of 32,769 characters", "ValidationException", Model, saw);
    let saw = succeed(&token, "{}").await;
    seen.note("success after such mistakes", "ok", Model, saw);
}
