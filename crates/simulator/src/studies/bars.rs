//! What the default dispatch promises, checked on the rows of a comparison.

use comfy_table::{Table, presets};

use super::bench::{DEFAULT, PUBLISHED};
use crate::report::Row;

/// One promise, and the row that comes nearest to breaking it.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What is promised, for which rows.
    pub promise: String,
    /// The figure that may not be passed.
    pub bound: f64,
    /// The worst figure, and where it was.
    pub worst: f64,
    /// The unconfirmed facts of the worst row.
    pub facts: String,
    /// Whether the promise is kept.
    pub kept: bool,
    /// How many rows it was looked for in, and how many of them break it.
    pub rows: (usize, usize),
    /// The worst figure of the pattern as first published, on smaller floods of the same make.
    pub published: f64,
}

/// Which way is better.
#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

/// Checks every promise that the rows can tell of: those of the flood over the unconfirmed facts.
pub fn check(swept: &[Row]) -> Vec<Bar> {
    use Better::{Less, More};
    let mut bars = Vec::new();
    for (latency_ms, least) in [(1_000.0, 0.98), (200.0, 0.95)] {
        let promise = format!("utilisation at limit 5, calls of {latency_ms} ms");
        let rows = move |row: &Row| row.limit == 5 && row.latency_ms == latency_ms;
        bars.extend(bar(swept, promise, More, least, rows, |row| row.utilisation));
    }
    for latency_ms in [200.0, 1_000.0] {
        for limit in [5, 10, 20] {
            let rows = move |row: &Row| row.limit == limit && row.latency_ms == latency_ms;
            let on = format!("at limit {limit}, calls of {latency_ms} ms");
            let p99 = format!("HIGH wait {on}: p99 in service times");
            let p50 = format!("HIGH wait {on}: p50 in service times");
            let times = |millis: u64, row: &Row| millis as f64 / row.latency_ms;
            bars.extend(bar(swept, p99, Less, 1.15, rows, |row| times(row.wait_ms.high.p99, row)));
            bars.extend(bar(swept, p50, Less, 0.6, rows, |row| times(row.wait_ms.high.p50, row)));
        }
    }
    let any = |_: &Row| true;
    let none = [
        ("429s by its own doing, limits 1 to 20", (|row| row.http_429 as f64) as fn(&Row) -> f64),
        ("healthy calls in the dead-letter queue", |row| row.healthy_in_dlq as f64),
        ("calls made twice", |row| row.duplicates as f64),
        ("calls that did not succeed", |row| (row.calls - row.succeeded) as f64),
        ("broken invariants", |row| row.violations as f64),
    ];
    for (promise, figure) in none {
        bars.extend(bar(swept, promise.to_owned(), Less, 0.0, any, figure));
    }
    bars
}

fn bar(
    swept: &[Row],
    promise: String,
    better: Better,
    bound: f64,
    rows: impl Fn(&Row) -> bool,
    figure: impl Fn(&Row) -> f64,
) -> Option<Bar> {
    let of = |strategy: &'static str| {
        swept.iter().filter(|row| rows(row)).filter(move |row| row.strategy == strategy)
    };
    let order = |a: &f64, b: &f64| match better {
        Better::More => b.total_cmp(a),
        Better::Less => a.total_cmp(b),
    };
    let keeps = |value: f64| order(&value, &bound).is_le();
    let worst = of(DEFAULT.name()).max_by(|a, b| order(&figure(a), &figure(b)))?;
    let published = of(PUBLISHED.name()).map(&figure).max_by(order)?;
    let broken = of(DEFAULT.name()).filter(|row| !keeps(figure(row))).count();
    Some(Bar {
        promise,
        bound,
        worst: figure(worst),
        facts: worst.facts.clone(),
        kept: broken == 0,
        rows: (of(DEFAULT.name()).count(), broken),
        published,
    })
}

/// The bars as a table for people.
pub fn table(bars: &[Bar]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "promise",
        "bar",
        "worst",
        "where",
        "runs",
        "of them below the bar",
        "kept",
        "deferral-yield at worst",
    ]);
    for bar in bars {
        table.add_row([
            bar.promise.clone(),
            bar.bound.to_string(),
            figure(bar.worst),
            bar.facts.clone(),
            bar.rows.0.to_string(),
            bar.rows.1.to_string(),
            (if bar.kept { "yes" } else { "NO" }).to_owned(),
            figure(bar.published),
        ]);
    }
    table
}

/// Whole numbers as such, others with three digits.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
