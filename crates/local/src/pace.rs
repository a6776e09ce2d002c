//! How fast orders are started: as fast as the local AWS takes them, and no faster.
//!
//! Each execution is a thread of the one process that is the local AWS. Hundreds that begin at once
//! keep it from everything else, and the first slot wakes only when all have handed over their
//! calls. So only a few are on their way to their queue at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Executions on their way to their queue at a time.
const ON_THEIR_WAY: usize = 8;

/// An execution may end without a call: one that refuses its order, for instance. After so long
/// without a call, those on their way are no longer waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says when the next order may be started. Pure: `now` is an argument.
#[derive(Debug)]
pub(crate) struct Pace {
    queued: usize,
    written_off: usize,
    last_news: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { queued: 0, written_off: 0, last_news: now }
    }

    /// Whether another order may be started, when `started` have been and `queued` of their calls
    /// have reached their queue.
    pub(crate) fn may_start(&mut self, started: usize, queued: usize, now: Instant) -> bool {
        if queued > self.queued {
            self.queued = queued;
            self.last_news = now;
        }
        let on_their_way = started.saturating_sub(queued + self.written_off);
        if on_their_way < ON_THEIR_WAY {
            return true;
        }
        if now.duration_since(self.last_news) < PATIENCE {
            return false;
        }
        self.written_off += on_their_way;
        self.last_news = now;
        true
    }
}

/// The enqueuer's log, which has a line for each call that it has queued.
#[derive(Debug)]
pub(crate) struct EnqueuerLog {
    path: PathBuf,
    read_to: u64,
    keys: HashSet<String>,
}

/// What one of its lines says, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    message: String,
    idempotency_key: String,
}

impl EnqueuerLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read_to: 0, keys: HashSet::new() }
    }

    /// How many calls it has queued so far; a call that it was given twice counts once.
    ///
    /// # Errors
    /// When the log is there and cannot be read.
    pub(crate) fn queued(&mut self) -> io::Result<usize> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // The enqueuer has not run yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        // A line without its end is still being written.
        while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            self.read_to += line.len() as u64;
            if let Ok(Line { message, idempotency_key }) = serde_json::from_slice(&line)
                && message == "queued"
            {
                self.keys.insert(idempotency_key);
            }
            line.clear();
        }
        Ok(self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_few_are_on_their_way_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.may_start(0, 0, now));
        assert!(pace.may_start(ON_THEIR_WAY - 1, 0, now));
        assert!(!pace.may_start(ON_THEIR_WAY, 0, now));
        assert!(pace.may_start(ON_THEIR_WAY, 1, now), "one has arrived");
        assert!(!pace.may_start(ON_THEIR_WAY + 1, 1, now));
        // Those of orders that were started elsewhere may be counted too.
        assert!(pace.may_start(1, 30, now));
    }

    #[test]
    fn those_that_never_arrive_hold_nobody_up_for_long() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let after = |millis| start + Duration::from_millis(millis);
        assert!(!pace.may_start(ON_THEIR_WAY, 0, after(1_999)));
        assert!(pace.may_start(ON_THEIR_WAY, 0, after(2_000)), "they are written off");
        assert!(pace.may_start(2 * ON_THEIR_WAY - 1, 0, after(2_001)));
        assert!(!pace.may_start(2 * ON_THEIR_WAY, 0, after(3_999)));
        // News starts the time anew.
        assert!(pace.may_start(2 * ON_THEIR_WAY, 1, after(4_000)));
        assert!(!pace.may_start(2 * ON_THEIR_WAY + 1, 1, after(5_999)));
        assert!(pace.may_start(2 * ON_THEIR_WAY + 1, 1, after(6_000)));
    }

    #[test]
    fn queued_calls_are_counted_once_and_a_line_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("enqueuer.log");
        let mut log = EnqueuerLog::new(path.clone());
        assert_eq!(log.queued().unwrap(), 0, "there is no log yet");
        let mut file = File::create(path).unwrap();
        let queued = |key: &str| format!(r#"{{"message":"queued","idempotency_key":"{key}"}}"#);
        writeln!(file, "START RequestId: 1\n{}\n{}", queued("a"), queued("a")).unwrap();
        writeln!(file, r#"{{"message":"not queued","idempotency_key":"b"}}"#).unwrap();
        let last = queued("c");
        let (begun, rest) = last.split_at(20);
        write!(file, "{begun}").unwrap();
        assert_eq!(log.queued().unwrap(), 1);
        writeln!(file, "{rest}").unwrap();
        assert_eq!(log.queued().unwrap(), 2);
        assert_eq!(log.queued().unwrap(), 2, "nothing is read twice");
    }
}
