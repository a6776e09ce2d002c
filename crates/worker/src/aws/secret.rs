//! A secret in Secrets Manager, or in Systems Manager's Parameter Store.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use slowlane_lambda::logs::chain;

use super::signed::{Error, Path, Service, SignedRequests, Unusable, request};

const PARAMETER_STORE: Service = Service { id: "SSM", name: "ssm", path: Path::Usual };
/// A parameter has 8 KB at most, each of whose bytes JSON may escape.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The place of a secret. It is read anew each time, so that a rotated one is found.
#[derive(Debug, Clone)]
pub(crate) struct StoredSecret {
    id: String,
    store: Store,
}

#[derive(Debug, Clone)]
enum Store {
    SecretsManager(aws_sdk_secretsmanager::Client),
    Parameters {
        requests: Result<SignedRequests, Unusable>,
        /// The parameter's name or ARN.
        name: String,
    },
}

/// Why a secret could not be read or written. No message holds any of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretAccessError {
    /// Secrets Manager or Parameter Store did not give it.
    #[error("could not read the secret {id}: {cause}")]
    Read {
        /// The secret's name.
        id: String,
        /// What AWS said.
        cause: String,
    },
    /// Secrets Manager did not take it, or it is a parameter.
    #[error("could not write the secret {id}: {cause}")]
    Write {
        /// The secret's name.
        id: String,
        /// What AWS said.
        cause: String,
    },
    /// It holds bytes and no text.
    #[error("the secret {id} holds no text")]
    NoText {
        /// The secret's name.
        id: String,
    },
    /// It is a parameter that everybody reads who may list parameters.
    #[error("the parameter {id} is not encrypted: put it there anew as a SecureString")]
    InTheClear {
        /// The secret's name.
        id: String,
    },
}

impl StoredSecret {
    /// `id` is a secret's name, `ssm:/NAME` of a parameter, or a parameter's ARN.
    pub(crate) fn new(sdk: &SdkConfig, id: String) -> Self {
        let store = match parameter(&id) {
            Some(name) => Store::Parameters {
                requests: SignedRequests::new(sdk, PARAMETER_STORE),
                name: name.to_owned(),
            },
            None => Store::SecretsManager(aws_sdk_secretsmanager::Client::new(sdk)),
        };
        StoredSecret { id, store }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) async fn read(&self) -> Result<SecretString, SecretAccessError> {
        let id = || self.id.clone();
        let refused = |cause: String| SecretAccessError::Read { id: id(), cause };
        let text = match &self.store {
            Store::SecretsManager(client) => {
                let read = client.get_secret_value().secret_id(&self.id).send().await;
                let read = read.map_err(|error| refused(DisplayErrorContext(error).to_string()))?;
                read.secret_string
            }
            Store::Parameters { requests, name } => {
                let requests = requests.as_ref().map_err(|error| refused(error.to_string()))?;
                let request = get_parameter(name).map_err(|error| refused(chain(&error)))?;
                let read = requests.read(request, MAX_ANSWER_BYTES).await;
                let read = read.map_err(|error| refused(chain(&error)))?;
                let Parameter { form, value } = parameter_of(&read).map_err(refused)?;
                if form.is_some_and(|form| form != "SecureString") {
                    return Err(SecretAccessError::InTheClear { id: id() });
                }
                value
            }
        };
        text.map(SecretString::from).ok_or_else(|| SecretAccessError::NoText { id: id() })
    }

    /// A parameter is not written: AWS would encrypt it under another key than before, unless it were told
    /// which that is.
    pub(crate) async fn write(&self, text: &SecretString) -> Result<(), SecretAccessError> {
        let refused = |cause: String| SecretAccessError::Write { id: self.id.clone(), cause };
        let Store::SecretsManager(client) = &self.store else {
            let cause = "the worker writes no parameters: keep it in Secrets Manager";
            return Err(refused(cause.to_owned()));
        };
        let request = client.put_secret_value().secret_id(&self.id);
        let written = request.secret_string(text.expose_secret()).send().await;
        written.map(drop).map_err(|error| refused(DisplayErrorContext(error).to_string()))
    }
}

/// The name or ARN of a parameter; `None` if it is a secret's name.
fn parameter(id: &str) -> Option<&str> {
    let is_arn = id.starts_with("arn:") && id.split(':').nth(2) == Some("ssm");
    id.strip_prefix("ssm:").or_else(|| is_arn.then_some(id))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    parameter: Parameter,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    #[serde(rename = "Type")]
    form: Option<String>,
    value: Option<String>,
}

fn get_parameter(name: &str) -> Result<HttpRequest, Error> {
    let body = json!({ "Name": name, "WithDecryption": true }).to_string();
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AmazonSSM.GetParameter"),
    ];
    request("POST", "/", &headers, SdkBody::from(body))
}

/// The error says only where it is: what stands there may be the secret.
fn parameter_of(answer: &[u8]) -> Result<Parameter, String> {
    let got: Result<Got, _> = serde_json::from_slice(answer);
    got.map(|got| got.parameter).map_err(|error| {
        format!("SSM's answer is no parameter, at line {} column {}", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_told_from_a_secret_by_its_name() {
        let arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/prod/crm";
        for (id, expected) in [
            ("prod/crm", None),
            ("ssm/prod", None),
            ("ssm:/prod/crm", Some("/prod/crm")),
            (arn, Some(arn)),
            ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/crm-1a2b3c", None),
        ] {
            assert_eq!(parameter(id), expected, "{id}");
        }
    }
}
