//! Settings from environment variables, with one error that names every bad one.
//!
//! ```
//! use slowlane_lambda::env;
//!
//! struct Config { queue_url: String, max_attempts: u32 }
//!
//! let vars = |name: &str| (name == "MAX_ATTEMPTS").then(|| "many".to_owned());
//! let read = env::read(vars, |env| {
//!     // Every variable is read before the first `?`, so that all problems are found.
//!     let queue_url = env.required("QUEUE_URL", "the URL of an SQS queue");
//!     let max_attempts = env.optional("MAX_ATTEMPTS", "a whole number", 5);
//!     Ok(Config { queue_url: queue_url?, max_attempts: max_attempts? })
//! });
//! let problems = read.err().map(|error| error.to_string()).unwrap_or_default();
//! assert!(problems.contains("QUEUE_URL is not set: it must be the URL of an SQS queue"));
//! assert!(problems.contains(r#"MAX_ATTEMPTS is "many": it must be a whole number"#));
//! ```

use std::fmt;
use std::str::FromStr;

/// Every variable that could not be used, each with what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    problems: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad environment: {}", self.problems.join("; "))
    }
}

/// A problem that [`Env`] already holds: it exists only to be passed on with `?`.
#[derive(Debug, Clone, Copy)]
pub struct Recorded(());

/// The variables being read and the problems found so far.
pub struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

/// The variable `name` of this process: what a `main` gives [`read`] to look variables up with.
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads settings with `build`, looking variables up with `lookup` (in a `main`, [`process`]). An
/// empty variable counts as one that is not set, because a CloudFormation template has no other way
/// to leave one out.
///
/// # Errors
/// One error for all variables that are missing or ill-formed.
pub fn read<T>(
    lookup: impl Fn(&str) -> Option<String>,
    build: impl FnOnce(&mut Env<'_>) -> Result<T, Recorded>,
) -> Result<T, Error> {
    let mut env = Env { lookup: &lookup, problems: Vec::new() };
    let built = build(&mut env);
    match built {
        Ok(settings) if env.problems.is_empty() => Ok(settings),
        _ => Err(Error { problems: env.problems }),
    }
}

impl Env<'_> {
    /// A variable that must be set. `expected` completes the sentence "it must be …".
    pub fn required<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<T, Recorded> {
        match self.look_up(name) {
            Some(text) => self.parse(name, &text, expected),
            None => {
                self.problems.push(format!("{name} is not set: it must be {expected}"));
                Err(Recorded(()))
            }
        }
    }

    /// A variable that must be set, and whose value no error shows.
    pub fn secret<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<T, Recorded> {
        let text: String = self.required(name, expected)?;
        text.parse().map_err(|_| {
            self.problems.push(format!("{name} is ill-formed: it must be {expected}"));
            Recorded(())
        })
    }

    /// A variable that may be left out, and then has the value `default`.
    pub fn optional<T: FromStr>(
        &mut self,
        name: &str,
        expected: &str,
        default: T,
    ) -> Result<T, Recorded> {
        match self.look_up(name) {
            Some(text) => self.parse(name, &text, expected),
            None => Ok(default),
        }
    }

    /// A variable that may be left out, and is then `None`.
    pub fn maybe<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Recorded> {
        match self.look_up(name) {
            Some(text) => self.parse(name, &text, expected).map(Some),
            None => Ok(None),
        }
    }

    /// Refuses variables that were read and do not fit together, or one whose problem has more to
    /// say than "it must be …". `problem` names them.
    pub fn refuse(&mut self, problem: impl Into<String>) -> Recorded {
        self.problems.push(problem.into());
        Recorded(())
    }

    fn look_up(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    fn parse<T: FromStr>(&mut self, name: &str, text: &str, expected: &str) -> Result<T, Recorded> {
        text.parse().map_err(|_| {
            self.problems.push(format!("{name} is {text:?}: it must be {expected}"));
            Recorded(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_and_name(vars: &[(&str, &str)]) -> Result<(u16, Option<String>), Error> {
        let lookup = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        read(lookup, |env| {
            let port = env.required("PORT", "a port");
            let name = env.maybe("NAME", "a name");
            Ok((port?, name?))
        })
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        assert_eq!(port_and_name(&[("PORT", "80"), ("NAME", "")]), Ok((80, None)));
        let error = port_and_name(&[("PORT", "")]).unwrap_err();
        assert_eq!(error.to_string(), "bad environment: PORT is not set: it must be a port");
    }

    #[test]
    fn what_was_refused_is_an_error_even_if_settings_were_built() {
        let read = read(
            |_| Some("7".to_owned()),
            |env| {
                let port: u16 = env.required("PORT", "a port")?;
                env.refuse("PORT is 7 and NAME is 7: they must differ");
                Ok(port)
            },
        );
        let error = read.unwrap_err().to_string();
        assert_eq!(error, "bad environment: PORT is 7 and NAME is 7: they must differ");
    }

    #[test]
    fn a_value_that_does_not_parse_is_shown() {
        let error = port_and_name(&[("PORT", "70000")]).unwrap_err();
        assert_eq!(error.to_string(), r#"bad environment: PORT is "70000": it must be a port"#);
    }

    #[test]
    fn a_secret_that_does_not_parse_is_not_shown() {
        let key = |text: &'static str| {
            read(move |_| Some(text.to_owned()), |env| env.secret::<u16>("API_KEY", "a number"))
        };
        assert_eq!(key("17"), Ok(17));
        let error = key("hidden").unwrap_err();
        assert_eq!(
            error.to_string(),
            "bad environment: API_KEY is ill-formed: it must be a number"
        );
        let error = key("").unwrap_err();
        assert_eq!(error.to_string(), "bad environment: API_KEY is not set: it must be a number");
    }
}
