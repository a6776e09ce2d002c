//! A proxy between `slowlane` and the local AWS, which notes what is asked of AWS in IAM's words.

use super::policy::Asked;
use anyhow::Context as _;
use axum::Router;
use axum::body::{self, Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Of the local AWS.
const PLACE: &str = "us-east-1:000000000000";
/// The services of AWS's JSON protocol, by what their requests name.
const SERVICES: [(&str, &str); 4] = [
    ("AmazonSQS", "sqs"),
    ("AWSStepFunctions", "states"),
    ("DynamoDB_20120810", "dynamodb"),
    ("Logs_20140328", "logs"),
];

/// A running proxy. It ends with the test's runtime.
pub(crate) struct Tap {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    asked: Mutex<BTreeSet<Asked>>,
    /// Requests of which it is not known what IAM calls them.
    unknown: Mutex<Vec<String>>,
}

impl Tap {
    pub(crate) async fn start(upstream: &str) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            http: reqwest::Client::builder().no_proxy().build()?,
            asked: Mutex::default(),
            unknown: Mutex::default(),
        });
        let app = Router::new().fallback(pass).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, inner })
    }

    /// What was asked since the last time, and nothing that is not understood.
    #[expect(clippy::unwrap_used, reason = "poisoned by a panic that fails the test anyway")]
    pub(crate) fn take(&self) -> anyhow::Result<BTreeSet<Asked>> {
        let unknown = self.inner.unknown.lock().unwrap();
        anyhow::ensure!(unknown.is_empty(), "not known to this test: {unknown:?}");
        Ok(std::mem::take(&mut *self.inner.asked.lock().unwrap()))
    }
}

async fn pass(
    State(inner): State<Arc<Inner>>,
    request: Request<Body>,
) -> Result<Response<Body>, StatusCode> {
    inner.serve(request).await.map_err(|error| {
        eprintln!("the proxy: {error:#}");
        StatusCode::BAD_GATEWAY
    })
}

impl Inner {
    #[expect(clippy::unwrap_used, reason = "poisoned by a panic that fails the test anyway")]
    async fn serve(&self, request: Request<Body>) -> anyhow::Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let body = body::to_bytes(body, usize::MAX).await?;
        let path = parts.uri.path_and_query().context("a request has a path")?.to_string();
        match asked(&parts.method, &parts.uri, &parts.headers, &body) {
            Some(asked) => {
                self.asked.lock().unwrap().extend(asked);
            }
            None => self.unknown.lock().unwrap().push(format!("{} {path}", parts.method)),
        }
        // The client writes these itself.
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::TRANSFER_ENCODING);
        let url = format!("{}{path}", self.upstream);
        let sent = self.http.request(parts.method, url).headers(parts.headers).body(body).send();
        let answer = sent.await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Body::from(answer.bytes().await?))?)
    }
}

/// What a request asks, in IAM's words; `None` if it is none that is known here.
fn asked(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Option<Option<Asked>> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((service, operation)) = text("x-amz-target").split_once('.') {
        let (_, service) = SERVICES.iter().find(|(known, _)| *known == service)?;
        let body: Value = serde_json::from_slice(body).ok()?;
        // IAM has no action for a batch: it is that of its entries.
        let operation = operation.trim_end_matches("Batch");
        let resource = resource(service, operation, &body)?;
        return Some(Some(Asked { action: format!("{service}:{operation}"), resource }));
    }
    // As in `Credential=ID/20261129/us-east-1/cloudformation/aws4_request`.
    let service = text("authorization").split('/').nth(3).unwrap_or("s3");
    match service {
        // Needs no permission.
        "sts" => Some(None),
        "cloudformation" => Some(Some(of_cloudformation(body)?)),
        "lambda" => Some(Some(of_lambda(method, path)?)),
        "s3" => Some(Some(of_s3(method, path, query)?)),
        _ => None,
    }
}

/// The resource of a request in AWS's JSON protocol.
fn resource(service: &str, operation: &str, body: &Value) -> Option<String> {
    let text = |name: &str| body[name].as_str();
    Some(match service {
        "sqs" => format!("arn:aws:sqs:{PLACE}:{}", text("QueueUrl")?.rsplit('/').next()?),
        "dynamodb" => format!("arn:aws:dynamodb:{PLACE}:table/{}", text("TableName")?),
        "logs" => format!("arn:aws:logs:{PLACE}:log-group:{}", text("logGroupName")?),
        "states" if operation == "SendTaskHeartbeat" => "*".to_owned(),
        "states" => text("stateMachineArn").or(text("executionArn"))?.to_owned(),
        _ => return None,
    })
}

fn of_cloudformation(body: &Bytes) -> Option<Asked> {
    let url =
        reqwest::Url::parse(&format!("http://x/?{}", std::str::from_utf8(body).ok()?)).ok()?;
    let form: BTreeMap<_, _> = url.query_pairs().collect();
    let operation = form.get("Action")?;
    let resource = match (operation.as_ref(), form.get("StackName")) {
        ("GetTemplateSummary" | "DescribeStackDriftDetectionStatus", _)
        | ("DescribeStacks", None) => "*".to_owned(),
        (_, Some(arn)) if arn.starts_with("arn:") => arn.to_string(),
        (_, Some(name)) => format!("arn:aws:cloudformation:{PLACE}:stack/{name}/0f1e"),
        (_, None) => return None,
    };
    Some(Asked { action: format!("cloudformation:{operation}"), resource })
}

fn of_lambda(method: &Method, path: &str) -> Option<Asked> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (operation, resource) = match (method.as_str(), &parts[1..]) {
        ("GET", ["account-settings"]) => ("GetAccountSettings", ""),
        ("GET", ["functions", name, "concurrency"]) => ("GetFunctionConcurrency", *name),
        ("PUT", ["functions", name, "concurrency"]) => ("PutFunctionConcurrency", *name),
        ("GET", ["event-source-mappings"]) => ("ListEventSourceMappings", ""),
        ("PUT", ["event-source-mappings", _]) => ("UpdateEventSourceMapping", ""),
        _ => return None,
    };
    let resource = match resource {
        "" => "*".to_owned(),
        name => format!("arn:aws:lambda:{PLACE}:function:{name}"),
    };
    Some(Asked { action: format!("lambda:{operation}"), resource })
}

/// By path, as the local AWS has it.
fn of_s3(method: &Method, path: &str, query: &str) -> Option<Asked> {
    let path = path.trim_matches('/');
    let action = match (method.as_str(), path.contains('/')) {
        ("HEAD", false) => "s3:ListBucket",
        ("PUT", false) if query == "versioning" => "s3:PutBucketVersioning",
        ("PUT", false) => "s3:CreateBucket",
        ("HEAD" | "GET", true) => "s3:GetObject",
        ("PUT", true) => "s3:PutObject",
        _ => return None,
    };
    Some(Asked { action: action.to_owned(), resource: format!("arn:aws:s3:::{path}") })
}
