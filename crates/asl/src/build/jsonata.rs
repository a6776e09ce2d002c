//! Reads JSONata as far as building needs it: its tokens, so that all else stays as it was written.

use std::path::Path;

use super::{Error, Open, read};

/// A token; white space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// `'…'` or `"…"`, with its quotes.
    Text(&'a str),
    /// `/…/i`, with its slashes.
    Regex(&'a str),
    /// `$name`; `$` and `$$` too.
    Variable(&'a str),
    /// A field, a number or a word such as `and`.
    Word(&'a str),
    /// One character, or two in `:=`.
    Sign(&'a str),
}

/// The expression of a file on one line, with includes in place, each in parentheses.
pub(super) fn file(path: &Path, open: &mut Open) -> Result<String, Error> {
    open.within(path, |open| {
        let text = read(path)?;
        one_line(&text, path, open)
    })
}

fn one_line(text: &str, path: &Path, open: &mut Open) -> Result<String, Error> {
    let tokens = scan(text);
    let mut rest = tokens.as_slice();
    let mut line = String::new();
    loop {
        use Token::{Regex, Sign, Text, Variable, Word};
        let (spaced, source, after) = match rest {
            [] => return Ok(line),
            [
                (spaced, Variable("$include")),
                (_, Sign("(")),
                (_, Text(name)),
                (_, Sign(")")),
                after @ ..,
            ] => {
                let name = name.trim_matches(['\'', '"']);
                let included = file(&path.with_file_name(name), open)?;
                (*spaced, format!("({included})"), after)
            }
            [(spaced, Text(s) | Regex(s) | Variable(s) | Word(s) | Sign(s)), after @ ..] => {
                (*spaced, (*s).to_owned(), after)
            }
        };
        if spaced && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&source);
        rest = after;
    }
}

/// The tokens, each with whether white space or a comment comes before it.
fn scan(mut rest: &str) -> Vec<(bool, Token<'_>)> {
    let mut tokens: Vec<(bool, Token<'_>)> = Vec::new();
    loop {
        let start = rest.len();
        rest = rest.trim_start();
        while let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after).trim_start();
        }
        let spaced = rest.len() < start;
        let divides = tokens.last().is_some_and(|(_, token)| ends_a_value(*token));
        let Some(token) = first_token(rest, divides) else { return tokens };
        let (Token::Text(s)
        | Token::Regex(s)
        | Token::Variable(s)
        | Token::Word(s)
        | Token::Sign(s)) = token;
        rest = &rest[s.len()..];
        tokens.push((spaced, token));
    }
}

fn first_token(text: &str, slash_divides: bool) -> Option<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word_end =
        |from: usize| text[from..].find(|c| !is_word(c)).map_or(text.len(), |at| from + at);
    Some(match text.chars().next()? {
        quote @ ('\'' | '"') => Token::Text(&text[..closing(text, quote)]),
        '/' if !slash_divides => Token::Regex(&text[..word_end(closing(text, '/'))]),
        '$' if text.starts_with("$$") => Token::Variable("$$"),
        '$' => Token::Variable(&text[..word_end(1)]),
        c if is_word(c) => Token::Word(&text[..word_end(0)]),
        ':' if text.starts_with(":=") => Token::Sign(":="),
        c => Token::Sign(&text[..c.len_utf8()]),
    })
}

/// After a value a slash divides; elsewhere it opens a regex.
fn ends_a_value(token: Token<'_>) -> bool {
    match token {
        Token::Sign(sign) => matches!(sign, ")" | "]" | "}"),
        Token::Word(word) => !matches!(word, "and" | "or" | "in"),
        Token::Text(_) | Token::Regex(_) | Token::Variable(_) => true,
    }
}

/// The end of a literal that opens and closes with the same character.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Token::{Regex, Sign, Text, Variable, Word};
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        scan(text).into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn texts_regexes_and_comments_hide_what_is_in_them() {
        let found = tokens("$f('$a /* \\' */', /[$/]\\/x/i) /* $c */ / 2");
        let expected = [
            Variable("$f"),
            Sign("("),
            Text("'$a /* \\' */'"),
            Sign(","),
            Regex("/[$/"),
            Sign("]"),
        ];
        assert_eq!(found[..expected.len()], expected, "a slash ends a regex, as in JSONata");
        assert_eq!(
            tokens("$x := a / b"),
            [Variable("$x"), Sign(":="), Word("a"), Sign("/"), Word("b")]
        );
        assert_eq!(tokens("[/a b/i]"), [Sign("["), Regex("/a b/i"), Sign("]")]);
    }

    #[test]
    fn a_file_becomes_one_line_with_its_includes() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.jsonata"), "/* a */\n1 +\n  $include('b.jsonata')\n")
            .unwrap();
        fs::write(directory.path().join("b.jsonata"), "'two  words' & /* b */ x").unwrap();
        let line = file(&directory.path().join("a.jsonata"), &mut Open::default());
        assert_eq!(line.unwrap(), "1 + ('two  words' & x)");
    }
}
