//! What a target of slowlane.toml is as a stack.

use crate::kept;
use slowlane_config::{Budgets, Deployment, Limits, WorkerKind};
use slowlane_deployer::{Fallback, Plan, Values};
use std::path::{Path, PathBuf};

/// A target that cannot be deployed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {target}: {why}")]
pub(crate) struct Refused {
    target: String,
    why: kept::Refused,
}

/// What a deployment is as a stack: the template's parameters, and what travels in the worker's
/// package.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    parameters: Values,
    api_profile: Option<PathBuf>,
    prices: Option<PathBuf>,
    fallback: Option<Fallback>,
    prompts: Option<PathBuf>,
    worker: Option<PathBuf>,
}

/// What a deployment is on a local AWS.
pub(crate) struct Local {
    pub(crate) parameters: Values,
    pub(crate) api_profile: Option<PathBuf>,
    pub(crate) prices: Option<PathBuf>,
    pub(crate) prompts: Option<PathBuf>,
}

impl Stack {
    /// `folder` is that of slowlane.toml, where the paths in it begin.
    pub(crate) fn of(deployment: &Deployment, folder: &Path) -> Result<Self, Refused> {
        let Deployment { worker, concurrency, timeout, limits, base_url, secret, auth, .. } =
            deployment;
        let shared_limits_table = deployment.shared_limits_table.clone();
        let metering = if deployment.metered { "enabled" } else { "disabled" };
        let budgets = Budgets::from_iter(deployment.budgets.iter().copied());
        let limits = Limits::try_from(limits.clone())
            .map_err(kept::Refused::from)
            .and_then(|limits| kept::parameter(&limits))
            .map_err(|why| Refused { target: deployment.target.clone(), why })?;
        let base_url = base_url.as_ref().map(|base| base.url().to_string());
        // What is left out must not keep the value of an earlier deploy.
        let parameters = [
            ("ApiConcurrency", concurrency.to_string()),
            ("Limits", limits),
            ("SharedLimitsTable", shared_limits_table.unwrap_or_default()),
            ("Metering", metering.to_owned()),
            ("Budgets", budgets.to_json()),
            ("ApiTimeoutSeconds", timeout.as_secs().to_string()),
            ("ApiBaseUrl", base_url.unwrap_or_default()),
            ("ApiAuth", auth.clone().unwrap_or_default()),
            ("ApiSecret", secret.clone().unwrap_or_default()),
            ("ApiFiles", deployment.files.clone().unwrap_or_default()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let own = |path: &Option<String>| path.as_ref().map(|path| folder.join(path));
        let fallback = deployment.fallback.clone().map(|provider| {
            let is_own = slowlane_config::is_path(&provider.profile);
            let profile = is_own.then(|| folder.join(&provider.profile));
            Fallback { provider, profile }
        });
        let mut stack = Self {
            parameters: Values::from(parameters),
            prices: own(&deployment.prices),
            fallback,
            prompts: own(&deployment.prompts),
            ..Self::default()
        };
        for (name, is_brought) in [
            ("Prices", stack.prices.is_some()),
            ("Fallback", stack.fallback.is_some()),
            ("Prompts", stack.prompts.is_some()),
        ] {
            if !is_brought {
                stack.parameters.insert(name.to_owned(), String::new());
            }
        }
        let mut profile = |name: &str| {
            stack.parameters.insert("ApiProfile".to_owned(), name.to_owned());
        };
        match worker {
            WorkerKind::NetSuite => profile(slowlane_config::NETSUITE),
            WorkerKind::Profile(name) if slowlane_config::is_path(name) => {
                stack.api_profile = Some(folder.join(name));
            }
            WorkerKind::Profile(name) => profile(name),
            WorkerKind::Binary(path) => {
                profile("");
                stack.worker = Some(folder.join(path));
            }
        }
        Ok(stack)
    }

    /// A stack whose parameters are given in other ways.
    pub(crate) fn carrying(
        api_profile: Option<PathBuf>,
        prices: Option<PathBuf>,
        prompts: Option<PathBuf>,
        worker: Option<PathBuf>,
    ) -> Self {
        Self { api_profile, prices, prompts, worker, ..Self::default() }
    }

    /// What a sandbox stands in for: all but the second provider, which is another API.
    pub(crate) fn into_local(self) -> Local {
        let Self { parameters, api_profile, prices, prompts, .. } = self;
        Local { parameters, api_profile, prices, prompts }
    }

    /// Tells it to a plan.
    pub(crate) fn tell(self, plan: &mut Plan) {
        plan.parameters.extend(self.parameters);
        plan.api_profile = self.api_profile;
        plan.prices = self.prices;
        plan.fallback = self.fallback;
        plan.prompts = self.prompts;
        plan.worker = self.worker;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_config::Config;
    use slowlane_profile::shipped;

    fn stack(text: &str) -> Result<Stack, Refused> {
        let text = format!("[targets.api]\n{text}\n[stages.prod]\nregion = \"eu-central-1\"\n");
        let load = |_: &str| shipped::get("stripe").ok_or_else(|| "none".to_owned());
        let config = Config::parse(&text, load).unwrap_or_else(|e| panic!("{e}"));
        Stack::of(&config.deployments("prod").unwrap().remove(0), Path::new("/team"))
    }

    #[test]
    fn what_is_counted_is_told_to_the_template() {
        let openai =
            "profile = \"openai\"\nsecret = \"s\"\nbase_url = \"https://api.openai.com\"\n";
        let of = |more: &str| stack(&format!("{openai}{more}")).unwrap();
        let told = |stack: &Stack| {
            ["Metering", "Budgets", "Prices"].map(|name| stack.parameters.get(name).cloned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(&of("")), [some("disabled"), some("[]"), some("")]);
        assert_eq!(told(&of("metered = true")), [some("enabled"), some("[]"), some("")]);
        let priced = of("prices = \"lists/p.toml\"\nbudgets = [{ money = \"2/day\" }]");
        assert_eq!(priced.prices.as_deref(), Some(Path::new("/team/lists/p.toml")));
        let budgets = some(r#"[{"money":"2.00/day"}]"#);
        assert_eq!(told(&priced), [some("enabled"), budgets, None], "the deployer says its name");
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_target_is_told_to_the_template() {
        let crm = stack(
            "profile = \"http\"\nauth = \"basic\"\nsecret = \"prod/crm\"\n\
             base_url = \"https://crm.example/v1\"\nconcurrency = 7\ntimeout = \"1m\"\n\
             files = \"s3://acme-files/crm\"",
        );
        let expected = [
            ("ApiAuth", "basic"),
            ("ApiBaseUrl", "https://crm.example/v1/"),
            ("ApiConcurrency", "7"),
            ("ApiFiles", "s3://acme-files/crm"),
            ("ApiProfile", "http"),
            ("ApiSecret", "prod/crm"),
            ("ApiTimeoutSeconds", "60"),
            ("Budgets", "[]"),
            ("Fallback", ""),
            ("Limits", "[]"),
            ("Metering", "disabled"),
            ("Prices", ""),
            ("Prompts", ""),
            ("SharedLimitsTable", ""),
        ];
        assert_eq!(crm.unwrap(), Stack { parameters: values(&expected), ..Stack::default() });

        let host = "https://1234567-sb1.suitetalk.api.netsuite.com/";
        let text = format!("profile = \"netsuite\"\nsecret = \"ns\"\nbase_url = \"{host}\"");
        let erp = stack(&text).unwrap().parameters;
        assert_eq!((&*erp["ApiProfile"], &*erp["ApiBaseUrl"]), ("netsuite", host));
        assert_eq!((&*erp["ApiAuth"], &*erp["ApiSecret"]), ("", "ns"));
    }

    #[test]
    fn files_of_ones_own_are_found_beside_the_configuration() {
        let own = stack(
            "profile = \"profiles/crm.toml\"\nsecret = \"crm\"\nbase_url = \"https://crm.example\"",
        );
        let own = own.unwrap();
        assert_eq!(own.api_profile.as_deref(), Some(Path::new("/team/profiles/crm.toml")));
        assert!(!own.parameters.contains_key("ApiProfile"), "the deployer says it");
        let own = stack("binary = \"target/release/crm\"").unwrap();
        assert_eq!(own.worker.as_deref(), Some(Path::new("/team/target/release/crm")));
        assert_eq!(own.parameters["ApiProfile"], "");
    }

    #[test]
    fn a_second_provider_and_prompts_are_brought() {
        let openai =
            "profile = \"openai\"\nsecret = \"s\"\nbase_url = \"https://api.openai.com\"\n";
        let second = "profile = \"profiles/two.toml\", base_url = \"https://two.example\", \
                      secret = \"two\", model = \"m\", after = \"5m\"";
        let load = |_: &str| shipped::get("anthropic").ok_or_else(|| "none".to_owned());
        let text = format!(
            "[targets.api]\n{openai}prompts = \"texts\"\nfallback = {{ {second} }}\n\
             [stages.prod]\nregion = \"eu-central-1\"\n"
        );
        let config = Config::parse(&text, load).unwrap_or_else(|e| panic!("{e}"));
        let deployment = config.deployments("prod").unwrap().remove(0);
        let stack = Stack::of(&deployment, Path::new("/team")).unwrap();
        assert_eq!(stack.prompts.as_deref(), Some(Path::new("/team/texts")));
        let fallback = stack.fallback.clone().unwrap();
        assert_eq!(fallback.profile.as_deref(), Some(Path::new("/team/profiles/two.toml")));
        assert_eq!(fallback.provider.secret.as_deref(), Some("two"));
        for name in ["Fallback", "Prompts"] {
            assert!(!stack.parameters.contains_key(name), "the deployer says it");
        }
    }

    #[test]
    fn what_cannot_be_deployed_is_refused_by_name() {
        let text = "profile = \"stripe\"\nsecret = \"s\"\nbase_url = \"https://api.stripe.com\"\n\
                    limits = [{ rate = \"9000/1m\", largest = 40, per = \"tenant\" }]";
        let error = stack(text).unwrap_err().to_string();
        let told = "target api: limits[1]: a deployed worker does not keep \
                    {\"rate\":\"9000/1m\",\"largest\":40,\"per\":\"tenant\"} yet; take it out";
        assert!(error.starts_with(told), "{error}");
    }
}
