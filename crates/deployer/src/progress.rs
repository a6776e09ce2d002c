use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Where a deploy tells what it does: a bar on a terminal, plain lines elsewhere, or nothing.
#[derive(Debug)]
pub struct Progress(To);

#[derive(Debug)]
enum To {
    Bar(ProgressBar),
    Lines,
    Nowhere,
}

impl Progress {
    /// On stderr: a bar if that is a terminal, else one line for each step.
    pub fn stderr() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(To::Lines);
        }
        let bar = ProgressBar::no_length();
        style(&bar, "{spinner} {elapsed}");
        // CloudFormation is silent for minutes while it works.
        bar.enable_steady_tick(Duration::from_secs(1));
        Self(To::Bar(bar))
    }

    /// Says nothing.
    pub fn hidden() -> Self {
        Self(To::Nowhere)
    }

    /// A step that is not a resource of the stack.
    pub(crate) fn say(&self, line: &str) {
        match &self.0 {
            To::Bar(bar) => bar.println(line),
            To::Lines => eprintln!("{line}"),
            To::Nowhere => {}
        }
    }

    /// A change of this many resources begins.
    pub(crate) fn begin(&self, resources: usize) {
        if let To::Bar(bar) = &self.0 {
            bar.reset();
            bar.set_length(resources as u64);
            style(bar, "{bar:30} {pos}/{len} {elapsed} {wide_msg}");
        }
    }

    /// A resource entered a status such as `CREATE_IN_PROGRESS` or `CREATE_COMPLETE`, so long after
    /// its first one.
    pub(crate) fn resource(
        &self,
        logical_id: &str,
        status: &str,
        took: Duration,
        reason: Option<&str>,
    ) {
        let reason = reason
            .filter(|text| !text.is_empty())
            .map(|text| format!(": {text}"))
            .unwrap_or_default();
        let line = format!("{status} {logical_id} ({} s){reason}", took.as_secs());
        match &self.0 {
            To::Bar(bar) if status.ends_with("_FAILED") => bar.println(line),
            To::Bar(bar) => {
                bar.set_message(format!("{status} {logical_id}"));
                if status.ends_with("_COMPLETE") {
                    bar.inc(1);
                }
            }
            // One line for each resource is enough to follow; its begin would double them.
            To::Lines if status.ends_with("_IN_PROGRESS") => {}
            To::Lines => eprintln!("{line}"),
            To::Nowhere => {}
        }
    }

    /// The change has ended.
    pub(crate) fn end(&self) {
        if let To::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A template that cannot be read leaves the bar as it is.
fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
