//! Stacks beside Slowlane's own, with templates of their own: what a workflow team may want and a
//! deployment does not need.

use crate::artifacts::{self, Artifact};
use crate::plan::{lambda, log_directory, pascal_case};
use crate::stack::{Conduct, Wanted};
use crate::{DeployError, Deployer, Outputs, Progress, Values};
use std::path::{Path, PathBuf};

/// A stack beside Slowlane's own.
#[derive(Debug, Clone)]
pub struct Addition {
    /// The stack's name.
    pub stack_name: String,
    /// Template parameters. One that is not here keeps its value, or has the template's default in
    /// a new stack. The deployer adds `ArtifactBucket` and the keys of the artifacts.
    pub parameters: Values,
    /// The bucket for the artifacts, of the same account; `None` for one that the deployer makes.
    pub artifact_bucket: Option<String>,
    /// On a local endpoint only: where each Lambda's output is appended, to `NAME.log`.
    pub local_log_dir: Option<PathBuf>,
    template: PathBuf,
    /// The names of its Lambdas; the binary `slowlane-NAME` is one.
    lambdas: &'static [&'static str],
    lambda_directory: PathBuf,
    machines: Vec<PathBuf>,
}

impl Addition {
    /// The front door and the retry cascade, by `infra/cascade.yaml` of this repository. The
    /// binaries `slowlane-caller` and `slowlane-front-door` lie in `lambdas`.
    pub fn cascade(stack_name: &str, repository: &Path, lambdas: &Path) -> Self {
        Self {
            stack_name: stack_name.into(),
            parameters: Values::new(),
            artifact_bucket: None,
            local_log_dir: None,
            template: repository.join("infra/cascade.yaml"),
            lambdas: &["caller", "front-door"],
            lambda_directory: lambdas.into(),
            machines: vec![repository.join("state-machines/examples/retry-cascade.asl.json")],
        }
    }

    /// Sentiments of reviews, by `infra/reviews.yaml` of this repository. It has no Lambda of its own.
    pub fn reviews(stack_name: &str, repository: &Path) -> Self {
        Self {
            stack_name: stack_name.into(),
            parameters: Values::new(),
            artifact_bucket: None,
            local_log_dir: None,
            template: repository.join("infra/reviews.yaml"),
            lambdas: &[],
            lambda_directory: PathBuf::new(),
            machines: vec![repository.join("state-machines/examples/review-sentiment.asl.json")],
        }
    }

    /// The table of limits that stacks share by a name, by `infra/shared-limits.yaml` of this
    /// repository. It has no Lambda and no state machine.
    pub fn shared_limits(stack_name: &str, repository: &Path) -> Self {
        Self {
            stack_name: stack_name.into(),
            parameters: Values::new(),
            artifact_bucket: None,
            local_log_dir: None,
            template: repository.join("infra/shared-limits.yaml"),
            lambdas: &[],
            lambda_directory: PathBuf::new(),
            machines: Vec::new(),
        }
    }

    /// Sets a template parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }

    /// The files that the template refers to, each with the parameter that takes its key.
    fn artifacts(&self, local: bool) -> Result<Vec<(String, Artifact)>, DeployError> {
        let logs = if local { log_directory(self.local_log_dir.as_deref())? } else { None };
        let mut found = Vec::new();
        for name in self.lambdas {
            let binary = self.lambda_directory.join(format!("slowlane-{name}"));
            let artifact = lambda(name, &binary, Vec::new(), local, logs.as_deref())?;
            found.push((format!("{}Key", pascal_case(name)), artifact));
        }
        for machine in &self.machines {
            let file = machine.file_name().unwrap_or_default().to_string_lossy();
            let name = file.trim_end_matches(".asl.json");
            let text = artifacts::read_text(machine)?;
            let artifact =
                Artifact::new(&format!("state-machine/{name}"), "asl.json", text.into_bytes());
            found.push((format!("{}Key", pascal_case(name)), artifact));
        }
        Ok(found)
    }
}

impl Deployer {
    /// Creates a stack beside Slowlane's own, or changes it into what the addition says. Answers
    /// what its template hands out.
    ///
    /// # Errors
    /// [`DeployError::IsSlowlane`] if the name is that of a Slowlane stack, and the others of
    /// [`DeployError`]. After an error in the change itself CloudFormation has rolled the stack back
    /// to what it was before.
    pub async fn add(
        &self,
        addition: &Addition,
        progress: &Progress,
    ) -> Result<Values, DeployError> {
        let stack = self.stack(&addition.stack_name);
        if stack.describe().await.is_ok_and(|there| Outputs::from_map(&there.outputs).is_ok()) {
            return Err(DeployError::IsSlowlane(addition.stack_name.clone()));
        }
        let is_local = self.endpoint.is_local();
        let bucket = addition.artifact_bucket.as_deref();
        let store = artifacts::Store::open(&self.config, is_local, bucket).await?;
        let mut parameters = addition.parameters.clone();
        let artifacts = addition.artifacts(is_local)?;
        if !artifacts.is_empty() {
            parameters.insert("ArtifactBucket".into(), store.bucket().into());
        }
        for (parameter, artifact) in artifacts {
            artifact.tell(&parameter, progress);
            // To a local server nothing is packed small.
            if let Some(heavy) = artifact.heavy().filter(|_| !is_local) {
                progress.say(&heavy);
            }
            store.put(&artifact).await?;
            parameters.insert(parameter, artifact.key().into());
        }
        let template = artifacts::read_text(&addition.template)?;
        let template = Artifact::new("template/addition", "yaml", template.into_bytes());
        store.put(&template).await?;
        let template_url = store.url(&template).await?;
        let tags = Values::from([("application".into(), "slowlane".into())]);
        let wanted = Wanted {
            template_url: &template_url,
            parameters: &parameters,
            tags: &tags,
            conduct: &Conduct::default(),
        };
        match stack.prepare(wanted, progress).await? {
            Some(change_set) => stack.execute(change_set, progress).await?,
            None => progress.say(&format!("{}: nothing to change", addition.stack_name)),
        }
        Ok(stack.describe().await?.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_artifact_has_its_parameter_in_the_template() {
        let lambdas = tempfile::tempdir().unwrap();
        for name in ["slowlane-caller", "slowlane-front-door"] {
            std::fs::write(lambdas.path().join(name), name).unwrap();
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (addition, expected) in [
            (
                Addition::cascade("cascade", &repository, lambdas.path()),
                &["CallerKey", "FrontDoorKey", "RetryCascadeKey"][..],
            ),
            (Addition::reviews("reviews", &repository), &["ReviewSentimentKey"]),
            (Addition::shared_limits("shared-limits", &repository), &[]),
        ] {
            let template = artifacts::read_text(&addition.template).unwrap();
            let artifacts = addition.artifacts(true).unwrap();
            let parameters: Vec<_> =
                artifacts.iter().map(|(parameter, _)| parameter.as_str()).collect();
            assert_eq!(parameters, expected);
            for parameter in parameters {
                assert!(template.contains(&format!("\n  {parameter}:\n    Type: String\n")));
            }
        }
    }
}
