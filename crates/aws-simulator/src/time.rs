//! The virtual clock. All of the cloud reads time here, and here alone.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// Runs `work` to its end in virtual time, on one thread. The clock stands still while anything can
/// be done, and then jumps to the next timer.
///
/// # Errors
/// The operating system gives no runtime.
pub fn in_virtual_time<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())?;
    Ok(runtime.block_on(work))
}

/// The wall-clock second at which every run starts: 2026-11-21T11:00:00Z.
const EPOCH_SECS: u64 = 1_795_258_800;

/// A point of virtual time, in whole milliseconds since the run's start.
///
/// Milliseconds because tokio's timers have that grain: a finer moment could be written down
/// but never waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The run's start.
    pub const START: Moment = Moment(0);

    /// The moment `millis` after the run's start.
    pub fn from_millis(millis: u64) -> Moment {
        Moment(millis)
    }

    /// Milliseconds since the run's start.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// This moment and `later` more, rounded up to a whole millisecond.
    pub fn plus(self, later: Duration) -> Moment {
        Moment(self.0 + later.as_nanos().div_ceil(1_000_000) as u64)
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds since 1970, as SQS writes its time stamps.
    pub fn epoch_millis(self) -> u64 {
        EPOCH_SECS * 1000 + self.0
    }

    /// The moment at this many milliseconds since 1970; `None` before the run's start.
    pub fn from_epoch_millis(millis: i64) -> Option<Moment> {
        let since = millis.checked_sub_unsigned(EPOCH_SECS * 1000)?;
        u64::try_from(since).ok().map(Moment)
    }

    /// Seconds since 1970, as DynamoDB's TTL attribute counts.
    pub fn epoch_secs(self) -> u64 {
        EPOCH_SECS + self.0 / 1000
    }
}

/// Virtual time since a run's start, read from tokio's clock, which the run's runtime pauses
/// and moves on whenever nothing is left to do.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: tokio::time::Instant::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }

    /// The same moment as tokio counts it.
    pub fn instant(&self, moment: Moment) -> tokio::time::Instant {
        self.start + Duration::from_millis(moment.0)
    }

    /// Returns when `moment` has come.
    pub async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.instant(moment)).await;
    }
}

/// How wrong the clock of one machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// By how many milliseconds it is ahead (behind, if negative).
    pub millis: i64,
    /// When it is set, and how wrong it is from then on.
    pub step: Option<(Moment, i64)>,
}

impl Skew {
    /// A clock that is right.
    pub const NONE: Skew = Skew { millis: 0, step: None };

    fn at(self, now: Moment) -> i64 {
        match self.step {
            Some((at, millis)) if at <= now => millis,
            _ => self.millis,
        }
    }
}

/// The wall clock of one machine of the cloud: the virtual clock and how wrong this machine has it.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    clock: Clock,
    skew: Skew,
}

impl WallClock {
    /// A wall clock that is wrong by `skew`.
    pub fn new(clock: Clock, skew: Skew) -> WallClock {
        WallClock { clock, skew }
    }
}

impl TimeSource for WallClock {
    fn now(&self) -> SystemTime {
        let now = self.clock.now();
        let millis = now.epoch_millis().saturating_add_signed(self.skew.at(now));
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }
}
