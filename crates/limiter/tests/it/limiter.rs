//! The limiter as programs use it, on the store in memory and on one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use slowlane_limiter::{
    AimdRules, Author, Change, Clock, Control, ControlRules, Decision, Entered, Entry, Error,
    FailureKind, Fallback, Grant, Horizon, Ledger, LimitKey, Limiter, Margin, MemoryStore, Meter,
    Moment, Overrides, Quota, Rate, Reason, Record, Refund, Refusal, Report, Reservation, Reserve,
    Settings, SlotId, Standing, Store, StoreError, Units, Waiting,
};

use crate::{START, millis, seconds, slot};

/// A fleet in one test: a clock that it moves, and a store that counts and can be taken away.
#[derive(Clone)]
struct World {
    now: Arc<AtomicU64>,
    store: Flaky,
}

#[derive(Clone, Default)]
struct Flaky {
    sound: MemoryStore,
    is_down: Arc<AtomicBool>,
    is_contended: Arc<AtomicBool>,
    requests: Arc<AtomicU32>,
}

impl Clock for World {
    fn now(&self) -> SystemTime {
        Moment(self.now.load(Ordering::Relaxed)).into()
    }
}

impl World {
    fn new() -> Self {
        Self { now: Arc::new(AtomicU64::new(START.as_micros())), store: Flaky::default() }
    }

    fn limiter(&self, name: &str, settings: Settings) -> Limiter<Flaky> {
        let settings = Settings { clock: Arc::new(self.clone()), ..settings };
        let limit = LimitKey::new("crm").unwrap();
        Limiter::new(self.store.clone(), limit, slot(name), settings).unwrap()
    }

    fn passes(&self, time: Duration) {
        self.now.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    fn store_is_down(&self, down: bool) {
        self.store.is_down.store(down, Ordering::Relaxed);
    }

    fn requests(&self) -> u32 {
        self.store.requests.swap(0, Ordering::Relaxed)
    }
}

impl Flaky {
    fn request(&self) -> Result<&MemoryStore, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(StoreError::Failed("it is down".into())),
            false => Ok(&self.sound),
        }
    }
}

impl Store for Flaky {
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, StoreError> {
        if self.is_contended.load(Ordering::Relaxed) {
            return Err(StoreError::Contended { attempts: 5 });
        }
        self.request()?.reserve(limit, reserve).await
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), StoreError> {
        self.request()?.refund(limit, refund).await
    }

    async fn undo(
        &self,
        limit: &LimitKey,
        before: &Meter,
        after: &Meter,
    ) -> Result<bool, StoreError> {
        self.request()?.undo(limit, before, after).await
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, StoreError> {
        self.request()?.ledger(limit).await
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, StoreError> {
        self.request()?.replace_ledger(limit, ledger).await
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, StoreError> {
        self.request()?.meter(limit).await
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, StoreError> {
        self.request()?.record(limit).await
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, StoreError> {
        self.request()?.control(limit, control).await
    }

    async fn enter(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        entry: Entry,
    ) -> Result<Record, StoreError> {
        self.request()?.enter(limit, slot, entry).await
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), StoreError> {
        self.request()?.leave(limit, slot, if_lapsed_before).await
    }
}

/// One call each 100 ms.
fn ten_a_second() -> Settings {
    let rates = vec![Rate::new(10, seconds(1))];
    Settings {
        rates,
        margin: Margin { lateness: millis(50), ..Margin::NONE },
        ..Settings::default()
    }
}

async fn granted(limiter: &Limiter<Flaky>) -> Grant {
    match limiter.grant(1).await.unwrap() {
        Decision::Granted(grant) => grant,
        Decision::Refused(waiting) => panic!("{waiting:?}"),
    }
}

async fn refused(limiter: &Limiter<Flaky>) -> Waiting {
    match limiter.grant(1).await.unwrap() {
        Decision::Granted(grant) => panic!("{grant:?}"),
        Decision::Refused(waiting) => waiting,
    }
}

fn by() -> Author {
    Author::new("ada", "maintenance")
}

#[tokio::test]
async fn two_processes_share_a_rate_and_each_call_is_one_write() {
    let world = World::new();
    let (a, b) = (world.limiter("a", ten_a_second()), world.limiter("b", ten_a_second()));
    let mut moments = vec![];
    for limiter in [&a, &b, &a] {
        let grant = granted(limiter).await;
        assert_eq!(grant.void_at(), grant.at().plus(millis(50)));
        moments.push(grant.at().since(START).as_millis());
    }
    // (1 s + 50 ms) / 10.
    assert_eq!(moments, [0, 105, 210]);
    assert_eq!(world.requests(), 2 + 3, "a read at the start of each, and a write a call");
    let waiting = refused(&b).await;
    assert_eq!(waiting.reason, Reason::NoGrant { limit: "10/s".into() });
    assert_eq!(waiting.until, Some(START.plus(millis(15))), "300 ms before its moment");
    world.passes(seconds(2));
    granted(&a).await;
    assert_eq!(world.requests(), 1 + 2, "and a read a second, beside it");
    assert_eq!((a.stats().grants, b.stats().refusals), (3, 1));
}

#[tokio::test]
async fn without_a_rate_a_call_costs_no_request() {
    let world = World::new();
    let limiter = world.limiter("a", Settings::default());
    for _ in 0..5 {
        assert_eq!(granted(&limiter).await.at(), START);
    }
    limiter.answered("order-1", millis(200)).await;
    assert_eq!(world.requests(), 1, "the first read of the control record");
}

#[tokio::test]
async fn a_grant_that_is_not_used_is_given_back_if_it_is_the_last() {
    let world = World::new();
    let limiter = world.limiter("a", ten_a_second());
    let (first, second) = (granted(&limiter).await, granted(&limiter).await);
    let at = second.at();
    assert!(!limiter.give_back(first).await, "somebody has reserved behind it");
    assert!(limiter.give_back(second).await);
    assert_eq!(granted(&limiter).await.at(), at);
}

fn tokens() -> Settings {
    Settings {
        // A token each millisecond.
        rates: vec![Rate::tokens(10_000, seconds(10), 1_000)],
        quotas: vec![Quota::every(20_000, seconds(1 << 20)).in_units(1_000)],
        margin: Margin::NONE,
        horizon: Horizon::Fixed(seconds(2)),
        ..Settings::default()
    }
}

#[tokio::test]
async fn tokens_are_reserved_and_settled() {
    let world = World::new();
    let limiter = world.limiter("a", tokens());
    let Decision::Granted(first) = limiter.grant(1_000).await.unwrap() else { panic!() };
    let due = async || limiter.standings().await.unwrap().meter;
    assert_eq!(due().await.due, [START.plus(seconds(1))]);
    limiter.settle(&first, 300).await.unwrap();
    assert_eq!(due().await.due, [START.plus(millis(300))]);
    assert_eq!(due().await.spent[0].units, 300);
    let Decision::Granted(second) = limiter.grant(1_000).await.unwrap() else { panic!() };
    world.requests();
    limiter.settle(&second, 1_000).await.unwrap();
    assert_eq!(world.requests(), 0, "as reserved: nothing to do");
    let Decision::Granted(third) = limiter.grant(1_000).await.unwrap() else { panic!() };
    limiter.settle(&third, 1_200).await.unwrap();
    assert_eq!(due().await.spent[0].units, 2_500, "also what was more");
    let error = limiter.grant(1_001).await.unwrap_err();
    assert!(error.is_call_too_large(), "{error}");
    assert!(limiter.takes(Units::up_to(1_001)).unwrap_err().is_call_too_large());
    limiter.takes(Units::about(900, 3)).unwrap();
}

#[tokio::test]
async fn a_call_is_fitted_into_its_turn_and_waits_for_its_own_units() {
    let world = World::new();
    let limiter = world.limiter("a", tokens());
    // The window is full but for 500.
    for units in [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 500] {
        let ask = limiter.reserve_units(Units { expected: 1, most: units }).await.unwrap();
        assert!(matches!(ask, Decision::Granted(_)));
    }
    let turn = async || match limiter.turn(100).await.unwrap() {
        Decision::Granted(turn) => turn,
        Decision::Refused(waiting) => panic!("{waiting:?}"),
    };
    let first = turn().await;
    let at = first.at();
    let fits = limiter.fit(first, Units::about(100, 3), seconds(1)).await.unwrap();
    let Decision::Granted(fitted) = fits else { panic!("{fits:?}") };
    assert_eq!((fitted.at(), fitted.units()), (at, 300), "there was room: the turn's moment");
    let second = turn().await;
    let waits = limiter.fit(second, Units::about(100, 3), seconds(1)).await.unwrap();
    let Decision::Refused(waiting) = waits else { panic!("{waits:?}") };
    assert_eq!(
        waiting.until,
        Some(START.plus(seconds(9))),
        "a second before the window has passed"
    );
    let later = limiter.fit(turn().await, Units::about(100, 3), seconds(10)).await.unwrap();
    let Decision::Granted(later) = later else { panic!("{later:?}") };
    assert_eq!(later.at(), START.plus(seconds(10)));
    assert_eq!(limiter.granted_until(), later.at());
    // What is given back, or settled to less, is there for others at once.
    assert!(limiter.give_back(later).await);
    limiter.settle(&fitted, 100).await.unwrap();
    let again = limiter.fit(turn().await, Units::about(100, 3), seconds(1)).await.unwrap();
    assert!(matches!(again, Decision::Granted(_)), "{again:?}");
}

#[tokio::test]
async fn a_call_counts_as_one_where_calls_are_counted() {
    let world = World::new();
    let settings = Settings {
        rates: vec![Rate::new(10, seconds(1)), Rate::tokens(10_000, seconds(10), 1_000)],
        quotas: vec![Quota::daily(2, "UTC")],
        margin: Margin::NONE,
        horizon: Horizon::Fixed(seconds(2)),
        ..Settings::default()
    };
    let limiter = world.limiter("a", settings);
    for call in 0..2 {
        let Decision::Granted(turn) = limiter.turn(10).await.unwrap() else { panic!() };
        let fits = limiter.fit(turn, Units::up_to(10), seconds(1)).await.unwrap();
        let Decision::Granted(fitted) = fits else { panic!("{fits:?}") };
        assert_eq!(fitted.at(), START.plus(millis(100) * call));
        limiter.settle(&fitted, 7).await.unwrap();
    }
    let meter = limiter.standings().await.unwrap().meter;
    assert_eq!(meter.due, [START.plus(millis(200)), START.plus(millis(14))]);
    let Decision::Refused(waiting) = limiter.turn(10).await.unwrap() else { panic!() };
    assert!(matches!(waiting.reason, Reason::QuotaSpent { .. }), "{waiting:?}");
}

#[tokio::test]
async fn units_are_kept_by_shares_when_the_store_is_down() {
    let world = World::new();
    let settings = Settings { fallback: Fallback::Split(2), quotas: vec![], ..tokens() };
    let limiter = world.limiter("a", settings);
    world.store_is_down(true);
    let Decision::Granted(turn) = limiter.turn(100).await.unwrap() else { panic!() };
    assert!(turn.is_by_fallback());
    let fits = limiter.fit(turn, Units::up_to(500), seconds(60)).await.unwrap();
    let Decision::Granted(fitted) = fits else { panic!("{fits:?}") };
    let next = limiter.reserve_units(Units::up_to(500)).await.unwrap();
    let Decision::Granted(next) = next else { panic!("{next:?}") };
    let apart = next.at().since(fitted.at());
    // As the pace without a memory has it, for half of 10,000 in 10 s.
    assert!(apart >= seconds(1), "{apart:?}");
    limiter.settle(&next, 100).await.unwrap();
    world.store_is_down(false);
    assert!(
        !matches!(limiter.turn(1).await.unwrap(), Decision::Granted(turn) if turn.is_by_fallback())
    );
}

#[tokio::test]
async fn a_quota_is_named_when_it_is_spent_and_when_a_call_is_larger() {
    let world = World::new();
    let quotas = vec![Quota::daily(2, "UTC")];
    let limiter = world.limiter("a", Settings { quotas, ..Settings::default() });
    granted(&limiter).await;
    granted(&limiter).await;
    let waiting = refused(&limiter).await;
    assert_eq!(waiting.reason, Reason::QuotaSpent { limit: "a quota of 2".into() });
    assert_eq!(waiting.until.unwrap().to_string(), "2027-01-16T00:00:00Z");
    let quotas = vec![Quota::daily(2, "UTC").in_units(2)];
    let limiter = world.limiter("b", Settings { quotas, ..Settings::default() });
    let error = limiter.grant(3).await.unwrap_err();
    assert!(error.is_call_too_large(), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "a call of 3 units is larger than the largest that the quota takes, 2");
}

#[tokio::test]
async fn several_grants_a_write() {
    let world = World::new();
    let limiter = world.limiter("a", ten_a_second());
    let grants = limiter.grants(1, 5).await.unwrap().unwrap();
    let moments: Vec<_> = grants.iter().map(|grant| grant.at().since(START).as_millis()).collect();
    assert_eq!(moments, [0, 105, 210, 315, 420]);
    assert_eq!(world.requests(), 2);
}

#[tokio::test]
async fn a_pause_holds_everybody_within_a_second_and_when_the_store_is_gone() {
    let world = World::new();
    let (a, b) = (world.limiter("a", ten_a_second()), world.limiter("b", ten_a_second()));
    granted(&b).await;
    a.change(&Change::Pause { until: None }, &by()).await.unwrap();
    assert_eq!(refused(&a).await.reason, Reason::Paused { by: by() });
    world.passes(seconds(1));
    // The grant that is asked for beside the read is the last.
    granted(&b).await;
    assert_eq!(refused(&b).await.reason, Reason::Paused { by: by() });
    world.store_is_down(true);
    world.passes(seconds(3600));
    assert_eq!(refused(&b).await.reason, Reason::Paused { by: by() }, "it stays closed");
    world.store_is_down(false);
    b.change(&Change::Resume, &Author::new("bo", "done")).await.unwrap();
    world.passes(seconds(1));
    granted(&a).await;
    let record = a.standings().await.unwrap().record;
    let who: Vec<_> = record.control.changes.iter().map(|change| change.by.who.as_str()).collect();
    assert_eq!(who, ["ada", "bo"]);
}

#[tokio::test]
async fn limits_are_changed_live_and_checked_first() {
    let world = World::new();
    let limiter = world.limiter("a", ten_a_second());
    let set = |rates| Change::SetLimits { limits: Overrides { rates, ..Overrides::default() } };
    let wrong = limiter.change(&set(Some(vec![Rate::new(0, seconds(1))])), &by()).await;
    assert!(matches!(wrong, Err(Error::Rate { .. })));
    limiter.change(&set(Some(vec![Rate::new(5, seconds(1))])), &by()).await.unwrap();
    granted(&limiter).await;
    assert_eq!(granted(&limiter).await.at(), START.plus(millis(210)));
    limiter.change(&set(None), &by()).await.unwrap();
    assert_eq!(limiter.standings().await.unwrap().rates, [Rate::new(10, seconds(1))]);
}

#[tokio::test]
async fn when_the_store_is_down_each_keeps_its_share_and_the_metric_says_so() {
    let world = World::new();
    let settings = Settings { fallback: Fallback::Split(2), ..ten_a_second() };
    let limiters = ["a", "b"].map(|name| world.limiter(name, settings.clone()));
    world.store_is_down(true);
    let mut moments = vec![];
    for limiter in &limiters {
        for _ in 0..2 {
            let grant = granted(limiter).await;
            assert!(grant.is_by_fallback());
            moments.push(grant.at().since(START).as_millis());
        }
        let stats = limiter.stats();
        assert_eq!((stats.fallback_grants, stats.store_failures), (2, 3));
    }
    assert_eq!(moments, [210, 420, 210, 420], "half the rate each, after what the store granted");
    let from = START.plus(seconds(30));
    let later = limiters[0].reserve_from(from, seconds(1)).await.unwrap();
    assert!(matches!(later, Decision::Granted(grant) if grant.at() == from), "not before");
    let Entered::Permit(mut permit) = limiters[0].enter().await.unwrap() else { panic!() };
    world.passes(seconds(60));
    assert_eq!(permit.keep().await.unwrap(), Standing::Stays, "work goes on");
    limiters[0].answered("order-1", millis(200)).await;
    let refuses = Settings { fallback: Fallback::Refuse, ..ten_a_second() };
    assert_eq!(refused(&world.limiter("c", refuses)).await.reason, Reason::StoreDown);
}

/// The moments that each still holds of its share do not come on top of what the store grants.
#[tokio::test]
async fn when_the_store_is_back_what_was_taken_of_the_shares_is_counted() {
    let world = World::new();
    let quotas = vec![Quota::daily(10, "UTC")];
    let settings = Settings { fallback: Fallback::Split(2), quotas, ..ten_a_second() };
    let limiters = ["a", "b"].map(|name| world.limiter(name, settings.clone()));
    world.store_is_down(true);
    for limiter in &limiters {
        granted(limiter).await;
        assert_eq!(granted(limiter).await.at(), START.plus(millis(420)));
    }
    world.passes(millis(420));
    world.store_is_down(false);
    let mut moments = vec![];
    for limiter in [&limiters[0], &limiters[1], &limiters[0]] {
        let grant = granted(limiter).await;
        assert!(!grant.is_by_fallback());
        moments.push(grant.at().since(START).as_millis());
        world.passes(millis(150));
    }
    assert_eq!(
        moments,
        [420, 630, 765],
        "half of what each share has yet to wait out comes on top"
    );
    let spent = limiters[0].standings().await.unwrap().meter.spent[0].units;
    assert_eq!(spent, 7, "two calls of each share, and three");
    world.requests();
    granted(&limiters[1]).await;
    assert_eq!(world.requests(), 1, "it is counted once");
}

#[tokio::test]
async fn who_loses_against_too_many_others_takes_no_share_beside_them() {
    let world = World::new();
    let limiter = world.limiter("a", ten_a_second());
    world.store.is_contended.store(true, Ordering::Relaxed);
    let waiting = refused(&limiter).await;
    assert!(matches!(waiting.reason, Reason::NoGrant { .. }), "{waiting:?}");
    assert_eq!(waiting.until, Some(START.plus(millis(50))));
}

#[tokio::test]
async fn a_retry_after_holds_the_whole_fleet() {
    let world = World::new();
    let (a, b) = (world.limiter("a", ten_a_second()), world.limiter("b", ten_a_second()));
    granted(&a).await;
    granted(&b).await;
    let report = Report::Throttled { retry_after: Some(seconds(30)), latency: millis(20) };
    a.report("order-1", &report).await;
    world.passes(seconds(1));
    b.refresh().await;
    for limiter in [&a, &b] {
        let waiting = refused(limiter).await;
        assert_eq!(
            waiting,
            Waiting { reason: Reason::RetryAfter, until: Some(START.plus(seconds(30))) }
        );
    }
    world.passes(seconds(29));
    granted(&b).await;
}

#[tokio::test]
async fn a_breaker_opens_for_all_elects_one_probe_and_closes_for_all() {
    let world = World::new();
    let limiters = ["a", "b", "c"].map(|name| world.limiter(name, ten_a_second()));
    let [a, b, c] = &limiters;
    for limiter in &limiters {
        granted(limiter).await;
    }
    let failed = Report::Failed { kind: FailureKind::Credentials };
    a.report("order-1", &failed).await;
    // Its view is older than that: the write is made again from the newer record.
    b.report("order-2", &failed).await;
    world.passes(seconds(1));
    c.refresh().await;
    let reason = Reason::BreakerOpen { kind: FailureKind::Credentials };
    assert_eq!(refused(c).await.reason, reason);
    world.passes(seconds(5));
    let (first, second) = (a.grant(1).await.unwrap(), b.grant(1).await.unwrap());
    let Decision::Granted(probe) = first else { panic!("{first:?}") };
    assert_eq!(probe.probe(), Some(FailureKind::Credentials));
    assert!(matches!(second, Decision::Refused(_)), "{second:?}");
    assert!(matches!(a.grant(1).await.unwrap(), Decision::Refused(_)), "one call");
    a.answered("order-1", millis(200)).await;
    world.passes(seconds(20));
    for limiter in &limiters {
        limiter.refresh().await;
        granted(limiter).await;
    }
}

#[tokio::test]
async fn a_probe_that_is_not_used_is_free_for_the_next() {
    let world = World::new();
    let (a, b) = (world.limiter("a", ten_a_second()), world.limiter("b", ten_a_second()));
    let failed = Report::Failed { kind: FailureKind::Connection };
    a.report("order-1", &failed).await;
    a.report("order-2", &failed).await;
    world.passes(seconds(5));
    let probe = granted(&a).await;
    a.give_back(probe).await;
    assert_eq!(granted(&b).await.probe(), Some(FailureKind::Connection));
}

#[tokio::test]
async fn permits_are_as_many_as_may_be_and_come_free() {
    let world = World::new();
    let settings = Settings { ceiling: 2, ..Settings::default() };
    let limiters = ["a", "b", "c"].map(|name| world.limiter(name, settings.clone()));
    let mut permits = vec![];
    for limiter in &limiters[..2] {
        let Entered::Permit(permit) = limiter.enter().await.unwrap() else { panic!() };
        permits.push(permit);
    }
    let Entered::Refused(waiting) = limiters[2].enter().await.unwrap() else { panic!() };
    assert_eq!(waiting.reason, Reason::NoSlot { live: 2, limit: 2 });
    permits.pop().unwrap().leave().await.unwrap();
    let Entered::Permit(third) = limiters[2].enter().await.unwrap() else { panic!() };

    // Lowered live: the youngest stands down within a second.
    let limits = Overrides { concurrency: Some(1), ..Overrides::default() };
    limiters[0].change(&Change::SetLimits { limits }, &by()).await.unwrap();
    world.passes(seconds(1));
    let mut kept = [permits.pop().unwrap(), third];
    let mut standings = vec![];
    for permit in &mut kept {
        standings.push(permit.keep().await.unwrap());
    }
    let stands_down = Standing::StandsDown { live: 2, limit: 1 };
    assert_eq!(standings.iter().filter(|standing| **standing == Standing::Stays).count(), 1);
    assert!(standings.contains(&stands_down), "{standings:?}");

    // Killed: what they held comes free with their leases, and is tidied away.
    drop(kept);
    world.passes(seconds(25));
    let Entered::Permit(last) = limiters[1].enter().await.unwrap() else { panic!() };
    let register = limiters[1].standings().await.unwrap().record.register;
    assert_eq!(register.slots.len(), 1, "{register:?}");
    last.leave().await.unwrap();
}

#[tokio::test]
async fn a_permit_is_renewed_once_in_a_third_of_its_lease() {
    let world = World::new();
    let limiter = world.limiter("a", Settings::default());
    let Entered::Permit(mut permit) = limiter.enter().await.unwrap() else { panic!() };
    world.requests();
    for _ in 0..100 {
        world.passes(millis(100));
        assert_eq!(permit.keep().await.unwrap(), Standing::Stays);
    }
    assert!((9..=11).contains(&world.requests()), "a request a second, reads and writes");
    assert!(permit.lease_until() > limiter.now().plus(seconds(6)));
}

#[tokio::test]
async fn an_adaptive_limit_is_found_together() {
    let world = World::new();
    let adaptive = Some(AimdRules::up_to(10));
    let rules = ControlRules { adaptive, ..ControlRules::default() };
    let settings = Settings { rules, ..Settings::default() };
    let (a, b) = (world.limiter("a", settings.clone()), world.limiter("b", settings));
    granted(&b).await;
    world.passes(seconds(1));
    let report = Report::Throttled { retry_after: None, latency: millis(20) };
    a.report("order-1", &report).await;
    assert!(matches!(a.grant(1).await.unwrap(), Decision::Refused(_)), "it stands back itself");
    b.refresh().await;
    granted(&b).await;
    assert_eq!(b.standings().await.unwrap().concurrency, 7);
}

/// Two stacks on one name, each with a ceiling of its own: the sum never passes the limit but for a second
/// after it was lowered, and what a stack leaves behind that is stopped comes free with its leases.
#[tokio::test]
async fn two_stacks_on_one_name_share_their_calls_at_once() {
    let world = World::new();
    let rules = ControlRules { concurrency: Some(4), breaker: None, ..ControlRules::default() };
    let settings = Settings { ceiling: 1_000, rules, ..Settings::default() };
    let of = |stack: &str| {
        let slots = (1..=4).map(|slot| world.limiter(&format!("{stack}/{slot}"), settings.clone()));
        slots.collect::<Vec<_>>()
    };
    let (first, second) = (of("first"), of("second"));
    let mut permits = Vec::new();
    for limiter in first[..2].iter().chain(&second) {
        if let Entered::Permit(permit) = limiter.enter().await.unwrap() {
            permits.push(permit);
        }
        world.passes(millis(10));
    }
    assert_eq!(permits.len(), 4, "two of each");

    let limits = Overrides { concurrency: Some(3), ..Overrides::default() };
    let by = Author::new("ada", "the vendor asked");
    first[3].change(&Change::SetLimits { limits }, &by).await.unwrap();
    world.passes(seconds(1));
    let mut stay = Vec::new();
    for mut permit in permits {
        match permit.keep().await.unwrap() {
            Standing::Stays => stay.push(permit),
            Standing::StandsDown { .. } => permit.leave().await.unwrap(),
        }
    }
    assert_eq!(stay.len(), 3, "the youngest stands down, whose it is");

    // The second stack is stopped: its slot does not leave. It counts until its lease is over.
    drop(stay.pop());
    let Entered::Refused(waiting) = first[2].enter().await.unwrap() else { panic!() };
    assert_eq!(waiting.reason, Reason::NoSlot { live: 3, limit: 3 });
    for _ in 0..5 {
        world.passes(settings.lease / 5);
        for permit in &mut stay {
            assert_eq!(permit.keep().await.unwrap(), Standing::Stays);
        }
    }
    world.passes(settings.margin.skew * 2);
    let Entered::Permit(_) = first[2].enter().await.unwrap() else {
        panic!("what the other has left is not free")
    };
    assert!(matches!(first[3].enter().await.unwrap(), Entered::Refused(_)));
}
