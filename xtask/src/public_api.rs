//! The public API of the crates that others build on, as text that is checked in: what breaks or
//! grows it shows in a review.
//!
//! It is made from the sources, not from the compiler's knowledge. Items that a macro makes are
//! shown as the macro's invocation. What is implemented by blanket or automatically is left out.

mod print;

use crate::source::Source;
use anyhow::{Context as _, bail};
use std::fs;
use std::path::Path;

/// The crates that are used without the rest of Slowlane.
const CRATES: [&str; 9] = [
    "asl",
    "aws-simulator",
    "idempotency",
    "limiter",
    "message",
    "metering",
    "netsuite",
    "profile",
    "sandbox",
];

/// Writes each crate's `public-api.txt`, or compares it with what the sources say.
pub(crate) fn run(repository: &Path, check: bool) -> anyhow::Result<()> {
    for name in CRATES {
        let directory = repository.join("crates").join(name);
        let path = directory.join("public-api.txt");
        let api = of(&directory).with_context(|| format!("the public API of crates/{name}"))?;
        if !check {
            fs::write(&path, api).with_context(|| format!("writing {}", path.display()))?;
        } else if fs::read_to_string(&path).unwrap_or_default() != api {
            bail!(
                "crates/{name}/public-api.txt is not what the sources say: \
                 run `cargo xtask public-api` and look at the difference"
            );
        }
    }
    Ok(())
}

/// The public API of the package in this directory.
fn of(package: &Path) -> anyhow::Result<String> {
    let source = Source::read(&package.join("src/lib.rs"))?;
    Ok(print::all(&source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(files: &[(&str, &str)]) -> String {
        let package = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = package.path().join("src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        of(package.path()).unwrap()
    }

    #[test]
    fn shows_what_can_be_reached_and_nothing_else() {
        let lib = r#"
            //! A crate.
            mod hidden;
            pub mod shown;
            pub use hidden::{Inner as Outer, twice, Inner as Same};
            pub use other::Foreign;
            #[cfg(test)]
            mod tests { pub struct NotThis; }
            pub(crate) struct NorThis;
        "#;
        let hidden = r#"
            use std::fmt;
            /// Its docs are left out.
            #[derive(Clone, Debug)]
            pub struct Inner { pub open: u8, closed: u8 }
            pub struct Unreachable;
            impl Inner {
                pub fn new(open: u8) -> Self { Self { open, closed: 0 } }
                fn private(&self) {}
            }
            impl fmt::Display for Inner {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { Ok(()) }
            }
            pub const fn twice(n: u8) -> u8 { 2 * n }
        "#;
        let shown = r#"
            #[non_exhaustive]
            pub enum Error { One, Two { why: String } }
            pub trait Walk { fn step(&self) -> u8 { 1 } }
            impl Walk for crate::Outer {}
            pub struct Counter(u64);
            ids! { Name }
        "#;
        let files = [("lib.rs", lib), ("hidden.rs", hidden), ("shown/mod.rs", shown)];
        insta::assert_snapshot!(api(&files), @r#"
        // shown::Error
        #[non_exhaustive]
        pub enum Error {
            One,
            Two { why: String },
        }

        // shown::Walk
        pub trait Walk {
            fn step(&self) -> u8 {}
        }

        // shown::Counter
        pub struct Counter(_private);

        // shown::a macro's items
        ids! {
            Name
        }

        // Outer
        #[derive(Clone, Debug)]
        pub struct Inner {
            pub open: u8,
            _private: (),
        }
        impl Inner {
            pub fn new(open: u8) -> Self {}
        }
        impl fmt::Display for Inner {}
        impl Walk for crate::Outer {}

        // twice
        pub const fn twice(n: u8) -> u8 {}

        // Same: the same as Outer

        pub use other::Foreign;
        "#);
    }

    #[test]
    fn types_of_one_name_keep_their_own_methods() {
        let files = [
            ("lib.rs", "pub mod a; pub mod b;"),
            ("a.rs", "pub struct Error; impl Error { pub fn of_a(&self) {} }"),
            ("b.rs", "pub struct Error; impl Error { pub fn of_b(&self) {} }"),
        ];
        insta::assert_snapshot!(api(&files), @r#"
        // a::Error
        pub struct Error;
        impl Error {
            pub fn of_a(&self) {}
        }

        // b::Error
        pub struct Error;
        impl Error {
            pub fn of_b(&self) {}
        }
        "#);
    }

    #[test]
    fn the_checked_in_apis_are_up_to_date() {
        run(crate::workspace::repository(), true).unwrap();
    }
}
