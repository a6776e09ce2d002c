use crate::exit::Ended;
use crate::file::File;
use crate::output::{print, print_json};
use crate::stacks::{Local, Stack};
use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::Value;
use slowlane_config::{Deployment, Limit, Measure, Scope, WorkerKind};
use slowlane_local::sandbox::{Sample, VendorSettings};
use slowlane_local::target::{self, Calls};
use slowlane_local::{Target, Tools};
use slowlane_profile::auth::Auth;
use slowlane_profile::{Profile, shipped};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The repository that this program was built from: the Lambdas and the sandbox are built there.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The dialect in place of one that no sandbox speaks.
const PLAIN: &str = "http";

/// Run a target of slowlane.toml on this machine, against a sandbox of its API
///
/// The template, the Lambdas and the target's own settings are deployed to a local AWS. In place of the
/// API stands a sandbox that speaks its dialect and keeps to the target's limits. Workflows make calls of
/// it, and a report says what came of them. Nothing is sent anywhere else, and no AWS account is needed.
/// It needs the repository that this program was built from, Rust, gcc and python3: the first run builds
/// what runs here.
#[derive(Args)]
#[command(after_help = "\
Examples: the only target; one of several, whose API loses every tenth answer; a call of your own
  slowlane demo
  slowlane demo shop --stage prod --fault drop-after-commit:every=10
  slowlane demo shop --call order.json

order.json, with {key} for each call's own key:
  {\"method\": \"PUT\", \"resource\": \"orders/{key}\", \"body\": {\"reference\": \"{key}\"}}
It may also have headers, content and at_most_once, as the message has them.")]
pub(crate) struct Demo {
    /// A target of slowlane.toml, if it has several
    target: Option<String>,
    /// The stage, if slowlane.toml has several
    #[arg(long)]
    stage: Option<String>,
    /// Where slowlane.toml is
    #[arg(long, value_name = "FILE", default_value = "slowlane.toml")]
    config: PathBuf,
    /// BATCH calls
    #[arg(long, value_name = "N", default_value_t = 60)]
    batch: usize,
    /// NORMAL calls
    #[arg(long, value_name = "N", default_value_t = 20)]
    normal: usize,
    /// HIGH calls
    #[arg(long, value_name = "N", default_value_t = 10)]
    high: usize,
    /// Start a HIGH call every N milliseconds, while the others come as fast as they are taken
    #[arg(long, value_name = "N", default_value_t = 400)]
    high_every_ms: u64,
    /// How long the API takes for a call, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 200)]
    latency_ms: u64,
    /// What goes wrong at the API: `slowlane-sandbox --help` lists it
    #[arg(long, value_name = "KIND")]
    fault: Option<String>,
    /// A call of your own, in place of one that the sandbox has ready: a file with JSON
    #[arg(long, value_name = "FILE")]
    call: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let file = File::read(&self.config)?;
        let deployment = self.deployment(&file)?;
        let target = self.target_of(&file, &deployment)?;
        let calls = Calls {
            of: [self.high, self.normal, self.batch],
            high_every: Duration::from_millis(self.high_every_ms),
            sample: self.call.as_deref().map(sample).transpose()?,
        };
        let tools = tools()?;
        let mut directory = tempfile::Builder::new().prefix("slowlane-demo-").tempdir()?;
        let result =
            target::demo(&tools, &deployment.stack, &target, &calls, directory.path()).await;
        let kept = result.as_ref().is_ok_and(|it| it.report.broken_promises().is_empty());
        if !kept {
            directory.disable_cleanup(true);
            eprintln!("the logs are in {}", directory.path().display());
        }
        let report = result?.report;
        match self.json {
            true => print_json(&serde_json::to_value(&report)?),
            false => print(report.table()),
        }
        let broken = report.broken_promises();
        ensure!(broken.is_empty(), "{}", broken.join("; "));
        Ok(())
    }

    /// The target as it is in its stage.
    fn deployment(&self, file: &File) -> anyhow::Result<Deployment> {
        let stage = file.stage(self.stage.as_deref())?;
        let mut deployments = file.deployments(&stage)?;
        if let Some(target) = &self.target {
            deployments.retain(|deployment| deployment.target == *target);
        }
        match (deployments.len(), &self.target) {
            (1, _) => Ok(deployments.remove(0)),
            (0, Some(target)) => Err(Ended::Usage(file.no_target(target)).into()),
            _ => {
                let names: Vec<&str> = deployments.iter().map(|one| &*one.target).collect();
                Err(Ended::Usage(format!("say which target: {}", names.join(", "))).into())
            }
        }
    }

    /// What is deployed, and the sandbox that stands in for its API.
    fn target_of(&self, file: &File, deployment: &Deployment) -> anyhow::Result<Target> {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        let profile = profile(file, deployment)?;
        let fields = auth(&profile, deployment)?.secret_fields();
        let fields = fields.into_iter().map(str::to_owned).collect();
        let sandbox = self.sandbox(&profile, deployment);
        let base = deployment.base_url.as_ref().context("a profile's target has a base_url")?;
        let Local { parameters, api_profile, prices, prompts } =
            Stack::of(deployment, folder)?.into_local();
        Ok(Target {
            sandbox,
            elsewhere: None,
            base_path: Some(base.url().path().trim_end_matches('/').to_owned()),
            secret: deployment.secret.clone().map(|secret| (secret, fields)),
            api_profile,
            prices,
            prompts,
            fallback: None,
            parameters,
        })
    }

    fn sandbox(&self, profile: &Profile, deployment: &Deployment) -> VendorSettings {
        // There is a sandbox for each profile that comes with Slowlane.
        let is_spoken = shipped::get(profile.name()).is_some();
        if !is_spoken {
            eprintln!(
                "no sandbox speaks the dialect of `{}`: plain HTTP stands in for it, and lets \
                 everybody in",
                profile.name()
            );
        }
        VendorSettings {
            profile: if is_spoken { profile.name() } else { PLAIN }.to_owned(),
            limit: deployment.concurrency,
            rates: deployment.limits.iter().filter_map(rate).collect(),
            latency_ms: self.latency_ms,
            fault: self.fault.clone(),
            open: !is_spoken,
            named_by: Some(target::KEY_PREFIX.to_owned()),
        }
    }
}

/// The profile of a target. What has none, no sandbox can stand in for.
fn profile(file: &File, deployment: &Deployment) -> anyhow::Result<Profile> {
    let target = &deployment.target;
    let told = match &deployment.worker {
        WorkerKind::Profile(name) => return Ok(file.profile(name)?),
        WorkerKind::NetSuite => "NetSuite has a demo of its own: `cargo xtask demo`".to_owned(),
        WorkerKind::Binary(path) => format!("nothing is known of the API that {path} calls"),
    };
    Err(Ended::Usage(format!("target {target}: {told}")).into())
}

/// How it authenticates. Tokens are got from the sandbox too, whatever address the profile names: the
/// secret that is made for the demo says so.
fn auth<'a>(profile: &'a Profile, deployment: &Deployment) -> anyhow::Result<Auth<'a>> {
    let ways = profile.auth.all();
    let chosen = match &deployment.auth {
        Some(name) => ways.into_iter().find(|(known, _)| known == name),
        None => ways.into_iter().next(),
    };
    let (name, auth) = chosen.context("the profile has no way to authenticate")?;
    let why = match auth {
        Auth::ClientCertificate(_) => "a sandbox on this machine speaks no TLS",
        Auth::JwtBearer(_) => "a sandbox on this machine has no private key to sign with",
        _ => return Ok(auth),
    };
    Err(Ended::Usage(format!("target {}: {name}: {why}", deployment.target)).into())
}

/// A limit as an option of the sandbox. Limits of tenants are not the API's own.
fn rate(limit: &Limit) -> Option<(&'static str, String)> {
    if limit.scope == Scope::Tenant {
        return None;
    }
    let millis = |per: Duration| format!("{}ms", per.as_millis());
    Some(match limit.measure {
        Measure::Rate { units, per, bucket, largest } => {
            let mut text = format!("{units}/{}", millis(per));
            if let Some(bucket) = bucket {
                let _ = write!(text, ",bucket={bucket}");
            }
            (if largest.is_some() { "--units" } else { "--rate" }, text)
        }
        Measure::Quota { units, per, .. } => ("--quota", format!("{units}/{},fixed", millis(per))),
        Measure::Concurrency(_) | Measure::Adaptive => return None,
    })
}

fn sample(path: &Path) -> anyhow::Result<Sample> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no call", path.display()))
}

/// Where the Lambdas, the sandbox and the local AWS are: as the environment says, or made now.
fn tools() -> anyhow::Result<Tools> {
    if std::env::var_os("SLOWLANE_LAMBDAS").is_some() {
        return Ok(Tools::from_env()?);
    }
    let repository = Path::new(REPOSITORY);
    ensure!(
        repository.join("xtask").is_dir(),
        "{REPOSITORY} is not there: a demo needs the repository that this program was built from. Clone \
         it, and run `cargo install --path crates/slowlane` in it"
    );
    let made = Command::new("cargo")
        .args(["xtask", "tools"])
        .current_dir(repository)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo: a demo builds what it runs, and needs Rust")?;
    ensure!(made.status.success(), "what the demo needs could not be made");
    let paths: Value = serde_json::from_slice(&made.stdout)
        .context("`cargo xtask tools` does not say where it has put things")?;
    let path = |name: &str| paths[name].as_str().map(PathBuf::from).unwrap_or_default();
    Ok(Tools {
        lambdas: path("SLOWLANE_LAMBDAS"),
        sandbox: path("SLOWLANE_SANDBOX"),
        python: path("SLOWLANE_PYTHON"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_config::Config;

    #[test]
    fn the_sandbox_keeps_to_the_limits_of_the_target() {
        let text = "[targets.shop]\nprofile = \"http\"\nauth = \"basic\"\nsecret = \"s\"\n\
                    base_url = \"https://shop.example\"\nlimits = [{ rate = \"100/20s\" }, \
                    { rate = \"2/s\", bucket = 40 }, { rate = \"30000/1m\", largest = 4000 }, \
                    { quota = \"15000/1d\" }, { rate = \"5/s\", per = \"tenant\" }]\n\
                    [stages.prod]\nregion = \"eu-central-1\"\n";
        let load = |_: &str| Err("no file".to_owned());
        let config = Config::parse(text, load).unwrap_or_else(|e| panic!("{e}"));
        let deployment = config.deployments("prod").unwrap().remove(0);
        let rates: Vec<_> = deployment.limits.iter().filter_map(rate).collect();
        let rates: Vec<_> = rates.iter().map(|(option, text)| (*option, text.as_str())).collect();
        assert_eq!(
            rates,
            [
                ("--rate", "100/20000ms"),
                ("--rate", "2/1000ms,bucket=40"),
                ("--units", "30000/60000ms"),
                ("--quota", "15000/86400000ms,fixed"),
            ]
        );
    }
}
