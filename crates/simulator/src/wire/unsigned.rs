//! Clients that do not sign their requests.
//!
//! Nobody here checks a signature, and hashing one takes a quarter of a request's time. Whether
//! the programs sign as AWS wants it is not a question for the simulator: the same code runs
//! with the SDK's own signatures everywhere else.

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign,
};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;
use slowlane_worker::Clients;

/// A client of SQS.
pub(crate) fn sqs(sdk: &SdkConfig) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::config::Builder::from(sdk).push_auth_scheme(Unsigned);
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// A worker's clients.
pub(crate) fn worker(sdk: &SdkConfig) -> Clients {
    let sfn = aws_sdk_sfn::config::Builder::from(sdk).push_auth_scheme(Unsigned);
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(sdk).push_auth_scheme(Unsigned);
    let lambda = aws_sdk_lambda::config::Builder::from(sdk).push_auth_scheme(Unsigned);
    Clients {
        sqs: sqs(sdk),
        sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
        lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
    }
}

/// Stands in for the SDK's scheme of the same name.
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
