//! For tests: the AWS SDK's HTTP client, which notes every request and answers from a script.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Answers in the order of the requests, each with a status and a body.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    requests: Vec<HttpRequest>,
    answers: VecDeque<(u16, String)>,
}

impl Wire {
    pub(crate) fn answering<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Self {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        Self(Arc::new(Mutex::new(Script { requests: Vec::new(), answers })))
    }

    pub(crate) fn config(&self) -> SdkConfig {
        let connector = self.clone();
        let client = http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()));
        let credentials = Credentials::new("id", "secret", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-north-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .http_client(client)
            .build()
    }

    /// The bodies of the requests, as forms or JSON have them.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let body = |request: &HttpRequest| {
            std::str::from_utf8(request.body().bytes().unwrap()).unwrap().to_owned()
        };
        self.requests().iter().map(body).collect()
    }

    pub(crate) fn requests(&self) -> Vec<HttpRequest> {
        let script = self.0.lock().unwrap();
        script.requests.iter().filter_map(HttpRequest::try_clone).collect()
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut script = self.0.lock().unwrap();
        script.requests.push(request);
        let (status, body) = script.answers.pop_front().unwrap();
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(response))
    }
}
