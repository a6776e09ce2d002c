//! Limits as people write them.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use proptest::prelude::*;
use slowlane_limiter::{Limit, Limits, Margin, Measure, Quota, Rate, Scope, Weights, Window};

use crate::{millis, seconds};

fn read(text: &str) -> Limits {
    Limits::from_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn only(text: &str) -> Limit {
    read(&format!("[{text}]"))[0].clone()
}

#[test]
fn each_kind_is_read() {
    let limits = read(
        r#"[{"rate": "100/20s"}, {"rate": "2/s", "per": "tenant"}, {"quota": "15000/1d"},
            {"concurrency": 20, "name": "org"}, {"adaptive": true, "per": "tenant"}]"#,
    );
    let units = |units| NonZeroU64::new(units).unwrap();
    let rate = |of, per| Measure::Rate { units: units(of), per, bucket: None, largest: None };
    let day = seconds(86_400);
    let expected = [
        (rate(100, seconds(20)), Scope::Target),
        (rate(2, seconds(1)), Scope::Tenant),
        (Measure::Quota { units: units(15_000), per: day, largest: None }, Scope::Target),
        (Measure::Concurrency(NonZeroU32::new(20).unwrap()), Scope::Shared("org".into())),
        (Measure::Adaptive, Scope::Tenant),
    ];
    let read: Vec<_> = limits.iter().map(|limit| (limit.measure, limit.scope.clone())).collect();
    assert_eq!(read, expected);
    assert!(Limits::from_json("[]").unwrap().is_empty());
    assert_eq!(Limits::default().to_json(), "[]");
}

#[test]
fn a_limit_becomes_the_rate_or_the_quota_to_keep() {
    let minute = seconds(60);
    assert_eq!(only(r#"{"rate": "100/1m"}"#).rate(), Some(Rate::new(100, minute)));
    let tokens = only(r#"{"rate": "30000/1m", "largest": 4000}"#);
    assert_eq!(tokens.rate(), Some(Rate::tokens(30_000, minute, 4_000)));
    let bucket = only(r#"{"rate": "2/s", "bucket": 40}"#);
    assert_eq!(bucket.rate(), Some(Rate::bucket(40, 2, seconds(1))));
    let points = only(r#"{"rate": "50/s", "bucket": 1000, "largest": 200}"#).rate().unwrap();
    assert_eq!((points.largest, points.carry), (200, 0));
    assert_eq!(points.window, Window::Bucket { capacity: 1_000 });
    let daily = only(r#"{"quota": "15000/1d"}"#);
    assert_eq!(daily.quota(), Some(Quota::every(15_000, seconds(86_400))));
    assert_eq!((daily.rate(), tokens.quota()), (None, None));
    assert_eq!(only(r#"{"adaptive": true}"#).rate(), None);
}

#[test]
fn a_tenant_with_a_weight_has_so_many_times_as_much() {
    let text = r#"[{"rate":"2/s","bucket":40,"per":"tenant","weights":{"acme":3}}]"#;
    let limits = read(text);
    assert_eq!(limits.to_json(), text);
    let weight = limits.weights()["acme"];
    let rate = limits.of_tenants().rates().pop().unwrap().times(weight);
    assert_eq!(rate, Rate::bucket(120, 6, seconds(1)));
    assert_eq!(Quota::daily(5, "UTC").times(weight).units, 15);
    assert!(limits.of_tenants().weights().is_empty(), "they count once");
}

#[test]
fn a_call_counts_once_or_by_its_units() {
    let calls = only(r#"{"rate": "100/20s"}"#);
    let tokens = only(r#"{"rate": "30000/1m", "largest": 4000}"#);
    let budget = only(r#"{"quota": "1000000/1d", "largest": 4000}"#);
    let of_call = NonZeroU32::new(1_800);
    assert_eq!((calls.units(of_call), calls.units(None)), (1, 1));
    for limit in [tokens, budget] {
        assert_eq!((limit.units(of_call), limit.units(None)), (1_800, 4_000), "{limit}");
    }
}

#[test]
fn a_mistake_names_its_entry_and_its_field() {
    let one_thing = "limits[1]: a limit is one thing; write one of `rate`, `quota`, `concurrency` \
                     and `adaptive` in each entry";
    let no_rate = |text: &str| {
        format!(
            "limits[1].rate: `{text}` is no number of calls in a span of time; write `100/20s` or \
             `15000/1d`"
        )
    };
    let span = |text: &str| {
        format!(
            "limits[1].rate: a limit's span of time has 1 ms to 366 days; write another in `{text}`"
        )
    };
    for (text, told) in [
        (
            r#"[{"rate": "2/s"}, {"rate": "100 in 20s"}]"#,
            no_rate("100 in 20s").replace("[1]", "[2]"),
        ),
        (r#"[{"rate": "0/20s"}]"#, no_rate("0/20s")),
        (r#"[{"rate": "100/20"}]"#, no_rate("100/20")),
        (r#"[{"rate": "100/-20s"}]"#, no_rate("100/-20s")),
        (r#"[{"rate": "100/0s"}]"#, span("100/0s")),
        (r#"[{"rate": "100/367d"}]"#, span("100/367d")),
        (r#"[{"rate": "100/20us"}]"#, span("100/20us")),
        (r#"[{"quota": "1/1d", "rate": "2/s"}]"#, one_thing.to_owned()),
        (r"[{}]", one_thing.to_owned()),
        (
            r#"[{"rate": "100/20s", "largest": 4000}]"#,
            "limits[1]: the largest call, the burst and what settling carries are 4000 units \
             together, more than the 100 that the API takes at once; raise the rate, or lower them"
                .to_owned(),
        ),
        (
            r#"[{"quota": "100/1d", "largest": 4000}]"#,
            "limits[1]: one call is more than the whole quota; lower `largest`".to_owned(),
        ),
        (
            r#"[{"concurrency": 5, "bucket": 5}]"#,
            "limits[1]: a bucket fills at a rate; write `bucket` beside `rate`".to_owned(),
        ),
        (
            r#"[{"concurrency": 5, "largest": 5}]"#,
            "limits[1]: only a rate or a quota counts units; write `largest` beside one of them"
                .to_owned(),
        ),
        (
            r#"[{"rate": "2/s", "name": "crm/acme"}]"#,
            "limits[1]: a shared limit cannot have this name; write 1 to 64 letters, digits, `.`, \
             `_` and `-`"
                .to_owned(),
        ),
        (
            r#"[{"rate": "2/s", "weights": {"acme": 3}}]"#,
            "limits[1]: only tenants have weights; write `weights` beside `per = \"tenant\"`"
                .to_owned(),
        ),
        (
            r#"[{"rate": "2/s", "per": "tenant", "weights": {"acme": 0}}]"#,
            "limits[1]: the weight of `acme` is 0; write 1 to 1000".to_owned(),
        ),
        (
            r#"[{"rate": "2/s", "per": "tenant", "weights": {"acme": 3}},
                {"quota": "9/1d", "per": "tenant", "weights": {"acme": 2}}]"#,
            "limits[2]: a tenant has one weight, and that of `acme` is 3 already".to_owned(),
        ),
        (
            r#"[{"adaptive": true}, {"concurrency": 5}, {"adaptive": true}]"#,
            "limits[3]: this `adaptive` is there already".to_owned(),
        ),
    ] {
        let error = Limits::from_json(text).unwrap_err().to_string();
        assert_eq!(error, told, "{text}");
    }
    for (text, begins) in [
        ("[{]", "this is no JSON: "),
        ("{}", "limits: "),
        (r#"[{"ratte": "2/s"}]"#, "limits[1].ratte: unknown field `ratte`"),
        (r#"[{"rate": 2}]"#, "limits[1].rate: invalid type"),
        (r#"[{"rate": "2/s", "per": "stage"}]"#, "limits[1].per: unknown variant `stage`"),
    ] {
        let error = Limits::from_json(text).unwrap_err().to_string();
        assert!(error.starts_with(begins), "{text}: {error}");
    }
}

/// Any limit that its numbers allow.
fn limits() -> impl Strategy<Value = Limit> {
    let units = || (1..=u64::MAX).prop_map(|units| NonZeroU64::new(units).unwrap());
    let few = || (1..=1_000_u64).prop_map(|units| NonZeroU64::new(units).unwrap());
    let per = || (1..=366 * 86_400_000_u64).prop_map(millis);
    let whole = || {
        (1..=366_u64).prop_flat_map(|n| {
            prop::sample::select(vec![1, 60, 3_600, 86_400])
                .prop_map(move |s| seconds(n * s).min(seconds(366 * 86_400)))
        })
    };
    let times = || prop_oneof![per(), whole()];
    let measure = prop_oneof![
        (units(), times(), proptest::option::of(few()), proptest::option::of(few())).prop_map(
            |(units, per, bucket, largest)| Measure::Rate { units, per, bucket, largest }
        ),
        (units(), times(), proptest::option::of(few()))
            .prop_map(|(units, per, largest)| Measure::Quota { units, per, largest }),
        (1..=u32::MAX).prop_map(|n| Measure::Concurrency(NonZeroU32::new(n).unwrap())),
        Just(Measure::Adaptive),
    ];
    let scope = prop_oneof![
        Just(Scope::Target),
        Just(Scope::Tenant),
        "[A-Za-z0-9._-]{1,64}".prop_map(Scope::Shared),
    ];
    let fits = |limit: &Limit| {
        let pace = limit.rate().map(|rate| rate.pace(&Margin::default()));
        let whole = match limit.measure {
            Measure::Quota { units, largest, .. } => largest.is_none_or(|one| one <= units),
            _ => true,
        };
        whole && pace.is_none_or(|pace| pace.is_ok())
    };
    let weight = (1..=1_000_u32).prop_map(|weight| NonZeroU32::new(weight).unwrap());
    let weights = proptest::collection::btree_map(".{0,8}", weight, 0..3);
    (measure, scope, weights)
        .prop_map(|(measure, scope, weights)| {
            let weights = if scope == Scope::Tenant { weights } else { Weights::new() };
            Limit { measure, scope, weights }
        })
        .prop_filter("its numbers contradict each other", fits)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(limits in proptest::collection::vec(limits(), 0..8)) {
        let Ok(limits) = Limits::try_from(limits) else { return Ok(()) };
        prop_assert_eq!(Limits::from_json(&limits.to_json()), Ok(limits.clone()));
        for limit in &*limits {
            let alone: Option<Limit> = serde_json::from_str(&limit.to_string()).ok();
            prop_assert_eq!(alone.as_ref(), Some(limit));
        }
    }

    #[test]
    fn reading_any_text_ends(text in ".{0,80}", per in "[0-9]{0,20}[a-z]{0,4}") {
        let _ = Limits::from_json(&text);
        let rate = format!("[{{\"rate\": \"7/{per}\"}}]");
        if let Ok(limits) = Limits::from_json(&rate) {
            prop_assert!(limits[0].rate().unwrap().per <= Duration::from_secs(366 * 86_400));
        }
    }
}
