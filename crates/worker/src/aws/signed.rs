//! Signed requests to services of which the worker needs a request or two. Their SDK crates would be most of
//! its package. What those do around a request is the SDK's own engine, and so it is here: credentials,
//! signature, clock skew, retries, time-outs and the HTTP client that the configuration names.

use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::interceptors::context;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_runtime_api::http::{Headers, HttpError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::{ConfigBag, Layer};
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_smithy_xml::decode::{Document, try_data};
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::service_config::ServiceConfigKey;
use futures::FutureExt as _;
use serde_json::Value;
use slowlane_lambda::logs::chain;
use tokio::time::timeout;

/// How long one that is not told otherwise waits for an answer and its body.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// A service, by AWS's names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// In configurations: `SSM` of `AWS_ENDPOINT_URL_SSM`.
    pub(crate) id: &'static str,
    /// In hosts and signatures: `ssm`.
    pub(crate) name: &'static str,
    pub(crate) path: Path,
}

/// How a service signs paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Normalized and encoded once more, as nearly all do.
    Usual,
    /// As it is, and with the body's digest as a header.
    OfObjects,
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The configuration says so.
    Configured(String),
    /// AWS itself: `ssm.eu-central-1.amazonaws.com`.
    Aws(String),
}

/// Sends requests to one service.
#[derive(Debug, Clone)]
pub(crate) struct SignedRequests {
    service: Service,
    operation: Operation<HttpRequest, Answer, Refused>,
}

/// A successful answer, whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) headers: Headers,
    pub(crate) body: ByteStream,
}

/// What AWS said when it refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    meta: ErrorMetadata,
}

/// Why a request cannot be sent at all.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the region is not known: set AWS_REGION")]
    NoRegion,
    #[error("the keys of the function's role are not configured")]
    NoCredentials,
    #[error(
        "where {0} has its FIPS or dual-stack endpoint is not known here: set AWS_ENDPOINT_URL_{0}"
    )]
    SpecialEndpoint(&'static str),
    #[error("where {service} is in {region} is not known: set AWS_ENDPOINT_URL_{service}")]
    NoEndpoint { service: &'static str, region: String },
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("{0} answered {1}")]
    Refused(&'static str, Refused),
    #[error("{0} gave no answer: {1}")]
    NoAnswer(&'static str, String),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the request cannot be written: {0}")]
    Unwritable(String),
}

impl Place {
    /// Where a service is, by the same rules as for the SDK's own clients.
    pub(crate) fn of(sdk: &SdkConfig, service: Service) -> Result<Self, Unusable> {
        if let Some(url) = configured_url(sdk, service) {
            return Ok(Place::Configured(url));
        }
        if sdk.use_fips() == Some(true) || sdk.use_dual_stack() == Some(true) {
            return Err(Unusable::SpecialEndpoint(service.id));
        }
        let region = sdk.region().ok_or(Unusable::NoRegion)?.as_ref();
        let unknown = || Unusable::NoEndpoint { service: service.id, region: region.to_owned() };
        let suffix = domain_of(region).ok_or_else(unknown)?;
        Ok(Place::Aws(format!("{}.{region}.{suffix}", service.name)))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Place::Configured(url) => url.clone(),
            Place::Aws(host) => format!("https://{host}"),
        }
    }
}

fn configured_url(sdk: &SdkConfig, service: Service) -> Option<String> {
    let of_all = || sdk.endpoint_url().map(str::to_owned);
    if sdk.get_origin("endpoint_url").is_client_config() {
        return of_all();
    }
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service = key.ok().and_then(|key| sdk.service_config()?.load_config(key));
    of_service.or_else(of_all)
}

/// The domain of AWS's services in a region, from the SDK's own table of partitions.
fn domain_of(region: &str) -> Option<String> {
    let params = Params::builder().region(region).build().ok()?;
    // The table is in the program, so that it answers at once.
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).now_or_never()?.ok()?;
    let domain = endpoint.url().strip_prefix("https://secretsmanager.")?;
    Some(domain.strip_prefix(region)?.strip_prefix('.')?.to_owned())
}

impl SignedRequests {
    /// To a service at its usual place.
    pub(crate) fn new(sdk: &SdkConfig, service: Service) -> Result<Self, Unusable> {
        let url = Place::of(sdk, service)?.url();
        Self::at(sdk, service, &url)
    }

    /// To a service at a URL.
    pub(crate) fn at(sdk: &SdkConfig, service: Service, url: &str) -> Result<Self, Unusable> {
        let region = sdk.region().ok_or(Unusable::NoRegion)?.clone();
        let keys = sdk.credentials_provider().ok_or(Unusable::NoCredentials)?;
        let mut config = Layer::new("signature");
        config.store_put(AuthSchemeOptionResolverParams::new(()));
        config.store_put(SigningRegion::from(region));
        config.store_put(SigningName::from_static(service.name));
        config.store_put(SigV4OperationSigningConfig {
            signing_options: service.path.signing(),
            ..SigV4OperationSigningConfig::default()
        });
        // What is read may be a secret, and is not the logs' business.
        config.store_put(SensitiveOutput);
        let mut parts = RuntimeComponentsBuilder::new("signature");
        parts.push_auth_scheme(SigV4AuthScheme::new());
        parts.set_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
            SCHEME_ID,
        ])));
        parts.set_identity_resolver(SCHEME_ID, keys);
        if let Some(cache) = sdk.identity_cache() {
            parts.set_identity_cache(Some(cache));
        }
        let signature =
            StaticRuntimePlugin::new().with_config(config.freeze()).with_runtime_components(parts);
        let operation = configured(sdk, service)
            .endpoint_url(url)
            .interceptor(ConnectionPoisoningInterceptor::new())
            .interceptor(ServiceClockSkewInterceptor::new())
            .retry_classifier(TransientErrorClassifier::<Refused>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refused>::new())
            .retry_classifier(ServiceClockSkewClassifier::<Refused>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .runtime_plugin(signature)
            .serializer(Ok)
            .deserializer_impl::<Answer, Refused>(ReadAnswer)
            .build();
        Ok(SignedRequests { service, operation })
    }

    /// Sends a request, whose URI is a path.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<Answer, Error> {
        let service = self.service.id;
        self.operation.invoke(request).await.map_err(|error| match error {
            SdkError::ServiceError(refused) => Error::Refused(service, refused.into_err()),
            other => Error::NoAnswer(service, chain(&other)),
        })
    }

    /// Sends a request whose answer is small, and reads that.
    pub(crate) async fn read(
        &self,
        request: HttpRequest,
        at_most: usize,
    ) -> Result<Vec<u8>, Error> {
        let service = self.service.id;
        let read = async { self.send(request).await?.read(service, at_most).await };
        let late = |_| Error::NoAnswer(service, format!("none in {OPERATION_TIMEOUT:?}"));
        timeout(OPERATION_TIMEOUT, read).await.map_err(late)?
    }
}

impl Path {
    fn signing(self) -> SigningOptions {
        let mut options = SigningOptions::default();
        options.double_uri_encode = self == Path::Usual;
        options.normalize_uri_path = self == Path::Usual;
        options.content_sha256_header = self == Path::OfObjects;
        options
    }
}

/// A request to be signed. `path` is encoded already.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: SdkBody,
) -> Result<HttpRequest, Error> {
    let unwritable = |error: HttpError| Error::Unwritable(chain(&error));
    let mut request = HttpRequest::new(body);
    request.set_method(method).map_err(unwritable)?;
    request.set_uri(path).map_err(unwritable)?;
    for (name, value) in headers {
        request.headers_mut().try_insert(*name, (*value).to_owned()).map_err(unwritable)?;
    }
    Ok(request)
}

fn configured(sdk: &SdkConfig, service: Service) -> OperationBuilder {
    let retries = sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let timeouts = sdk
        .timeout_config()
        .cloned()
        .unwrap_or_else(|| TimeoutConfig::builder().operation_timeout(OPERATION_TIMEOUT).build());
    let mut builder = Operation::builder()
        .service_name(service.id)
        .operation_name("signed")
        .standard_retry(&retries)
        .timeout_config(timeouts);
    if let Some(client) = sdk.http_client() {
        builder = builder.http_client(client);
    }
    if let Some(clock) = sdk.time_source() {
        builder = builder.time_source(clock);
    }
    if let Some(sleep) = sdk.sleep_impl() {
        builder = builder.sleep_impl(sleep);
    }
    builder
}

impl Answer {
    /// Reads the body, if it is not larger than it may be.
    pub(crate) async fn read(
        mut self,
        service: &'static str,
        at_most: usize,
    ) -> Result<Vec<u8>, Error> {
        let announced = self.headers.get("content-length").and_then(|length| length.parse().ok());
        let announced = announced.unwrap_or(0);
        if announced > at_most {
            return Err(Error::TooLarge(at_most));
        }
        let mut bytes = Vec::with_capacity(announced);
        while let Some(piece) = self.body.next().await {
            let piece = piece.map_err(|error| Error::NoAnswer(service, chain(&error)))?;
            if bytes.len() + piece.len() > at_most {
                return Err(Error::TooLarge(at_most));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// Hands out a success with its body unread, and reads a refusal.
#[derive(Debug)]
struct ReadAnswer;

impl DeserializeResponse for ReadAnswer {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<context::Output, OrchestratorError<context::Error>>> {
        response.status().is_success().then(|| {
            let headers = response.headers().clone();
            let body = ByteStream::new(response.take_body());
            Ok(context::Output::erase(Answer { headers, body }))
        })
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<context::Output, OrchestratorError<context::Error>> {
        let body = response.body().bytes().unwrap_or_default();
        let refused = Refused::read(response.status().as_u16(), response.headers(), body);
        Err(OrchestratorError::operation(context::Error::erase(refused)))
    }
}

impl Refused {
    /// Reads both ways in which AWS refuses: in JSON, and in S3's XML.
    fn read(status: u16, headers: &Headers, body: &[u8]) -> Self {
        let mut told = of_json(body).or_else(|| of_xml(body)).unwrap_or_default();
        if let Some(code) = headers.get("x-amzn-errortype") {
            told.code = Some(code.to_owned());
        }
        let mut meta = ErrorMetadata::builder();
        if let Some(code) = &told.code {
            // `com.amazonaws.ssm#ParameterNotFound:http://…`
            let code = code.rsplit('#').next().and_then(|code| code.split(':').next());
            meta = meta.code(code.unwrap_or_default());
        }
        if let Some(message) = told.message {
            meta = meta.message(message);
        }
        Refused { status, meta: meta.build() }
    }
}

#[derive(Default)]
struct Told {
    code: Option<String>,
    message: Option<String>,
}

fn of_json(body: &[u8]) -> Option<Told> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |names: [&str; 2]| {
        names.into_iter().find_map(|name| Some(body.get(name)?.as_str()?.to_owned()))
    };
    Some(Told { code: text(["__type", "code"]), message: text(["message", "Message"]) })
}

fn of_xml(body: &[u8]) -> Option<Told> {
    let mut document = Document::try_from(body).ok()?;
    let mut root = document.root_element().ok()?;
    let mut told = Told::default();
    while let Some(mut tag) = root.next_tag() {
        let field = match tag.start_el().local() {
            "Code" => &mut told.code,
            "Message" => &mut told.message,
            _ => continue,
        };
        *field = Some(try_data(&mut tag).ok()?.into_owned());
    }
    Some(told)
}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.meta
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for told in [self.meta.code(), self.meta.message()].into_iter().flatten() {
            write!(f, ", {told}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Answer {
    /// Leaves out the headers and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};

    use super::*;

    const SSM: Service = Service { id: "SSM", name: "ssm", path: Path::Usual };

    fn sdk() -> aws_types::sdk_config::Builder {
        SdkConfig::builder().behavior_version(BehaviorVersion::latest())
    }

    #[test]
    fn a_service_is_where_its_partition_has_it() {
        for (region, host) in [
            ("eu-central-1", "ssm.eu-central-1.amazonaws.com"),
            ("us-gov-west-1", "ssm.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "ssm.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", "ssm.us-iso-east-1.c2s.ic.gov"),
            ("eusc-de-east-1", "ssm.eusc-de-east-1.amazonaws.eu"),
            // One that is newer than the SDK.
            ("eu-moon-7", "ssm.eu-moon-7.amazonaws.com"),
        ] {
            let sdk = sdk().region(Region::new(region)).build();
            assert_eq!(Place::of(&sdk, SSM).unwrap(), Place::Aws(host.to_owned()), "{region}");
        }
    }

    #[test]
    fn a_wrong_place_is_no_place() {
        let here = || sdk().region(Region::new("us-gov-west-1"));
        for (sdk, told) in [
            (sdk().build(), "set AWS_REGION"),
            (here().use_fips(true).build(), "set AWS_ENDPOINT_URL_SSM"),
            (here().use_dual_stack(true).build(), "set AWS_ENDPOINT_URL_SSM"),
        ] {
            let error = Place::of(&sdk, SSM).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let fips = here().use_fips(true).endpoint_url("https://ssm-here.example").build();
        assert_eq!(Place::of(&fips, SSM).unwrap().url(), "https://ssm-here.example");
        let error = SignedRequests::new(&here().build(), SSM).unwrap_err().to_string();
        assert!(error.contains("keys"), "{error}");
    }

    #[derive(Debug)]
    struct OfService(&'static str);

    impl aws_types::service_config::LoadServiceConfig for OfService {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            (key.service_id() == self.0 && key.env() == "AWS_ENDPOINT_URL")
                .then(|| "https://its.own".to_owned())
        }
    }

    #[test]
    fn a_services_own_endpoint_comes_before_that_of_all() {
        for (service, expected) in [("SSM", "https://its.own"), ("SQS", "https://of.all")] {
            let sdk = sdk().endpoint_url("https://of.all").service_config(OfService(service));
            assert_eq!(Place::of(&sdk.build(), SSM).unwrap().url(), expected, "{service}");
        }
    }

    #[test]
    fn what_aws_says_is_told() {
        let json = r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"no such"}"#;
        let xml =
            r#"<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"#;
        for (status, header, body, told) in [
            (400, None, json, "400, ParameterNotFound, no such"),
            (400, Some("ThrottlingException:"), "{}", "400, ThrottlingException"),
            (400, None, r#"{"__type":"AccessDenied","Message":"no"}"#, "400, AccessDenied, no"),
            (404, None, xml, "404, NoSuchKey, gone"),
            (503, None, "", "503"),
            (502, None, "<html>Bad gateway", "502"),
        ] {
            let mut headers = Headers::new();
            if let Some(code) = header {
                headers.insert("x-amzn-errortype", code);
            }
            let refused = Refused::read(status, &headers, body.as_bytes());
            assert_eq!(refused.to_string(), told);
        }
    }
}
