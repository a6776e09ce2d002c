//! Shared vectors: short dialogues with SQS, DynamoDB and Step Functions, each with the answer that
//! AWS's documents promise. They run on this crate's cloud and on any other server that speaks
//! AWS's API, so that neither is believed without a witness.
//!
//! A server may differ only where [`DIFFERENCES`] says so, with who is right. A difference that is
//! not listed is reported by [`judge`], and so is one that is listed and gone.

mod callbacks;
mod dynamodb;
mod place;
mod sqs;

use std::fmt::Write as _;

use place::Seen;
pub use place::{NewQueue, Place, Source, Vector};

/// A server that the vectors have run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// This crate's cloud.
    Simulator,
    /// MiniStack (PyPI), a local AWS.
    MiniStack,
}

/// A known difference between a server and AWS's documents.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The server that differs.
    pub server: Server,
    /// The vector's name.
    pub vector: &'static str,
    /// What the server answers.
    pub saw: &'static str,
    /// What that means for a program that is tested there.
    pub remark: &'static str,
}

/// Every known difference. AWS's documents are right in each.
pub const DIFFERENCES: &[Difference] = &[
    ministack(
        "a delete, twice",
        "ok, ReceiptHandleIsInvalid",
        "a second delete fails there, so a program must not mind",
    ),
    ministack(
        "the visibility of a deleted message",
        "ReceiptHandleIsInvalid",
        "another code for the same refusal",
    ),
    ministack(
        "the visibility of a message that is visible again",
        "ok",
        "a give-back that comes too late hides the message once more",
    ),
    ministack(
        "a delete with a stale receipt, and with the fresh one",
        "ok, MissingParameter",
        "follows from the one before: the message is hidden, so there is no fresh receipt",
    ),
    ministack(
        "a delay of 900 s, and of 901 s",
        "ok, ok",
        "a delay over 900 s passes there and is refused on AWS",
    ),
    ministack(
        "a visibility of over 12 hours, and of 60 s",
        "ok, ok",
        "a visibility over 12 hours passes there and is refused on AWS",
    ),
    ministack(
        "a receive of 0 messages, of 11, and one that waits 21 s",
        "InvalidParameterValue, InvalidParameterValue, ok",
        "a wait over 20 s passes there and is refused on AWS",
    ),
    ministack(
        "what its workflow gets",
        "succeeded {\"id\": 1}",
        "the same JSON, written with a space",
    ),
    ministack(
        "a task that has succeeded: success again, heartbeat",
        "TaskDoesNotExist, TaskDoesNotExist",
        "another code for \"nobody waits\"",
    ),
    ministack(
        "an execution that was stopped: heartbeat, success",
        "ok, ok",
        "only the simulator shows that a program which asks is told on AWS that nobody waits",
    ),
    ministack(
        "a task past its TimeoutSeconds: its end, heartbeat, success",
        "timed out, TaskDoesNotExist, TaskDoesNotExist",
        "another code for \"nobody waits\"",
    ),
    ministack(
        "a token that nobody gave out: success, heartbeat",
        "TaskDoesNotExist, TaskDoesNotExist",
        "another code for \"nobody waits\"",
    ),
    ministack(
        "success with an output that is no JSON",
        "ok",
        "an output that AWS refuses passes there",
    ),
    ministack(
        "failure with an error of 257 characters",
        "TaskDoesNotExist",
        "follows from the one before: the task has ended",
    ),
    ministack(
        "failure with a cause of 32,769 characters",
        "TaskDoesNotExist",
        "follows from the same: the task has ended",
    ),
    ministack(
        "success after such mistakes",
        "TaskDoesNotExist",
        "follows from the same: the task has ended",
    ),
];

const fn ministack(vector: &'static str, saw: &'static str, remark: &'static str) -> Difference {
    Difference { server: Server::MiniStack, vector, saw, remark }
}

/// Holds every dialogue with a place.
pub async fn observe(place: &impl Place) -> Vec<Vector> {
    let mut seen = Seen::default();
    sqs::observe(place, &mut seen).await;
    dynamodb::observe(place, &mut seen).await;
    callbacks::observe(place, &mut seen).await;
    seen.0
}

/// What is wrong with what a server answered: differences that are not listed, and listed ones that
/// are gone.
pub fn judge(server: Server, seen: &[Vector]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Vector { name, aws: (aws, _), saw } in seen {
        let listed = DIFFERENCES.iter().find(|one| one.server == server && one.vector == *name);
        let expected = listed.map_or(*aws, |one| one.saw);
        if saw != expected {
            wrong.push(format!("{name}: {saw:?}, not {expected:?} (AWS: {aws:?})"));
        }
    }
    let unknown = DIFFERENCES
        .iter()
        .filter(|one| one.server == server && !seen.iter().any(|vector| vector.name == one.vector));
    wrong.extend(unknown.map(|one| format!("no vector is called {:?}", one.vector)));
    wrong
}

/// The vectors and the known differences as a page for people. `seen` may come from any server.
pub fn page(seen: &[Vector]) -> String {
    let mut page = "# Shared vectors\n\n\
        Made by `UPDATE_DOCS=1 cargo test -p slowlane-aws-simulator --test vectors`; not edited.\n\n\
        Each row is a dialogue that runs on the simulated cloud (`tests/vectors.rs`) and on \
        [MiniStack](https://pypi.org/project/ministack/). \"as AWS\" means that the server \
        answers what AWS's documents promise; where it does not, the documents are right and the \
        server's answer is shown. A difference that appears or disappears fails a test.\n\n\
        | dialogue | AWS | said by | simulator | MiniStack |\n|---|---|---|---|---|\n"
        .to_owned();
    for Vector { name, aws: (aws, source), .. } in seen {
        let answer = |server| {
            let listed = DIFFERENCES.iter().find(|one| one.server == server && one.vector == *name);
            listed.map_or("as AWS", |one| one.saw)
        };
        let (mine, others) = (answer(Server::Simulator), answer(Server::MiniStack));
        let source = format!("{source:?}").to_lowercase();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {name} | {aws} | {source} | {mine} | {others} |");
    }
    page += "\n## What the differences mean\n\n";
    for Difference { server, vector, remark, .. } in DIFFERENCES {
        let _ = writeln!(page, "- {server:?}, {vector}: {remark}");
    }
    page
}
