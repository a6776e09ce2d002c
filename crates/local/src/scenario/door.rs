//! The front door over HTTP with its callers, as the cascade's stack has them.

use anyhow::Context as _;
use serde_json::Value;
use slowlane_deployer::{Addition, Deployer, Endpoint, Progress};
use slowlane_local::Tools;

use super::scene::{Scene, order, repository};

const STACK_NAME: &str = "slowlane-demo-door";

/// The deployed front door.
pub(super) struct Door {
    pub(super) url: String,
    /// A caller's function.
    pub(super) caller: String,
    pub(super) http: reqwest::Client,
}

impl Door {
    pub(super) async fn open(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let api = format!("{}/services/rest/record/v1", scene.stack.sandbox().endpoint());
        let mut addition =
            Addition::cascade(STACK_NAME, &repository(), &Tools::from_env()?.lambdas)
                .parameter("ApiUrl", api)
                // Nobody else reaches a server on this machine's loopback.
                .parameter("FrontDoorAuth", "NONE")
                .parameter("ThrottledCallArn", &scene.stack.outputs().throttled_call_arn);
        addition.local_log_dir = Some(scene.stack.directory().to_owned());
        let endpoint = scene.stack.sdk().endpoint_url().context("the local AWS has a URL")?;
        let deployer = Deployer::new(Endpoint::Local { url: endpoint.to_owned() }).await;
        let outputs = deployer.add(&addition, &Progress::stderr()).await?;
        let url = outputs.get("FrontDoorUrl").context("the front door has a URL")?;
        // The local AWS serves the host `ID.lambda-url.REGION.on.aws` by its path.
        let id = url.trim_start_matches("https://").split('.').next().unwrap_or_default();
        let url = format!("{endpoint}/_aws/lambda-url/{id}");
        let caller = outputs.get("FirstCallerArn").context("a caller has a name")?.clone();
        Ok(Self { url, caller, http: reqwest::Client::builder().no_proxy().build()? })
    }
}

/// A call that is made at once has no priority.
pub(super) fn unprioritised(key: &str) -> Value {
    let mut call = order(key, "NORMAL", true);
    call.as_object_mut().and_then(|call| call.remove("priority"));
    call
}
