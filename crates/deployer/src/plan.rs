use crate::artifacts::{self, Artifact};
use crate::fallback::Fallback;
use crate::package::{self, CompressionMethod};
use crate::stack::Conduct;
use crate::{DeployError, Values, api, fallback, local, metering, prompts};
use std::path::{Path, PathBuf};

/// The CloudFormation template and the state machines that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Those that this program was built with.
    BuiltIn,
    /// Those of a repository: `infra/template.yaml` and `state-machines/*.asl.json`.
    Repository(PathBuf),
}

/// What to deploy: the template, the files it refers to, and the values of its parameters.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The stack's name.
    pub stack_name: String,
    /// The template and the state machines.
    pub files: Files,
    /// The directory of the release binaries `slowlane-enqueuer` and `slowlane-worker`.
    pub lambdas: PathBuf,
    /// A worker of one's own, in the place of `slowlane-worker`.
    pub worker: Option<PathBuf>,
    /// A profile of one's own. It is checked, and travels in the worker's package.
    pub api_profile: Option<PathBuf>,
    /// A price list of models. It is checked, and travels in the worker's package.
    pub prices: Option<PathBuf>,
    /// Another provider of models. Its settings travel in the worker's package.
    pub fallback: Option<Fallback>,
    /// The folder of prompts. They are checked, and travel in the worker's package.
    pub prompts: Option<PathBuf>,
    /// Template parameters. One that is not here keeps its value, or has the template's default
    /// in a new stack. The deployer adds `ArtifactBucket` and the keys of the artifacts.
    pub parameters: Values,
    /// Tags for the stack and all that is in it. Those that the stack has and that are not here
    /// stay; `application=slowlane` is always one.
    pub tags: Values,
    /// How CloudFormation goes about it.
    pub conduct: Conduct,
    /// Whether queues and tables may be replaced or taken out of the stack.
    pub allow_replacement: bool,
    /// The bucket for the artifacts, of the same account; `None` for one that the deployer makes.
    pub artifact_bucket: Option<String>,
    /// On a local endpoint only: where each Lambda's output is appended, to `enqueuer.log` and
    /// `worker.log`. It is made if it does not exist.
    pub local_log_dir: Option<PathBuf>,
}

impl Plan {
    /// A plan for the template and state machines of a repository, with the binaries that lie in
    /// `lambdas`.
    pub fn new(stack_name: &str, repository: &Path, lambdas: &Path) -> Self {
        let files = Files::Repository(repository.into());
        Self { files, ..Self::built_in(stack_name, lambdas) }
    }

    /// A plan for the template and state machines that this program was built with.
    pub fn built_in(stack_name: &str, lambdas: &Path) -> Self {
        Self {
            stack_name: stack_name.into(),
            files: Files::BuiltIn,
            lambdas: lambdas.into(),
            worker: None,
            api_profile: None,
            prices: None,
            fallback: None,
            prompts: None,
            parameters: Values::new(),
            tags: Values::from([("application".into(), "slowlane".into())]),
            conduct: Conduct::default(),
            allow_replacement: false,
            artifact_bucket: None,
            local_log_dir: None,
        }
    }

    /// Sets a template parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }

    /// The files of the plan, each with the template parameter that takes its key.
    pub(crate) fn artifacts(&self, local: bool) -> Result<Vec<(String, Artifact)>, DeployError> {
        let mut artifacts = Vec::new();
        let logs = if local { log_directory(self.local_log_dir.as_deref())? } else { None };
        for name in ["enqueuer", "worker"] {
            let binary = self.lambdas.join(format!("slowlane-{name}"));
            let (binary, more) = match name {
                "worker" => (self.worker.clone().unwrap_or(binary), self.brought()?),
                _ => (binary, Vec::new()),
            };
            let artifact = lambda(name, &binary, more, local, logs.as_deref())?;
            artifacts.push((format!("{}Key", pascal_case(name)), artifact));
        }
        for (name, text) in self.files.state_machines()? {
            let artifact =
                Artifact::new(&format!("state-machine/{name}"), "asl.json", text.into_bytes());
            artifacts.push((format!("{}Key", pascal_case(name)), artifact));
        }
        Ok(artifacts)
    }

    /// The files that travel in the worker's package.
    fn brought(&self) -> Result<Vec<package::File>, DeployError> {
        let mut files = Vec::new();
        if let Some(path) = &self.api_profile {
            files.push((api::PROFILE_FILE.into(), api::read_profile(path)?));
        }
        if let Some(path) = &self.prices {
            files.push((metering::PRICES_FILE.into(), metering::read_prices(path)?));
        }
        if let Some(fallback) = &self.fallback {
            files.extend(fallback::files(fallback)?);
        }
        if let Some(folder) = &self.prompts {
            files.extend(prompts::files(folder)?);
        }
        Ok(files)
    }
}

/// The package of a binary, and of more files if need be. On a local endpoint its output can go
/// to `NAME.log`.
pub(crate) fn lambda(
    name: &str,
    binary: &Path,
    more: Vec<package::File>,
    local: bool,
    logs: Option<&Path>,
) -> Result<Artifact, DeployError> {
    let log = logs.map(|logs| logs.join(format!("{name}.log")));
    let mut files = match local {
        true => local::files(binary, log.as_deref())?,
        false => package::files_for_aws(binary)?,
    };
    files.extend(more);
    if !local {
        package::fits(name, &files)?;
    }
    // What does not travel is not worth packing small.
    let compression = if local { CompressionMethod::Stored } else { CompressionMethod::Deflated };
    let zip = package::zip(&files, compression)?;
    Ok(Artifact::new(&format!("lambda/{name}"), "zip", zip))
}

/// The directory for what the Lambdas print, made if it does not exist. Its path is absolute,
/// because the Lambdas run in another directory.
pub(crate) fn log_directory(path: Option<&Path>) -> Result<Option<PathBuf>, DeployError> {
    let Some(path) = path else { return Ok(None) };
    let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    made.map(Some).map_err(|source| DeployError::Logs { path: path.into(), source })
}

impl Files {
    pub(crate) fn template(&self) -> Result<String, artifacts::Error> {
        match self {
            Self::BuiltIn => Ok(include_str!("../../../infra/template.yaml").to_owned()),
            Self::Repository(path) => artifacts::read_text(&path.join("infra/template.yaml")),
        }
    }

    /// Each with its name.
    fn state_machines(&self) -> Result<[(&'static str, String); 2], artifacts::Error> {
        let read = |name: &'static str, built_in: &str| {
            let text = match self {
                Self::BuiltIn => built_in.to_owned(),
                Self::Repository(path) => {
                    let path = path.join("state-machines").join(format!("{name}.asl.json"));
                    artifacts::read_text(&path)?
                }
            };
            Ok::<_, artifacts::Error>((name, text))
        };
        let throttled_call = include_str!("../../../state-machines/throttled-call.asl.json");
        let sales_order_sync = include_str!("../../../state-machines/sales-order-sync.asl.json");
        Ok([read("throttled-call", throttled_call)?, read("sales-order-sync", sales_order_sync)?])
    }
}

/// `throttled-call` is `ThrottledCall` in the template, whose names must be alphanumeric.
pub(crate) fn pascal_case(kebab: &str) -> String {
    kebab.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_profile::shipped;

    fn plan(directory: &Path) -> Plan {
        for name in ["slowlane-enqueuer", "slowlane-worker"] {
            std::fs::write(directory.join(name), name).unwrap();
        }
        Plan::new("slowlane", &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), directory)
    }

    #[test]
    fn the_directory_of_the_logs_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        let logs = directory.path().join("not/yet/there");
        plan.local_log_dir = Some(logs.clone());
        plan.artifacts(false).map(drop).unwrap_err();
        assert!(!logs.exists(), "on AWS nothing is written there");
        plan.artifacts(true).unwrap();
        assert!(logs.is_dir());

        let file = directory.path().join("slowlane-worker");
        plan.local_log_dir = Some(file.clone());
        let error = plan.artifacts(true).map(drop).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_profile_of_ones_own_travels_with_the_worker() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        let worker = |plan: &Plan| plan.artifacts(true).unwrap().swap_remove(1);
        let (name, without) = worker(&plan);
        assert_eq!(name, "WorkerKey");
        let own = directory.path().join("crm.toml");
        let (_, http) = shipped::FILES.into_iter().find(|(name, _)| *name == "http").unwrap();
        std::fs::write(&own, http).unwrap();
        plan.api_profile = Some(own.clone());
        let (_, with) = worker(&plan);
        let text = "profile.toml".as_bytes();
        let has = |artifact: &Artifact| artifact.bytes().windows(text.len()).any(|at| at == text);
        assert!(has(&with) && !has(&without));

        // A mistake in it stops the deploy, with its line.
        std::fs::write(&own, http.replace("\"throttled\"", "\"throtled\"")).unwrap();
        let error = plan.artifacts(true).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("crm.toml:\n"), "{text}");
        assert!(text.contains("did you mean `throttled`?"), "{text}");
    }

    #[test]
    fn a_price_list_travels_with_the_worker() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        let list = directory.path().join("models.toml");
        let text = "as_of = \"2026-11-01\"\ncurrency = \"USD\"\n[models]\n";
        std::fs::write(&list, text).unwrap();
        plan.prices = Some(list.clone());
        let worker = plan.artifacts(true).unwrap().swap_remove(1).1;
        let has = |text: &[u8]| worker.bytes().windows(text.len()).any(|at| at == text);
        assert!(has(b"prices.toml") && has(text.as_bytes()));

        std::fs::write(&list, text.replace("USD", "usd")).unwrap();
        let error = plan.artifacts(true).map(drop).unwrap_err().to_string();
        assert!(error.contains("models.toml:\n2:12: currency: `usd`"), "{error}");
    }

    #[test]
    fn a_worker_of_ones_own_takes_the_place_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        let own = directory.path().join("crm-worker");
        std::fs::write(&own, "a worker of one's own").unwrap();
        plan.worker = Some(own);
        let artifacts = plan.artifacts(true).unwrap();
        let text = "a worker of one's own".as_bytes();
        let has = |artifact: &Artifact| artifact.bytes().windows(text.len()).any(|at| at == text);
        assert_eq!(
            artifacts.iter().map(|(_, one)| has(one)).collect::<Vec<_>>(),
            [false, true, false, false]
        );
    }

    #[test]
    fn every_artifact_has_its_parameter_in_the_template() {
        let lambdas = tempfile::tempdir().unwrap();
        let plan = plan(lambdas.path());
        let template = plan.files.template().unwrap();
        let artifacts = plan.artifacts(true).unwrap();
        let parameters: Vec<_> =
            artifacts.iter().map(|(parameter, _)| parameter.as_str()).collect();
        assert_eq!(
            parameters,
            ["EnqueuerKey", "WorkerKey", "ThrottledCallKey", "SalesOrderSyncKey"]
        );
        for parameter in parameters {
            assert!(
                template.contains(&format!("\n  {parameter}:\n    Type: String\n")),
                "{parameter}"
            );
        }
    }
}
