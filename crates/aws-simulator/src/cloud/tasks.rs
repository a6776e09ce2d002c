//! Executions that wait for their task's callback.

use std::time::Duration;

use tokio::sync::oneshot;

use super::tokens::{Ended, Error, Token};
use super::{Cloud, State};
use crate::time::Moment;
use crate::transcript::Event;

/// How a wait for a callback ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// By SendTaskSuccess or SendTaskFailure.
    Ended(Ended),
    /// By the task's TimeoutSeconds.
    TimedOut,
    /// Somebody stopped the execution.
    Stopped,
}

/// A task whose callback has not been waited for yet.
#[derive(Debug)]
pub struct Task {
    token: Token,
    bell: oneshot::Receiver<()>,
}

impl Task {
    /// The token that its callback needs.
    pub fn token(&self) -> Token {
        self.token
    }
}

impl State {
    /// SendTaskSuccess, SendTaskFailure: ends the task and wakes its execution.
    ///
    /// # Errors
    /// As [`Tokens::end`](super::tokens::Tokens::end).
    pub fn end_task(&mut self, token: Token, ended: Ended, now: Moment) -> Result<(), Error> {
        self.tokens.end(token, ended)?;
        self.saw(now, Event::Over(token, "called back"));
        if let Some(bell) = self.waiting.remove(&token) {
            // An execution that is gone does not mind.
            let _ = bell.send(());
        }
        Ok(())
    }

    /// StopExecution, for the execution that waits for `token`; false if none does.
    pub fn stop(&mut self, token: Token, now: Moment) -> bool {
        // Its bell is dropped, which tells it.
        let stopped = self.waiting.remove(&token).is_some();
        if stopped {
            self.tokens.close(token);
            self.saw(now, Event::Over(token, "stopped"));
        }
        stopped
    }
}

impl Cloud {
    /// Begins a task with a new token.
    pub fn begin_task(&self) -> Task {
        let (sender, bell) = oneshot::channel();
        let now = self.now();
        let mut state = self.state();
        let token = state.tokens.issue();
        state.waiting.insert(token, sender);
        state.saw(now, Event::Waits(token));
        Task { token, bell }
    }

    /// Waits for the task's callback, at most until `timeout` from now (TimeoutSeconds is
    /// absolute from the state's entry: give what is left of it).
    pub async fn wait_for(&self, task: Task, timeout: Duration) -> Waited {
        let woken = tokio::time::timeout(timeout, task.bell).await;
        let now = self.now();
        let mut state = self.state();
        state.waiting.remove(&task.token);
        match (woken, state.tokens.close(task.token)) {
            (_, Some(ended)) => Waited::Ended(ended),
            (Ok(_), None) => Waited::Stopped,
            (Err(_), None) => {
                state.saw(now, Event::Over(task.token, "timed out"));
                Waited::TimedOut
            }
        }
    }

    /// Gives a task up, as an execution does whose task failed before it could wait.
    pub fn abandon(&self, task: &Task) {
        let now = self.now();
        let mut state = self.state();
        state.waiting.remove(&task.token);
        state.tokens.close(task.token);
        state.saw(now, Event::Over(task.token, "abandoned"));
    }
}
