//! A vendor's API in a scenario: what its sandbox is to be, and what it cannot be asked for.

use std::time::Duration;

use slowlane_sandbox::{Fault, Latency, Measure, Rate as Taken, Settings, Window as Counting};
use slowlane_vendor_sandbox::Dialect;

use super::api::{Api, Rate, Window};
use super::{Error, Scenario};
use crate::faults::Fault as Strikes;

/// How many standard deviations 99 of 100 lie below.
const SIGMAS_OF_P99: f64 = 2.326;

impl Scenario {
    /// How the API of a profile speaks.
    ///
    /// # Errors
    /// No sandbox speaks so.
    pub(crate) fn dialect(&self, profile: &str) -> Result<Dialect, Error> {
        Dialect::of(profile).map_err(|error| Error::Vendor(error.to_string()))
    }

    /// How its sandbox behaves.
    pub(crate) fn sandbox_settings(&self) -> Settings {
        let Api { concurrency, rates, median_ms, p99_ms, .. } = &self.api;
        let median = Duration::from_secs_f64(median_ms / 1e3);
        Settings {
            limit: concurrency.unwrap_or(self.limit),
            rates: rates.iter().map(taken).collect(),
            latency: match p99_ms {
                None => Latency::Fixed(median),
                Some(p99) => {
                    Latency::LogNormal { median, sigma: (p99 / median_ms).ln() / SIGMAS_OF_P99 }
                }
            },
            seed: self.seed,
        }
    }

    /// What goes wrong there.
    ///
    /// # Errors
    /// A text is no fault of a sandbox.
    pub(crate) fn sandbox_faults(&self) -> Result<Vec<Fault>, Error> {
        let fault = |text: &String| {
            text.parse::<Fault>()
                .map_err(|error| Error::Vendor(format!("faults of [api]: {error}")))
        };
        self.api.faults.iter().map(fault).collect()
    }

    /// Whether a vendor's API can be what the scenario asks of it.
    pub(super) fn check_vendor(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Vendor(why.to_owned()));
        let Some(profile) = &self.api.profile else {
            return match self.api.faults.is_empty() {
                true => Ok(()),
                false => {
                    refuse("faults of [api] are those of a vendor's sandbox; name its profile too")
                }
            };
        };
        self.dialect(profile)?;
        self.sandbox_faults()?;
        let Api { concurrency_steps, others, retry_after, says_left, outages, rates, .. } =
            &self.api;
        let is_special = |rate: &Rate| rate.per.is_some() || rate.between.is_some();
        if !concurrency_steps.is_empty()
            || others.is_some()
            || *retry_after
            || *says_left
            || !outages.is_empty()
            || rates.iter().any(is_special)
        {
            return refuse(
                "with a profile, [api] has times, a concurrency, plain rates and faults; the rest is \
                 for the vendor to say",
            );
        }
        if self.metering.is_some() || self.load.iter().any(|load| load.units.is_some()) {
            return refuse(
                "with a profile, each call is the sample of the vendor's sandbox: leave units and \
                 metering out",
            );
        }
        let is_the_clouds =
            |name: &String| matches!(Strikes::named(name), Some(Strikes::Aws(_)) | None);
        if self.mutant.is_some() || !self.faults.keys().all(is_the_clouds) {
            return refuse(
                "with a profile, [faults] are those of the cloud; what goes wrong at the API stands in \
                 faults of [api]",
            );
        }
        match self.dispatch.is_the_workers() {
            true => Ok(()),
            false => {
                refuse("with a profile, only the worker can call the API: choose its dispatch")
            }
        }
    }
}

/// A rate as the sandbox has it.
fn taken(rate: &Rate) -> Taken {
    Taken {
        measure: Measure::Calls,
        amount: rate.units,
        per: rate.per(),
        window: match rate.window {
            Window::Fixed => Counting::Fixed,
            Window::Sliding => Counting::Sliding,
            Window::Bucket => Counting::Bucket { holds: rate.capacity() },
        },
    }
}
