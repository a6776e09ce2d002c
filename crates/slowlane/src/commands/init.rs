mod ask;

use crate::exit::Ended;
use crate::output::{print, print_json};
use clap::Args;
use serde_json::json;
use slowlane_config::{Api, Config, NETSUITE, Starter, is_name, is_region};
use slowlane_profile::mistakes::proposal;
use slowlane_profile::{Base, Profile, shipped};
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// Kept out of the repository: what a secret is made from.
const IGNORED: [&str; 4] = ["*.pem", "*.p8", "*.key", ".env"];

/// Write a first slowlane.toml, by asking or by options
///
/// What is not given is asked for at the terminal. The file is complete but for the secret, whose
/// fields it names; nothing is sent. Lines that keep key files out of the repository are added to
/// .gitignore.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane init
  slowlane init --api salesforce --auth client_credentials --target crm \\
      --base-url https://acme.my.salesforce.com --region eu-central-1")]
pub(crate) struct Init {
    /// The API: a profile that comes with Slowlane, or netsuite
    #[arg(long, value_name = "PROFILE", value_parser = api)]
    api: Option<String>,
    /// A name of your own for it; the profile's if left out
    #[arg(long, value_name = "NAME", value_parser = name)]
    target: Option<String>,
    /// How it authenticates, where its profile has several ways
    #[arg(long, value_name = "WAY")]
    auth: Option<String>,
    /// Where it is
    #[arg(long, value_name = "URL", value_parser = base_url)]
    base_url: Option<Base>,
    /// The AWS region to deploy to, as stage `prod`
    #[arg(long, value_parser = region)]
    region: Option<String>,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Print JSON: {file, secret: {name, fields}, ignored}; secret is null if the API needs none
    #[arg(long)]
    json: bool,
}

/// The answers to all questions.
struct Answers {
    target: String,
    /// `None` is NetSuite.
    profile: Option<Profile>,
    auth: String,
    base_url: Base,
    region: String,
}

impl Init {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let path = self.directory.join("slowlane.toml");
        if path.exists() {
            return Err(there_is_one(&path));
        }
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let answers = if terminal { self.asked()? } else { self.given()? };
        let api = answers.api();
        let Answers { target, base_url, region, .. } = &answers;
        let first = Starter { target, api, base_url, region };
        let text = first.text();
        // What is written is right, or a combination of answers is not, and is told here.
        Config::parse(&text, |_| Err("a first file names no profile by its path".to_owned()))?;
        write_new(&path, &text)?;
        let ignored = ignore(&self.directory)?;
        let secret = first.secret();
        if self.json {
            let fields = api.secret_fields();
            print_json(&json!({
                "file": path.display().to_string(),
                "secret": secret.map(|name| json!({ "name": name, "fields": fields })),
                "ignored": ignored,
            }));
            return Ok(());
        }
        print(format_args!("{} is written. What comes next:", path.display()));
        if let Some(secret) = secret {
            let command = secret_command(&secret, region, &api.secret_fields());
            print(format_args!("\n  {command}\n"));
        }
        let mut rest = vec![("slowlane check".to_owned(), "after each change")];
        if answers.profile.is_some() {
            let command = format!("slowlane call {target} --method GET --path / --dry-run");
            rest.push((command, "shows a request"));
            rest.push(("slowlane demo".to_owned(), "runs it on this machine, against a sandbox"));
        }
        rest.push((
            "slowlane deploy --stage prod --plan".to_owned(),
            "shows what would be deployed",
        ));
        let width = rest.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        for (command, what) in rest {
            print(format_args!("  {command:width$}    {what}"));
        }
        Ok(())
    }

    /// What is given; all that is missing is told at once.
    fn given(&self) -> anyhow::Result<Answers> {
        let Self { api, target, auth, base_url, region, .. } = self;
        let mut missing = Vec::new();
        let profile = api.as_deref().and_then(shipped::get);
        if api.is_none() {
            missing.push(format!("--api: {}", api_names().collect::<Vec<_>>().join(", ")));
        }
        let auth = match (&profile, auth) {
            (Some(profile), Some(auth)) => Some(known_auth(profile, auth)?.to_owned()),
            (Some(profile), None) => match &auth_names(profile)[..] {
                [] => Some(String::new()),
                [one] => Some((*one).to_owned()),
                several => {
                    missing.push(format!("--auth: {}", several.join(", ")));
                    None
                }
            },
            (None, _) => Some(String::new()),
        };
        if base_url.is_none() {
            missing.push("--base-url".to_owned());
        }
        if region.is_none() {
            missing.push("--region".to_owned());
        }
        let (Some(api), Some(auth), Some(base_url), Some(region)) = (api, auth, base_url, region)
        else {
            let told = "there is no terminal to ask at; give";
            return Err(Ended::Usage(format!("{told} {}", missing.join("; "))).into());
        };
        let target = target.clone().unwrap_or_else(|| api.clone());
        Ok(Answers { target, profile, auth, base_url: base_url.clone(), region: region.clone() })
    }

    /// What is given, and the answers to questions about the rest.
    fn asked(&self) -> anyhow::Result<Answers> {
        let names: Vec<&str> = api_names().collect();
        let api = match &self.api {
            Some(api) => api.clone(),
            None => ask::one_of("Which API is it? `http` fits any", &names, "http")?.to_owned(),
        };
        let profile = shipped::get(&api);
        let auth = match (&profile, &self.auth) {
            (Some(profile), Some(auth)) => known_auth(profile, auth)?.to_owned(),
            (Some(profile), None) => match &auth_names(profile)[..] {
                [] => String::new(),
                [one] => (*one).to_owned(),
                several => {
                    ask::one_of("How does it authenticate?", several, several[0])?.to_owned()
                }
            },
            (None, _) => String::new(),
        };
        let target = match &self.target {
            Some(target) => target.clone(),
            None => ask::text("A name of your own for it", Some(&api), name)?,
        };
        let base_url = match &self.base_url {
            Some(base_url) => base_url.clone(),
            None => ask::text("Where is it? (https://...)", None, base_url)?,
        };
        let region = match &self.region {
            Some(region) => region.clone(),
            None => ask::text("Which AWS region is it called from?", Some("eu-central-1"), region)?,
        };
        Ok(Answers { target, profile, auth, base_url, region })
    }
}

impl Answers {
    fn api(&self) -> Api<'_> {
        match &self.profile {
            Some(profile) => Api::Profile { profile, auth: &self.auth },
            None => Api::NetSuite,
        }
    }
}

fn api_names() -> impl Iterator<Item = &'static str> + Clone {
    shipped::names().chain([NETSUITE])
}

fn auth_names(profile: &Profile) -> Vec<&'static str> {
    profile.auth.all().into_iter().map(|(name, _)| name).collect()
}

fn known_auth<'a>(profile: &Profile, auth: &'a str) -> Result<&'a str, Ended> {
    if profile.auth.get(auth).is_some() {
        return Ok(auth);
    }
    let mend = proposal(auth, auth_names(profile)).unwrap_or_default();
    let profile = profile.name();
    Err(Ended::Usage(format!("{profile} has no way to authenticate `{auth}`; {mend}")))
}

fn api(text: &str) -> Result<String, String> {
    if api_names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let mend = proposal(text, api_names()).unwrap_or_default();
    Err(format!("there is no profile of this name; {mend}"))
}

fn name(text: &str) -> Result<String, String> {
    let told = "write at most 20 lower-case letters, digits and hyphens, a letter first";
    if is_name(text) { Ok(text.to_owned()) } else { Err(told.to_owned()) }
}

fn base_url(text: &str) -> Result<Base, String> {
    text.parse()
}

fn region(text: &str) -> Result<String, String> {
    let told = "this is no AWS region; write one such as eu-central-1";
    if is_region(text) { Ok(text.to_owned()) } else { Err(told.to_owned()) }
}

/// Never over a file that is there.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => Ok(file.write_all(text.as_bytes())?),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(there_is_one(path)),
        Err(error) => Err(anyhow::anyhow!("cannot write {}: {error}", path.display())),
    }
}

fn there_is_one(path: &Path) -> anyhow::Error {
    let told = "add a table `[targets.NAME]` to it, or give another --directory";
    anyhow::anyhow!("there is a {} already: {told}", path.display())
}

/// Adds the lines that `.gitignore` does not have, and answers them.
fn ignore(directory: &Path) -> anyhow::Result<Vec<&'static str>> {
    let path = directory.join(".gitignore");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => anyhow::bail!("cannot read {}: {error}", path.display()),
    };
    let has = |line: &str| before.lines().any(|known| known.trim() == line);
    let added: Vec<&str> = IGNORED.into_iter().filter(|line| !has(line)).collect();
    if !added.is_empty() {
        let line_end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        let text = format!("{before}{line_end}{}\n", added.join("\n"));
        std::fs::write(&path, text)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))?;
    }
    Ok(added)
}

fn secret_command(secret: &str, region: &str, fields: &[&str]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("\"{field}\": \"...\"")).collect();
    format!(
        "aws secretsmanager create-secret --region {region} --name {secret} \\\n      --secret-string \
         '{{{}}}'",
        fields.join(", ")
    )
}
