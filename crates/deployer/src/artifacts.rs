//! Files in S3 that the template refers to.

use crate::aws;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

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
    /// S3 or STS refused.
    #[error(transparent)]
    Aws(#[from] aws::Error),
}

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
}

/// The bucket that holds the artifacts of an account in a region.
pub(crate) struct Store {
    client: Client,
    bucket: String,
}

impl Store {
    /// Finds the bucket, or creates it. A new bucket is private and encrypted, as S3's defaults
    /// have been since 2023.
    pub(crate) async fn open(config: &SdkConfig, local: bool) -> Result<Self, Error> {
        let region = config.region().ok_or(Error::NoRegion)?.to_string();
        let identity = aws_sdk_sts::Client::new(config)
            .get_caller_identity()
            .send()
            .await
            .map_err(aws::failed("sts:GetCallerIdentity", "the credentials"))?;
        // A local server has no host name for each bucket, so the bucket goes into the path.
        let settings = aws_sdk_s3::config::Builder::from(config).force_path_style(local).build();
        let bucket =
            format!("slowlane-artifacts-{}-{region}", identity.account().unwrap_or("local"));
        let store = Self { client: Client::from_conf(settings), bucket };
        store.ensure_bucket(&region).await?;
        Ok(store)
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn ensure_bucket(&self, region: &str) -> Result<(), aws::Error> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|service| service.is_not_found()) => {}
            Err(error) => return Err(aws::failed("s3:ListBucket", &self.bucket)(error)),
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
        match created {
            // Another deploy came first.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|service| service.is_bucket_already_owned_by_you()) =>
            {
                Ok(())
            }
            created => created.map(drop).map_err(aws::failed("s3:CreateBucket", &self.bucket)),
        }
    }

    /// Uploads the artifact unless it is there. The key is its content's hash, so being there is
    /// being the same.
    pub(crate) async fn put(&self, artifact: &Artifact) -> Result<(), Error> {
        let about = format!("s3://{}/{}", self.bucket, artifact.key);
        match self.client.head_object().bucket(&self.bucket).key(&artifact.key).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|service| service.is_not_found()) => {}
            Err(error) => return Err(aws::failed("s3:GetObject", about)(error).into()),
        }
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(&artifact.key)
            .body(ByteStream::from(artifact.bytes.clone()))
            .send()
            .await
            .map_err(aws::failed("s3:PutObject", about))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_the_content_only() {
        let key = |content: &str| Artifact::new("lambda/worker", "zip", content.into()).key;
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("two"));
        assert_eq!(key(""), "lambda/worker-e3b0c44298fc1c149afbf4c8996fb924.zip");
    }
}
