//! Where a call goes: to its resource below the API's base URL, and nowhere else.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::words::{described, read_as_text};

/// The URL below which all calls of an API go. Its path ends with a slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Base(Url);

/// Why a URL is no base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// It cannot be read.
    #[error("is no URL; write `https://api.example.com/v1`")]
    NoUrl,
    /// It is neither `https` nor on this machine.
    #[error("must begin with `https://`; only a loopback address may be `http://`")]
    NotHttps,
    /// It has a user name or a password.
    #[error("has a user name or password; name a secret instead")]
    Credentials,
    /// It has a query or a fragment.
    #[error("has a query or a fragment; write them in a call's resource")]
    Query,
}

/// Why a resource is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("its resource has a control character")]
    ControlCharacter,
    #[error("its resource has a fragment (`#`), which is never sent: write %23")]
    Fragment,
    #[error("its resource has a backslash, which URLs take for a slash: write %5C")]
    Backslash,
    #[error("its resource names a host of its own (`//`)")]
    Host,
    #[error("its resource is an absolute URL: it must be a path below the API's base URL")]
    AbsoluteUrl,
    #[error("its resource has a dot segment (`.` or `..`), plain or encoded")]
    DotSegment,
}

impl Base {
    /// Reads a base URL.
    ///
    /// # Errors
    /// See [`BaseError`]. It does not repeat the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        let mut url = Url::parse(text).map_err(|_| BaseError::NoUrl)?;
        secure(&url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseError::Query);
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Base(url))
    }

    /// The URL of a resource: its path below the base's, and its query.
    ///
    /// # Errors
    /// The first thing by which the resource could get away from the base, or lose a part on its
    /// way.
    pub fn resolve(&self, resource: &str) -> Result<Url, Refused> {
        let (path, query) = match resource.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (resource, None),
        };
        if let Some(refused) = why_not(resource, path) {
            return Err(refused);
        }
        let mut url = self.0.clone();
        let path = path.strip_prefix('/').unwrap_or(path);
        url.set_path(&format!("{}{path}", self.0.path()));
        url.set_query(query);
        Ok(url)
    }

    /// The URL itself.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl std::str::FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Base::parse(text).map_err(|error| format!("the URL {error}"))
    }
}

read_as_text!(Base);

described! {
    Base: {
        "description": "A URL that begins with https://; only a loopback address may be http://.",
        "type": "string",
        "pattern": "^https?://",
    };
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Whether a URL keeps what is sent to it: `https`, or `http` to this very machine.
pub(crate) fn secure(url: &Url) -> Result<(), BaseError> {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(BaseError::NotHttps),
    }
}

fn why_not(resource: &str, path: &str) -> Option<Refused> {
    // URLs lose tabs and line ends, so that `.<tab>.` would become a dot segment.
    if resource.contains(char::is_control) {
        Some(Refused::ControlCharacter)
    } else if resource.contains('#') {
        Some(Refused::Fragment)
    } else if path.contains('\\') {
        Some(Refused::Backslash)
    } else if path.starts_with("//") {
        Some(Refused::Host)
    } else if path.split_once('/').is_some_and(|(first, _)| first.ends_with(':')) {
        Some(Refused::AbsoluteUrl)
    } else if has_dot_segment(path) {
        Some(Refused::DotSegment)
    } else {
        None
    }
}

/// Whether a server could find a dot segment in the path, however often it decodes it. It may also
/// take an encoded slash or backslash for a separator, cut parameters off (`..;x`), or lose spaces.
fn has_dot_segment(path: &str) -> bool {
    let decoded = fully_decoded(path);
    let mut segments = decoded.split(['/', '\\']);
    segments.any(|segment| {
        let without_parameters = segment.split(';').next().unwrap_or_default();
        matches!(without_parameters.trim(), "." | "..")
    })
}

/// Each round makes the text shorter, so it ends.
fn fully_decoded(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return text;
        }
        text = decoded;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Base {
        Base::parse("https://api.example:8443/v1/eu").unwrap()
    }

    #[test]
    fn a_base_is_a_folder_with_or_without_a_slash() {
        for (base, expected) in [
            ("https://api.example", "https://api.example/orders"),
            ("https://api.example/", "https://api.example/orders"),
            ("https://api.example/v1", "https://api.example/v1/orders"),
            ("https://api.example/v1//", "https://api.example/v1/orders"),
        ] {
            assert_eq!(Base::parse(base).unwrap().resolve("/orders").unwrap().as_str(), expected);
        }
    }

    #[test]
    fn only_https_and_loopback_may_be_called() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", Ok(())),
            ("http://[::1]:8080/x", Ok(())),
            ("http://localhost", Ok(())),
            ("https://api.example", Ok(())),
            ("http://api.example", Err(BaseError::NotHttps)),
            ("http://localhost.example", Err(BaseError::NotHttps)),
            ("http://127.0.0.1.example", Err(BaseError::NotHttps)),
            ("ftp://127.0.0.1", Err(BaseError::NotHttps)),
            ("https://me:pw@api.example", Err(BaseError::Credentials)),
            ("https://me@api.example", Err(BaseError::Credentials)),
            ("https://api.example/?key=1", Err(BaseError::Query)),
            ("https://api.example/#x", Err(BaseError::Query)),
            ("api.example", Err(BaseError::NoUrl)),
        ] {
            assert_eq!(Base::parse(text).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn what_urls_would_swallow_is_refused() {
        assert_eq!(base().resolve(".\t./x"), Err(Refused::ControlCharacter));
        assert_eq!(base().resolve("orders\n"), Err(Refused::ControlCharacter));
        assert_eq!(base().resolve("orders#1"), Err(Refused::Fragment));
        assert_eq!(base().resolve("//elsewhere.example/x"), Err(Refused::Host));
        assert_eq!(base().resolve("https://elsewhere.example/x"), Err(Refused::AbsoluteUrl));
        assert_eq!(base().resolve("orders/%252e%252e/x"), Err(Refused::DotSegment));
        assert_eq!(base().resolve(".. "), Err(Refused::DotSegment));
    }

    proptest! {
        /// What is let through stays below the base, also for a server that decodes it once more.
        #[test]
        fn nothing_leaves_the_base(resource in r"([./\\%?#:;@ax ]|%2e|%2F|%5c|%25|\.\.|//|http:){0,8}") {
            if let Ok(url) = base().resolve(&resource) {
                prop_assert_eq!(&url[..url::Position::BeforePath], "https://api.example:8443");
                prop_assert!(url.path().starts_with("/v1/eu/"), "{}", url);
                prop_assert_eq!(url.fragment(), None);
                let decoded = percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
                let again = Url::parse("https://api.example").unwrap().join(&decoded).unwrap();
                prop_assert!(again.path().starts_with("/v1/eu/"), "{} became {}", url, again);
            }
        }
    }
}
