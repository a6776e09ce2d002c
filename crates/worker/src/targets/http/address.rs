//! Where a call goes: to its resource below the API's base URL, and nowhere else.

use percent_encoding::percent_decode_str;
use url::Url;

/// The base URL. Its path ends with a slash.
#[derive(Clone)]
pub(super) struct Base(Url);

/// Why a resource is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
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
    /// # Errors
    /// What the URL must be.
    pub(super) fn new(mut url: Url) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("an http or https URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("without user name and password: give credentials as a header");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("without a query and a fragment");
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
    pub(super) fn resolve(&self, resource: &str) -> Result<Url, Refused> {
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
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
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

/// Whether a server could find a dot segment in the path, however often it decodes it, and also if
/// it takes an encoded slash or backslash for a separator or cuts parameters off (`..;x`).
fn has_dot_segment(path: &str) -> bool {
    let decoded = fully_decoded(path);
    let mut segments = decoded.split(['/', '\\']);
    segments.any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

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
        Base::new("https://api.example:8443/v1/eu".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_base_is_a_folder_with_or_without_a_slash() {
        for (base, expected) in [
            ("https://api.example", "https://api.example/orders"),
            ("https://api.example/", "https://api.example/orders"),
            ("https://api.example/v1", "https://api.example/v1/orders"),
            ("https://api.example/v1//", "https://api.example/v1/orders"),
        ] {
            let base = Base::new(base.parse().unwrap()).unwrap();
            assert_eq!(base.resolve("/orders").unwrap().as_str(), expected);
        }
    }

    #[test]
    fn what_urls_would_swallow_is_refused() {
        assert_eq!(base().resolve(".\t./x"), Err(Refused::ControlCharacter));
        assert_eq!(base().resolve("orders\n"), Err(Refused::ControlCharacter));
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
