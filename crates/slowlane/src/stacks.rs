//! What a target of slowlane.toml is as a stack: the template's parameters.

use slowlane_config::{Deployment, WorkerKind};
use slowlane_deployer::Values;

/// NetSuite's own host of an account: `1234567-sb1.suitetalk.api.netsuite.com`.
const NETSUITE_HOST: &str = ".suitetalk.api.netsuite.com";

/// What the template cannot be told yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "target {target}: a deployed worker cannot run the profile `{profile}` yet, only `netsuite`"
    )]
    Profile { target: String, profile: String },
    #[error("target {target}: a worker of one's own cannot be deployed by slowlane.toml yet")]
    Binary { target: String },
    #[error(
        "target {target}: a deployed worker knows no limit but `concurrency` yet; take `limits` out"
    )]
    Limits { target: String },
    #[error(
        "target {target}: the NetSuite account is read from its base_url, and {host} is no host of \
         the form 1234567{NETSUITE_HOST}"
    )]
    Account { target: String, host: String },
}

/// The template's parameters of a deployment.
pub(crate) fn parameters(deployment: &Deployment) -> Result<Values, Refused> {
    let Deployment { worker, concurrency, timeout, limits, base_url, secret, .. } = deployment;
    let target = || deployment.target.clone();
    if !limits.is_empty() {
        return Err(Refused::Limits { target: target() });
    }
    match worker {
        WorkerKind::NetSuite => {}
        WorkerKind::Profile(profile) => {
            return Err(Refused::Profile { target: target(), profile: profile.clone() });
        }
        WorkerKind::Binary(_) => return Err(Refused::Binary { target: target() }),
    }
    let host = base_url.as_ref().and_then(|base| base.url().host_str()).unwrap_or_default();
    let account = host
        .strip_suffix(NETSUITE_HOST)
        .ok_or_else(|| Refused::Account { target: target(), host: host.to_owned() })?;
    let mut parameters = Values::from([
        ("ApiConcurrency".to_owned(), concurrency.to_string()),
        ("ApiTimeoutSeconds".to_owned(), timeout.as_secs().to_string()),
        // A sandbox's account is 1234567_SB1, and its host 1234567-sb1.
        ("NetSuiteAccountId".to_owned(), account.replace('-', "_").to_uppercase()),
    ]);
    if let Some(secret) = secret {
        parameters.insert("NetSuiteSecretId".to_owned(), secret.clone());
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_config::Config;

    fn deployment(text: &str) -> Deployment {
        let text = format!("[targets.api]\n{text}\n[stages.prod]\nregion = \"eu-central-1\"\n");
        let config = Config::parse(&text, |_| Err("none".into())).unwrap_or_else(|e| panic!("{e}"));
        config.deployments("prod").unwrap().remove(0)
    }

    const NETSUITE: &str = "profile = \"netsuite\"\nsecret = \"prod/netsuite\"\n";

    #[test]
    fn netsuite_is_told_to_the_template() {
        let text = "base_url = \"https://1234567-sb1.suitetalk.api.netsuite.com\"\n\
                    concurrency = 7\ntimeout = \"1m\"\n";
        let told = parameters(&deployment(&format!("{NETSUITE}{text}"))).unwrap();
        let expected = [
            ("ApiConcurrency", "7"),
            ("ApiTimeoutSeconds", "60"),
            ("NetSuiteAccountId", "1234567_SB1"),
            ("NetSuiteSecretId", "prod/netsuite"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn what_cannot_be_deployed_is_refused_by_name() {
        let http = "profile = \"http\"\nauth = \"header\"\nsecret = \"s\"\nbase_url = \"https://a.example\"";
        for (text, told) in [
            (http.to_owned(), "the profile `http`"),
            ("binary = \"own\"".to_owned(), "a worker of one's own"),
            (
                format!("{NETSUITE}base_url = \"https://api.example.com\""),
                "api.example.com is no host of the form 1234567.suitetalk",
            ),
            (
                format!(
                    "{NETSUITE}base_url = \"https://1.suitetalk.api.netsuite.com\"\n\
                     limits = [{{ rate = \"2/s\" }}]"
                ),
                "take `limits` out",
            ),
        ] {
            let error = parameters(&deployment(&text)).unwrap_err().to_string();
            assert!(error.starts_with("target api: ") && error.contains(told), "{error}");
        }
    }
}
