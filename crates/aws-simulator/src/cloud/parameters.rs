//! What nobody has found in writing about AWS. A fact that is documented, or was measured and
//! reported, is a constant beside the code that it rules. What is *(unconfirmed)* stands here, with
//! the range over which a result has to hold.

/// One unconfirmed fact.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its name in scenario files and on the command line; the unit is in the name.
    pub name: &'static str,
    /// The lowest value thought possible.
    pub low: f64,
    /// The value a run uses unless told otherwise.
    pub default: f64,
    /// The highest value thought possible.
    pub high: f64,
    /// What it says.
    pub meaning: &'static str,
    /// Whether it plays a part only when something goes wrong, or when nothing happens for minutes.
    pub rare: bool,
}

/// The unconfirmed facts, by position in [`FACTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// First pause of a mapping after a throttled delivery.
    ThrottleBackoffFirst,
    /// Longest pause of a mapping between two tries of a throttled delivery.
    ThrottleBackoffCap,
    /// Time between two changes of a mapping's poller count.
    PollerRampInterval,
    /// Chance that one short poll does not see one visible message.
    ShortPollMiss,
    /// Whether a message that became visible again is served before younger ones.
    ReturnedFirst,
    /// Chance that a delete by a stale receipt handle deletes.
    StaleDeleteDeletes,
    /// Whether SendTaskHeartbeat on a task without HeartbeatSeconds tells that nobody waits.
    HeartbeatTells,
    /// Idle life of a Lambda environment.
    EnvironmentIdle,
    /// Pause of a poller after its function failed.
    FunctionErrorPause,
    /// Time from an invocation's answer until its slot takes the next one.
    SlotReleaseLag,
    /// Time until Lambda first tries to run an asynchronous invocation that it has taken.
    EventDelay,
    /// How late DynamoDB deletes an expired item.
    TtlLag,
    /// Chance that a request on its way when its process dies still arrives.
    OrphanArrives,
    /// Whether a queue serves the group with the fewest messages in flight first.
    FairQueues,
}

/// Every unconfirmed fact with its range.
pub const FACTS: [Fact; 14] = [
    Fact {
        name: "throttle_backoff_first_ms",
        low: 50.0,
        default: 200.0,
        high: 1_000.0,
        meaning: "first pause of an event source mapping after a throttled delivery; it doubles",
        rare: false,
    },
    Fact {
        name: "throttle_backoff_cap_ms",
        low: 2_000.0,
        default: 5_000.0,
        high: 10_000.0,
        meaning: "longest pause of an event source mapping between two tries of a throttled delivery",
        rare: false,
    },
    Fact {
        name: "poller_ramp_interval_ms",
        low: 1_000.0,
        default: 10_000.0,
        high: 60_000.0,
        meaning: "time between two changes of an event source mapping's poller count",
        rare: false,
    },
    Fact {
        name: "short_poll_miss",
        low: 0.0,
        default: 0.05,
        high: 0.5,
        meaning: "chance that one short poll does not see one visible message",
        rare: false,
    },
    Fact {
        name: "returned_first",
        low: 0.0,
        default: 0.0,
        high: 1.0,
        meaning: "1: a message that became visible again is served in the order of its sending, 0: last",
        rare: false,
    },
    Fact {
        name: "stale_delete_deletes",
        low: 0.0,
        default: 0.0,
        high: 1.0,
        meaning: "chance that DeleteMessage with a stale receipt handle deletes the message",
        rare: true,
    },
    Fact {
        name: "heartbeat_tells",
        low: 0.0,
        default: 1.0,
        high: 1.0,
        meaning: "1: SendTaskHeartbeat on a task without HeartbeatSeconds says when nobody waits, 0: it always succeeds",
        rare: true,
    },
    Fact {
        name: "environment_idle_ms",
        low: 120_000.0,
        default: 300_000.0,
        high: 900_000.0,
        meaning: "idle life of a Lambda environment",
        rare: true,
    },
    Fact {
        name: "function_error_pause_ms",
        low: 0.0,
        default: 1_000.0,
        high: 10_000.0,
        meaning: "pause of a poller after its function failed",
        rare: true,
    },
    Fact {
        name: "slot_release_lag_ms",
        low: 0.0,
        default: 2.0,
        high: 50.0,
        meaning: "time from an invocation's answer until its slot takes the next one",
        rare: false,
    },
    Fact {
        name: "event_delay_ms",
        low: 1.0,
        default: 50.0,
        high: 1_000.0,
        meaning: "time until Lambda first tries to run an asynchronous invocation",
        rare: false,
    },
    Fact {
        name: "ttl_lag_ms",
        low: 1_000.0,
        default: 600_000.0,
        high: 172_800_000.0,
        meaning: "how late DynamoDB deletes an item that has expired",
        rare: true,
    },
    Fact {
        name: "orphan_arrives",
        low: 0.0,
        default: 0.5,
        high: 1.0,
        meaning: "chance that a request on its way when its process dies still arrives",
        rare: true,
    },
    Fact {
        name: "fair_queues",
        low: 0.0,
        default: 0.0,
        high: 1.0,
        meaning: "1: a queue serves the tenant with the fewest messages in flight first, 0: it takes no notice of tenants",
        rare: false,
    },
];

/// A value for every unconfirmed fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters([f64; FACTS.len()]);

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters(FACTS.map(|fact| fact.default))
    }
}

impl Parameters {
    /// The value of one fact.
    pub fn get(&self, fact: Unconfirmed) -> f64 {
        self.0[fact as usize]
    }

    /// The value of one fact that is a time.
    pub fn duration(&self, fact: Unconfirmed) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.get(fact) / 1000.0)
    }

    /// Sets the fact of this name.
    ///
    /// # Errors
    /// The name is unknown, or the value is outside the fact's range.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), Error> {
        let position = FACTS
            .iter()
            .position(|fact| fact.name == name)
            .ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let fact = FACTS[position];
        if !(fact.low..=fact.high).contains(&value) {
            return Err(Error::OutOfRange { fact, given: value });
        }
        self.0[position] = value;
        Ok(())
    }
}

/// Why a parameter was not set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no parameter of this name.
    #[error("no parameter is called {0:?}")]
    Unknown(String),
    /// The value is not thought possible.
    #[error("{} is {} to {}, not {given}", fact.name, fact.low, fact.high)]
    OutOfRange {
        /// The fact with its range.
        fact: Fact,
        /// The value.
        given: f64,
    },
}
