//! Clients that leave out what nobody here looks at: signatures, and headers about the SDK.
//!
//! Both cost time in millions of requests. A client made in the ordinary way works here too; what a
//! program signs is looked at by nobody.

use aws_config::SdkConfig;
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign,
};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{
    Intercept, disable_interceptor, dyn_dispatch_hint,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer, Layer};

/// A client of SQS.
pub fn sqs(sdk: &SdkConfig) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::config::Builder::from(sdk);
    let config = config.push_auth_scheme(Unsigned).interceptor(Reticence::new());
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// A client of Step Functions.
pub fn sfn(sdk: &SdkConfig) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::config::Builder::from(sdk);
    let config = config.push_auth_scheme(Unsigned).interceptor(Reticence::new());
    aws_sdk_sfn::Client::from_conf(config.build())
}

/// A client of DynamoDB.
pub fn dynamodb(sdk: &SdkConfig) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(dynamodb_config(sdk).build())
}

/// The configuration of such a client, to which interceptors may be added.
pub fn dynamodb_config(sdk: &SdkConfig) -> aws_sdk_dynamodb::config::Builder {
    let config = aws_sdk_dynamodb::config::Builder::from(sdk);
    config.push_auth_scheme(Unsigned).interceptor(Reticence::new())
}

/// A client of Lambda.
pub fn lambda(sdk: &SdkConfig) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::config::Builder::from(sdk);
    let config = config.push_auth_scheme(Unsigned).interceptor(Reticence::new());
    aws_sdk_lambda::Client::from_conf(config.build())
}

/// Stands in for the SDK's scheme of the same name, and does not sign.
#[derive(Debug)]
struct Unsigned;

impl AuthScheme for Unsigned {
    fn scheme_id(&self) -> AuthSchemeId {
        AuthSchemeId::new("sigv4")
    }

    fn identity_resolver(
        &self,
        resolvers: &dyn GetIdentityResolver,
    ) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(self.scheme_id())
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Unsigned {
    fn sign_http_request(
        &self,
        _: &mut HttpRequest,
        _: &Identity,
        _: AuthSchemeEndpointConfig<'_>,
        _: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Turns off what tells a service about the SDK, its clock and its tries.
#[derive(Debug)]
struct Reticence(FrozenLayer);

impl Reticence {
    fn new() -> Reticence {
        const UNREAD: &str = "the simulator reads none of its headers";
        let mut layer = Layer::new("Reticence");
        layer.store_put(disable_interceptor::<InvocationIdInterceptor>(UNREAD));
        layer.store_put(disable_interceptor::<RequestInfoInterceptor>(UNREAD));
        layer.store_put(disable_interceptor::<ServiceClockSkewInterceptor>(UNREAD));
        layer.store_put(disable_interceptor::<UserAgentInterceptor>(UNREAD));
        Reticence(layer.freeze())
    }
}

#[dyn_dispatch_hint]
impl Intercept for Reticence {
    fn name(&self) -> &'static str {
        "Reticence"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        settings.push_shared_layer(self.0.clone());
        Ok(())
    }
}
