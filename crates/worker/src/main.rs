//! The worker Lambda for the targets that come with it.

use slowlane_worker::targets::configured::Configured;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    slowlane_worker::run(Configured::from_env).await
}
