//! Which calls a deployment makes.
//!
//! `ALLOWED_CALLS` is a list of rules, such as `GET,PUT salesOrder/*; POST customer`:
//!
//! | Part of a rule | stands for |
//! |---|---|
//! | `GET,PUT` | these methods; `*` for any |
//! | `salesOrder` | this segment of the resource, in the same letters |
//! | `*` | any text within a segment: `salesOrder/eid:web-*` |
//! | `**`, at the end | one segment or more: `salesOrder/**` |
//!
//! Rules are separated by `;`. A call is allowed if one of them allows it. The query of a resource is
//! not judged.
//!
//! A target or its API may read a path otherwise than it is written here: `salesOrder/../customer`
//! is `customer` to most. So a resource with anything of that kind is refused. An encoded form of
//! an allowed name is refused too: where a rule has a letter, the resource must have that letter.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use slowlane_message::{Method, TargetRequest};

/// The calls that a deployment makes: all, or those that a rule allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedCalls {
    /// Every call.
    #[default]
    All,
    /// The calls that one of these rules allows.
    Only(Vec<Rule>),
}

/// One rule: some methods on some resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    methods: Methods,
    segments: Vec<Segment>,
    /// Whether segments may follow, one at least.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Methods {
    Any,
    These(Vec<Method>),
}

/// The texts of a segment between its stars: one if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment(Vec<String>);

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule allows it.
    #[error("no rule of ALLOWED_CALLS allows it")]
    NoRule,
    /// The target may read the resource otherwise than the rules do.
    #[error("its resource has {0}, so it might be another one than it seems")]
    Ambiguous(&'static str),
}

/// Why a list of rules cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The list has no rule.
    #[error("it has no rule, such as `GET,PUT salesOrder/*`; leave it empty to allow every call")]
    NoRule,
    /// One rule is ill-formed.
    #[error("the rule `{rule}` {problem}")]
    Rule {
        /// The rule as written.
        rule: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl AllowedCalls {
    /// Whether the deployment makes this call.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, request: &TargetRequest) -> Result<(), Refusal> {
        let AllowedCalls::Only(rules) = self else { return Ok(()) };
        let segments = segments(&request.resource)?;
        let allows = |rule: &Rule| rule.allows(request.method, &segments);
        if rules.iter().any(allows) { Ok(()) } else { Err(Refusal::NoRule) }
    }
}

impl Rule {
    fn allows(&self, method: Method, segments: &[&str]) -> bool {
        let method_fits = match &self.methods {
            Methods::Any => true,
            Methods::These(methods) => methods.contains(&method),
        };
        let length_fits = if self.open {
            segments.len() > self.segments.len()
        } else {
            segments.len() == self.segments.len()
        };
        let mut pairs = self.segments.iter().zip(segments);
        method_fits && length_fits && pairs.all(|(pattern, segment)| pattern.matches(segment))
    }
}

impl Segment {
    fn matches(&self, text: &str) -> bool {
        let [first, between @ .., last] = &*self.0 else {
            return self.0.iter().all(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for piece in between {
            // The first place leaves the most for what follows.
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

/// The segments of a resource that everybody reads alike, without its query.
fn segments(resource: &str) -> Result<Vec<&str>, Refusal> {
    let path = resource.split_once('?').map_or(resource, |(path, _)| path);
    path.split('/').map(|segment| plain(segment).map(|()| segment)).collect()
}

/// Refuses a segment that is more or other than a name to somebody who reads it.
fn plain(segment: &str) -> Result<(), Refusal> {
    let decoded = decoded(segment)?;
    // Some servers take what follows a semicolon away, and URL parsers spaces at the end.
    let name = decoded.split_once(';').map_or(&*decoded, |(name, _)| name).trim();
    let oddity = if name.is_empty() {
        "an empty segment"
    } else if matches!(name, "." | "..") {
        "a dot segment"
    } else if decoded.contains(['/', '\\']) {
        "an encoded slash or a backslash"
    } else if decoded.contains(['?', '#']) {
        "a `#` or an encoded `?` in its path"
    } else if decoded.contains(char::is_control) {
        "an encoded control character"
    } else {
        return Ok(());
    };
    Err(Refusal::Ambiguous(oddity))
}

/// The segment without any encoding, however often it was encoded.
fn decoded(segment: &str) -> Result<Cow<'_, str>, Refusal> {
    let mut text = Cow::Borrowed(segment);
    loop {
        let once = percent_decode_str(&text)
            .decode_utf8()
            .map_err(|_| Refusal::Ambiguous("an encoding that is no text"))?;
        if once == text {
            break;
        }
        text = Cow::Owned(once.into_owned());
    }
    if text.contains('%') {
        return Err(Refusal::Ambiguous("a percent sign that encodes nothing"));
    }
    Ok(text)
}

impl FromStr for AllowedCalls {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rules = text.split(';').map(str::trim).filter(|rule| !rule.is_empty());
        let rules = rules.map(parse_rule).collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() { Err(ParseError::NoRule) } else { Ok(AllowedCalls::Only(rules)) }
    }
}

fn parse_rule(text: &str) -> Result<Rule, ParseError> {
    let bad = |problem: String| ParseError::Rule { rule: text.to_owned(), problem };
    // A space after a comma is a habit of writing.
    let split = text.char_indices().find(|(at, c)| {
        c.is_whitespace()
            && !text[..*at].trim_end().ends_with(',')
            && !text[*at..].trim_start().starts_with(',')
    });
    let Some((at, _)) = split else {
        return Err(bad("must be methods and a resource, such as `GET,PUT salesOrder/*`".into()));
    };
    let methods = parse_methods(&text[..at]).map_err(bad)?;
    let (segments, open) = parse_pattern(text[at..].trim()).map_err(bad)?;
    Ok(Rule { methods, segments, open })
}

fn parse_methods(text: &str) -> Result<Methods, String> {
    if text == "*" {
        return Ok(Methods::Any);
    }
    let parse = |name: &str| {
        let name = name.trim();
        name.parse().map_err(|_| format!("has `{name}`, which is no method: {METHODS}"))
    };
    Ok(Methods::These(text.split(',').map(parse).collect::<Result<_, _>>()?))
}

const METHODS: &str = "there are GET, POST, PUT, PATCH, DELETE, and `*` for all";

fn parse_pattern(text: &str) -> Result<(Vec<Segment>, bool), String> {
    let mut patterns: Vec<&str> = text.split('/').collect();
    let open = patterns.last() == Some(&"**");
    if open {
        patterns.pop();
    }
    if let Some(pattern) = patterns.iter().find(|pattern| pattern.contains("**")) {
        return Err(format!("has `{pattern}`: `**` can only be the last segment, by itself"));
    }
    if text.contains(char::is_whitespace) {
        return Err("has a space in its resource".into());
    }
    if text.contains(['%', '?']) {
        return Err(
            "has `%` or `?`, but a resource is compared as written and without its query".into()
        );
    }
    for pattern in &patterns {
        // What no resource may have, a rule need not allow.
        if let Err(Refusal::Ambiguous(oddity)) = plain(pattern) {
            return Err(format!("has {oddity}, which no resource may have"));
        }
    }
    let pieces = |pattern: &str| Segment(pattern.split('*').map(str::to_owned).collect());
    Ok((patterns.into_iter().map(pieces).collect(), open))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn checked(rules: &str, method: &str, resource: &str) -> Result<(), Refusal> {
        let request = TargetRequest::new(method.parse().unwrap(), resource);
        rules.parse::<AllowedCalls>().unwrap().check(&request)
    }

    fn allows(rules: &str, method: &str, resource: &str) -> bool {
        checked(rules, method, resource).is_ok()
    }

    #[test]
    fn a_call_is_allowed_by_the_rule_that_says_so() {
        let rules = "GET,PUT salesOrder/*; POST customer ; * contact/**;";
        for (method, resource, allowed) in [
            ("GET", "salesOrder/1", true),
            ("PUT", "salesOrder/eid:web-1?replace=item", true),
            ("DELETE", "salesOrder/1", false),
            ("GET", "salesOrder", false),
            ("GET", "salesOrder/1/item", false),
            ("GET", "salesorder/1", false),
            ("GET", "purchaseOrder/1", false),
            ("POST", "customer", true),
            ("POST", "customer?x=1/2", true),
            ("POST", "customer/1", false),
            ("PATCH", "contact/1", true),
            ("DELETE", "contact/1/file/2", true),
            ("DELETE", "contact", false),
        ] {
            assert_eq!(allows(rules, method, resource), allowed, "{method} {resource}");
        }
        assert!(AllowedCalls::default().check(&request("../etc")).is_ok(), "without rules all are");
        assert!(allows("GET, PUT a; POST ,PATCH\tb", "PATCH", "b"));
        assert!(allows("* **", "DELETE", "a/b/c"));
        assert!(!allows("* *", "DELETE", "a/b"));
    }

    fn request(resource: &str) -> TargetRequest {
        TargetRequest::new(Method::Get, resource)
    }

    #[test]
    fn stars_within_a_segment() {
        for (pattern, text, matches) in [
            ("eid:web-*", "eid:web-7", true),
            ("eid:web-*", "eid:web-", true),
            ("eid:web-*", "eid:app-7", false),
            ("*-a-*-a", "x-a-y-a", true),
            ("*-a-*-a", "x-a-a", false),
            ("*-a-*-a", "-a--a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(allows(&format!("GET {pattern}"), "GET", text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn what_could_be_read_as_another_resource_is_refused() {
        for (resource, oddity) in [
            ("salesOrder/../customer/1", "a dot segment"),
            ("salesOrder/./1", "a dot segment"),
            ("salesOrder/%2e%2E/customer", "a dot segment"),
            ("salesOrder/.%2e", "a dot segment"),
            ("salesOrder/%252e%252e/customer", "a dot segment"),
            ("salesOrder/..;x=1/customer", "a dot segment"),
            ("salesOrder/.. ", "a dot segment"),
            ("salesOrder/..%2fcustomer", "an encoded slash or a backslash"),
            ("salesOrder/..\\customer", "an encoded slash or a backslash"),
            ("salesOrder/1%5C..", "an encoded slash or a backslash"),
            ("salesOrder/%c0%ae%c0%ae", "an encoding that is no text"),
            ("salesOrder/%u002e", "a percent sign that encodes nothing"),
            ("salesOrder/1%", "a percent sign that encodes nothing"),
            ("salesOrder/1%00", "an encoded control character"),
            ("salesOrder/1#/../x", "a `#` or an encoded `?` in its path"),
            ("salesOrder/1%3Fx", "a `#` or an encoded `?` in its path"),
            ("salesOrder//1", "an empty segment"),
            ("salesOrder/", "an empty segment"),
            ("/salesOrder/1", "an empty segment"),
            ("https://other.example/salesOrder/1", "an empty segment"),
        ] {
            let refused = checked("* **", "GET", resource);
            assert_eq!(refused, Err(Refusal::Ambiguous(oddity)), "{resource}");
        }
        // An encoded letter is not the letter of a rule, and harmless under a star.
        assert_eq!(checked("GET salesOrder/*", "GET", "sales%4Frder/1"), Err(Refusal::NoRule));
        assert!(allows("GET salesOrder/*", "GET", "salesOrder/eid:A%20B"));
    }

    #[test]
    fn a_list_that_cannot_be_read_says_which_rule_and_why() {
        for (text, said) in [
            (" ; ", "it has no rule, such as `GET,PUT salesOrder/*`"),
            ("GET", "the rule `GET` must be methods and a resource"),
            ("salesOrder/*", "the rule `salesOrder/*` must be methods and a resource"),
            ("GET a; FETCH b", "the rule `FETCH b` has `FETCH`, which is no method"),
            ("get a", "the rule `get a` has `get`, which is no method"),
            ("GET,,PUT a", "has ``, which is no method"),
            ("GET a b", "the rule `GET a b` has a space in its resource"),
            ("GET **/a", "has `**`: `**` can only be the last segment"),
            ("GET a/b**", "has `b**`: `**` can only be the last segment"),
            ("GET a?x=1", "has `%` or `?`"),
            ("GET a%20b", "has `%` or `?`"),
            ("GET a/../b", "has a dot segment, which no resource may have"),
            ("GET /a", "has an empty segment, which no resource may have"),
            ("GET a/", "has an empty segment, which no resource may have"),
        ] {
            let error = text.parse::<AllowedCalls>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    /// Pieces of resources that somebody would try.
    const PIECES: &[&str] = &[
        "salesOrder",
        "customer",
        "eid:1",
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        "%2e",
        "%2E",
        "%252e",
        "%2f",
        "%252F",
        "%5c",
        "\\",
        ";",
        ";x",
        "?",
        "%3f",
        "#",
        "%23",
        "%",
        "%zz",
        "%c0%ae",
        " ",
        "*",
        "**",
        "%00",
        "\u{e4}",
        "%c3%a4",
        ":",
        "@",
        "https:",
    ];

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            9 => prop::sample::select(PIECES).prop_map(str::to_owned),
            1 => "[ -~]{1,3}",
        ]
    }

    proptest! {
        /// The oracle is a URL parser, and a server that decodes the path as often as it can.
        #[test]
        fn nothing_leads_out_of_what_is_allowed(
            pieces in prop::collection::vec(piece(), 0..8),
            below in any::<bool>(),
        ) {
            let prefix = if below { "salesOrder/" } else { "" };
            let resource = format!("{prefix}{}", pieces.concat());
            if !allows("GET salesOrder/**", "GET", &resource) {
                return Ok(());
            }
            let url = Url::parse(&format!("https://api.example/v1/{resource}")).unwrap();
            prop_assert_eq!(url.host_str(), Some("api.example"));
            let mut path = url.path().to_owned();
            loop {
                prop_assert!(path.starts_with("/v1/salesOrder/"), "{} of {}", path, resource);
                let once = Url::parse(&format!("https://api.example{path}")).unwrap();
                let once = percent_decode_str(once.path()).decode_utf8_lossy().into_owned();
                if once == path {
                    break;
                }
                path = once;
            }
        }

        #[test]
        fn a_rule_without_stars_allows_its_own_resource_only(
            rule in "[a-c:]{1,3}(/[a-c:]{1,3}){0,2}",
            resource in "[a-c:]{1,3}(/[a-c:]{1,3}){0,2}",
        ) {
            let rule_text = format!("GET {rule}");
            prop_assert!(allows(&rule_text, "GET", &rule));
            prop_assert!(!allows(&rule_text, "PUT", &rule));
            prop_assert_eq!(allows(&rule_text, "GET", &resource), rule == resource);
        }

        #[test]
        fn a_part_of_a_segment_may_be_a_star(
            before in "[a-c]{0,3}", part in "[a-c%2]{0,3}", after in "[a-c]{0,3}",
            more in "(/[a-c]{1,3}){0,2}",
        ) {
            let resource = format!("x{before}{part}{after}{more}");
            let rule = format!("GET x{before}*{after}{more}");
            if !matches!(checked(&rule, "GET", &resource), Err(Refusal::Ambiguous(_))) {
                prop_assert!(allows(&rule, "GET", &resource), "{} {}", rule, resource);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", resource in "\\PC{0,40}") {
            if let Ok(rules) = text.parse::<AllowedCalls>() {
                let _ = rules.check(&request(&resource));
            }
            let _ = "* **".parse::<AllowedCalls>().unwrap().check(&request(&resource));
        }
    }
}
