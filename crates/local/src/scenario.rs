//! What the demo can show beside orders: machines of a workflow team, each on the stack that the demo
//! has deployed.

mod bulk;
mod cascade;
mod door;
mod pace;
mod peers;
mod reviews;
mod saga;
mod scene;

use slowlane_local::{Rate, Stack, Target};

use scene::Scene;
pub(crate) use scene::Shown;

/// What the demo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Orders of all priorities, by the machine that the stack has
    Orders,
    /// A dataset in S3, loaded twice, and the same calls each by an execution of its own
    Bulk,
    /// Two orders that belong together: where the second is refused, the first is undone
    Saga,
    /// Calls over HTTP, tried at once by three callers, and the same through the queues
    Cascade,
    /// The same load by a Map that is paced by hand and through a rate limit
    Pace,
    /// Reviews in S3, each asked of a model that takes ten questions a second
    Reviews,
    /// The same load through a rate limit and by BullMQ's limiter on Redis; needs Node.js and redis-server
    Peers,
}

impl Scenario {
    /// How long the API takes for a call unless the user says, in milliseconds.
    pub(crate) fn latency_ms(self) -> u64 {
        match self {
            Self::Orders | Self::Saga | Self::Pace | Self::Reviews | Self::Peers => 200,
            // With a faster one the local AWS, and not the API, would be what is measured.
            Self::Bulk | Self::Cascade => 1000,
        }
    }

    /// How many there are of what the scenario is made of, unless the user says.
    fn size(self) -> usize {
        match self {
            Self::Orders => 0,
            Self::Bulk => 150,
            Self::Saga | Self::Cascade => 40,
            Self::Pace => 100,
            Self::Reviews => 200,
            Self::Peers => 600,
        }
    }

    /// Whether the API takes calls without a sign-in: a caller of the cascade knows no NetSuite.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Cascade | Self::Pace)
    }

    /// NetSuite's rate, of which the worker is told.
    pub(crate) fn rate(self) -> Option<Rate> {
        (self == Self::Pace).then(|| pace::RATE.parse().ok()).flatten()
    }

    /// The API, if it is not NetSuite's.
    pub(crate) fn target(self, limit: u32, latency_ms: u64) -> Option<Target> {
        match self {
            Self::Reviews => Some(reviews::target(limit, latency_ms)),
            Self::Peers => Some(peers::target(limit, latency_ms)),
            Self::Orders | Self::Bulk | Self::Saga | Self::Cascade | Self::Pace => None,
        }
    }

    /// Runs a scenario other than the orders to its end.
    pub(crate) async fn run(
        self,
        stack: &Stack,
        size: Option<usize>,
        limit: u32,
        latency_ms: u64,
    ) -> anyhow::Result<Shown> {
        let scene = Scene::new(stack, limit, latency_ms);
        let size = size.unwrap_or_else(|| self.size()).max(1);
        match self {
            Self::Bulk => bulk::run(&scene, size).await,
            Self::Saga => saga::run(&scene, size).await,
            Self::Cascade => cascade::run(&scene, size).await,
            Self::Pace => pace::run(&scene, size).await,
            Self::Reviews => reviews::run(&scene, size).await,
            Self::Peers => peers::run(&scene, size).await,
            Self::Orders => anyhow::bail!("the orders are no scenario of their own"),
        }
    }
}
