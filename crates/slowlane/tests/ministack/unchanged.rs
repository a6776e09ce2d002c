//! An unchanged tree, once it is built, is deployed soon, and uploads nothing.

use super::rights::tap::Tap;
use super::{Local, repository};
use anyhow::{Context as _, ensure};
use slowlane_deployer::package::{self, CompressionMethod};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// What two deploys of the real binaries asked, and how long the second took.
struct Repeated {
    first: BTreeSet<String>,
    second: BTreeSet<String>,
    took: Duration,
    told: String,
}

async fn deploy_twice(lambdas: &Path) -> anyhow::Result<Repeated> {
    let local = Local::start().await?;
    let tap = Tap::start(local.ministack.endpoint()).await?;
    let deploy = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        command.args(["deploy", "--yes", "--stack", "slowlane-trial", "-p", "ApiProfile=http"]);
        command.arg("--repository").arg(repository()).arg("--lambdas").arg(lambdas);
        command.args(["--endpoint-url", &tap.url]);
        // The proxy runs on this thread.
        let ended = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
        let output = ended.await??;
        ensure!(output.status.success(), "{output:?}");
        let asked = tap.take()?.into_iter().map(|asked| asked.action).collect();
        anyhow::Ok((asked, String::from_utf8(output.stderr)?))
    };
    let (first, _) = deploy().await?;
    let begun = Instant::now();
    let (second, told) = deploy().await?;
    Ok(Repeated { first, second, took: begun.elapsed(), told })
}

/// On the way to a local server nothing is compressed, so that is done beside it, and counted too.
#[tokio::test]
async fn an_unchanged_tree_is_deployed_soon_and_uploads_nothing() -> anyhow::Result<()> {
    let lambdas = std::env::var_os("SLOWLANE_LAMBDAS").context("run this by `cargo xtask test`")?;
    let lambdas = PathBuf::from(lambdas);
    let Repeated { first, second, took, told } = deploy_twice(&lambdas).await?;
    for action in ["s3:PutObject", "cloudformation:ExecuteChangeSet"] {
        assert!(first.contains(action), "the first time: {first:?}");
        assert!(!second.contains(action), "the second time: {second:?}");
    }
    let of_s3: Vec<_> = second.iter().filter(|action| action.starts_with("s3:")).collect();
    assert_eq!(of_s3, ["s3:GetObject", "s3:ListBucket"], "whether they are there is all it asks");
    assert!(told.contains("slowlane-trial: nothing to change"), "{told}");

    let begun = Instant::now();
    for name in ["slowlane-enqueuer", "slowlane-worker"] {
        let file = ("bootstrap".into(), std::fs::read(lambdas.join(name))?);
        package::zip(&[file], CompressionMethod::Deflated)?;
    }
    let took = took + begun.elapsed();
    eprintln!("an unchanged tree was deployed in {took:.1?}");
    assert!(took < SOON, "it took {took:?}");
    Ok(())
}
