//! The expression of a file on one line. All but its comments and line breaks stays as it was written.

use std::path::Path;

use super::files::{Error, Open, read};
use crate::expression::tokens::{Token, scan};

/// The expression of a file on one line, with includes in place, each in parentheses.
pub(super) fn file(path: &Path, open: &mut Open) -> Result<String, Error> {
    open.within(path, |open| {
        let text = read(path)?;
        one_line(&text, path, open)
    })
}

fn one_line(text: &str, path: &Path, open: &mut Open) -> Result<String, Error> {
    let bad = |what: String| Error::Include { file: path.to_owned(), what };
    let tokens = scan(text).map_err(bad)?;
    let mut rest = tokens.as_slice();
    let mut line = String::new();
    while let [(spaced, token), others @ ..] = rest {
        let (source, after) = match rest {
            [
                (_, Token::Variable("$include")),
                (_, Token::Sign("(")),
                (_, Token::Text(name)),
                (_, Token::Sign(")")),
                after @ ..,
            ] => {
                let name = name.trim_matches(['\'', '"']);
                (format!("({})", file(&path.with_file_name(name), open)?), after)
            }
            _ => (token.source().to_owned(), others),
        };
        if *spaced && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&source);
        rest = after;
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_becomes_one_line_with_its_includes() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.jsonata"), "/* a */\n1 +\n  $include('b.jsonata')\n")
            .unwrap();
        fs::write(directory.path().join("b.jsonata"), "'two  words' & /* b */ x").unwrap();
        let line = file(&directory.path().join("a.jsonata"), &mut Open::default());
        assert_eq!(line.unwrap(), "1 + ('two  words' & x)");
    }

    #[test]
    fn a_text_without_an_end_is_told_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonata");
        fs::write(&path, "1 & 'two").unwrap();
        let error = file(&path, &mut Open::default()).unwrap_err().to_string();
        assert!(error.contains("a.jsonata: a text has no end"), "{error}");
    }
}
