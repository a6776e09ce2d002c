//! A worker of one's own: the README's, which a test compares with this one. Another runs it.

use std::time::Duration;

use slowlane_worker::lambda_runtime::Error;
use slowlane_worker::profile::shipped;
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Outcome, QueuedCall, Reconciled, Target, TargetResponse, run};

/// What a profile says of our CRM, and a rule that no file can say.
struct Crm(ProfiledApi);

impl Target for Crm {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let total = call.request.body.as_ref().and_then(|body| body["total"].as_f64());
        if total.is_some_and(|total| total <= 0.0) {
            return Outcome::Rejected("an order without a price is never sent".into());
        }
        self.0.call(call).await
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        self.0.after_loss(call)
    }

    fn settles_after(&self, call: &QueuedCall) -> Duration {
        self.0.settles_after(call)
    }

    async fn renew_credentials(&self) {
        self.0.renew_credentials().await;
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        self.0.reconcile(call).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(async |sdk| {
        // Or one of your own: Profile::parse(include_str!("crm.toml"))
        let profile = shipped::get("http").ok_or("there is no such profile")?;
        let api = ProfiledApi::with_profile(profile, sdk).await?;
        Ok::<_, Error>(Crm(api))
    })
    .await
}
