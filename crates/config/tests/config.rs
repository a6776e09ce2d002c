//! `slowlane.toml`: what is told of its mistakes, and what it means.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use slowlane_config::{Api, Config, Measure, Scope, Starter, WorkerKind, schema};
use slowlane_profile::{Base, Profile, shipped};

const GOOD: &str = r#"
[targets.crm]
profile = "salesforce"
auth = "client_credentials"
base_url = "https://acme.my.salesforce.com"
secret = "prod/salesforce"
concurrency = 10
timeout = "30s"
limits = [
  { rate = "100/20s" },
  { quota = "15000/1d" },
  { per = "tenant", rate = "2/s" },
  { name = "org", concurrency = 20 },
]

[targets.model]
profile = "openai"
base_url = "https://api.openai.com"
secret = "prod/openai"
prices = "prices.toml"
budgets = [{ tokens = "2000000/day" }, { money = "20/month" }]
prompts = "prompts"

[targets.model.fallback]
profile = "anthropic"
base_url = "https://api.anthropic.com"
secret = "prod/anthropic"
model = "claude-haiku-4-5"
after = "5m"

[targets.erp]
profile = "netsuite"
base_url = "https://1234567.suitetalk.api.netsuite.com"
secret = "prod/netsuite"

[targets.own]
binary = "target/lambda/own"

[targets.billing]
profile = "profiles/billing.toml"
base_url = "https://billing.example.com/v2"
secret = "prod/billing"

[stages.dev]
region = "eu-central-1"
shared_limits_table = "limits-dev"

[stages.prod]
region = "us-gov-west-1"
shared_limits_table = "limits-prod"

[stages.prod.targets.crm]
concurrency = 5
base_url = "https://acme--uat.my.salesforce.com"
"#;

/// A profile of the team's own, with one way to authenticate.
fn load(path: &str) -> Result<Profile, String> {
    match path {
        "profiles/billing.toml" => shipped::get("stripe").ok_or_else(|| "no stripe".to_owned()),
        _ => Err("it is not there".to_owned()),
    }
}

/// What is written, and what is written instead.
const MISTAKES: &[(&str, &str)] = &[
    ("profile = \"salesforce\"", "profile = \"salesfroce\""),
    ("profile = \"salesforce\"", "profil = \"salesforce\""),
    ("profile = \"salesforce\"", "profile = \"my-very-own\""),
    ("profile = \"salesforce\"\n", ""),
    ("profile = \"salesforce\"", "profile = \"salesforce\"\nbinary = \"x\""),
    ("profiles/billing.toml", "profiles/biling.toml"),
    ("auth = \"client_credentials\"", "auth = \"client_credential\""),
    ("auth = \"client_credentials\"\n", ""),
    ("https://acme.my", "http://acme.my"),
    ("https://acme.my", "acme.my"),
    ("https://acme.my", "https://me:hunter2@acme.my"),
    ("base_url = \"https://billing.example.com/v2\"\n", ""),
    ("billing.example.com/v2", "billing.example.com/v2?key=hunter2"),
    ("secret = \"prod/salesforce\"\n", ""),
    ("secret = \"prod/salesforce\"", "secret = \"{\\\"client_secret\\\": \\\"hunter2\\\"}\""),
    ("concurrency = 10", "concurrency = 0"),
    ("concurrency = 10", "concurrency = 5000"),
    ("concurrency = 10", "concurrency = \"10\""),
    ("concurrency = 10", "concurency = 10"),
    ("timeout = \"30s\"", "timeout = \"45s\""),
    ("timeout = \"30s\"", "timeout = 30"),
    ("timeout = \"30s\"", "timeout = \"thirty\""),
    ("timeout = \"30s\"", "timeout = \"30s\"\nfiles = \"acme-files/crm\""),
    ("{ rate = \"100/20s\" }", "{ rate = \"100 in 20s\" }"),
    ("{ rate = \"100/20s\" }", "{ rate = \"0/20s\" }"),
    ("{ rate = \"100/20s\" }", "{ ratte = \"100/20s\" }"),
    ("{ rate = \"100/20s\" }", "{ rate = \"100/20s\", quota = \"1/1d\" }"),
    ("{ rate = \"100/20s\" }", "{ concurrency = 10 }"),
    ("{ rate = \"100/20s\" }", "{ concurrency = 0 }"),
    ("{ rate = \"100/20s\" }", "{ rate = \"100/0s\" }"),
    ("{ rate = \"100/20s\" }", "{ rate = \"100/20s\", bucket = 0 }"),
    ("{ rate = \"100/20s\" }", "{ rate = \"100/20s\", largest = 4000 }"),
    ("{ quota = \"15000/1d\" }", "{ quota = \"15000/1d\", bucket = 40 }"),
    ("{ name = \"org\", concurrency = 20 }", "{ name = \"org\", concurrency = 20, largest = 2 }"),
    ("{ name = \"org\", concurrency = 20 }", "{ name = \"our org\", concurrency = 20 }"),
    ("{ quota = \"15000/1d\" }", "{ rate = \"100/20s\" }"),
    ("{ quota = \"15000/1d\" }", "{ adaptive = true }, { adaptive = true }"),
    ("per = \"tenant\"", "per = \"tennant\""),
    ("per = \"tenant\"", "per = \"tenant\", name = \"x\""),
    ("tokens = \"2000000/day\"", "tokens = \"2000000/week\""),
    ("tokens = \"2000000/day\"", "tokens = \"0/day\""),
    ("tokens = \"2000000/day\"", "tokns = \"2000000/day\""),
    ("tokens = \"2000000/day\"", "money = \"1.50/month\""),
    ("prices = \"prices.toml\"\n", ""),
    ("profile = \"openai\"", "profile = \"http\"\nauth = \"header\""),
    ("profile = \"anthropic\"", "profile = \"antropic\""),
    ("profile = \"anthropic\"", "profile = \"stripe\""),
    ("profile = \"anthropic\"", "profile = \"netsuite\""),
    ("profile = \"anthropic\"\n", ""),
    ("model = \"claude-haiku-4-5\"\n", ""),
    ("model = \"claude-haiku-4-5\"", "model = \"\""),
    ("secret = \"prod/anthropic\"\n", ""),
    ("secret = \"prod/anthropic\"", "secret = \"sk ant hunter2\""),
    ("after = \"5m\"", "after = \"soon\""),
    ("base_url = \"https://api.anthropic.com\"", "base_url = \"http://api.anthropic.com\""),
    ("prices = \"prices.toml\"", "prices = \"prices.toml\"\nmetered = false"),
    ("[stages.dev]\nregion = \"eu-central-1\"", "[stages.dev]"),
    ("eu-central-1", "frankfurt"),
    ("[stages.prod.targets.crm]", "[stages.prod.targets.cmr]"),
    ("[stages.prod.targets.crm]", "[stages.prod.target.crm]"),
    ("concurrency = 5\n", "concurrency = 5000\n"),
    ("[stages.dev]", "[stage.dev]"),
    ("[targets.own]", "[targets.Own_worker]"),
    ("[targets.own]", "[targets.own"),
];

fn parse(text: &str) -> Result<Config, slowlane_profile::Mistakes> {
    Config::parse(text, load)
}

#[test]
fn every_mistake_names_its_line_its_field_and_its_mend() {
    let mut told = String::new();
    for (right, wrong) in MISTAKES {
        assert!(GOOD.contains(right), "{right}");
        let Err(mistakes) = parse(&GOOD.replacen(right, wrong, 1)) else {
            panic!("nothing is wrong with {wrong}")
        };
        let mistakes = mistakes.to_string();
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
        writeln!(told, "{} -> {}", right.trim(), wrong.trim()).unwrap();
        writeln!(told, "    {}\n", mistakes.replace('\n', "\n    ")).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_secret_is_in_secrets_manager_or_in_parameter_store() {
    let arn = "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/prod/crm";
    for (name, is_one) in [
        ("prod/crm", true),
        ("ssm:/prod/crm", true),
        (arn, true),
        ("ssm:prod/crm", false),
        ("ssm:", false),
        ("prod:crm", false),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/crm-1a2b3c", false),
        ("arn:aws:ssm:eu-central-1:123456789012:document/prod", false),
        ("", false),
    ] {
        let parsed = parse(&GOOD.replacen("prod/openai", name, 1));
        assert_eq!(parsed.is_ok(), is_one, "{name}");
    }
}

#[test]
fn files_lie_below_a_prefix_of_a_bucket() {
    let long = format!("s3://acme-files/{}", "x".repeat(113));
    for (place, is_one) in [
        ("s3://acme-files/prod/crm", true),
        ("s3://acme.files/a_B=1.x-", true),
        ("s3://acme-files", false),
        ("s3://acme-files/", false),
        ("s3://acme-files/crm/", false),
        ("s3://acme-files//crm", false),
        ("s3://acme-files/../crm", false),
        ("s3://acme-files/cr*m", false),
        ("s3://Acme/crm", false),
        ("https://acme-files/crm", false),
        (&long, false),
    ] {
        let files = format!("secret = \"prod/openai\"\nfiles = \"{place}\"");
        let parsed = parse(&GOOD.replacen("secret = \"prod/openai\"", &files, 1));
        assert_eq!(parsed.is_ok(), is_one, "{place}");
    }
}

#[test]
fn a_stage_changes_only_what_it_says() {
    let config = parse(GOOD).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let prod = config.deployments("prod").unwrap();
    let stacks: Vec<&str> = prod.iter().map(|deployment| deployment.stack.as_str()).collect();
    let expected = ["billing", "crm", "erp", "model", "own"];
    let expected = expected.map(|target| format!("slowlane-prod-{target}"));
    assert_eq!(stacks, expected);
    let [billing, crm, erp, model, own] = &prod[..] else { panic!() };
    assert!(model.metered && !crm.metered);
    assert_eq!((model.prices.as_deref(), model.budgets.len()), (Some("prices.toml"), 2));
    let fallback = model.fallback.as_ref().unwrap();
    assert_eq!(
        (fallback.profile.as_str(), fallback.after.0),
        ("anthropic", Duration::from_secs(300))
    );
    assert_eq!(fallback.model, "claude-haiku-4-5");
    assert_eq!((model.prompts.as_deref(), crm.prompts.as_deref()), (Some("prompts"), None));
    assert_eq!(crm.concurrency, 5);
    assert_eq!(
        crm.base_url.as_ref().unwrap().url().host_str(),
        Some("acme--uat.my.salesforce.com")
    );
    assert_eq!(crm.secret.as_deref(), Some("prod/salesforce"));
    assert_eq!(crm.limits.len(), 4);
    let rate = Measure::Rate {
        units: 100.try_into().unwrap(),
        per: Duration::from_secs(20),
        bucket: None,
        largest: None,
    };
    assert_eq!((crm.limits[0].measure, &crm.limits[0].scope), (rate, &Scope::Target));
    let day = Duration::from_secs(86_400);
    let quota = Measure::Quota { units: 15_000.try_into().unwrap(), per: day, largest: None };
    assert_eq!(crm.limits[1].measure, quota);
    assert_eq!(crm.limits[2].scope, Scope::Tenant);
    assert_eq!(crm.limits[3].scope, Scope::Shared("org".to_owned()));
    assert_eq!(erp.worker, WorkerKind::NetSuite);
    assert_eq!(own.worker, WorkerKind::Binary("target/lambda/own".to_owned()));
    assert_eq!(billing.worker, WorkerKind::Profile("profiles/billing.toml".to_owned()));
    assert_eq!((billing.concurrency, billing.timeout), (5, Duration::from_secs(30)));

    let dev = config.deployments("dev").unwrap();
    assert_eq!((dev[1].concurrency, dev[1].region.as_str()), (10, "eu-central-1"));
    let unknown = config.deployments("pord").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no stage `pord`; did you mean `prod`?");
}

#[test]
fn a_mistake_of_the_target_is_not_told_again_of_each_stage() {
    let text = GOOD.replacen("concurrency = 10", "concurrency = 10\n# \n", 1).replacen(
        "secret = \"prod/salesforce\"\n",
        "",
        1,
    );
    assert_eq!(parse(&text).unwrap_err().list().len(), 1);
}

#[test]
fn a_stage_may_be_lower_than_a_limit_that_it_takes_over() {
    let limit = "{ rate = \"100/20s\" }, { concurrency = 7 }";
    let text = GOOD.replacen("{ rate = \"100/20s\" }", limit, 1);
    let text = text.replacen("  { name = \"org\", concurrency = 20 },\n", "", 1);
    let config = parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.deployments("prod").unwrap()[1].concurrency, 5);
    let own = "concurrency = 5\nlimits = [{ concurrency = 6 }]\n";
    let mistakes = parse(&text.replacen("concurrency = 5\n", own, 1)).unwrap_err();
    assert_eq!(mistakes.list().len(), 1, "{mistakes}");
}

fn base(url: &str) -> Base {
    Base::parse(url).unwrap()
}

/// A first file for an API at an address.
fn first(target: &str, api: Api<'_>, base_url: &str) -> String {
    Starter { target, api, base_url: &base(base_url), region: "eu-central-1" }.text()
}

/// Whatever API and way a team begins with, what it gets is right, and deploys one target.
#[test]
fn a_first_file_is_right_for_every_api() {
    let deployed = |text: &str| {
        let config = parse(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
        let [deployment] = &config.deployments("prod").unwrap()[..] else { panic!() };
        deployment.worker.clone()
    };
    let netsuite = first("erp", Api::NetSuite, "https://1234567.suitetalk.api.netsuite.com");
    assert_eq!(deployed(&netsuite), WorkerKind::NetSuite);
    for name in shipped::names() {
        let profile = shipped::get(name).unwrap();
        for (auth, _) in profile.auth.all() {
            let api = Api::Profile { profile: &profile, auth };
            let text = first("api", api, "https://api.example.com");
            assert_eq!(deployed(&text), WorkerKind::Profile(name.to_owned()));
        }
    }
    let profile = &shipped::get("salesforce").unwrap();
    let api = Api::Profile { profile, auth: "jwt_bearer" };
    let text = first("crm", api, "https://acme.my.salesforce.com");
    insta::assert_snapshot!(text, @r#"
    # Salesforce REST API
    [targets.crm]
    profile = "salesforce"
    auth = "jwt_bearer"
    base_url = "https://acme.my.salesforce.com/"
    # A secret in Secrets Manager: {"client_id": "...", "private_key_pem": "...", "username": "..."}
    secret = "prod/crm"
    # The most calls at once, whatever happens.
    concurrency = 5
    # What the vendor allows besides, such as { rate = "100/20s" } or { quota = "15000/1d" }.
    limits = []

    [stages.prod]
    region = "eu-central-1"
    "#);
}

#[test]
fn the_checked_in_schema_is_the_current_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/slowlane.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, schema::text()).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap();
    assert!(
        checked_in == schema::text(),
        "renew it: UPDATE_SCHEMA=1 cargo test -p slowlane-config"
    );
}

proptest! {
    /// Any lines of the file in any order: a configuration, or mistakes with their places.
    #[test]
    fn reading_any_text_ends(picked in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20)) {
        let lines: Vec<&str> = GOOD.lines().collect();
        let text: Vec<&str> = picked.iter().map(|index| *index.get(&lines)).collect();
        match parse(&text.join("\n")) {
            Ok(config) => prop_assert!(config.targets().count() > 0),
            Err(mistakes) => {
                prop_assert!(!mistakes.list().is_empty());
                prop_assert!(mistakes.list().iter().all(|mistake| mistake.line >= 1));
            }
        }
    }
}
