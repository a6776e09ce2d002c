//! What NetSuite tells about itself: its time, and the shapes of its records.

use http::{Method, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{Client, Error, RecordType, Request, request::Service};

impl Client {
    /// NetSuite's clock, in UTC: the time to note before a synchronisation that filters by
    /// `lastModifiedDate`. Any role may ask.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn server_time(&self) -> Result<Timestamp, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Told {
            server_time: Timestamp,
        }
        let request = Request::to(Service::System, Method::GET, "serverTime")?;
        let answer = self.execute(request.clone()).await?;
        answer.json(request.call()).map(|told: Told| told.server_time)
    }

    /// The names of all record types that this role can see.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn record_types(&self) -> Result<Vec<RecordType>, Error> {
        #[derive(Deserialize)]
        struct Catalog {
            items: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            name: String,
        }
        let request = Request::new(Method::GET, "metadata-catalog")?;
        let answer = self.execute(request.clone()).await?;
        let catalog: Catalog = answer.json(request.call())?;
        Ok(catalog
            .items
            .into_iter()
            .map(|entry| RecordType::new(entry.name))
            .collect::<Result<_, _>>()?)
    }

    /// The JSON Schema of a record type, custom fields included.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn record_schema(&self, record_type: &RecordType) -> Result<Value, Error> {
        let path = format!("metadata-catalog/{}", record_type.as_str());
        self.metadata(Request::new(Method::GET, path)?, "application/schema+json").await
    }

    /// The OpenAPI 3.0 description of these record types. Never of all: NetSuite takes minutes to
    /// gather that.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn openapi(&self, record_types: &[RecordType]) -> Result<Value, Error> {
        let names: Vec<&str> = record_types.iter().map(RecordType::as_str).collect();
        let request =
            Request::new(Method::GET, "metadata-catalog")?.query("select", names.join(","));
        self.metadata(request, "application/swagger+json").await
    }

    async fn metadata(&self, request: Request, media_type: &str) -> Result<Value, Error> {
        let request = request.header(header::ACCEPT.as_str(), media_type)?;
        let answer = self.execute(request.clone()).await?;
        answer.json(request.call())
    }
}
