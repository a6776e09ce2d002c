//! What every [`Store`] must do, as a suite that any store can run (feature `conformance`).
//!
//! ```
//! # async fn on_my_store() -> Result<(), Box<dyn std::error::Error>> {
//! use slowlane_limiter::{MemoryStore, conformance};
//!
//! // The namespace must be new to the store: every limit's name starts with it.
//! conformance::check(&MemoryStore::new(), "conformance-1").await?;
//! # Ok(())
//! # }
//! ```
//!
//! It takes about 600 requests. All times in it lie in the year 2100, so that a store's own tidying
//! does not reach them.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use futures::future::{join_all, try_join_all};

use crate::core::control::{Author, Change, Control};
use crate::core::ledger::{Ask, Ledger};
use crate::core::meter::{Meter, QuotaTerm, RateTerm, Refund, Reservation, Reserve, Spent};
use crate::core::rate::{Margin, Rate};
use crate::core::register::{Entry, Standing};
use crate::core::units::Units;
use crate::memory::MemoryStore;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::Store;

/// What a store did wrong.
#[derive(Debug, thiserror::Error)]
#[error("{case}: {problem}")]
pub struct Broken {
    /// The name of the check.
    pub case: &'static str,
    /// What was expected and what happened.
    pub problem: String,
}

/// Runs every check. `namespace` must be new to the store and a valid [`LimitKey`] of at most 64
/// bytes.
///
/// # Errors
/// What the store did wrong first, or that it failed.
pub async fn check<S: Store>(store: &S, namespace: &str) -> Result<(), Broken> {
    let suite = Suite { store, namespace };
    let named = |case| move |problem| Broken { case, problem };
    suite.walk().await.map_err(named("walk"))?;
    suite.settling().await.map_err(named("settling"))?;
    suite.undoing().await.map_err(named("undoing"))?;
    suite.many_at_once().await.map_err(named("many at once"))?;
    suite.versions().await.map_err(named("versions"))?;
    suite.ledger().await.map_err(named("ledger"))?;
    suite.register().await.map_err(named("register"))?;
    suite.newcomers().await.map_err(named("newcomers"))
}

/// 2100-01-01T00:00:00Z.
const EPOCH: Moment = Moment(4_102_444_800_000_000);

struct Suite<'a, S> {
    store: &'a S,
    namespace: &'a str,
}

impl<S: Store> Suite<'_, S> {
    /// Random reservations and refunds, each compared with what the rule says.
    async fn walk(&self) -> Result<(), String> {
        for seed in 0..6 {
            let mut random = Rng::with_seed(seed);
            let (rates, quotas) = [(1, 0), (1, 1), (2, 0), (3, 2), (0, 1), (1, 2)][seed as usize];
            let shape = Shape::random(&mut random, rates, quotas);
            let limit = self.limit(&format!("walk-{seed}"))?;
            let model = MemoryStore::new();
            let (mut now, mut granted) = (EPOCH, Vec::new());
            for step in 0..40 {
                now = now.plus_micros(random.u64(0..150_000));
                let at = format!("seed {seed}, step {step}");
                if let Some(refund) = shape.refund(&mut random, &granted) {
                    told(model.refund(&limit, &refund).await)?;
                    told(self.store.refund(&limit, &refund).await)?;
                } else {
                    let reserve = shape.reserve(&mut random, now);
                    let expected = told(model.reserve(&limit, &reserve).await)?;
                    let found = told(self.store.reserve(&limit, &reserve).await)?;
                    expect_eq(&at, &expected, &found)?;
                    granted.extend(found.ok());
                }
                let expected = told(model.meter(&limit).await)?;
                expect_eq(&at, &expected, &told(self.store.meter(&limit).await)?)?;
            }
        }
        Ok(())
    }

    /// What was used beyond the estimate counts, what was not is given back, also to a limit that
    /// knows nothing of it.
    async fn settling(&self) -> Result<(), String> {
        let limit = self.limit("settling")?;
        let reserve = one_rate(EPOCH, 1_000, 100);
        told(self.store.refund(&limit, &back(500)).await)?;
        expect_eq("never taken", &Meter::default(), &told(self.store.meter(&limit).await)?)?;
        let granted = told(self.store.reserve(&limit, &reserve).await)?;
        expect_eq("the first", &Some(EPOCH), &granted.ok().map(|granted| granted.at))?;
        let more =
            Reserve { overdraw: true, horizon: Duration::ZERO, ..one_rate(EPOCH, 50_000, 0) };
        let more = told(self.store.reserve(&limit, &more).await)?;
        expect_eq("overdraft", &true, &more.is_ok())?;
        let refused = told(self.store.reserve(&limit, &reserve).await)?;
        let retry_at = refused.err().map(|refusal| refusal.retry_at);
        expect_eq("after it", &Some(EPOCH.plus_micros(51_000 - 100)), &retry_at)?;
        told(self.store.refund(&limit, &back(50_500)).await)?;
        let granted = told(self.store.reserve(&limit, &reserve).await)?;
        let at = granted.err().map(|refusal| refusal.retry_at);
        expect_eq("given back", &Some(EPOCH.plus_micros(500 - 100)), &at)
    }

    /// The last reservation can be undone, and only the last.
    async fn undoing(&self) -> Result<(), String> {
        let limit = self.limit("undoing")?;
        let quota = QuotaTerm { units: 1, limit: 9, resets_at: EPOCH.plus_micros(1 << 40) };
        let reserve = Reserve { quotas: vec![quota], ..one_rate(EPOCH, 1_000, 9_000) };
        let mut granted: Vec<Reservation> = Vec::new();
        for _ in 0..2 {
            granted.extend(told(self.store.reserve(&limit, &reserve).await)?);
        }
        let [first, second] = granted.as_slice() else {
            return Err(format!("not granted twice: {granted:?}"));
        };
        let undo = async |r: &Reservation| told(self.store.undo(&limit, &r.before, &r.after).await);
        expect_eq("not the last", &false, &undo(first).await?)?;
        expect_eq("the last", &true, &undo(second).await?)?;
        expect_eq("twice", &false, &undo(second).await?)?;
        expect_eq("the last now", &true, &undo(first).await?)?;
        let empty = told(self.store.meter(&limit).await)?;
        expect_eq("nothing is left", &Meter::default(), &empty)
    }

    /// As many as ask at the same time: each moment once, and no gap between them.
    async fn many_at_once(&self) -> Result<(), String> {
        let limit = self.limit("many")?;
        let reserve = one_rate(EPOCH, 1_000, 60_000_000);
        let mut moments = Vec::new();
        for _ in 0..3 {
            let asks = (0..10).map(|_| self.patiently(&limit, &reserve));
            moments.extend(try_join_all(asks).await?);
        }
        moments.sort_unstable();
        let expected: Vec<_> = (0..30).map(|call| EPOCH.plus_micros(call * 1_000)).collect();
        expect_eq("moments", &expected, &moments)
    }

    /// A store may give up against too many others; nothing was written then.
    async fn patiently(&self, limit: &LimitKey, reserve: &Reserve) -> Result<Moment, String> {
        loop {
            match self.store.reserve(limit, reserve).await {
                Ok(Ok(granted)) => return Ok(granted.at),
                Ok(Err(refusal)) => return Err(format!("refused: {refusal:?}")),
                Err(crate::store::Error::Contended { .. }) => {}
                Err(error) => return Err(format!("the store failed: {error:?}")),
            }
        }
    }

    /// A record is written over the version before it only.
    async fn versions(&self) -> Result<(), String> {
        let limit = self.limit("versions")?;
        expect_eq("none", &Control::default(), &self.control(&limit).await?)?;
        let by = Author::new("the suite", "a text with \"quotes\", ünïcode and\nlines");
        let first = Control::default().changed(EPOCH, &Change::Drain, &by);
        let second = first.changed(EPOCH, &Change::Pause { until: Some(EPOCH) }, &by);
        expect_eq("too new", &false, &told(self.store.control(&limit, &second).await)?)?;
        expect_eq("first", &true, &told(self.store.control(&limit, &first).await)?)?;
        let other = Control::default().changed(EPOCH, &Change::Resume, &by);
        expect_eq("other first", &false, &told(self.store.control(&limit, &other).await)?)?;
        expect_eq("second", &true, &told(self.store.control(&limit, &second).await)?)?;
        expect_eq("what is read", &second, &self.control(&limit).await?)?;
        let thirds = (0..8).map(|why| {
            let by = Author::new("one of eight", format!("{why}"));
            second.changed(EPOCH, &Change::Resume, &by)
        });
        let thirds: Vec<_> = thirds.collect();
        let stored = join_all(thirds.iter().map(|third| self.store.control(&limit, third))).await;
        let stored: Vec<_> = stored.into_iter().map(told).collect::<Result<_, _>>()?;
        let winners: Vec<_> = thirds.iter().zip(stored).filter(|(_, stored)| *stored).collect();
        let [(winner, _)] = winners.as_slice() else {
            return Err(format!("{} of eight were stored", winners.len()));
        };
        expect_eq("the winner", *winner, &self.control(&limit).await?)
    }

    /// A ledger is read as it was written, and of two that follow the same one, one is written.
    async fn ledger(&self) -> Result<(), String> {
        let limit = self.limit("ledger")?;
        let read = async || told(self.store.ledger(&limit).await);
        expect_eq("none", &Ledger::default(), &read().await?)?;
        let rate = Rate::tokens(60_000, Duration::from_secs(60), 4_000);
        let take = rate.take(Units::up_to(900), &Margin::default());
        let take = take.map_err(|error| error.to_string())?;
        let quota = QuotaTerm { units: 900, limit: 5_000, resets_at: EPOCH.plus_micros(1 << 40) };
        let ask = |now: Moment| Ask {
            now,
            horizon: Duration::MAX,
            rates: vec![take],
            quotas: vec![quota],
            instead_of: None,
        };
        let after = |ledger: &Ledger, call: u64| {
            let reserved = ledger.reserve(&ask(EPOCH.plus_micros(call * 1_000)));
            reserved.map(|(_, after)| after).map_err(|refusal| format!("{refusal:?}"))
        };
        let first = after(&Ledger::default(), 1)?;
        let second = after(&first, 2)?;
        let write = async |ledger| told(self.store.replace_ledger(&limit, ledger).await);
        expect_eq("too new", &false, &write(&second).await?)?;
        expect_eq("first", &true, &write(&first).await?)?;
        expect_eq("what is read", &first, &read().await?)?;
        expect_eq("first again", &false, &write(&first).await?)?;
        let seconds: Vec<_> = (2..6).map(|call| after(&first, call)).collect::<Result<_, _>>()?;
        let written = join_all(seconds.iter().map(write)).await;
        let written: Vec<_> = written.into_iter().collect::<Result<_, String>>()?;
        let winners: Vec<_> = seconds.iter().zip(written).filter(|(_, written)| *written).collect();
        let [(winner, _)] = winners.as_slice() else {
            return Err(format!("{} of four were written", winners.len()));
        };
        expect_eq("the winner", *winner, &read().await?)
    }

    async fn control(&self, limit: &LimitKey) -> Result<Control, String> {
        Ok(told(self.store.record(limit).await)?.control)
    }

    /// Slots enter, renew and leave, and nobody else's entry is touched.
    async fn register(&self) -> Result<(), String> {
        let limit = self.limit("register")?;
        let by = Author::new("the suite", "beside a control record");
        let control = Control::default().changed(EPOCH, &Change::Drain, &by);
        let entry = |lease| Entry { entered_at: EPOCH, lease_until: EPOCH.plus_micros(lease) };
        let (a, b) = (slot("a:b/c.d")?, slot("b")?);
        told(self.store.enter(&limit, &a, entry(10)).await)?;
        told(self.store.control(&limit, &control).await)?;
        let record = told(self.store.enter(&limit, &b, entry(20)).await)?;
        expect_eq("both", &2, &record.register.slots.len())?;
        expect_eq("beside", &control, &record.control)?;
        let record = told(self.store.enter(&limit, &a, entry(30)).await)?;
        expect_eq("renewed", &Some(&entry(30)), &record.register.slots.get(&a))?;
        let lapsed = Some(EPOCH.plus_micros(25));
        told(self.store.leave(&limit, &a, lapsed).await)?;
        told(self.store.leave(&limit, &b, lapsed).await)?;
        told(self.store.leave(&limit, &slot("unknown")?, lapsed).await)?;
        let record = told(self.store.record(&limit).await)?;
        let left: Vec<_> = record.register.slots.keys().collect();
        expect_eq("what lapsed is gone", &vec![&a], &left)?;
        told(self.store.leave(&limit, &a, None).await)?;
        told(self.store.leave(&limit, &a, None).await)?;
        let record = told(self.store.record(&limit).await)?;
        expect_eq("all are gone", &0, &record.register.slots.len())?;
        expect_eq("and nothing else", &control, &record.control)
    }

    /// Of many that enter at once, no more stay than may work.
    async fn newcomers(&self) -> Result<(), String> {
        let limit = self.limit("newcomers")?;
        let entry = Entry { entered_at: EPOCH, lease_until: EPOCH.plus_micros(10) };
        let slots: Vec<_> = (0..8).map(|id| slot(&id.to_string())).collect::<Result<_, _>>()?;
        let entered = join_all(slots.iter().map(|id| self.store.enter(&limit, id, entry))).await;
        let mut stay = 0;
        for (id, record) in slots.iter().zip(entered) {
            let admitted = told(record)?.register.admits(id, EPOCH, 3);
            stay += u32::from(admitted == Standing::Stays);
        }
        expect_eq("stay", &3, &stay)
    }

    fn limit(&self, name: &str) -> Result<LimitKey, String> {
        told(LimitKey::new(format!("{}/{name}", self.namespace)))
    }
}

/// A limit of a walk.
struct Shape {
    rates: Vec<RateTerm>,
    quotas: Vec<QuotaTerm>,
}

impl Shape {
    fn random(random: &mut Rng, rates: usize, quotas: usize) -> Self {
        let rate = |_| RateTerm {
            cost: Duration::from_micros(random.u64(20_000..90_000)),
            burst: Duration::from_micros(random.u64(0..2) * 100_000),
        };
        let rates = (0..rates).map(rate).collect();
        let quota = |_| QuotaTerm { units: 1, limit: 8, resets_at: EPOCH };
        Self { rates, quotas: (0..quotas).map(quota).collect() }
    }

    fn reserve(&self, random: &mut Rng, now: Moment) -> Reserve {
        let units = random.u64(1..4);
        let quotas = self.quotas.iter().enumerate().map(|(index, quota)| QuotaTerm {
            units,
            resets_at: now.plus_micros(700_000 + index as u64 * 100_000),
            ..*quota
        });
        let rates = self.rates.iter().map(|rate| RateTerm {
            cost: rate.cost.saturating_mul(u32::try_from(units).unwrap_or(1)),
            ..*rate
        });
        Reserve {
            now,
            horizon: Duration::from_micros(300_000),
            calls: random.u32(1..3),
            rates: rates.collect(),
            quotas: quotas.collect(),
            overdraw: random.u32(0..12) == 0,
        }
    }

    /// Once in a while, something that was granted before.
    fn refund(&self, random: &mut Rng, granted: &[Reservation]) -> Option<Refund> {
        let one = random.choice(granted).filter(|_| random.u32(0..4) == 0)?;
        let back = Duration::from_micros(random.u64(0..20_000));
        let units = random.u64(0..2);
        let quotas = one.after.spent.iter().map(|spent| Spent { units, ..*spent });
        Some(Refund { rates: vec![back; self.rates.len()], quotas: quotas.collect() })
    }
}

fn one_rate(now: Moment, cost: u64, horizon: u64) -> Reserve {
    let term = RateTerm { cost: Duration::from_micros(cost), burst: Duration::ZERO };
    let horizon = Duration::from_micros(horizon);
    Reserve { now, horizon, calls: 1, rates: vec![term], quotas: vec![], overdraw: false }
}

fn back(micros: u64) -> Refund {
    Refund { rates: vec![Duration::from_micros(micros)], quotas: vec![] }
}

fn slot(name: &str) -> Result<SlotId, String> {
    told(SlotId::new(name))
}

fn told<T, E: fmt::Debug>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("the store failed: {error:?}"))
}

fn expect_eq<T: PartialEq + fmt::Debug>(at: &str, expected: &T, found: &T) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{at}: expected {expected:?}, found {found:?}")),
    }
}
