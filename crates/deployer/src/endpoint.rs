use aws_config::{BehaviorVersion, Region, SdkConfig};
use std::time::Duration;

/// Where to deploy to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS, with the usual credentials (environment, profile, SSO, credential process, instance).
    Aws {
        /// A profile of `~/.aws/config`; `None` for the default or `AWS_PROFILE`.
        profile: Option<String>,
        /// A region; `None` for the profile's or `AWS_REGION`.
        region: Option<String>,
    },
    /// A server at this URL. On a loopback address it counts as the local server of
    /// [`crate::local`], with made-up credentials; elsewhere it is AWS behind another address.
    Local {
        /// For instance `http://127.0.0.1:4566`.
        url: String,
    },
}

impl Endpoint {
    /// Whether the endpoint is a server on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Aws { .. } => false,
            Self::Local { url } => is_loopback(url),
        }
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        if self.is_local() { Duration::from_millis(50) } else { Duration::from_secs(2) }
    }

    pub(crate) async fn config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        match self {
            Self::Aws { profile, region } => {
                if let Some(profile) = profile {
                    loader = loader.profile_name(profile);
                }
                if let Some(region) = region {
                    loader = loader.region(Region::new(region.clone()));
                }
            }
            Self::Local { url } => {
                loader = loader.endpoint_url(url);
                if self.is_local() {
                    loader = loader.region(Region::from_static("us-east-1")).test_credentials();
                }
            }
        }
        loader.load().await
    }
}

/// The host of an `http(s)://host[:port][/path]` URL is this machine.
fn is_loopback(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for url in [
            "http://127.0.0.1:4566",
            "http://localhost",
            "http://[::1]:80/",
            "http://127.9.9.9:1/x",
        ] {
            assert!(Endpoint::Local { url: url.into() }.is_local(), "{url}");
        }
        for url in [
            "https://cloudformation.eu-west-1.amazonaws.com",
            "http://127.0.0.1.evil.example:4566",
            "http://10.0.0.1:4566",
            "127.0.0.1:4566",
        ] {
            assert!(!Endpoint::Local { url: url.into() }.is_local(), "{url}");
        }
        assert!(!Endpoint::Aws { profile: None, region: None }.is_local());
    }
}
