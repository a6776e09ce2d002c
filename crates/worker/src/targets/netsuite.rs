//! NetSuite as a target.
//!
//! A call's resource names a record: `salesOrder` (with `POST`, a create),
//! `salesOrder/eid:order-1` (with `PUT`, an upsert by external id) or `salesOrder/123`, each
//! with a query if need be (`?replace=item`).
//!
//! What makes a call repeatable here: reads are; so is a `PUT` or `PATCH` that replaces the
//! sublists it brings (`replace=`), because NetSuite *adds* the lines of any other sublist once
//! more. A create is not, and is looked up by the external id in its body when its answer was
//! lost; a deletion by its own path. An upsert that adds lines can be seen not to have happened,
//! if there is no record; where there is one, a person must decide.

use aws_config::SdkConfig;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use slowlane_lambda::env;
use slowlane_message::{Method, QueuedCall};
use slowlane_netsuite::{AccountId, Auth, Class, Client, Invalid, OAuth2, Request, Url};
use slowlane_policy::settle::{Outcome, Why};

use crate::target::{Reconciled, Target, TargetResponse};

/// Calls NetSuite's record API.
#[derive(Debug, Clone)]
pub struct NetSuite {
    client: Client,
}

/// Why the target could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `NETSUITE_ACCOUNT_ID`, `NETSUITE_SECRET_ID` or `NETSUITE_BASE_URL`.
    #[error(transparent)]
    Environment(#[from] env::Error),
    /// The secret could not be read.
    #[error("could not read the secret {id} named by NETSUITE_SECRET_ID: {cause}")]
    Secret {
        /// The secret's id.
        id: String,
        /// What Secrets Manager said.
        cause: String,
    },
    /// The secret is not the JSON object it must be. What it holds is not shown.
    #[error(
        "the secret {id} must be a JSON object with the strings client_id, certificate_id and \
         private_key_pem"
    )]
    SecretForm {
        /// The secret's id.
        id: String,
    },
    /// The account, the key or the URL is not one that NetSuite could have.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// The secret's content, as an administrator of NetSuite is given it.
#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    certificate_id: String,
    private_key_pem: String,
}

struct Settings {
    account: String,
    secret_id: String,
    base_url: Option<Url>,
}

impl NetSuite {
    /// Calls NetSuite through `client`.
    pub fn new(client: Client) -> Self {
        NetSuite { client }
    }

    /// Makes the target that the environment describes: `NETSUITE_ACCOUNT_ID`,
    /// `NETSUITE_SECRET_ID` (a secret of Secrets Manager: a JSON object with `client_id`,
    /// `certificate_id` and `private_key_pem`) and, for anything but NetSuite's own host,
    /// `NETSUITE_BASE_URL`.
    ///
    /// # Errors
    /// See [`enum@Error`]; none of them shows the secret.
    pub async fn from_env(sdk: &SdkConfig) -> Result<Self, Error> {
        let settings = read_settings(|name| std::env::var(name).ok())?;
        let credentials = read_credentials(sdk, &settings.secret_id).await?;
        let auth = Auth::oauth2(OAuth2 {
            client_id: credentials.client_id,
            certificate_id: credentials.certificate_id,
            private_key_pem: SecretString::from(credentials.private_key_pem),
            algorithm: None,
        })?;
        let mut client = Client::builder(AccountId::new(settings.account)?, auth);
        if let Some(url) = settings.base_url {
            client = client.base_url(url)?;
        }
        Ok(NetSuite::new(client.build()?))
    }

    fn request(&self, call: &QueuedCall) -> Result<Request, Invalid> {
        let (path, query) = split_query(&call.request.resource);
        let mut request = Request::new(method(call.request.method), path)?;
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(body) = &call.request.body {
            request = request.json(body)?;
        }
        if self.repeatable(call) {
            request = request.repeatable();
        }
        // For whoever looks at a call from the API's side: NetSuite ignores them.
        request
            .header("x-slowlane-enqueued-at", &format!("{:.3}", call.enqueued_at))?
            .header("x-slowlane-priority", call.priority.as_str())?
            .header("x-slowlane-idempotency-key", call.idempotency_key.as_str())
    }
}

impl Target for NetSuite {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let request = match self.request(call) {
            Ok(request) => request,
            Err(invalid) => return Outcome::Rejected(invalid.to_string().into()),
        };
        match self.client.send(request).await {
            Ok(response) => Outcome::Succeeded(TargetResponse {
                status: response.status.as_u16(),
                id: response.id,
                body: response.body,
            }),
            Err(error) => outcome(&error),
        }
    }

    fn repeatable(&self, call: &QueuedCall) -> bool {
        match call.request.method {
            Method::Get => true,
            Method::Put | Method::Patch => adds_no_lines(call),
            Method::Post | Method::Delete => false,
        }
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        let Some(lookup) = lookup(call) else {
            return Reconciled::Undecidable(format!(
                "whether {} {} had its effect cannot be seen from NetSuite's records",
                call.request.method, call.request.resource
            ));
        };
        let request = match Request::new(slowlane_netsuite::Method::GET, &lookup.path) {
            Ok(request) => request,
            Err(invalid) => return Reconciled::Undecidable(invalid.to_string()),
        };
        match (self.client.send(request).await, lookup.done_if) {
            (Ok(response), DoneIf::Present) => Reconciled::Done(TargetResponse {
                status: 204,
                id: response.body.as_ref().and_then(|body| body["id"].as_str()).map(str::to_owned),
                body: None,
            }),
            (Ok(_), DoneIf::Absent) => Reconciled::NotDone,
            (Ok(_), DoneIf::Unclear) => Reconciled::Undecidable(format!(
                "{} exists, and may have existed before: whether its lines were added cannot be seen",
                lookup.path
            )),
            (Err(error), done_if) if error.has_code("NONEXISTENT_ID") => match done_if {
                DoneIf::Present | DoneIf::Unclear => Reconciled::NotDone,
                DoneIf::Absent => {
                    Reconciled::Done(TargetResponse { status: 204, id: None, body: None })
                }
            },
            (Err(error), _) => Reconciled::TryAgain(error.to_string()),
        }
    }
}

/// Where to look for the effect of a call, and what tells that it happened.
struct Lookup {
    path: String,
    done_if: DoneIf,
}

/// What the presence of the record says of the call.
#[derive(Clone, Copy)]
enum DoneIf {
    Present,
    Absent,
    /// Its absence says that the call was not executed; its presence says nothing.
    Unclear,
}

fn lookup(call: &QueuedCall) -> Option<Lookup> {
    let (path, _) = split_query(&call.request.resource);
    match call.request.method {
        Method::Post if !path.contains('/') => {
            let external_id = call.request.body.as_ref()?["externalId"].as_str()?;
            Some(Lookup { path: format!("{path}/eid:{external_id}"), done_if: DoneIf::Present })
        }
        Method::Delete => Some(Lookup { path: path.to_owned(), done_if: DoneIf::Absent }),
        Method::Put => Some(Lookup { path: path.to_owned(), done_if: DoneIf::Unclear }),
        _ => None,
    }
}

fn outcome(error: &slowlane_netsuite::Error) -> Outcome<TargetResponse> {
    let why = Why {
        message: error.to_string(),
        status: error.status().map(|status| status.as_u16()),
        code: error.details().first().and_then(|detail| detail.code.clone()),
    };
    match error.class() {
        Class::Rejected => Outcome::Rejected(why),
        Class::Throttled => Outcome::Throttled { retry_after: error.retry_after() },
        Class::Unauthorized => Outcome::Unauthorized(why),
        // Somebody else changed the record in between: the same call may go through now.
        Class::ChangedUnderUs | Class::NotSent => Outcome::Transient(why),
        _ => Outcome::Unknown(why),
    }
}

/// Whether making the call again would add no line to a sublist: each sublist in its body is
/// named by `replace=`.
fn adds_no_lines(call: &QueuedCall) -> bool {
    let (_, query) = split_query(&call.request.resource);
    let replaced: Vec<&str> = query
        .into_iter()
        .filter(|(name, _)| *name == "replace")
        .flat_map(|(_, names)| names.split(','))
        .collect();
    let body = call.request.body.as_ref().and_then(Value::as_object);
    body.into_iter()
        .flatten()
        .filter(|(_, value)| value["items"].is_array())
        .all(|(name, _)| replaced.contains(&name.as_str()))
}

fn split_query(resource: &str) -> (&str, Vec<(&str, &str)>) {
    let (path, query) = resource.split_once('?').unwrap_or((resource, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    (path, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
}

fn method(method: Method) -> slowlane_netsuite::Method {
    use slowlane_netsuite::Method as Http;
    match method {
        Method::Get => Http::GET,
        Method::Post => Http::POST,
        Method::Put => Http::PUT,
        Method::Patch => Http::PATCH,
        Method::Delete => Http::DELETE,
    }
}

fn read_settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, env::Error> {
    env::read(lookup, |env| {
        let account = env.required("NETSUITE_ACCOUNT_ID", "an account id such as 123456_SB1");
        let secret_id = env.required("NETSUITE_SECRET_ID", "the id of a secret in Secrets Manager");
        let base_url = env.maybe("NETSUITE_BASE_URL", "a URL such as http://127.0.0.1:8080");
        Ok(Settings { account: account?, secret_id: secret_id?, base_url: base_url? })
    })
}

async fn read_credentials(sdk: &SdkConfig, id: &str) -> Result<Credentials, Error> {
    let secrets = aws_sdk_secretsmanager::Client::new(sdk);
    let read = secrets.get_secret_value().secret_id(id).send().await;
    let secret = read.map_err(|error| Error::Secret {
        id: id.to_owned(),
        cause: aws_sdk_secretsmanager::error::DisplayErrorContext(error).to_string(),
    })?;
    // serde's errors quote what they stumble over, so none is kept.
    serde_json::from_str(secret.secret_string().unwrap_or_default())
        .map_err(|_| Error::SecretForm { id: id.to_owned() })
}
