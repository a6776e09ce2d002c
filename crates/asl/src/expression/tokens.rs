//! The tokens of JSONata, as its reference reads them (jsonata-js 2.0.6, `parser.js`).

/// A token; white space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `'…'` or `"…"`, with its quotes.
    Text(&'a str),
    /// `/…/i`, with its slashes.
    Regex(&'a str),
    /// `$name`; `$` and `$$` too.
    Variable(&'a str),
    Number(&'a str),
    /// A field, or a word such as `and`.
    Word(&'a str),
    /// A field between backquotes, with them.
    Quoted(&'a str),
    /// An operator or a bracket.
    Sign(&'a str),
}

impl<'a> Token<'a> {
    pub(crate) fn source(self) -> &'a str {
        match self {
            Self::Text(source)
            | Self::Regex(source)
            | Self::Variable(source)
            | Self::Number(source)
            | Self::Word(source)
            | Self::Quoted(source)
            | Self::Sign(source) => source,
        }
    }
}

/// Signs of two characters, which come before their parts.
const DOUBLE: [&str; 7] = ["..", ":=", "!=", "<=", ">=", "**", "~>"];
/// Signs of one, each of which ends a name.
const SINGLE: &str = ".[]{}(),@#;:?+-*/%|=<>^&!~";

/// The tokens, each with whether white space or a comment comes before it.
pub(crate) fn scan(text: &str) -> Result<Vec<(bool, Token<'_>)>, String> {
    let mut tokens: Vec<(bool, Token<'_>)> = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.len();
        rest = rest.trim_start();
        while let Some(comment) = rest.strip_prefix("/*") {
            let (_, after) = comment.split_once("*/").ok_or("a comment has no end")?;
            rest = after.trim_start();
        }
        let spaced = rest.len() < start;
        if rest.is_empty() {
            return Ok(tokens);
        }
        let divides = tokens.last().is_some_and(|(_, token)| ends_a_value(*token));
        let token = first(rest, divides)?;
        rest = &rest[token.source().len()..];
        tokens.push((spaced, token));
    }
}

fn first(text: &str, slash_divides: bool) -> Result<Token<'_>, String> {
    let end_of_name = |from: usize| {
        let ends = |c: char| c.is_whitespace() || SINGLE.contains(c);
        text[from..].find(ends).map_or(text.len(), |at| from + at)
    };
    if text.starts_with('/') && !slash_divides {
        return Ok(Token::Regex(regex(text)?));
    }
    if let Some(sign) = DOUBLE.iter().find(|sign| text.starts_with(**sign)) {
        return Ok(Token::Sign(&text[..sign.len()]));
    }
    Ok(match text.chars().next().unwrap_or_default() {
        quote @ ('\'' | '"') => Token::Text(string(text, quote)?),
        '`' => {
            let end = text[1..].find('`').ok_or("a name in backquotes has no end")?;
            Token::Quoted(&text[..end + 2])
        }
        '0'..='9' => Token::Number(&text[..number(text)]),
        '$' if text.starts_with("$$") => Token::Variable(&text[..2]),
        '$' => Token::Variable(&text[..end_of_name(1)]),
        c if SINGLE.contains(c) => Token::Sign(&text[..c.len_utf8()]),
        _ => Token::Word(&text[..end_of_name(0)]),
    })
}

/// After a value a slash divides; elsewhere it opens a regex.
fn ends_a_value(token: Token<'_>) -> bool {
    match token {
        Token::Sign(sign) => matches!(sign, ")" | "]" | "}"),
        Token::Word(word) => !matches!(word, "and" | "or" | "in"),
        _ => true,
    }
}

fn string(text: &str, quote: char) -> Result<&str, String> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok(&text[..at + 1]);
        }
        if c == '\\' {
            let (at, escaped) = chars.next().ok_or("a text has no end")?;
            let hex = |text: &str| {
                text.get(1..5).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            };
            if !("\"\\/bfnrt".contains(escaped) || escaped == 'u' && hex(&text[at..])) {
                return Err(format!("a text has the escape \\{escaped}, which does not exist"));
            }
        }
    }
    Err(format!("a text has no end: {}", text.chars().take(20).collect::<String>()))
}

/// A slash ends a regex only outside of brackets, which the reference counts without regard to
/// classes.
fn regex(text: &str) -> Result<&str, String> {
    let mut depth = 0_i32;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' if depth == 0 && at == 1 => return Err("a regex is empty".to_owned()),
            '/' if depth == 0 => {
                let flags = text[at + 1..].bytes().take_while(|flag| b"im".contains(flag)).count();
                return Ok(&text[..at + 1 + flags]);
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    Err("a regex has no end, or its brackets are not in pairs".to_owned())
}

/// The length of a number: `0|[1-9][0-9]*`, a fraction, an exponent.
fn number(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = if text.starts_with('0') { 1 } else { digits(0) };
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::Token::{Number, Quoted, Regex, Sign, Text, Variable, Word};
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        scan(text).unwrap().into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn texts_regexes_and_comments_hide_what_is_in_them() {
        let found = tokens("$f('$a /* \\\\ */', /[$/]\\/x/i) /* $c */ / 2");
        let expected = [
            Variable("$f"),
            Sign("("),
            Text("'$a /* \\\\ */'"),
            Sign(","),
            Regex("/[$/]\\/x/i"),
            Sign(")"),
            Sign("/"),
            Number("2"),
        ];
        assert_eq!(found, expected);
        assert_eq!(tokens("[/a b/i]"), [Sign("["), Regex("/a b/i"), Sign("]")]);
        assert_eq!(
            tokens("$x := `a b`/b"),
            [Variable("$x"), Sign(":="), Quoted("`a b`"), Sign("/"), Word("b")]
        );
    }

    #[test]
    fn numbers_and_ranges_are_told_apart() {
        assert_eq!(tokens("[1..5]"), [Sign("["), Number("1"), Sign(".."), Number("5"), Sign("]")]);
        assert_eq!(tokens("1.5e-3.a"), [Number("1.5e-3"), Sign("."), Word("a")]);
    }

    #[test]
    fn what_has_no_end_is_told() {
        for text in ["'a", "\"a\\", "/a", "//", "/* a", "`a", "'\\x'", "'\\u12'", "/[(]/"] {
            assert!(scan(text).is_err(), "{text}");
        }
    }
}
