//! A key pair and its names, made at start so that no secret is checked in.

use aws_lc_rs::{
    encoding::AsDer,
    error::Unspecified,
    rsa,
    signature::{self, EcdsaKeyPair, KeyPair},
};
use serde::Serialize;

use crate::key::{KeyError, KeyKind, PublicKey};

/// What a client needs to sign in by OAuth 2.0 machine-to-machine, in the JSON form that
/// `--write-credentials` writes.
#[derive(Clone, Serialize)]
pub struct Credentials {
    /// The integration's client id: `iss` of the assertion.
    pub client_id: String,
    /// The id that NetSuite gives an uploaded certificate: `kid` of the assertion.
    pub certificate_id: String,
    /// The private key as PKCS#8 PEM.
    pub private_key_pem: String,
    /// The account, such as `123_SB1`.
    pub account_id: String,
}

/// The private key stays out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("certificate_id", &self.certificate_id)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

/// A generated key pair.
#[derive(Clone)]
pub struct DemoKey {
    /// PKCS#8 PEM, for the client.
    pub private_key_pem: String,
    /// For [`crate::NetSuite::register`].
    pub public_key: PublicKey,
}

impl DemoKey {
    /// Makes a key pair from the system's random source: the one thing here that no seed governs,
    /// because a key that can be repeated is not a key.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let (private, public) = match kind {
            KeyKind::P256 => elliptic(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            KeyKind::P384 => elliptic(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            KeyKind::P521 => elliptic(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            KeyKind::Rsa3072 => rsa(rsa::KeySize::Rsa3072),
            KeyKind::Rsa4096 => rsa(rsa::KeySize::Rsa4096),
        }
        .map_err(|Unspecified| KeyError::Generate(kind))?;
        let line_feeds = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        Ok(Self {
            private_key_pem: pem::encode_config(&pem::Pem::new("PRIVATE KEY", private), line_feeds),
            public_key: PublicKey::from_der(public),
        })
    }
}

fn elliptic(
    algorithm: &'static signature::EcdsaSigningAlgorithm,
) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let public = pair.public_key().as_der()?.as_ref().to_vec();
    Ok((pair.to_pkcs8v1()?.as_ref().to_vec(), public))
}

fn rsa(size: rsa::KeySize) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let pair = signature::RsaKeyPair::generate(size)?;
    let public = pair.public_key().as_der()?.as_ref().to_vec();
    Ok((pair.as_der()?.as_ref().to_vec(), public))
}
