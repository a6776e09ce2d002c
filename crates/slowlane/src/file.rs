//! A `slowlane.toml` on disk, with the profiles that it names.

use crate::exit::Ended;
use crate::stacks::Stack as Stacked;
use serde::Serialize;
use slowlane_config::{Config, Deployment, Prices};
use slowlane_deployer::prompts;
use slowlane_profile::chat::{Prompt, Prompts};
use slowlane_profile::{Mistake, Mistakes, Profile, mistakes, shipped};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A configuration that was read and found right.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "cannot read {path} (`slowlane init` writes a first slowlane.toml, and --config says where it \
         is)"
    )]
    Unreadable { path: String, source: std::io::Error },
    #[error("{}", told(.0))]
    Wrong(Vec<Placed>),
}

/// A mistake, and the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Placed {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) mistake: Mistake,
}

/// What became of looking for mistakes.
pub(crate) struct Checked {
    pub(crate) kind: Kind,
    pub(crate) mistakes: Vec<Placed>,
    pub(crate) stacks: Vec<Stack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Configuration,
    Profile,
}

/// A stack that a configuration makes.
#[derive(Debug, Serialize)]
pub(crate) struct Stack {
    stage: String,
    pub(crate) stack: String,
    target: String,
    pub(crate) region: String,
    /// Why it cannot be deployed.
    pub(crate) refused: Option<String>,
}

impl File {
    /// Reads a configuration and the profiles that it names by their paths.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let config = parse(path, &read(path)?).map_err(Error::Wrong)?;
        Ok(Self { path: path.into(), config })
    }

    /// The stage that is meant: the given one, or the only one.
    pub(crate) fn stage(&self, given: Option<&str>) -> Result<String, Ended> {
        let stages: Vec<&str> = self.config.stages().collect();
        match (given, &stages[..]) {
            (Some(stage), _) => Ok(stage.to_owned()),
            (None, [one]) => Ok((*one).to_owned()),
            (None, []) => {
                let told = "there is no stage in it; write `[stages.prod]` with its region";
                Err(Ended::Usage(format!("{}: {told}", self.path.display())))
            }
            (None, several) => {
                Err(Ended::Usage(format!("say which by --stage: {}", several.join(", "))))
            }
        }
    }

    /// All targets as they are in a stage.
    pub(crate) fn deployments(&self, stage: &str) -> Result<Vec<Deployment>, Ended> {
        let unknown = |error| Ended::Usage(format!("{}: {error}", self.path.display()));
        self.config.deployments(stage).map_err(unknown)
    }

    /// A profile that comes with Slowlane, or one that stands beside this file.
    pub(crate) fn profile(&self, name: &str) -> Result<Profile, Error> {
        if let Some(profile) = shipped::get(name) {
            return Ok(profile);
        }
        let path = self.path.parent().unwrap_or(Path::new("")).join(name);
        Profile::parse(&read(&path)?).map_err(|mistakes| Error::Wrong(placed(&path, &mistakes)))
    }

    /// The prompts that a target's calls may name.
    pub(crate) fn prompts(&self, deployment: &Deployment) -> anyhow::Result<Prompts> {
        let mut all = Prompts::default();
        if let Some(path) = &deployment.prompts {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            for (name, text) in prompts::read(&folder.join(path))? {
                all.insert(name, Prompt::parse(&text)?);
            }
        }
        Ok(all)
    }

    pub(crate) fn no_target(&self, target: &str) -> String {
        let mut told = format!("{}: there is no target `{target}`", self.path.display());
        if let Some(mend) = mistakes::proposal(target, self.config.targets()) {
            let _ = write!(told, "; {mend}");
        }
        told
    }
}

/// Looks for all that is wrong with a configuration or a profile.
pub(crate) fn check(path: &Path) -> Result<Checked, Error> {
    let text = read(path)?;
    let kind = kind(path, &text);
    let mut checked = Checked { kind, mistakes: Vec::new(), stacks: Vec::new() };
    match kind {
        Kind::Profile => {
            if let Err(mistakes) = Profile::parse(&text) {
                checked.mistakes = placed(path, &mistakes);
            }
        }
        Kind::Configuration => match parse(path, &text) {
            Ok(config) => checked.stacks = stacks(&config),
            Err(mistakes) => checked.mistakes = mistakes,
        },
    }
    Ok(checked)
}

fn read(path: &Path) -> Result<String, Error> {
    let shown = || path.display().to_string();
    std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: shown(), source })
}

/// A configuration has targets or stages, a profile says what answers mean. Of a file that has
/// neither, its name tells.
fn kind(path: &Path, text: &str) -> Kind {
    let (table, _) = toml::de::DeTable::parse_recoverable(text);
    let has = |name: &str| table.get_ref().contains_key(name);
    let is_named = path.file_name().is_some_and(|name| name == "slowlane.toml");
    match has("targets") || has("stages") || (is_named && !has("answers")) {
        true => Kind::Configuration,
        false => Kind::Profile,
    }
}

/// The mistakes of the profiles that it names come with its own.
fn parse(path: &Path, text: &str) -> Result<Config, Vec<Placed>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let of_profiles = RefCell::new(BTreeMap::new());
    let load = |name: &str| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        Profile::parse(&text).map_err(|mistakes| {
            let placed = placed(&path, &mistakes);
            let number = placed.len();
            of_profiles.borrow_mut().insert(path, placed);
            match number {
                1 => "there is a mistake in it".to_owned(),
                _ => format!("there are {number} mistakes in it"),
            }
        })
    };
    let config = Config::parse(text, load).map_err(|mistakes| {
        let mut all = placed(path, &mistakes);
        all.extend(of_profiles.take().into_values().flatten());
        all
    })?;
    let mut wrong = in_prices(&config, folder);
    wrong.extend(in_prompts(&config, folder));
    match wrong.is_empty() {
        true => Ok(config),
        false => Err(wrong),
    }
}

/// All targets as they are in all stages.
fn in_stages(config: &Config) -> impl Iterator<Item = Deployment> {
    config.stages().flat_map(|stage| config.deployments(stage).unwrap_or_default())
}

/// The mistakes of the price lists that it names.
fn in_prices(config: &Config, folder: &Path) -> Vec<Placed> {
    let prices = in_stages(config).filter_map(|deployment| deployment.prices);
    let paths: BTreeSet<PathBuf> = prices.map(|path| folder.join(path)).collect();
    let wrong = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => match Prices::parse(&text) {
            Ok(_) => Vec::new(),
            Err(mistakes) => placed(&path, &mistakes),
        },
        Err(error) => {
            let mend = "a path begins at the folder of slowlane.toml";
            vec![whole(&path, format!("the price list cannot be read: {error}"), mend)]
        }
    };
    paths.into_iter().flat_map(wrong).collect()
}

/// The mistakes of the prompts that it names, the first of each folder.
fn in_prompts(config: &Config, folder: &Path) -> Vec<Placed> {
    let prompts = in_stages(config).filter_map(|deployment| deployment.prompts);
    let folders: BTreeSet<PathBuf> = prompts.map(|path| folder.join(path)).collect();
    let wrong = |folder: PathBuf| match prompts::read(&folder) {
        Ok(found) if found.is_empty() => {
            let mend = "write one, such as `review.v1.toml`, or take `prompts` out";
            vec![whole(&folder, "there is no prompt in this folder".to_owned(), mend)]
        }
        Ok(_) => Vec::new(),
        Err(prompts::Error::Mistakes { path, mistakes }) => placed(&path, &mistakes),
        Err(prompts::Error::Name { path, why }) => {
            vec![whole(&path, why, "other files may stand beside, if they do not end in `.toml`")]
        }
        Err(prompts::Error::Unreadable { path, source }) => {
            let mend = "a path begins at the folder of slowlane.toml";
            vec![whole(&path, format!("the prompts cannot be read: {source}"), mend)]
        }
        // What else may be wrong shows only against a stack.
        Err(_) => Vec::new(),
    };
    folders.into_iter().flat_map(wrong).collect()
}

/// What is wrong with a file or a folder as a whole.
fn whole(path: &Path, problem: String, mend: &str) -> Placed {
    let mend = Some(mend.to_owned());
    let mistake = Mistake { line: 1, column: 1, field: String::new(), problem, mend };
    Placed { file: path.display().to_string(), mistake }
}

fn stacks(config: &Config) -> Vec<Stack> {
    let mut all = Vec::new();
    for stage in config.stages() {
        for deployment in config.deployments(stage).unwrap_or_default() {
            let refused =
                Stacked::of(&deployment, Path::new("")).err().map(|error| error.to_string());
            let Deployment { stack, target, region, .. } = deployment;
            all.push(Stack { stage: stage.to_owned(), stack, target, region, refused });
        }
    }
    all
}

fn placed(path: &Path, mistakes: &Mistakes) -> Vec<Placed> {
    let file = path.display().to_string();
    let place = |mistake: &Mistake| Placed { file: file.clone(), mistake: mistake.clone() };
    mistakes.list().iter().map(place).collect()
}

/// Each mistake on a line of its own, as editors and compilers write it: `FILE:LINE:COLUMN: ...`.
fn told(mistakes: &[Placed]) -> String {
    let lines = mistakes.iter().map(|placed| format!("{}:{}", placed.file, placed.mistake));
    lines.collect::<Vec<_>>().join("\n")
}
