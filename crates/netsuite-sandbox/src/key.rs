//! Keys that clients sign with, and that the sandbox verifies by.

use aws_lc_rs::rsa::PublicEncryptingKey;

/// The kinds of key that NetSuite takes certificates of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyKind {
    /// For ES256; the quickest to make.
    P256,
    /// For ES384.
    P384,
    /// For ES512.
    P521,
    /// For PS256, PS384 and PS512; takes a good part of a second to make.
    Rsa3072,
    /// The same, longer.
    Rsa4096,
}

/// A key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system's random source or the key's encoding failed.
    #[error("a {0:?} key could not be generated")]
    Generate(KeyKind),
    /// The system's random source failed.
    #[error("the system gives no random numbers")]
    Random,
    /// It is not PEM.
    #[error("the public key is not PEM")]
    Pem(#[from] pem::PemError),
    /// It is PEM of something else.
    #[error("the PEM holds a {0}, where a PUBLIC KEY or a CERTIFICATE is needed")]
    NotAPublicKey(String),
    /// It says that it is a certificate, but is not one.
    #[error("the certificate cannot be read")]
    Certificate(#[from] webpki::Error),
    /// NetSuite takes RSA keys of 3072 or 4096 bits only.
    #[error("an RSA key has {0} bits, where NetSuite takes 3072 or 4096")]
    RsaSize(usize),
}

/// A public key that assertions are verified with.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(crate) subject_public_key_info: Vec<u8>,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM, or the `CERTIFICATE` that was uploaded to NetSuite: RSA of 3072 or
    /// 4096 bits, or EC. A certificate's names and dates are not looked at.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text)?;
        let key = match pem.tag() {
            "PUBLIC KEY" => pem.into_contents(),
            "CERTIFICATE" => {
                let certificate = pem.into_contents().into();
                let certificate = webpki::EndEntityCert::try_from(&certificate)?;
                certificate.subject_public_key_info().to_vec()
            }
            other => return Err(KeyError::NotAPublicKey(other.to_owned())),
        };
        if let Ok(rsa) = PublicEncryptingKey::from_der(&key) {
            let bits = rsa.key_size_bytes() * 8;
            if bits != 3072 && bits != 4096 {
                return Err(KeyError::RsaSize(bits));
            }
        }
        Ok(Self::from_der(key))
    }

    pub(crate) fn from_der(subject_public_key_info: Vec<u8>) -> Self {
        Self { subject_public_key_info }
    }
}
