//! Faults on demand: what goes wrong, and for which calls.

use std::{str::FromStr, time::Duration};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Somebody else uses up the limit: the call is refused and not executed. With a delay it is
    /// refused for a rate, and asked to wait for that long.
    #[serde(rename = "429-burst")]
    TooManyRequests,
    /// 401 after a minute, although the sign-in is good. Nothing was done. Accounts over their
    /// limit have been reported to answer so.
    InvalidLogin,
    /// 400, and nothing was saved.
    #[serde(rename = "400")]
    UserError,
    /// 400, although the record was saved (a script failed after it).
    #[serde(rename = "400-after-commit")]
    UserErrorAfterCommit,
    /// 500, and nothing was saved.
    #[serde(rename = "500")]
    ServerError,
    /// 500, although the record was saved (a script failed after it).
    #[serde(rename = "500-after-commit")]
    ServerErrorAfterCommit,
    /// The write is saved, then the connection is closed without an answer.
    DropAfterCommit,
    /// The connection is closed without an answer, and the write is saved later.
    CommitLate,
    /// The answer takes longer.
    Slow,
}

impl FaultKind {
    const ALL: [(&'static str, Self); 9] = [
        ("429-burst", Self::TooManyRequests),
        ("invalid-login", Self::InvalidLogin),
        ("400", Self::UserError),
        ("400-after-commit", Self::UserErrorAfterCommit),
        ("500", Self::ServerError),
        ("500-after-commit", Self::ServerErrorAfterCommit),
        ("drop-after-commit", Self::DropAfterCommit),
        ("commit-late", Self::CommitLate),
        ("slow", Self::Slow),
    ];

    /// The name on the command line and in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(name, kind)| (*kind == self).then_some(*name))
            .unwrap_or_default()
    }

    /// Reads can be repeated freely, so the faults whose danger is a repeat strike writes only.
    fn befalls(self, is_write: bool) -> bool {
        is_write || matches!(self, Self::TooManyRequests | Self::InvalidLogin | Self::Slow)
    }

    /// Its delay where none is asked for; nothing if it has none.
    fn default_delay(self) -> Option<Duration> {
        match self {
            Self::Slow => Some(Duration::from_secs(5)),
            Self::CommitLate => Some(Duration::from_secs(2)),
            Self::InvalidLogin => Some(Duration::from_secs(61)),
            _ => None,
        }
    }
}

/// Which calls a fault strikes, of those that it can strike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// The next calls, this many of them.
    Next(u64),
    /// The first, and then each one at this interval.
    Every(u64),
    /// Each with this probability, 0 to 1, drawn from the seed.
    Share(f64),
    /// All, for this long after the fault was asked for.
    For(Duration),
}

/// A fault and its calls.
///
/// Read from a text `KIND[:WHICH][,by=TIME]`:
///
/// * KIND is `429-burst`, `invalid-login`, `slow`, which strike any call, or `400`,
///   `400-after-commit`, `500`, `500-after-commit`, `drop-after-commit`, `commit-late`, which strike
///   writes only.
/// * WHICH is a number (of the next calls), `every=10`, `share=0.1` or `for=2s`. Without it a
///   `429-burst` strikes the next 10 calls, every other kind the first call and then each tenth.
/// * `by=` is a delay. With `slow` and `invalid-login` it is added to the call: 5 s and 61 s if not
///   given. With `commit-late` it is from the dropped connection to the write: 2 s if not given.
///   With `429-burst` it is the wait that the refusal asks for; without it, calls at once are too
///   many. Times are `250ms`, `2s`, `1m`, `1h` or `1d`.
///
/// ```
/// # use slowlane_sandbox::{Fault, FaultKind, Which};
/// let fault: Fault = "drop-after-commit:3".parse().unwrap();
/// assert_eq!((fault.kind, fault.which), (FaultKind::DropAfterCommit, Which::Next(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For which calls.
    pub which: Which,
    /// The delay of [`FaultKind::Slow`], [`FaultKind::InvalidLogin`] and [`FaultKind::CommitLate`], and
    /// the wait that [`FaultKind::TooManyRequests`] asks for; zero if none.
    pub by: Duration,
}

/// The text is not a fault.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("'{text}' is not a fault: {why}; write KIND[:N|:every=N|:share=P|:for=TIME][,by=TIME]")]
pub struct ParseFaultError {
    text: String,
    why: &'static str,
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| ParseFaultError { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Fault, &'static str> {
    let (head, by) = match text.split_once(",by=") {
        Some((head, by)) => (head, Some(parse_time(by).ok_or("its by= is no time")?)),
        None => (text, None),
    };
    let (name, which) = match head.split_once(':') {
        Some((name, which)) => (name, Some(which)),
        None => (head, None),
    };
    let kind =
        FaultKind::ALL.iter().find_map(|(known, kind)| (*known == name).then_some(*kind)).ok_or(
            "its kind is none of 429-burst, invalid-login, 400, 400-after-commit, 500, \
             500-after-commit, drop-after-commit, commit-late, slow",
        )?;
    let which = match (which, kind) {
        (Some(which), _) => parse_which(which).ok_or("it does not say which calls")?,
        (None, FaultKind::TooManyRequests) => Which::Next(10),
        (None, _) => Which::Every(10),
    };
    let by = by.or(kind.default_delay()).unwrap_or_default();
    Ok(Fault { kind, which, by })
}

fn parse_which(text: &str) -> Option<Which> {
    match text.split_once('=') {
        None => text.parse().ok().map(Which::Next),
        Some(("every", number)) => {
            number.parse().ok().filter(|number| *number > 0).map(Which::Every)
        }
        Some(("share", share)) => {
            share.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Which::Share)
        }
        Some(("for", time)) => parse_time(time).map(Which::For),
        Some(_) => None,
    }
}

/// A span of time: `250ms`, `2s`, `1m`, `24h` or `1d`.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds_per_unit).ok()
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:", self.kind.name())?;
        match self.which {
            Which::Next(number) => write!(out, "{number}")?,
            Which::Every(number) => write!(out, "every={number}")?,
            Which::Share(share) => write!(out, "share={share}")?,
            Which::For(time) => write!(out, "for={}ms", time.as_millis())?,
        }
        match self.kind.default_delay().is_some() || !self.by.is_zero() {
            true => write!(out, ",by={}ms", self.by.as_millis()),
            false => Ok(()),
        }
    }
}

/// The faults that were asked for, and how far each has come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    asked_at: Duration,
    calls_seen: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, now: Duration) {
        self.active.push(Active { fault, asked_at: now, calls_seen: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Those not used up, each with what is left of it.
    pub(crate) fn left(&self, now: Duration) -> impl Iterator<Item = Fault> {
        let active = self.active.iter().filter(move |active| !active.is_over(now));
        active.map(Active::left)
    }

    /// The fault of one call: the first asked for that strikes it. A call has at most one.
    pub(crate) fn for_call(
        &mut self,
        is_write: bool,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Fault> {
        self.active.retain(|active| !active.is_over(now));
        self.active
            .iter_mut()
            .filter(|active| active.fault.kind.befalls(is_write))
            .find_map(|active| active.takes(rng).then_some(active.fault))
    }
}

impl Active {
    fn is_over(&self, now: Duration) -> bool {
        match self.fault.which {
            Which::Next(number) => self.calls_seen >= number,
            Which::For(time) => now >= self.asked_at + time,
            Which::Every(_) | Which::Share(_) => false,
        }
    }

    fn left(&self) -> Fault {
        match self.fault.which {
            Which::Next(number) => {
                Fault { which: Which::Next(number - self.calls_seen), ..self.fault }
            }
            Which::For(_) | Which::Every(_) | Which::Share(_) => self.fault,
        }
    }

    fn takes(&mut self, rng: &mut fastrand::Rng) -> bool {
        self.calls_seen += 1;
        match self.fault.which {
            Which::Next(_) | Which::For(_) => true,
            Which::Every(number) => (self.calls_seen - 1).is_multiple_of(number),
            Which::Share(share) => rng.f64() < share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_faults_and_back() {
        for text in [
            "429-burst:10",
            "429-burst:3,by=2000ms",
            "invalid-login:1,by=61000ms",
            "400:2",
            "400-after-commit:1",
            "500:every=10",
            "500-after-commit:1",
            "drop-after-commit:share=0.25",
            "commit-late:2,by=300ms",
            "slow:for=60000ms,by=5000ms",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
        }
        assert_eq!("drop-after-commit".parse::<Fault>().unwrap().which, Which::Every(10));
        assert_eq!("429-burst".parse::<Fault>().unwrap().which, Which::Next(10));
        for text in
            ["", "teapot", "500:", "500:every=0", "slow:share=2", "slow:3,by=5", "slow:for=x"]
        {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn each_rule_takes_its_calls() {
        let taken = |text: &str, is_write: bool| -> Vec<u32> {
            let mut faults = Faults::default();
            faults.add(text.parse().unwrap(), Duration::ZERO);
            let mut rng = fastrand::Rng::with_seed(1);
            (0..8)
                .filter(|second| {
                    let now = Duration::from_secs(u64::from(*second));
                    faults.for_call(is_write, now, &mut rng).is_some()
                })
                .collect()
        };
        assert_eq!(taken("drop-after-commit:3", true), [0, 1, 2]);
        assert_eq!(taken("drop-after-commit:3", false), [0u32; 0]);
        assert_eq!(taken("500:every=3", true), [0, 3, 6]);
        assert_eq!(taken("429-burst:for=2s", false), [0, 1]);
        assert_eq!(taken("slow:share=1", false).len(), 8);
        assert_eq!(taken("slow:share=0", false).len(), 0);
    }

    #[test]
    fn what_is_left_of_a_fault_is_listed() {
        let mut faults = Faults::default();
        for asked in ["500:2", "slow:for=3s"] {
            faults.add(asked.parse().unwrap(), Duration::ZERO);
        }
        let left = |faults: &Faults, secs| {
            let now = Duration::from_secs(secs);
            faults.left(now).map(|fault| fault.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(&faults, 0), ["500:2", "slow:for=3000ms,by=5000ms"]);
        let mut rng = fastrand::Rng::with_seed(1);
        faults.for_call(true, Duration::ZERO, &mut rng);
        assert_eq!(left(&faults, 0), ["500:1", "slow:for=3000ms,by=5000ms"]);
        faults.for_call(true, Duration::ZERO, &mut rng);
        assert_eq!(left(&faults, 2), ["slow:for=3000ms,by=5000ms"]);
        assert!(left(&faults, 3).is_empty());
    }

    #[test]
    fn a_call_has_one_fault_and_the_next_one_waits_its_turn() {
        let mut faults = Faults::default();
        faults.add("500:1".parse().unwrap(), Duration::ZERO);
        faults.add("drop-after-commit:1".parse().unwrap(), Duration::ZERO);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut next = || faults.for_call(true, Duration::ZERO, &mut rng).map(|fault| fault.kind);
        assert_eq!(next(), Some(FaultKind::ServerError));
        assert_eq!(next(), Some(FaultKind::DropAfterCommit));
        assert_eq!(next(), None);
    }
}
