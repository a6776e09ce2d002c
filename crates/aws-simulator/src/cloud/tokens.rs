//! Step Functions task tokens: one for each try of a task that waits for its callback.

use std::sync::Arc;

use slab::Slab;

/// Longest task token, in characters (model). Those written here are shorter.
pub const LONGEST_TOKEN: usize = 2_048;
/// Largest output of SendTaskSuccess, in bytes (model).
pub const LARGEST_OUTPUT: usize = 262_144;
/// Longest error name, in characters (model).
pub const LONGEST_ERROR: usize = 256;
/// Longest cause, in characters (model).
pub const LONGEST_CAUSE: usize = 32_768;

/// A task token as two numbers: the place of its task, and how many tasks that place has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    slot: u32,
    serial: u64,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AQCk{}.{}", self.slot, self.serial)
    }
}

impl std::str::FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token, Error> {
        let numbers = text.strip_prefix("AQCk").and_then(|rest| rest.split_once('.'));
        let (slot, serial) = numbers.ok_or(Error::InvalidToken)?;
        Ok(Token {
            slot: slot.parse().map_err(|_| Error::InvalidToken)?,
            serial: serial.parse().map_err(|_| Error::InvalidToken)?,
        })
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// SendTaskSuccess, with the output's JSON text.
    Succeeded(Arc<str>),
    /// SendTaskFailure.
    Failed {
        /// The error's name.
        error: Arc<str>,
        /// Its cause.
        cause: Arc<str>,
    },
}

/// Why a callback is refused (model).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The token was never given out.
    #[error("Task does not exist")]
    TaskDoesNotExist,
    /// The task is over: it ended, it timed out, or its execution was stopped (report: all three
    /// answer so).
    #[error("Task Timed Out: 'Provided task does not exist anymore'")]
    TaskTimedOut,
    /// The token is not one that this service wrote.
    #[error("Invalid Token")]
    InvalidToken,
    /// The output is no JSON, or larger than [`LARGEST_OUTPUT`].
    #[error("Invalid output")]
    InvalidOutput,
    /// The error or the cause is too long.
    #[error("A member is longer than it may be")]
    ValidationException,
}

/// The tasks that wait.
#[derive(Debug, Default)]
pub struct Tokens {
    waiting: Slab<Task>,
    last_serial: u64,
}

#[derive(Debug)]
struct Task {
    serial: u64,
    ended: Option<Ended>,
}

impl Tokens {
    /// A new token; a retried task gets a new one, too (doc).
    pub fn issue(&mut self) -> Token {
        self.last_serial += 1;
        let serial = self.last_serial;
        let slot = self.waiting.insert(Task { serial, ended: None });
        Token { slot: slot as u32, serial }
    }

    /// SendTaskSuccess and SendTaskFailure.
    ///
    /// # Errors
    /// Nobody waits, or the contents are larger than they may be.
    pub fn end(&mut self, token: Token, ended: Ended) -> Result<(), Error> {
        match &ended {
            Ended::Succeeded(output) if output.len() > LARGEST_OUTPUT => {
                return Err(Error::InvalidOutput);
            }
            Ended::Succeeded(output)
                if serde_json::from_str::<serde::de::IgnoredAny>(output).is_err() =>
            {
                return Err(Error::InvalidOutput);
            }
            Ended::Failed { error, cause }
                if error.chars().count() > LONGEST_ERROR
                    || cause.chars().count() > LONGEST_CAUSE =>
            {
                return Err(Error::ValidationException);
            }
            _ => {}
        }
        let task = self.waiting(token)?;
        task.ended = Some(ended);
        Ok(())
    }

    /// SendTaskHeartbeat.
    ///
    /// # Errors
    /// Nobody waits.
    pub fn heartbeat(&mut self, token: Token) -> Result<(), Error> {
        self.waiting(token).map(|_| ())
    }

    /// Ends the wait: returns how the task ended, or nothing if it had not. The token is good for
    /// nothing from now on.
    pub fn close(&mut self, token: Token) -> Option<Ended> {
        let task = self.waiting.get(token.slot as usize);
        if task.is_some_and(|task| task.serial == token.serial) {
            self.waiting.remove(token.slot as usize).ended
        } else {
            None
        }
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if no task waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn waiting(&mut self, token: Token) -> Result<&mut Task, Error> {
        if token.serial == 0 || token.serial > self.last_serial {
            return Err(Error::TaskDoesNotExist);
        }
        let task = self.waiting.get_mut(token.slot as usize);
        task.filter(|task| task.serial == token.serial && task.ended.is_none())
            .ok_or(Error::TaskTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success() -> Ended {
        Ended::Succeeded("{}".into())
    }

    #[test]
    fn a_task_ends_once() {
        let mut tokens = Tokens::default();
        let token = tokens.issue();
        assert_eq!(tokens.heartbeat(token), Ok(()));
        assert_eq!(tokens.end(token, success()), Ok(()));
        assert_eq!(tokens.end(token, success()), Err(Error::TaskTimedOut));
        assert_eq!(tokens.heartbeat(token), Err(Error::TaskTimedOut));
        assert_eq!(tokens.close(token), Some(success()));
        assert_eq!(tokens.end(token, success()), Err(Error::TaskTimedOut));
    }

    #[test]
    fn a_closed_token_does_not_reach_the_next_task_in_its_place() {
        let mut tokens = Tokens::default();
        let old = tokens.issue();
        assert_eq!(tokens.close(old), None);
        let new = tokens.issue();
        assert_eq!(tokens.end(old, success()), Err(Error::TaskTimedOut));
        assert_eq!(tokens.end(new, success()), Ok(()));
    }

    #[test]
    fn tokens_are_read_as_they_are_written() {
        let mut tokens = Tokens::default();
        let token = tokens.issue();
        assert_eq!(token.to_string().parse(), Ok(token));
        assert_eq!("nonsense".parse::<Token>(), Err(Error::InvalidToken));
        let unknown = "AQCk0.99".parse().unwrap();
        assert_eq!(tokens.heartbeat(unknown), Err(Error::TaskDoesNotExist));
    }

    #[test]
    fn limits_are_kept() {
        let mut tokens = Tokens::default();
        let token = tokens.issue();
        let large = Ended::Succeeded(format!("\"{}\"", "x".repeat(LARGEST_OUTPUT)).into());
        assert_eq!(tokens.end(token, large), Err(Error::InvalidOutput));
        let broken = Ended::Succeeded("{".into());
        assert_eq!(tokens.end(token, broken), Err(Error::InvalidOutput));
        let failed =
            Ended::Failed { error: "e".repeat(LONGEST_ERROR + 1).into(), cause: "".into() };
        assert_eq!(tokens.end(token, failed), Err(Error::ValidationException));
    }
}
