//! Large results in an S3 bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use crate::offload::Blobs;
use crate::store::{Error, boxed};

/// Blobs in a bucket, as `{prefix}{sha256}.json`. IAM: `s3:PutObject` and `s3:GetObject`
/// on that prefix. Give the bucket a lifecycle rule that deletes objects under the prefix
/// after more days than the guard's expiry: every put starts an object's age anew.
#[derive(Clone, Debug)]
pub struct S3Blobs {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Blobs {
    /// Blobs in `bucket` under `prefix` (with its trailing slash, if it is to have one).
    pub fn new(client: Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), prefix: prefix.into() }
    }

    fn error<E>(&self, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error.code() {
            Some("SlowDown" | "RequestLimitExceeded") => Error::Throttled(Box::new(error)),
            Some("NoSuchBucket") => {
                let what = format!("bucket {:?}", self.bucket);
                Error::NotFound { what, source: Box::new(error) }
            }
            _ => Error::Failed(Box::new(error)),
        }
    }
}

impl Blobs for S3Blobs {
    async fn put(&self, sha256: &str, text: &str) -> Result<String, Error> {
        let location = format!("{}{sha256}.json", self.prefix);
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&location)
            .content_type("application/json")
            .body(ByteStream::from(text.as_bytes().to_vec()));
        boxed(put.send()).await.map_err(|error| self.error(error))?;
        Ok(location)
    }

    async fn get(&self, location: &str) -> Result<String, Error> {
        let get = self.client.get_object().bucket(&self.bucket).key(location);
        let object = boxed(get.send()).await.map_err(|error| self.error(error))?;
        let body = object.body.collect().await;
        let body = body.map_err(|error| Error::Failed(Box::new(error)))?;
        String::from_utf8(body.to_vec()).map_err(|error| Error::Failed(Box::new(error)))
    }
}
