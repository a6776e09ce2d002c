//! Files in S3 that the template refers to.

use crate::{Progress, aws};
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
    VersioningConfiguration,
};
use indicatif::DecimalBytes;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why an artifact is not in S3.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the repository could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Neither profile, environment nor command line names a region.
    #[error("no AWS region: give --region, or set AWS_REGION, or a region in the profile")]
    NoRegion,
    /// STS names no account for the credentials, so nobody could tell whose a bucket is.
    #[error("the credentials belong to no account, so the artifact bucket has no owner to expect")]
    NoAccount,
    /// The bucket's name can be guessed, so somebody else may have taken it, to hand out Lambdas
    /// of their own.
    #[error(
        "the bucket {bucket} belongs to another account than {account}: nothing was sent to it and \
         nothing is deployed from it; give a bucket of your own by --artifact-bucket"
    )]
    Foreign {
        /// The bucket.
        bucket: String,
        /// The account of the credentials.
        account: String,
    },
    /// S3 answers the same for a bucket of another account and for a missing permission.
    #[error(
        "S3 does not let account {account} use the bucket {bucket}: it belongs to another account \
         (then give a bucket of your own by --artifact-bucket), or the credentials lack {permission}"
    )]
    Forbidden {
        /// The bucket.
        bucket: String,
        /// The account of the credentials.
        account: String,
        /// As IAM writes it.
        permission: &'static str,
    },
    /// The address of an artifact cannot be told.
    #[error("{about} has no address")]
    NoAddress {
        /// Bucket and key.
        about: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// S3 or STS refused.
    #[error(transparent)]
    Aws(#[from] aws::Error),
}

/// No release build of ours has so much (`cargo xtask startup` says how much each has), and each debug
/// build has more. Lambda loads the package before a slot can begin.
const HEAVY_ZIP: u64 = 8_000_000;

pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.into(), source })
}

/// Bytes and the key they have in the bucket.
pub(crate) struct Artifact {
    key: String,
    bytes: Vec<u8>,
}

impl Artifact {
    /// The key ends with the content's SHA-256, shortened to 128 bits.
    pub(crate) fn new(name: &str, extension: &str, bytes: Vec<u8>) -> Self {
        let hash: String =
            Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { key: format!("{name}-{hash}.{extension}"), bytes }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Says what is deployed as this template parameter, and how large a package is.
    pub(crate) fn tell(&self, parameter: &str, progress: &Progress) {
        let size = if self.is_package() { format!(" ({})", self.size()) } else { String::new() };
        progress.say(&format!("{parameter}: {}{size}", self.key));
    }

    /// A word to whoever is about to deploy a package that starts slowly, such as a debug build.
    pub(crate) fn heavy(&self) -> Option<String> {
        let is_heavy = self.is_package() && self.bytes.len() as u64 > HEAVY_ZIP;
        is_heavy.then(|| {
            format!(
                "{} has {}, more than a release build of ours: a slot starts more slowly the larger \
                 it is",
                self.key,
                self.size(),
            )
        })
    }

    fn is_package(&self) -> bool {
        self.key.ends_with(".zip")
    }

    fn size(&self) -> DecimalBytes {
        DecimalBytes(self.bytes.len() as u64)
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bucket that holds the artifacts of an account in a region. Every request says whose it must
/// be: S3 refuses one to a bucket of another account.
pub(crate) struct Store {
    client: Client,
    bucket: String,
    account: String,
}

impl Store {
    /// Finds the bucket, or creates it. A new bucket is private and encrypted, as S3's defaults
    /// have been since 2023, and keeps the versions of its objects. Without a name it is the
    /// account's own in this region.
    pub(crate) async fn open(
        config: &SdkConfig,
        local: bool,
        bucket: Option<&str>,
    ) -> Result<Self, Error> {
        let region = config.region().ok_or(Error::NoRegion)?.to_string();
        let identity = aws_sdk_sts::Client::new(config)
            .get_caller_identity()
            .send()
            .await
            .map_err(aws::failed("sts:GetCallerIdentity", "the credentials"))?;
        let account = identity.account.ok_or(Error::NoAccount)?;
        // A local server has no host name for each bucket, so the bucket goes into the path.
        let settings = aws_sdk_s3::config::Builder::from(config).force_path_style(local).build();
        let bucket = match bucket {
            Some(bucket) => bucket.to_owned(),
            None => format!("slowlane-artifacts-{account}-{region}"),
        };
        let store = Self { client: Client::from_conf(settings), bucket, account };
        store.ensure_bucket(&region).await?;
        Ok(store)
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn ensure_bucket(&self, region: &str) -> Result<(), Error> {
        let head = self.client.head_bucket().bucket(&self.bucket);
        match head.expected_bucket_owner(&self.account).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|service| service.is_not_found()) => {}
            Err(error) => return Err(self.refused("s3:ListBucket", &self.bucket, error)),
        }
        // us-east-1 is the one region that must not be named.
        let constraint = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let created = self
            .client
            .create_bucket()
            .bucket(&self.bucket)
            .set_create_bucket_configuration(constraint)
            .send()
            .await;
        let Err(error) = created else { return self.keep_versions().await };
        match error.as_service_error() {
            // Another deploy came first.
            Some(service) if service.is_bucket_already_owned_by_you() => Ok(()),
            Some(service) if service.is_bucket_already_exists() => {
                Err(Error::Foreign { bucket: self.bucket.clone(), account: self.account.clone() })
            }
            _ => Err(aws::failed("s3:CreateBucket", &self.bucket)(error).into()),
        }
    }

    /// So that an artifact that somebody deletes is not lost: a way back needs it.
    async fn keep_versions(&self) -> Result<(), Error> {
        let enabled =
            VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.client
            .put_bucket_versioning()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.account)
            .versioning_configuration(enabled)
            .send()
            .await
            .map_err(|error| self.refused("s3:PutBucketVersioning", &self.bucket, error))?;
        Ok(())
    }

    /// Uploads the artifact unless it is there. The key is its content's hash, so being there is
    /// being the same.
    pub(crate) async fn put(&self, artifact: &Artifact) -> Result<(), Error> {
        let about = format!("s3://{}/{}", self.bucket, artifact.key);
        let head = self.client.head_object().bucket(&self.bucket).key(&artifact.key);
        match head.expected_bucket_owner(&self.account).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|service| service.is_not_found()) => {}
            Err(error) => return Err(self.refused("s3:GetObject", about, error)),
        }
        self.client
            .put_object()
            .bucket(&self.bucket)
            .expected_bucket_owner(&self.account)
            .key(&artifact.key)
            .body(ByteStream::from(artifact.bytes.clone()))
            .send()
            .await
            .map_err(|error| self.refused("s3:PutObject", about, error))?;
        Ok(())
    }

    /// Where CloudFormation finds the artifact, with the credentials of whoever asks it to.
    pub(crate) async fn url(&self, artifact: &Artifact) -> Result<String, Error> {
        let about = format!("s3://{}/{}", self.bucket, artifact.key);
        // Only the SDK knows the address of a bucket in each partition. A signed request has it; its
        // signature is left out, and nothing is sent.
        let signed = async {
            let expiry = PresigningConfig::expires_in(Duration::from_secs(60))?;
            let request = self.client.get_object().bucket(&self.bucket).key(&artifact.key);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(request.presigned(expiry).await?)
        };
        let signed = signed.await.map_err(|source| Error::NoAddress { about, source })?;
        let (url, _) = signed.uri().split_once('?').unwrap_or((signed.uri(), ""));
        Ok(url.to_owned())
    }

    /// A refusal, which can mean that the bucket is not ours.
    fn refused<E>(
        &self,
        call: &'static str,
        about: impl Into<String>,
        error: SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if error.raw_response().is_some_and(|response| response.status().as_u16() == 403) {
            return Error::Forbidden {
                bucket: self.bucket.clone(),
                account: self.account.clone(),
                permission: call,
            };
        }
        aws::failed(call, about)(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
        <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

    fn artifact() -> Artifact {
        Artifact::new("lambda/worker", "zip", b"a Lambda".into())
    }

    async fn deploy(wire: &Wire, bucket: Option<&str>) -> Result<(), Error> {
        let store = Store::open(&wire.config(), false, bucket).await?;
        store.put(&artifact()).await
    }

    #[test]
    fn the_key_changes_with_the_content_only() {
        let key = |content: &str| Artifact::new("lambda/worker", "zip", content.into()).key;
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("two"));
        assert_eq!(key(""), "lambda/worker-e3b0c44298fc1c149afbf4c8996fb924.zip");
    }

    #[test]
    fn a_package_that_is_no_release_build_is_told() {
        let zip = |bytes: usize| Artifact::new("lambda/worker", "zip", vec![0; bytes]);
        assert_eq!(zip(8_000_000).heavy(), None);
        let told = zip(11_200_000).heavy().unwrap();
        assert!(told.starts_with("lambda/worker-") && told.contains("has 11.20 MB"), "{told}");
        // It is code that is loaded, not a definition.
        assert_eq!(Artifact::new("state-machine/x", "asl.json", vec![0; 9_000_000]).heavy(), None);
    }

    /// CreateBucket alone names no owner: what it makes is the caller's.
    #[tokio::test]
    async fn every_request_to_the_bucket_says_whose_it_must_be() {
        let made = [(404, ""), (200, ""), (200, "")];
        let wire = Wire::answering(
            [(200, IDENTITY)].into_iter().chain(made).chain([(404, ""), (200, "")]),
        );
        deploy(&wire, None).await.unwrap();
        let requests = wire.requests();
        let owners: Vec<_> = requests
            .iter()
            .skip(1)
            .map(|request| (request.method(), request.headers().get("x-amz-expected-bucket-owner")))
            .collect();
        let ours = Some("123456789012");
        let expected =
            [("HEAD", ours), ("PUT", None), ("PUT", ours), ("HEAD", ours), ("PUT", ours)];
        assert_eq!(owners, expected);
        assert!(requests[3].uri().ends_with("?versioning"), "{}", requests[3].uri());
        let bucket = "https://slowlane-artifacts-123456789012-eu-north-1.s3.";
        assert!(requests[1].uri().starts_with(bucket), "{}", requests[1].uri());
    }

    #[tokio::test]
    async fn a_bucket_of_somebody_else_is_told_and_not_used() {
        let taken = "<Error><Code>BucketAlreadyExists</Code></Error>";
        for (answers, told) in [
            // It lets everybody in, or nobody.
            (&[(200, IDENTITY), (403, "")][..], "belongs to another account"),
            // It was made after we had looked.
            (&[(200, IDENTITY), (404, ""), (409, taken)], "belongs to another account"),
            // It was ours when we had looked.
            (&[(200, IDENTITY), (200, ""), (403, "")], "belongs to another account"),
        ] {
            let wire = Wire::answering(answers.iter().copied());
            let error = deploy(&wire, None).await.unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("--artifact-bucket"), "{error}");
            assert!(error.contains("123456789012"), "{error}");
            assert_eq!(wire.requests().len(), answers.len(), "nothing is sent after it");
        }
    }

    #[tokio::test]
    async fn an_artifact_has_an_address_without_a_signature() {
        for (local, address) in [
            (false, "https://mine.s3.eu-north-1.amazonaws.com/lambda/worker-"),
            (true, "https://s3.eu-north-1.amazonaws.com/mine/lambda/worker-"),
        ] {
            let wire = Wire::answering([(200, IDENTITY), (200, "")]);
            let store = Store::open(&wire.config(), local, Some("mine")).await.unwrap();
            let url = store.url(&artifact()).await.unwrap();
            assert!(url.starts_with(address) && url.ends_with(".zip"), "{url}");
            assert_eq!(wire.requests().len(), 2, "nothing is sent for it");
        }
    }

    #[tokio::test]
    async fn another_bucket_may_be_named() {
        let wire = Wire::answering([(200, IDENTITY), (200, ""), (200, "")]);
        deploy(&wire, Some("mine")).await.unwrap();
        assert!(wire.requests()[1].uri().starts_with("https://mine.s3."));
    }
}
