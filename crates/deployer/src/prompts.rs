//! Prompts that travel in the worker's package. A version that was deployed is never changed.

use crate::{Values, package};
use sha2::{Digest, Sha256};
use slowlane_profile::chat::{Prompt, PromptName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of their folder in the worker's package.
const FOLDER: &str = "prompts";
const PARAMETER: &str = "Prompts";
/// How much of a prompt's hash a stack keeps, in bytes.
const HASH_BYTES: usize = 6;
/// What a parameter of a template may have at most (AWS CloudFormation User Guide, quotas).
const MOST_BYTES: usize = 4_096;

/// Why a stack cannot have these prompts. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack has prompts, and this deploy brings none.
    #[error(
        "the stack has prompts, which travel in the worker's package: give their folder again by --prompts, \
         or -p Prompts= for none"
    )]
    LeftOut,
    /// A file or the folder cannot be read.
    #[error("cannot read the prompts {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file has another name.
    #[error("{path}: {why}")]
    Name {
        /// The folder.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A prompt has mistakes.
    #[error("the prompt has mistakes. {path}:\n{mistakes}")]
    Mistakes {
        /// Its path.
        path: PathBuf,
        /// All of them, each with its line.
        mistakes: slowlane_profile::Mistakes,
    },
    /// A version was deployed with another text.
    #[error(
        "the stack has {name} with another text, and a version is never changed: write the new text as the \
         next version"
    )]
    Changed {
        /// The prompt's name and version.
        name: String,
    },
    /// A stack can keep the hashes of so many only.
    #[error(
        "the prompts' names and hashes have {bytes} bytes, and a stack can be told {MOST_BYTES}: take versions \
         out that no call names any more"
    )]
    TooMany {
        /// What they have.
        bytes: usize,
    },
}

/// The files of a folder's prompts, by their names. Only files that end in `.toml` are looked at.
///
/// # Errors
/// The first that cannot be read, or has mistakes.
pub fn read(folder: &Path) -> Result<BTreeMap<PromptName, String>, Error> {
    let unreadable = |path: &Path, source| Error::Unreadable { path: path.into(), source };
    let mut prompts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
        let path = entry.map_err(|source| unreadable(folder, source))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.parse::<PromptName>();
        let name = name.map_err(|why| Error::Name { path: folder.into(), why })?;
        let text = std::fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
        Prompt::parse(&text).map_err(|mistakes| Error::Mistakes { path, mistakes })?;
        prompts.insert(name, text);
    }
    Ok(prompts)
}

/// What of them travels in the worker's package.
///
/// # Errors
/// If they cannot be read, or have mistakes.
pub(crate) fn files(folder: &Path) -> Result<Vec<package::File>, Error> {
    let prompts = read(folder)?.into_iter();
    let file = |(name, text): (PromptName, String)| {
        (format!("{FOLDER}/{}", name.file()).into(), text.into_bytes())
    };
    Ok(prompts.map(file).collect())
}

/// Completes the parameter that says which prompts a stack has, each with a part of its hash.
///
/// # Errors
/// If the stack's prompts would be left out, or a version of them would change.
pub(crate) fn choose(
    parameters: &mut Values,
    before: &Values,
    folder: Option<&Path>,
) -> Result<(), Error> {
    let Some(folder) = folder else {
        let said = parameters.get(PARAMETER).or_else(|| before.get(PARAMETER));
        return match said.is_some_and(|said| !said.is_empty()) {
            true => Err(Error::LeftOut),
            false => Ok(()),
        };
    };
    let deployed = before.get(PARAMETER).map(String::as_str).unwrap_or_default();
    let deployed: BTreeMap<&str, &str> =
        deployed.split(',').filter_map(|one| one.split_once('=')).collect();
    let mut pinned = Vec::new();
    for (name, text) in read(folder)? {
        let (name, hash) = (name.to_string(), hash(&text));
        if deployed.get(name.as_str()).is_some_and(|known| *known != hash) {
            return Err(Error::Changed { name });
        }
        pinned.push(format!("{name}={hash}"));
    }
    let pinned = pinned.join(",");
    if pinned.len() > MOST_BYTES {
        return Err(Error::TooMany { bytes: pinned.len() });
    }
    parameters.insert(PARAMETER.into(), pinned);
    Ok(())
}

fn hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "inputs = [\"x\"]\n[[messages]]\nrole = \"user\"\ncontent = \"{x}\"\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn chosen(folder: Option<&Path>, before: &Values) -> Result<Values, String> {
        let mut parameters = Values::new();
        let chosen = choose(&mut parameters, before, folder);
        chosen.map(|()| parameters).map_err(|error| error.to_string())
    }

    #[test]
    fn a_version_that_was_deployed_is_not_changed() {
        let none = Values::new();
        let folder = folder(&[("review.v3.toml", PROMPT), ("README.md", "of ours")]);
        let path = folder.path();
        let first = chosen(Some(path), &none).unwrap();
        let text = &first[PARAMETER];
        assert!(text.starts_with("review.v3=") && text.len() == 22, "{text}");
        // Another version beside it is fine, and the first is as it was.
        std::fs::write(path.join("review.v4.toml"), PROMPT.replace("{x}", "So: {x}")).unwrap();
        let second = chosen(Some(path), &first).unwrap();
        assert!(second[PARAMETER].starts_with(&format!("{text},review.v4=")));
        std::fs::write(path.join("review.v3.toml"), PROMPT.replace("{x}", "{x}!")).unwrap();
        let error = chosen(Some(path), &second).unwrap_err();
        assert!(error.contains("review.v3 with another text"), "{error}");
        let error = chosen(None, &second).unwrap_err();
        assert!(error.contains("give their folder again by --prompts"), "{error}");
        assert_eq!(chosen(None, &none), Ok(none));
    }

    #[test]
    fn what_is_no_prompt_is_told_with_its_place() {
        for (name, text, told) in [
            ("review.toml", PROMPT, "`review.toml` is no name of a prompt's file"),
            ("review.v1.toml", "inputs = [", "review.v1.toml:\n1:"),
            ("review.v1.toml", "messages = []", "write `[[messages]]`"),
        ] {
            let error = read(folder(&[(name, text)]).path()).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
        let error = read(Path::new("/nowhere/prompts")).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    }
}
