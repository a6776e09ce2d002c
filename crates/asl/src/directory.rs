//! A directory of machines: sources in `src`, and beside it what is made of them.
//!
//! A source `src/NAME.json` with a `StartAt` becomes the machine `NAME.asl.json`, and the pictures
//! `pictures/NAME.svg` and `pictures/NAME.mmd`. Sources without one are parts for others.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Problem, Source, build, draw, problems, source};

/// Why a directory's machines are not there or not right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A machine could not be put together.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// A text is no state machine.
    #[error("{}", file.display())]
    Source {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: source::Error,
    },
    /// The checks found something.
    #[error("{} {} in the state machines:\n{}", found.len(), if found.len() == 1 { "problem" } else { "problems" }, found.join("\n"))]
    Problems {
        /// A line for each, as [`Problem::in_file`] writes it.
        found: Vec<String>,
    },
    /// A file is not what its sources say.
    #[error("{} is not what its sources say: run `cargo xtask asl`", file.display())]
    Stale {
        /// The file.
        file: PathBuf,
    },
}

/// A machine that was put together and checked.
#[derive(Debug)]
pub struct Machine {
    /// Its name, as in `NAME.asl.json`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The same, read.
    pub source: Source,
}

/// Puts every machine of the directory together and checks it.
///
/// # Errors
/// [`Error::Problems`] with what the checks find in all of them, or the first file that cannot be
/// read.
pub fn machines(directory: &Path) -> Result<Vec<Machine>, Error> {
    let mut machines = Vec::new();
    let mut found = Vec::new();
    for path in sources(&directory.join("src"))? {
        let value = build::file(&path)?;
        if value.get("StartAt").is_none() {
            continue;
        }
        let text = build::text(&value);
        let source = read(&path, &text)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = directory.join(format!("{name}.asl.json"));
        found.extend(problems(&source).iter().map(|problem| problem.in_file(&file)));
        machines.push(Machine { name, text, source });
    }
    if found.is_empty() { Ok(machines) } else { Err(Error::Problems { found }) }
}

fn sources(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read { file: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path, text: &str) -> Result<Source, Error> {
    Source::parse(text).map_err(|source| Error::Source { file: file.to_owned(), source })
}

/// The files that are made of the sources, each with its text.
///
/// # Errors
/// See [`machines`].
pub fn made(directory: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let made = machines(directory)?.into_iter().flat_map(|machine| {
        let file = directory.join(format!("{}.asl.json", machine.name));
        let pictures = pictures(&machine.source, &directory.join("pictures"), &machine.name);
        std::iter::once((file, machine.text)).chain(pictures)
    });
    Ok(made.collect())
}

/// A machine's pictures, each with its file in a directory.
fn pictures(source: &Source, directory: &Path, name: &str) -> [(PathBuf, String); 2] {
    [
        (directory.join(format!("{name}.svg")), draw::svg(source)),
        (directory.join(format!("{name}.mmd")), draw::mermaid(source)),
    ]
}

/// Draws one definition: `NAME.svg` and `NAME.mmd` in a directory, for a file `NAME.asl.json` or
/// `NAME.json`. Answers the files.
///
/// # Errors
/// As [`check_file`], and [`Error::Write`].
pub fn draw_file(file: &Path, into: &Path) -> Result<Vec<PathBuf>, Error> {
    let source = read_file(file)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".json").trim_end_matches(".asl");
    let pictures = pictures(&source, into, name);
    pictures.into_iter().map(|(file, text)| put(file, &text)).collect()
}

/// Writes what is made of the sources.
///
/// # Errors
/// See [`Error`].
pub fn write(directory: &Path) -> Result<(), Error> {
    for (file, text) in made(directory)? {
        put(file, &text)?;
    }
    Ok(())
}

fn put(file: PathBuf, text: &str) -> Result<PathBuf, Error> {
    let directory = file.parent().unwrap_or(Path::new("."));
    match fs::create_dir_all(directory).and_then(|()| fs::write(&file, text)) {
        Ok(()) => Ok(file),
        Err(source) => Err(Error::Write { file, source }),
    }
}

/// Compares what is made of the sources with what is there.
///
/// # Errors
/// [`Error::Stale`] for the first file that is another one or missing.
pub fn compare(directory: &Path) -> Result<(), Error> {
    for (file, text) in made(directory)? {
        if fs::read_to_string(&file).unwrap_or_default() != text {
            return Err(Error::Stale { file });
        }
    }
    Ok(())
}

/// Checks one definition.
///
/// # Errors
/// [`Error::Read`], or [`Error::Source`] where the file is no state machine.
pub fn check_file(file: &Path) -> Result<Vec<Problem>, Error> {
    Ok(problems(&read_file(file)?))
}

fn read_file(file: &Path) -> Result<Source, Error> {
    let text =
        fs::read_to_string(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
    read(file, &text)
}
