//! The target that the environment describes.

use std::path::Path;
use std::time::Duration;

use aws_config::SdkConfig;
use slowlane_lambda::env::{self, Env, Recorded};
use slowlane_lambda::logs::chain;
use slowlane_profile::chat::{Prompt, PromptName, Prompts, SecondProvider};
use slowlane_profile::{Base, Profile, shipped};

use super::ProfiledApi;
use super::builder::Builder;
use super::error::Error;
use crate::aws::files::FilesPlace;
use crate::package::beside_the_worker;

/// Why the target that the environment describes could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FromEnvError {
    /// A variable is missing or ill-formed.
    #[error(transparent)]
    Environment(#[from] env::Error),
    /// What they say does not fit together, or the secret does not hold what it must.
    #[error("API_AUTH, API_SECRET and API_FILES: {0}")]
    Target(#[from] Error),
    /// The same of the second provider.
    #[error("FALLBACK: {0}")]
    Second(#[source] Error),
}

struct Settings {
    who: Who,
    files: Option<FilesPlace>,
    settles_after: Option<Duration>,
    prompts: Prompts,
    second: Option<Second>,
}

/// Where an API is, and who calls it.
struct Who {
    base: Base,
    auth: Option<String>,
    secret: Option<String>,
}

struct Second {
    profile: Profile,
    who: Who,
    model: String,
    after: Duration,
}

impl ProfiledApi {
    /// Makes the target that the environment describes:
    ///
    /// | Variable | Means |
    /// |---|---|
    /// | `API_PROFILE` | a profile's name, its file beside the worker, or its whole text |
    /// | `API_BASE_URL` | where the API is |
    /// | `API_AUTH` | which of the profile's ways to authenticate; not needed where there is one |
    /// | `API_SECRET` | the name of the secret in Secrets Manager, or a parameter: `ssm:/NAME` or its ARN; not needed for `sigv4` |
    /// | `API_FILES` | where files lie in S3: `s3://BUCKET/PREFIX`; not needed where there are none |
    /// | `API_SETTLES_AFTER_SECS` | in the place of what the profile says |
    /// | `PROMPTS` | the folder of prompts beside the worker, if there is one |
    /// | `FALLBACK` | the file of a second provider beside the worker, or its text, if there is one |
    ///
    /// Secrets are read at once, so that a mistake in one is told at the start.
    ///
    /// # Errors
    /// See [`FromEnvError`]. None of them shows the secret.
    pub async fn from_env(sdk: &SdkConfig) -> Result<Self, FromEnvError> {
        let folder = beside_the_worker();
        let (profile, settings) = env::read(env::process, |env| {
            let profile = profile(env, &folder);
            let settings = settings(env, &folder);
            Ok((profile?, settings?))
        })?;
        Self::of(profile, settings, sdk).await
    }

    /// The same with a profile that the program brings: `API_PROFILE` is not read.
    ///
    /// # Errors
    /// See [`FromEnvError`]. None of them shows the secret.
    pub async fn with_profile(profile: Profile, sdk: &SdkConfig) -> Result<Self, FromEnvError> {
        let folder = beside_the_worker();
        Self::of(profile, env::read(env::process, |env| settings(env, &folder))?, sdk).await
    }

    async fn of(
        profile: Profile,
        settings: Settings,
        sdk: &SdkConfig,
    ) -> Result<Self, FromEnvError> {
        let mut target = builder(profile, settings.who, sdk)?.prompts(settings.prompts);
        if let Some(place) = settings.files {
            target = target.files(sdk, place);
        }
        if let Some(settles_after) = settings.settles_after {
            target = target.settles_after(settles_after);
        }
        if let Some(Second { profile, who, model, after }) = settings.second {
            let second = builder(profile, who, sdk).and_then(Builder::build);
            let second = second.map_err(FromEnvError::Second)?;
            let checked = second.credentials.check(&second.api).await;
            checked.map_err(FromEnvError::Second)?;
            target = target.second(second, model, after);
        }
        let target = target.build()?;
        target.credentials.check(&target.api).await?;
        Ok(target)
    }
}

fn builder(profile: Profile, who: Who, sdk: &SdkConfig) -> Result<Builder, Error> {
    let Who { base, auth, secret } = who;
    let mut target = ProfiledApi::builder(profile, base);
    if let Some(auth) = auth {
        target = target.auth(auth);
    }
    Ok(match secret {
        _ if target.signs_by_role()? => target.role(sdk),
        Some(id) => target.stored_secret(sdk, id),
        None => target,
    })
}

fn profile(env: &mut Env<'_>, folder: &Path) -> Result<Profile, Recorded> {
    let expected = "a profile's name, its file beside the worker, or its text";
    let name: String = env.required("API_PROFILE", expected)?;
    load(&name, folder).map_err(|why| env.refuse(format!("API_PROFILE: {why}")))
}

fn settings(env: &mut Env<'_>, folder: &Path) -> Result<Settings, Recorded> {
    // It is not shown, since it may hold a password.
    let base = env
        .required("API_BASE_URL", "the API's URL, such as https://api.example.com/v1")
        .and_then(|text: String| {
            Base::parse(&text).map_err(|why| env.refuse(format!("API_BASE_URL {why}")))
        });
    let auth = env.maybe("API_AUTH", "a way to authenticate");
    let secret =
        env.maybe("API_SECRET", "the name of a secret in Secrets Manager, or of a parameter");
    let files = env.maybe("API_FILES", "a place in S3, such as s3://acme-files/crm");
    let settles_after = env.maybe("API_SETTLES_AFTER_SECS", "a whole number of seconds");
    let prompts = prompts(env, folder);
    let second = second(env, folder);
    Ok(Settings {
        who: Who { base: base?, auth: auth?, secret: secret? },
        files: files?,
        settles_after: settles_after?.map(Duration::from_secs),
        prompts: prompts?,
        second: second?,
    })
}

fn prompts(env: &mut Env<'_>, folder: &Path) -> Result<Prompts, Recorded> {
    let name: Option<String> = env.maybe("PROMPTS", "the folder of prompts beside the worker")?;
    let Some(name) = name else { return Ok(Prompts::default()) };
    let folder = folder.join(name);
    load_prompts(&folder).map_err(|why| env.refuse(format!("PROMPTS: {}: {why}", folder.display())))
}

/// Reads a folder of prompts, which has nothing else.
fn load_prompts(folder: &Path) -> Result<Prompts, String> {
    let mut prompts = Prompts::default();
    for entry in std::fs::read_dir(folder).map_err(|error| chain(&error))? {
        let path = entry.map_err(|error| chain(&error))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name: PromptName = file.parse()?;
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("{file}: {}", chain(&error)));
        let prompt = Prompt::parse(&text?).map_err(|mistakes| format!("{file}:\n{mistakes}"))?;
        prompts.insert(name, prompt);
    }
    Ok(prompts)
}

fn second(env: &mut Env<'_>, folder: &Path) -> Result<Option<Second>, Recorded> {
    let expected = "the file of a second provider beside the worker, or its text";
    let Some(given) = env.maybe::<String>("FALLBACK", expected)? else { return Ok(None) };
    let second = load_second(&given, folder);
    second.map(Some).map_err(|why| env.refuse(format!("FALLBACK: {why}")))
}

fn load_second(given: &str, folder: &Path) -> Result<Second, String> {
    let text = match given.trim_start().starts_with('{') {
        true => given.to_owned(),
        false => std::fs::read_to_string(folder.join(given)).map_err(|error| chain(&error))?,
    };
    let SecondProvider { profile, base_url, secret, auth, model, after } =
        SecondProvider::from_json(&text).map_err(|error| error.to_string())?;
    let profile = load(&profile, folder)?;
    let who = Who { base: base_url, auth, secret };
    Ok(Second { profile, who, model, after: after.0 })
}

/// Reads a profile: one that comes with Slowlane by its name, a file by its path below `folder`, or
/// a whole file's text.
///
/// # Errors
/// Why not, in words: all mistakes in it, or that there is no such name and no such file.
pub fn load(name: &str, folder: &Path) -> Result<Profile, String> {
    if name.contains('\n') {
        return Profile::parse(name).map_err(|mistakes| mistakes.to_string());
    }
    if let Some(profile) = shipped::get(name) {
        return Ok(profile);
    }
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let names = shipped::names().collect::<Vec<_>>().join(", ");
        format!(
            "`{name}` is neither a profile that comes with Slowlane ({names}) nor a file: {}: {}",
            path.display(),
            chain(&error)
        )
    })?;
    Profile::parse(&text).map_err(|mistakes| format!("{}:\n{mistakes}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, folder: &Path) -> Result<String, String> {
        let vars = |wanted: &str| (wanted == "API_PROFILE").then(|| name.to_owned());
        let read = env::read(vars, |env| profile(env, folder));
        read.map(|profile| profile.name().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_is_a_name_a_file_beside_the_worker_or_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let (_, http) = shipped::FILES.into_iter().find(|(name, _)| *name == "http").unwrap();
        let own = http.replace("name = \"http\"", "name = \"own\"");
        std::fs::write(folder.path().join("profile.toml"), &own).unwrap();
        std::fs::write(folder.path().join("wrong.toml"), "name = 3").unwrap();
        assert_eq!(named("stripe", folder.path()).as_deref(), Ok("stripe"));
        assert_eq!(named("profile.toml", folder.path()).as_deref(), Ok("own"));
        assert_eq!(named(&own, folder.path()).as_deref(), Ok("own"));
        for (name, told) in [
            ("htpp", "`htpp` is neither a profile that comes with Slowlane (anthropic, bedrock,"),
            ("other.toml", "nor a file: "),
            ("wrong.toml", "wrong.toml:\n1:"),
            ("name = 3\n", "API_PROFILE: 1:"),
            ("", "API_PROFILE is not set: it must be a profile's name, its file"),
        ] {
            let error = named(name, folder.path()).unwrap_err();
            assert!(error.contains(told), "{told}: {error}");
        }
    }

    const PROMPT: &str = "[[messages]]\nrole = \"user\"\ncontent = \"Hello\"\n";

    #[test]
    fn prompts_are_a_folder_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hello.v1.toml"), PROMPT).unwrap();
        let names = |prompts: Prompts| prompts.names().map(PromptName::file).collect::<Vec<_>>();
        assert_eq!(names(load_prompts(folder.path()).unwrap()), ["hello.v1.toml"]);
        std::fs::write(folder.path().join("bye.v1.toml"), "messages = 3").unwrap();
        let told = load_prompts(folder.path()).unwrap_err();
        assert!(told.contains("bye.v1.toml:\n1:"), "{told}");
        std::fs::rename(folder.path().join("bye.v1.toml"), folder.path().join("bye.toml")).unwrap();
        let told = load_prompts(folder.path()).unwrap_err();
        assert!(told.contains("`bye.toml` is no name of a prompt's file"), "{told}");
        assert!(load_prompts(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_second_provider_is_a_text_or_a_file_beside_the_worker() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"profile": "anthropic", "base_url": "https://api.anthropic.com", "model": "m",
            "secret": "prod/anthropic", "after": "5m"}"#;
        std::fs::write(folder.path().join("fallback.json"), text).unwrap();
        for given in [text, "fallback.json"] {
            let second = load_second(given, folder.path()).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(second.profile.name(), "anthropic");
            assert_eq!((second.model.as_str(), second.after.as_secs()), ("m", 300));
            assert_eq!(second.who.secret.as_deref(), Some("prod/anthropic"));
        }
        for (given, told) in [
            (
                text.replace("anthropic\", \"base", "antropic\", \"base"),
                "`antropic` is neither a profile",
            ),
            (text.replace("\"model\": \"m\",", ""), "missing field `model`"),
            (text.replace("https:", "http:"), "must begin with `https://`"),
            ("other.json".to_owned(), "No such file"),
        ] {
            let why = load_second(&given, folder.path()).map(drop).unwrap_err();
            assert!(why.contains(told), "{told}: {why}");
        }
    }
}
