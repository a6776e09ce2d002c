//! What is watched: the one list that the template's alarms, its dashboard and the index of the
//! runbooks are made from.
//!
//! - [`ALARMS`]: what somebody is told about, each with its page in `docs/runbooks`;
//! - [`PANELS`]: what the dashboard shows. Each metric that an alarm watches is in one of them.
//!
//! Both are made of [`Metric`]s of this stack. The worker prints some
//! (`crates/worker/src/metrics.rs`). AWS has the others, of a queue, a function, a mapping, a table
//! and a workflow. [`yaml`] writes them as they stand in `infra/template.yaml`; `cargo xtask
//! template` puts them there, and a test compares.
//!
//! An alarm costs $0.10 a month for each metric that it reads, a dashboard $3 (us-east-1, 2026-11).

mod alarms;
pub mod math;
pub mod metrics;
mod panels;
pub mod yaml;

pub use alarms::ALARMS;
pub use panels::PANELS;

use metrics::Metric;

/// A condition of which somebody is told.
#[derive(Debug, Clone, Copy)]
pub struct Alarm {
    /// Its name in the template, and that of its runbook. The alarm itself is called
    /// `STACK-NAME`.
    pub name: &'static str,
    /// What is the matter, in one sentence without a full stop.
    pub tells: &'static str,
    /// What is watched.
    pub signal: Signal,
    /// How often it is looked at, and over how long a time each value is taken.
    pub period_secs: u32,
    /// How many periods in a row it must be so.
    pub periods: u32,
    /// From which value on it is so.
    pub at_least: Threshold,
}

/// A value in time.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// A metric as it is.
    Metric(Metric),
    /// An expression in CloudWatch's metric math over metrics that it names.
    Expression {
        /// Up to ten metrics, each by the name that the expression has for it.
        of: &'static [(&'static str, Metric)],
        /// In CloudWatch's metric math.
        expression: &'static str,
    },
}

/// From where on a value is an alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// A number.
    Number(u32),
    /// The value of a parameter of the template.
    Parameter(&'static str),
    /// A number of the template's mapping `ByApiTimeout`.
    ByApiTimeout(&'static str),
}

/// A part of the dashboard.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Its heading, with the unit.
    pub title: &'static str,
    /// Its lines, each with its label.
    pub lines: &'static [(&'static str, Line)],
    /// A level to compare the lines with: its label, and the parameter of the template that says it.
    pub level: Option<(&'static str, &'static str)>,
}

/// A line of a [`Panel`].
#[derive(Debug, Clone, Copy)]
pub enum Line {
    /// A metric.
    Metric(Metric),
    /// One line for each outcome that calls of the stack have had, by CloudWatch's search.
    CallsByOutcome,
}

impl Alarm {
    /// The metrics that it reads, each of which is paid for.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> {
        let (one, several): (_, &[_]) = match self.signal {
            Signal::Metric(metric) => (Some(metric), &[]),
            Signal::Expression { of, .. } => (None, of),
        };
        one.into_iter().chain(several.iter().map(|(_, metric)| *metric))
    }

    /// What is compared with [`at_least`](Self::at_least), of the values that its metrics have in a
    /// period; `None` where there is no value, which raises no alarm.
    ///
    /// # Errors
    /// If its expression is not understood here.
    pub fn value(
        &self,
        of_metric: impl Fn(&Metric) -> Option<f64>,
    ) -> Result<Option<f64>, math::NotUnderstood> {
        match self.signal {
            Signal::Metric(metric) => Ok(of_metric(&metric)),
            Signal::Expression { of, expression } => math::value(expression, &|name| {
                let (_, metric) = of.iter().find(|(known, _)| *known == name)?;
                of_metric(metric)
            }),
        }
    }

    /// After how many seconds it begins, counted from when the condition does. CloudWatch looks
    /// at whole periods, so it is up to one more than [`periods`](Self::periods); and metrics of
    /// Lambda and SQS are a minute or two late.
    pub fn begins_within_secs(&self) -> u32 {
        self.period_secs * (self.periods + 1)
    }
}
