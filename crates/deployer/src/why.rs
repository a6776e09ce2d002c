//! Why one call waits: for a slot, for those before it, or for something to be put right.

use crate::clock::now;
use crate::outputs::Deployed;
use crate::status::Status;
use crate::text;
use crate::unresolved::CallName;
use crate::whereabouts::Whereabouts;
use aws_config::SdkConfig;
use jiff::Timestamp;
use serde::Serialize;
use slowlane_message::Priority;
use std::fmt;
use std::time::Duration;

/// Why a call waits, as far as can be told from outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The call's idempotency key.
    pub key: String,
    /// Where the call is, in a sentence.
    pub now: String,
    /// Whether it waits at all. If it does not, there is nothing below.
    pub waits: bool,
    /// What keeps calls from running, the gravest first. Empty: it only waits for its turn.
    pub because: Vec<String>,
    /// The calls that may be made before it: those of its own queue and of the higher ones. `None`
    /// where its priority or a queue's depth is not known.
    pub ahead: Option<u64>,
    /// Before this moment no limit lets it go, if those before it go first (RFC 3339). `None` where no
    /// limit says so.
    pub not_before: Option<String>,
    /// In how long about it may be made: at the pace of the last minutes, and not before the limits let
    /// it go. `None` if there was no pace and no limit says. Where calls are paused, it is counted from
    /// the moment at which they are made again.
    pub estimate_secs: Option<u64>,
    /// Whether calls are made at all, or somebody has paused them.
    #[serde(skip)]
    paused: bool,
    /// What could not be found out, in words.
    pub not_answered: Vec<String>,
}

impl Why {
    /// Asks about a call. Logs are read from `window` ago; the pace is that of the last `pace`.
    pub async fn of(
        config: &SdkConfig,
        deployed: &Deployed,
        name: &CallName,
        window: Duration,
        pace: Duration,
    ) -> (Self, Whereabouts) {
        let call = Whereabouts::of(config, deployed, name, window).await;
        let mut why = Self {
            key: name.key.to_string(),
            now: call.summary(),
            waits: call.waits(),
            because: Vec::new(),
            ahead: None,
            not_before: None,
            estimate_secs: None,
            paused: false,
            not_answered: call.not_answered().to_vec(),
        };
        if why.waits {
            let status = Status::of(config, deployed, pace).await;
            why.not_answered.extend(status.not_answered.iter().cloned());
            why.add(&status, call.priority());
            let appointment = call.appointment().filter(|appointment| appointment.at > now());
            why.waits_for_tenant(appointment.map(|appointment| appointment.at), now());
        }
        (why, call)
    }

    /// The call waits in its tenant's line, until its turn comes there.
    fn waits_for_tenant(&mut self, turn: Option<Timestamp>, now: Timestamp) {
        let Some(turn) = turn else { return };
        self.because.push(format!("its tenant's limit: its turn comes at {turn:.0}"));
        let secs = turn.duration_since(now).as_secs().unsigned_abs();
        self.not_before = self.not_before.take().max(Some(format!("{turn:.0}")));
        self.estimate_secs = self.estimate_secs.max(Some(secs));
    }

    fn add(&mut self, status: &Status, priority: Option<Priority>) {
        self.because = status.holds_calls_up();
        self.paused = status.shut.is_some();
        self.ahead = priority.and_then(|priority| ahead(status, priority));
        let pace = status.recent.as_ref().map(|recent| (recent.ended(), recent.secs));
        let by_pace = match (self.ahead, pace) {
            (Some(ahead), Some((ended @ 1.., secs))) => Some(ahead.max(1) * secs / ended),
            _ => None,
        };
        let limits = status.standing.as_ref();
        // A call whose priority is not known is not before the next one.
        let by_limits = limits.and_then(|limits| {
            let moment = limits.not_before(self.ahead.unwrap_or(0))?;
            Some((moment.to_string(), limits.secs_until(moment)))
        });
        let (not_before, secs) = by_limits.unzip();
        self.not_before = not_before;
        self.estimate_secs = by_pace.max(secs);
    }
}

/// The calls of the priority and of the higher ones that wait; the call itself is among them.
fn ahead(status: &Status, priority: Priority) -> Option<u64> {
    let mut others = 0;
    for queue in &status.queues {
        others += queue.depth?.waiting;
        if queue.priority == priority {
            return Some(others.saturating_sub(1));
        }
    }
    None
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.now)?;
        if !self.waits {
            return Ok(());
        }
        match &self.because[..] {
            [] => write!(f, "\n\nnothing holds calls up: it waits for its turn")?,
            several => write!(f, "\n\nwhat holds calls up\n  {}", several.join("\n  "))?,
        }
        if let Some(ahead) = self.ahead {
            let ahead = text::count(ahead, "call");
            write!(f, "\n\nbefore it, at most {ahead} of its own queue and the higher ones")?;
            match self.estimate_secs {
                Some(secs) => {
                    let estimate = text::span(Duration::from_secs(secs));
                    let from = if self.paused { " once calls are made again" } else { "" };
                    write!(f, ": about {estimate}{from}, as far as pace and limits tell")?;
                }
                None => write!(f, "; no call has ended in the last minutes to tell the pace by")?,
            }
        }
        if let Some(moment) = &self.not_before {
            write!(f, "\n\nno limit lets it go before {moment}")?;
        }
        if !self.not_answered.is_empty() {
            write!(f, "\n\nnot answered\n  {}", self.not_answered.join("\n  "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::Depth;
    use crate::status::{Queue, Recent};

    fn status(high: u64, normal: u64, batch: u64) -> Status {
        let queue = |(priority, waiting)| Queue {
            priority,
            depth: Some(Depth { waiting, ..Depth::default() }),
        };
        let waiting = Priority::ALL.into_iter().zip([high, normal, batch]);
        Status {
            queues: waiting.map(queue).collect(),
            rings: Some(Depth { received: 5, ..Depth::default() }),
            recent: Some(Recent {
                secs: 300,
                outcomes: [("succeeded".into(), 600), ("retried".into(), 50)].into(),
                ..Recent::default()
            }),
            ..Status::quiet()
        }
    }

    fn why(status: &Status, priority: Option<Priority>) -> Why {
        let mut why = Why {
            key: "order-1".into(),
            now: "it was queued".into(),
            waits: true,
            because: Vec::new(),
            ahead: None,
            not_before: None,
            estimate_secs: None,
            paused: false,
            not_answered: Vec::new(),
        };
        why.add(status, priority);
        why
    }

    #[test]
    fn what_is_before_it_is_its_own_queue_and_the_higher_ones() {
        for (priority, ahead, secs) in
            [(Priority::High, 9, 4), (Priority::Normal, 59, 29), (Priority::Batch, 1059, 529)]
        {
            let why = why(&status(10, 50, 1000), Some(priority));
            assert_eq!((why.ahead, why.estimate_secs), (Some(ahead), Some(secs)), "{priority}");
        }
        let unknown = why(&status(10, 50, 1000), None);
        assert_eq!((unknown.ahead, unknown.estimate_secs), (None, None));
    }

    #[test]
    fn one_that_waits_in_its_tenants_line_has_its_turn_there() {
        let mut why = why(&status(0, 0, 10), Some(Priority::Batch));
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        let before = why.clone();
        why.waits_for_tenant(None, now);
        assert_eq!(why, before);
        why.waits_for_tenant(Some(now + Duration::from_secs(3_600)), now);
        let told = why.to_string();
        assert!(
            told.contains("its tenant's limit: its turn comes at 2026-11-18T12:06:40Z"),
            "{told}"
        );
        assert!(told.contains("no limit lets it go before 2026-11-18T12:06:40Z"), "{told}");
        assert_eq!(why.estimate_secs, Some(3_600));
    }

    #[test]
    fn it_is_told_in_words() {
        let mut busy = status(0, 0, 1000);
        busy.dead_letters = Some(3);
        let told = why(&busy, Some(Priority::Batch)).to_string();
        assert!(told.contains("1000 calls waiting for a turn: all 5 slots are awake"), "{told}");
        assert!(told.contains("at most 999 calls"), "{told}");
        assert!(told.contains("about 8 min 19 s, as far as pace"), "{told}");
        assert!(!told.contains("dead letter"), "they hold nothing up: {told}");

        busy.shut = Some("paused by ada: a release".into());
        let told = why(&busy, Some(Priority::Batch)).to_string();
        assert!(told.contains("about 8 min 19 s once calls are made again, as"), "{told}");

        let mut still = status(0, 0, 1);
        still.recent = Some(Recent { secs: 300, ..Recent::default() });
        still.rings = Some(Depth { waiting: 1, ..Depth::default() });
        let told = why(&still, Some(Priority::Batch)).to_string();
        assert!(told.contains("nothing holds calls up: it waits for its turn"), "{told}");
        assert!(told.contains("no call has ended in the last minutes"), "{told}");
    }
}
