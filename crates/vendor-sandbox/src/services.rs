//! What each vendor's API does with a call: its records, and the errors that its rules have.

mod anthropic;
mod bedrock;
mod completion;
mod dataverse;
mod github;
mod hubspot;
mod odata;
mod openai;
mod rest;
mod salesforce;
mod shopify;
mod soql;
mod stripe;
mod zendesk;

use crate::service::Service;

/// The service of a dialect.
pub(crate) fn of(dialect: &str) -> Box<dyn Service> {
    match dialect {
        "anthropic" => Box::new(anthropic::Anthropic),
        "bedrock" => Box::new(bedrock::Bedrock),
        "dynamics" => Box::new(dataverse::Dataverse::default()),
        "github" => Box::new(github::GitHub),
        "hubspot" => Box::new(hubspot::HubSpot),
        "openai" => Box::new(openai::OpenAi),
        "sap-odata" => Box::new(odata::OData::default()),
        "salesforce" => Box::new(salesforce::Salesforce),
        "shopify" => Box::new(shopify::Shopify::default()),
        "stripe" => Box::new(stripe::Stripe),
        "zendesk" => Box::new(zendesk::Zendesk),
        _ => Box::new(rest::Rest),
    }
}
