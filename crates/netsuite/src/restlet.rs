//! RESTlets: scripts of the account, called over HTTP.

use http::{Method, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Client, Error, Invalid, Request, request::Service, response::Answer};

/// A deployed RESTlet; from [`Client::restlet`].
///
/// What the script does is its own affair, so a failed call of anything but `get` is
/// [`Unknown`](crate::Class::Unknown) unless NetSuite says that the script was not run.
#[derive(Debug, Clone)]
#[must_use = "the script is not called before one of its methods is"]
pub struct Restlet {
    client: Client,
    script: String,
    deploy: String,
}

impl Client {
    /// The RESTlet with these ids, as its deployment page shows them: numbers, or
    /// `customscript_…` and `customdeploy_…`.
    ///
    /// # Errors
    /// When an id has other characters than letters, digits and `_`.
    pub fn restlet(
        &self,
        script: impl Into<String>,
        deploy: impl Into<String>,
    ) -> Result<Restlet, Invalid> {
        let (script, deploy) = (script.into(), deploy.into());
        for (what, id) in [("script id", &script), ("deployment id", &deploy)] {
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(Invalid::new(what, id, "letters, digits or `_`"));
            }
        }
        Ok(Restlet { client: self.clone(), script, deploy })
    }
}

impl Restlet {
    /// Calls the script's `get` with these parameters.
    ///
    /// # Errors
    /// See [`Error::class`]; also a `200` whose body is `{"error": {"code", "message"}}`.
    pub async fn get<T: DeserializeOwned>(&self, params: &[(&str, &str)]) -> Result<T, Error> {
        self.call(self.request(Method::GET, params)?).await
    }

    /// Calls the script's `delete` with these parameters.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn delete<T: DeserializeOwned>(&self, params: &[(&str, &str)]) -> Result<T, Error> {
        self.call(self.request(Method::DELETE, params)?).await
    }

    /// Calls the script's `post` with this body.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post<T: DeserializeOwned>(
        &self,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        self.call(self.request(Method::POST, &[])?.json(body)?).await
    }

    /// Calls the script's `put` with this body.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn put<T: DeserializeOwned>(
        &self,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        self.call(self.request(Method::PUT, &[])?.json(body)?).await
    }

    fn request(&self, method: Method, params: &[(&str, &str)]) -> Result<Request, Invalid> {
        let mut request = Request::to(Service::Restlet, method, "restlet.nl")?
            .query("script", &self.script)
            .query("deploy", &self.deploy)
            // NetSuite answers in the type the request names, even a request without a body.
            .header(header::CONTENT_TYPE.as_str(), "application/json")?;
        for (name, value) in params {
            request = request.query(*name, value);
        }
        Ok(request)
    }

    async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let answer = self.client.execute(request.clone()).await?;
        let read: Result<Value, _> = serde_json::from_slice(&answer.body);
        match read {
            Ok(value) if is_script_error(&value) => {
                Err(Error::of_script(request.call(), answer.outside(), &answer.body))
            }
            Ok(_) => answer.json(request.call()),
            // A script that returns a text may have it sent as it is.
            Err(_) => text(&answer).map_err(|source| Error::unreadable(request.call(), source)),
        }
    }
}

/// A script that catches its own error answers 200 and tells it in the body.
fn is_script_error(body: &Value) -> bool {
    body.get("error")
        .is_some_and(|error| error.get("code").is_some() && error.get("message").is_some())
}

/// A body that is not JSON, as a text; none at all, as null.
fn text<T: DeserializeOwned>(answer: &Answer) -> Result<T, serde_json::Error> {
    let whole = String::from_utf8_lossy(&answer.body).into_owned();
    serde_json::from_value(if whole.is_empty() { Value::Null } else { Value::String(whole) })
}
