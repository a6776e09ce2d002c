//! Who we are to NetSuite.
//!
//! OAuth 2.0 machine-to-machine is the way for anything new. Token-based authentication (OAuth
//! 1.0a) is behind the feature `tba`, for integrations that use it already. NetSuite takes no new
//! ones from release 2027.1 and ends the old ones about 2028.1.

mod jwt;
mod oauth2;
#[cfg(feature = "tba")]
mod tba;

pub use jwt::Algorithm;
pub use oauth2::OAuth2;
pub(crate) use oauth2::Tokens;
#[cfg(feature = "tba")]
pub use tba::Tba;

use std::sync::Arc;

use crate::Invalid;

/// Credentials, checked. [`Debug`] shows their kind and public parts only.
#[derive(Clone)]
pub struct Auth(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    OAuth2(Arc<oauth2::Signer>),
    #[cfg(feature = "tba")]
    Tba(Arc<Tba>),
}

impl Auth {
    /// OAuth 2.0 machine-to-machine (client credentials with a certificate).
    ///
    /// # Errors
    /// When the key cannot be read, does not fit the algorithm, or an id is empty. A trial
    /// signature is made, so that a wrong key shows here and not at the first call.
    pub fn oauth2(credentials: OAuth2) -> Result<Self, Invalid> {
        Ok(Self(Kind::OAuth2(Arc::new(oauth2::Signer::new(credentials)?))))
    }

    /// Token-based authentication (OAuth 1.0a). Only for integrations that exist: NetSuite takes
    /// no new ones from release 2027.1.
    ///
    /// # Errors
    /// When a part is empty.
    #[cfg(feature = "tba")]
    pub fn tba(credentials: Tba) -> Result<Self, Invalid> {
        credentials.check()?;
        Ok(Self(Kind::Tba(Arc::new(credentials))))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::OAuth2(signer) => signer.fmt(f),
            #[cfg(feature = "tba")]
            Kind::Tba(credentials) => credentials.fmt(f),
        }
    }
}
