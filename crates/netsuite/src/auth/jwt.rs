//! Signatures of JSON Web Tokens, with every algorithm that NetSuite takes.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;

use crate::Invalid;

/// The signature algorithms that NetSuite takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "these are their names in RFC 7518")]
pub enum Algorithm {
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
}

/// A private key and how it signs.
pub(crate) enum SigningKey {
    /// By the JWT library.
    Library(jsonwebtoken::Algorithm, EncodingKey),
    /// ES512, which the library lacks: its own signature is aws-lc's too.
    P521(Arc<EcdsaKeyPair>),
}

/// The keys that a PEM text can be, most fitting first.
///
/// # Errors
/// When NetSuite takes no such key.
pub(crate) fn signing_keys(pem: &[u8]) -> Result<Vec<(Algorithm, SigningKey)>, Invalid> {
    use jsonwebtoken::Algorithm::{ES256, ES384, PS256, PS384, PS512};

    let library = |key: EncodingKey, algorithms: &[(Algorithm, jsonwebtoken::Algorithm)]| {
        let with = |(ours, theirs): &_| (*ours, SigningKey::Library(*theirs, key.clone()));
        algorithms.iter().map(with).collect()
    };
    if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
        let algorithms =
            [(Algorithm::Ps256, PS256), (Algorithm::Ps384, PS384), (Algorithm::Ps512, PS512)];
        return Ok(library(key, &algorithms));
    }
    if let Some(pair) = p521(pem) {
        return Ok(vec![(Algorithm::Es512, SigningKey::P521(Arc::new(pair)))]);
    }
    match EncodingKey::from_ec_pem(pem) {
        Ok(key) => Ok(library(key, &[(Algorithm::Es256, ES256), (Algorithm::Es384, ES384)])),
        Err(_) => Err(Invalid::unquoted(
            "private key",
            "an RSA key, or an EC key in PKCS#8 (`BEGIN PRIVATE KEY`), in PEM",
        )),
    }
}

fn p521(pem: &[u8]) -> Option<EcdsaKeyPair> {
    let der = Zeroizing::new(pem::parse(pem).ok()?.into_contents());
    EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &der).ok()
}

impl SigningKey {
    /// A token with these claims, signed.
    ///
    /// # Errors
    /// When the key is not of the algorithm's family.
    pub(crate) fn sign(&self, key_id: &str, claims: &impl Serialize) -> Result<String, Invalid> {
        let unfit = |why: String| Invalid::unquoted("private key", why);
        match self {
            Self::Library(algorithm, key) => {
                let header = Header { kid: Some(key_id.to_owned()), ..Header::new(*algorithm) };
                jsonwebtoken::encode(&header, claims, key).map_err(|e| unfit(e.to_string()))
            }
            Self::P521(pair) => es512(pair, key_id, claims),
        }
    }
}

/// RFC 7515 and 7518: header and claims in base64url, then the two numbers of the signature, 66
/// bytes each.
fn es512(pair: &EcdsaKeyPair, key_id: &str, claims: &impl Serialize) -> Result<String, Invalid> {
    #[derive(Serialize)]
    struct Es512Header<'a> {
        typ: &'static str,
        alg: &'static str,
        kid: &'a str,
    }
    let encode = |part: Result<Vec<u8>, serde_json::Error>| match part {
        Ok(json) => Ok(URL_SAFE_NO_PAD.encode(json)),
        Err(error) => Err(Invalid::unquoted("assertion", error.to_string())),
    };
    let header = Es512Header { typ: "JWT", alg: "ES512", kid: key_id };
    let header = encode(serde_json::to_vec(&header))?;
    let signed = format!("{header}.{}", encode(serde_json::to_vec(claims))?);
    let signature = pair
        .sign(&SystemRandom::new(), signed.as_bytes())
        .map_err(|_| Invalid::unquoted("private key", "a working source of randomness"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
