use super::Local;
use anyhow::Context as _;
use std::process::{Command, Output, Stdio};

const FILE: &str = r#"
[targets.erp]
profile = "netsuite"
base_url = "https://1234567-sb1.suitetalk.api.netsuite.com"
secret = "prod/netsuite"
concurrency = 2

[targets.second]
profile = "netsuite"
base_url = "https://7654321.suitetalk.api.netsuite.com"
secret = "prod/second"

[stages.prod]
region = "eu-central-1"

[stages.prod.targets.erp]
concurrency = 3
"#;

impl Local {
    /// Runs `slowlane` in a folder with this slowlane.toml, the local server in the environment.
    fn in_folder(&self, args: &[&str]) -> anyhow::Result<Output> {
        std::fs::write(self.directory.path().join("slowlane.toml"), FILE)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        command
            .args(args)
            .current_dir(self.directory.path())
            .env("AWS_ENDPOINT_URL", self.ministack.endpoint())
            .env("SLOWLANE_LAMBDAS", self.directory.path())
            .stdin(Stdio::null());
        Ok(command.output()?)
    }
}

/// A stack for each target of a stage, from the template that the program was built with.
#[tokio::test]
async fn a_stage_is_deployed_watched_and_destroyed() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let json = |args: &[&str]| -> anyhow::Result<serde_json::Value> {
        let output = local.in_folder(args)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let planned = json(&["deploy", "--stage", "prod", "--plan", "--json"])?;
    assert_eq!(planned[0]["stack"], "slowlane-prod-erp");
    assert_eq!(planned[1]["changes"]["creates"], true, "{planned:#}");
    assert!(local.deployer.deployed("slowlane-prod-erp").await.is_err(), "it was only planned");

    let deployed = json(&["deploy", "--stage", "prod", "--yes", "--json"])?;
    assert_eq!(deployed[1]["stack"], "slowlane-prod-second");
    let erp = local.deployer.deployed("slowlane-prod-erp").await?;
    let parameters = erp.parameters;
    assert_eq!(parameters["ApiConcurrency"], "3");
    assert_eq!(parameters["ApiProfile"], "netsuite");
    let host = "https://1234567-sb1.suitetalk.api.netsuite.com/";
    assert_eq!((&*parameters["ApiBaseUrl"], &*parameters["ApiSecret"]), (host, "prod/netsuite"));

    let lambda = aws_sdk_lambda::Client::new(local.deployer.config());
    let worker =
        lambda.get_function_configuration().function_name(&erp.outputs.worker_function_name);
    let environment = worker.send().await?.environment.context("an environment")?;
    let variables = environment.variables.context("variables")?;
    assert_eq!(variables["LIMITS"], parameters["Limits"]);
    assert_eq!(variables["LIMITS"], "[]");

    let erp = ["--stage", "prod", "--target", "erp"];
    let status = json(&[&["status", "--json"], &erp[..]].concat())?;
    assert_eq!((&status["stack"], &status["limit"]), (&"slowlane-prod-erp".into(), &3.into()));
    let outputs = json(&[&["outputs", "--json"], &erp[..]].concat())?;
    assert_eq!(outputs, deployed[0]["outputs"]);
    let again = json(&["deploy", "--stage", "prod", "--yes", "--json"])?;
    assert_eq!(again[0]["changes"], serde_json::Value::Null, "{again:#}");

    let which = local.in_folder(&["destroy", "--stage", "prod", "--yes"])?;
    assert_eq!(which.status.code(), Some(2), "{which:?}");
    let destroyed = json(&[&["destroy", "--yes", "--json"], &erp[..]].concat())?;
    assert_eq!(destroyed["stack"], "slowlane-prod-erp");
    assert!(local.deployer.deployed("slowlane-prod-erp").await.is_err());
    local.deployer.deployed("slowlane-prod-second").await.context("the other is left alone")?;
    Ok(())
}
