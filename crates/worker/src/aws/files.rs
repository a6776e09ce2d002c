//! Files in S3, below one prefix: bodies that calls send as they are, and answers that no workflow's state
//! holds.

use std::str::FromStr;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use aws_smithy_types::timeout::TimeoutConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slowlane_lambda::logs::chain;

use super::signed::{Error, Path, Place, Service, SignedRequests, Unusable, request};

const S3: Service = Service { id: "S3", name: "s3", path: Path::OfObjects };
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest key of an object (S3 user guide).
const MAX_KEY_BYTES: usize = 1_024;
/// What stays as it is in the path of an object.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A place in S3 below which a deployment's files lie: `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesPlace {
    bucket: String,
    prefix: String,
}

/// A text that names no place below which files can lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no place for files; write `s3://BUCKET/PREFIX`, without a slash at its end")]
pub struct NoFilesPlace;

impl FromStr for FilesPlace {
    type Err = NoFilesPlace;

    fn from_str(text: &str) -> Result<Self, NoFilesPlace> {
        let (bucket, prefix) = text
            .strip_prefix("s3://")
            .and_then(|place| place.split_once('/'))
            .ok_or(NoFilesPlace)?;
        let in_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        let in_segment = |c: char| c.is_ascii_alphanumeric() || "_=-".contains(c);
        let is_segment = |segment: &str| {
            segment.starts_with(in_segment) && segment.chars().all(|c| c == '.' || in_segment(c))
        };
        let fits = (3..=63).contains(&bucket.len())
            && bucket.chars().all(in_bucket)
            && prefix.split('/').all(is_segment);
        let place = FilesPlace { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        fits.then_some(place).ok_or(NoFilesPlace)
    }
}

/// Whether no segment of a key could be read as another place.
fn are_plain(key: &str) -> bool {
    key.split('/').all(|segment| !["", ".", ".."].contains(&segment))
}

impl FilesPlace {
    /// The key of a file below this place.
    fn key_of<'a>(&self, s3: &'a str) -> Option<&'a str> {
        let key = s3.strip_prefix("s3://")?.strip_prefix(&self.bucket)?.strip_prefix('/')?;
        let below = key.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        (key.len() <= MAX_KEY_BYTES && are_plain(below)).then_some(key)
    }
}

impl std::fmt::Display for FilesPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// The files below one place.
#[derive(Debug)]
pub(crate) struct Files {
    place: FilesPlace,
    /// What stands before a key in a URL's path.
    root: String,
    requests: SignedRequests,
}

/// Why there is no file. No message names it, since its name is the call's own.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoFile {
    /// It is not there for this call, and will not be.
    #[error("{0}")]
    Never(String),
    /// S3 did not give it.
    #[error("{0}")]
    NotNow(String),
}

/// A file that was put there.
pub(crate) struct Put {
    pub(crate) s3: String,
    pub(crate) etag: String,
}

impl Files {
    pub(crate) fn new(sdk: &SdkConfig, place: FilesPlace) -> Result<Self, Unusable> {
        let (url, root) = match Place::of(sdk, S3)? {
            // A certificate for all buckets is good for names without a dot.
            Place::Aws(host) if !place.bucket.contains('.') => {
                (format!("https://{}.{host}", place.bucket), String::new())
            }
            elsewhere => (elsewhere.url(), format!("/{}", place.bucket)),
        };
        // How long a file may take is its size's matter: whoever asks says when it is enough.
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let sdk = sdk.to_builder().timeout_config(timeouts).build();
        let requests = SignedRequests::at(&sdk, S3, &url)?;
        Ok(Files { place, root, requests })
    }

    /// Reads a file, if it is below the place and still has the content that `etag` names.
    pub(crate) async fn get(
        &self,
        s3: &str,
        etag: &str,
        at_most: usize,
    ) -> Result<Vec<u8>, NoFile> {
        let never = |why: String| NoFile::Never(why);
        let key = self.place.key_of(s3).ok_or_else(|| {
            never(format!("its file is not below {}, the place of this deployment's", self.place))
        })?;
        let wanted = format!("\"{}\"", etag.trim_matches('"'));
        let request = request("GET", &self.path(key), &[("if-match", &wanted)], SdkBody::empty());
        let request = request.map_err(|error| never(format!("its file's pointer: {error}")))?;
        let answer = self.requests.send(request).await.map_err(not_given)?;
        if answer.headers.get("etag") != Some(&wanted) {
            return Err(never(CHANGED.to_owned()));
        }
        answer.read(S3.id, at_most).await.map_err(|error| match error {
            Error::TooLarge(_) => never(format!("its file has more than {at_most} bytes")),
            other => NoFile::NotNow(chain(&other)),
        })
    }

    /// Puts a file below the place. `digest` is the SHA-256 of its content in base64, by which S3 checks
    /// what has arrived.
    pub(crate) async fn put(
        &self,
        name: &str,
        content_type: Option<&str>,
        digest: &str,
        content: SdkBody,
    ) -> Result<Put, Error> {
        let key = format!("{}/{name}", self.place.prefix);
        let mut headers = vec![("x-amz-checksum-sha256", digest)];
        headers.extend(content_type.map(|of| ("content-type", of)));
        let request = request("PUT", &self.path(&key), &headers, content)?;
        let answer = self.requests.send(request).await?;
        let etag = answer.headers.get("etag").unwrap_or_default().to_owned();
        Ok(Put { s3: format!("s3://{}/{key}", self.place.bucket), etag })
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{}", self.root, utf8_percent_encode(key, KEPT))
    }
}

const CHANGED: &str = "its file has another content by now than the one with its `etag`";

/// S3 says of a file that is not there that access is denied, unless the bucket may be listed.
fn not_given(error: Error) -> NoFile {
    let Error::Refused(_, refused) = &error else { return NoFile::NotNow(chain(&error)) };
    match (refused.status, refused.code()) {
        (412, _) => NoFile::Never(CHANGED.to_owned()),
        (404, _) => NoFile::Never("its file is not there".to_owned()),
        (403, Some("AccessDenied")) => NoFile::Never(
            "its file is not there, or its bucket's policy or key keeps it from the worker"
                .to_owned(),
        ),
        (403, Some("InvalidObjectState")) => {
            NoFile::Never("its file is archived: restore it first".to_owned())
        }
        _ => NoFile::NotNow(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;

    use super::*;

    fn place() -> FilesPlace {
        "s3://acme-files/prod/crm".parse().unwrap()
    }

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        assert_eq!(place().to_string(), "s3://acme-files/prod/crm");
        for wrong in [
            "",
            "acme-files/prod",
            "s3://acme-files",
            "s3://acme-files/",
            "s3://acme-files/prod/",
            "s3://acme-files//prod",
            "s3://acme-files/../prod",
            "s3://acme-files/pr*d",
            "s3://Acme/prod",
            "s3://ac/prod",
        ] {
            assert_eq!(wrong.parse::<FilesPlace>(), Err(NoFilesPlace), "{wrong}");
        }
    }

    #[test]
    fn only_what_lies_below_the_place_is_one_of_its_files() {
        let long = format!("s3://acme-files/prod/crm/{}", "x".repeat(MAX_KEY_BYTES));
        for (s3, key) in [
            ("s3://acme-files/prod/crm/in/a b.pdf", Some("prod/crm/in/a b.pdf")),
            ("s3://acme-files/prod/crm/ä", Some("prod/crm/ä")),
            ("s3://acme-files/prod/crm", None),
            ("s3://acme-files/prod/crm/", None),
            ("s3://acme-files/prod/crm2/a", None),
            ("s3://acme-files/prod/crm/../secrets/a", None),
            ("s3://acme-files/prod/crm/./a", None),
            ("s3://acme-files/prod/crm//a", None),
            ("s3://acme-files2/prod/crm/a", None),
            ("s3://other/prod/crm/a", None),
            ("https://acme-files/prod/crm/a", None),
            ("/prod/crm/a", None),
            (&long, None),
        ] {
            assert_eq!(place().key_of(s3), key, "{s3}");
        }
    }

    #[test]
    fn a_bucket_is_in_the_host_unless_it_cannot_be() {
        let keys = Credentials::new("AKID", "key", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("cn-north-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys));
        let aws = sdk.build();
        let local = aws.to_builder().endpoint_url("http://127.0.0.1:4566").build();
        for (sdk, place, path) in [
            (&aws, "s3://acme-files/in", "/in/a%20b%2B%C3%A4.pdf"),
            (&aws, "s3://acme.files/in", "/acme.files/in/a%20b%2B%C3%A4.pdf"),
            (&local, "s3://acme-files/in", "/acme-files/in/a%20b%2B%C3%A4.pdf"),
        ] {
            let files = Files::new(sdk, place.parse().unwrap()).unwrap();
            assert_eq!(files.path("in/a b+ä.pdf"), path, "{place}");
        }
    }
}
