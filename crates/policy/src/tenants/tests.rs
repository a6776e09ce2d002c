use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_000_000_000 + millis).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn an_appointment_is_read_as_it_is_written() {
    let appointment = Appointment { at: at(617), missed: 2 };
    let text = appointment.to_string();
    assert_eq!(text, "its tenant's turn comes at 2026-11-18T11:06:40.617Z, missed before: 2");
    assert_eq!(text.parse(), Ok(appointment));
    for other in ["", "no answer within 30 s", &text[..text.len() - 1], &text[1..]] {
        assert_eq!(other.parse::<Appointment>(), Err(NoAppointment), "{other}");
    }
}

#[test]
fn what_a_received_call_does() {
    let soon = ms(617);
    let due = |millis| Some(Appointment { at: at(millis), missed: 0 });
    let early = due(1_001).map(Received::Waits).unwrap();
    for (appointment, free_at, expected) in [
        (None, None, Received::Goes),
        (None, Some(at(-5)), Received::Goes),
        (None, Some(at(617)), Received::Goes),
        (None, Some(at(618)), Received::Joins),
        // Whoever has an appointment asks all the same.
        (due(-60_000), Some(at(3_000_000)), Received::Goes),
        (due(1_000), Some(at(3_000_000)), Received::Goes),
        (due(1_001), None, early),
    ] {
        let came = received(at(0), appointment, free_at, soon);
        assert_eq!(came, expected, "{appointment:?}, {free_at:?}");
    }
}

#[test]
fn the_more_urgent_a_call_the_further_ahead_it_takes_a_moment() {
    let within = |priority, missed| patience(priority, missed, ms(617)).within.as_millis();
    use Priority::{Batch, High, Normal};
    assert_eq!([Batch, Normal, High].map(|priority| within(priority, 0)), [60, 677, 1_294]);
    // Who has paid is as urgent as the next.
    assert_eq!(
        [0, 1, 2, 3, 4, 400].map(|missed| within(Batch, missed)),
        [60, 677, 1_294, 1_911, 2_528, 2_528]
    );
    // A slot is not held for ever, however slow the tenant's limit is.
    let slow = patience(High, 400, Duration::from_secs(600));
    assert!(slow.in_hand < Duration::from_secs(5), "{slow:?}");
}

#[test]
fn a_line_is_deserted_when_its_meter_is_idle_for_longer_than_requests_take() {
    for (idle_for, apart, expected) in [
        (ms(0), ms(617), false),
        (ms(5_000), ms(617), false),
        (ms(5_001), ms(617), true),
        (ms(18_000), ms(6_000), false),
        (ms(18_001), ms(6_000), true),
        // A quota alone has no interval.
        (ms(5_001), ms(0), false),
    ] {
        assert_eq!(is_deserted(idle_for, apart), expected, "{idle_for:?}, {apart:?}");
    }
}

#[test]
fn a_wait_that_sqs_cannot_hide_is_parted_evenly() {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    for (ahead, at_once) in [(0, 0), (1, 1), (11, 11), (12, 6), (22, 11), (24, 8), (33, 11)] {
        assert_eq!(hidden_at_once(hours(ahead)), hours(at_once), "{ahead} h");
    }
}

proptest! {
    /// However long the wait, it is over after as few parts as SQS allows.
    #[test]
    fn a_long_wait_is_over_after_few_parts(secs in 0_u64..=864_000) {
        let mut left = Duration::from_secs(secs);
        let mut parts = 0;
        while !left.is_zero() {
            let hidden = hidden_at_once(left);
            prop_assert!(hidden <= LONGEST_HIDDEN && !hidden.is_zero(), "{hidden:?}");
            left -= hidden;
            parts += 1;
        }
        prop_assert_eq!(parts, secs.div_ceil(LONGEST_HIDDEN.as_secs()));
    }

    #[test]
    fn a_call_is_visible_shortly_before_its_moment(millis in 0_u64..50_000_000) {
        let hidden = Hidden::until(ms(millis));
        prop_assert!(hidden.after < Duration::from_secs(1));
        prop_assert_eq!(hidden.seconds.subsec_nanos(), 0);
        prop_assert!(hidden.seconds.as_secs() >= 1);
        let visible = hidden.after + hidden.seconds;
        match millis {
            // SQS hides for a second at least.
            0..1_050 => prop_assert_eq!(visible, Duration::from_secs(1)),
            _ => prop_assert_eq!(visible, hidden_at_once(ms(millis) - VISIBLE_EARLIER)),
        }
    }
}

/// What a call is in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Of a noisy tenant, of which each has its number; received for the first time or not.
    Noisy {
        tenant: u32,
        has_appointment: bool,
    },
    Quiet,
}

/// A queue and its slots, in milliseconds. Of what is visible, the one that was sent first is served
/// first, and what came back is served before all of these: the worst for who is quiet. A fair queue
/// serves quiet calls first.
struct Model {
    beside: Beside,
    fair: bool,
    /// By the moment at which it is visible.
    hidden: BTreeMap<(u64, u64), Kind>,
    visible: BTreeMap<(u8, u64), Kind>,
    /// When each slot is free.
    slots: Vec<u64>,
    /// When each noisy tenant's line ends.
    lines: BTreeMap<u32, u64>,
    sent: u64,
}

impl Model {
    fn new(beside: Beside, fair: bool, starts: &[u64]) -> Self {
        let mut model = Model {
            beside,
            fair,
            hidden: BTreeMap::new(),
            visible: BTreeMap::new(),
            slots: (0..beside.slots.get() as usize)
                .map(|slot| starts[slot % starts.len()])
                .collect(),
            lines: BTreeMap::new(),
            sent: 0,
        };
        for call in 0..beside.ahead {
            let tenant = call % beside.noisy;
            model.send(0, Kind::Noisy { tenant, has_appointment: false });
        }
        model
    }

    fn send(&mut self, at: u64, kind: Kind) {
        self.sent += 1;
        self.hidden.insert((at, self.sent), kind);
    }

    fn rank(&self, kind: Kind) -> u8 {
        match kind {
            Kind::Quiet if self.fair => 0,
            Kind::Noisy { has_appointment: true, .. } => 1,
            Kind::Noisy { .. } | Kind::Quiet => 2,
        }
    }

    /// The next call that a slot takes, and when.
    fn next(&mut self) -> (u64, Kind) {
        let free_at = *self.slots.iter().min().unwrap();
        let now = match self.visible.is_empty() {
            true => free_at.max(self.hidden.first_key_value().map_or(free_at, |((at, _), _)| *at)),
            false => free_at,
        };
        while let Some(entry) = self.hidden.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, sent), kind) = entry.remove_entry();
            self.visible.insert((self.rank(kind), sent), kind);
        }
        (now, self.visible.pop_first().unwrap().1)
    }

    /// Goes on until the quiet call is taken, and says when that is.
    fn quiet_is_taken_at(&mut self) -> u64 {
        let (put_off, service) =
            (self.beside.put_off.as_millis() as u64, self.beside.service.as_millis() as u64);
        loop {
            let (now, kind) = self.next();
            let busy = match kind {
                Kind::Quiet => return now,
                Kind::Noisy { has_appointment: true, .. } => service,
                Kind::Noisy { tenant, .. } => {
                    let line = self.lines.entry(tenant).or_insert(now);
                    let appointment = (*line).max(now);
                    *line = appointment + self.beside.apart.as_millis() as u64;
                    self.send(appointment, Kind::Noisy { tenant, has_appointment: true });
                    put_off
                }
            };
            let slot = self.slots.iter_mut().min().unwrap();
            *slot = now + busy;
        }
    }
}

proptest! {
    #[test]
    fn a_quiet_tenants_call_waits_no_longer_than_is_said(
        slots in 1_u32..20,
        flood in 0_u32..2_000,
        noisy in 1_u32..4,
        put_off in 1_u64..100,
        apart in 50_u64..5_000,
        service in 1_u64..2_000,
        comes_at in 0_u64..30_000,
        starts in prop::collection::vec(0_u64..2_000, 1..20),
        fair: bool,
    ) {
        let slots = NonZeroU32::new(slots).unwrap();
        let beside = Beside {
            slots,
            ahead: flood,
            put_off: ms(put_off),
            noisy,
            apart: ms(apart),
            service: ms(service),
        };
        let starts: Vec<u64> = starts.into_iter().map(|start| start.min(service)).collect();
        let mut model = Model::new(beside, fair, &starts);
        model.send(comes_at, Kind::Quiet);
        let waited = model.quiet_is_taken_at() - comes_at;
        // Behind a fair queue none of those that were never put off is before it.
        let ahead = if fair { 0 } else { flood };
        if let Some(longest) = longest_quiet_wait(&Beside { ahead, ..beside }) {
            prop_assert!(ms(waited) <= longest, "{waited} ms, not {longest:?}");
        }
    }
}

/// The bar: 5,000 calls of one noisy tenant, two a second, beside twenty slots.
#[test]
fn the_bound_in_figures() {
    let beside = Beside {
        slots: NonZeroU32::new(20).unwrap(),
        ahead: 5_000,
        put_off: ms(40),
        noisy: 1,
        apart: ms(617),
        service: ms(800),
    };
    let secs = |beside| longest_quiet_wait(&beside).map(|wait| wait.as_secs_f64());
    assert!((11.0..12.0).contains(&secs(beside).unwrap()), "{:?}", secs(beside));
    // Fair queues leave nothing of it but a call's own time.
    assert!(secs(Beside { ahead: 0, ..beside }).unwrap() < 1.0);
    // Twenty noisy tenants keep twenty slots busy.
    assert_eq!(secs(Beside { noisy: 20, ..beside }), None);
}
