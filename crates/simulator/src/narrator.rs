//! A transcript for people: one event a line, with the names of what the template makes.

use std::fmt;
use std::io::Write;

use slowlane_aws_simulator::cloud::lambda::FunctionId;
use slowlane_aws_simulator::cloud::sqs::QueueId;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Caller, Event, Watch};
use slowlane_message::Priority;

use crate::api::{API_ENDS, API_STARTS};
use crate::names::{FUNCTION_NAMES, QUEUE_NAMES};
use crate::run::ASKED;

/// Writes every event, after its virtual time in milliseconds.
#[derive(Debug)]
pub struct Narrator<W>(pub W);

impl<W: Write + Send> Watch for Narrator<W> {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        // A full disk ends the transcript, not the run.
        let _ = writeln!(self.0, "{:>9} {}", now.millis(), Told(event));
    }
}

struct Told<'a>(&'a Event<'a>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Request { caller: Caller::Environment(function, number), action, status } => {
                write!(f, "{} {number}: {action:?} {status}", function_name(*function))
            }
            Event::Request { caller: Caller::Person, action, status } => {
                write!(f, "somebody: {action:?} {status}")
            }
            Event::Sent { queue, message, .. } => {
                write!(f, "{}: takes message {message}", queue_name(*queue))
            }
            Event::Received { queue, message, receive_count } => {
                let queue = queue_name(*queue);
                write!(f, "{queue}: hands out message {message}, receive {receive_count}")
            }
            Event::Deleted { queue, message } => {
                write!(f, "{}: message {message} deleted", queue_name(*queue))
            }
            Event::Buried { queue, message, .. } => {
                write!(f, "{}: message {message} to the dead-letter queue", queue_name(*queue))
            }
            Event::Throttled(function) => write!(f, "{} throttled", function_name(*function)),
            Event::Dropped(function) => {
                write!(f, "an invocation of {} dropped", function_name(*function))
            }
            Event::Started(function, number) => {
                write!(f, "{} {number} starts", function_name(*function))
            }
            Event::Finished(function, number, failure) => {
                write!(f, "{} {number} ends", function_name(*function))?;
                failure.map_or(Ok(()), |failure| write!(f, ": {failure}"))
            }
            Event::Waits(token) => write!(f, "task {token} waits"),
            Event::Over(token, how) => write!(f, "task {token} {how}"),
            Event::Run(ASKED, call, urgency) => {
                let priority = Priority::ALL.get(*urgency as usize).map_or("?", |p| p.as_str());
                write!(f, "workflow {call} asks for a {priority} call")
            }
            Event::Run(API_STARTS, call, _) => write!(f, "the API starts call {call}"),
            Event::Run(API_ENDS, call, _) => write!(f, "the API ends call {call}"),
            Event::Run(what @ ("ring lost" | "redriven"), number, _) => {
                write!(f, "{what}: {number}")
            }
            Event::Run(how, call, _) => write!(f, "workflow {call} {how}"),
        }
    }
}

fn queue_name(queue: QueueId) -> &'static str {
    QUEUE_NAMES.get(queue.0 as usize).copied().unwrap_or("another queue")
}

fn function_name(function: FunctionId) -> &'static str {
    FUNCTION_NAMES.get(function.0 as usize).copied().unwrap_or("another function")
}
