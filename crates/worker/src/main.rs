//! The worker Lambda for NetSuite.

use slowlane_worker::targets::netsuite::NetSuite;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    slowlane_worker::run(NetSuite::from_env).await
}
