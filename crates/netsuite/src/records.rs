//! Records, and what can be done to them.

use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Class, Client, Created, Error, ExternalId, Invalid, RecordId, RecordKey, RecordType, Request,
    Response,
};

/// What a write means to do with the lines of a record's sublists.
///
/// NetSuite **adds** the lines in a `PATCH` or `PUT` to those that are there, unless the sublist is
/// named in the query parameter `replace`. Lines of a keyed sublist whose keys match are changed in
/// place. So a retried update duplicates its lines. Here every sublist in a body must be named: one
/// that is named in neither list is refused before anything is sent. A sublist is any field whose
/// value has an `items` array; multi-select fields look the same and are named likewise.
///
/// ```
/// use slowlane_netsuite::Lines;
/// let none = Lines::none();
/// let both = Lines::replace(["item"]).and_add(["salesTeam"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Lines {
    replace: Vec<String>,
    add: Vec<String>,
    clear: Vec<String>,
    unchecked: bool,
}

impl Lines {
    /// The body has no lines.
    pub fn none() -> Self {
        Self::default()
    }

    /// The body's lines of these sublists become the only ones. Repeating it does no harm.
    pub fn replace<S: Into<String>>(sublists: impl IntoIterator<Item = S>) -> Self {
        Self::none().and_replace(sublists)
    }

    /// The body's lines of these sublists are added to those that are there. Repeating it
    /// duplicates them.
    pub fn add<S: Into<String>>(sublists: impl IntoIterator<Item = S>) -> Self {
        Self::none().and_add(sublists)
    }

    /// Names more sublists to replace.
    pub fn and_replace<S: Into<String>>(mut self, sublists: impl IntoIterator<Item = S>) -> Self {
        self.replace.extend(sublists.into_iter().map(Into::into));
        self
    }

    /// Names more sublists to add to.
    pub fn and_add<S: Into<String>>(mut self, sublists: impl IntoIterator<Item = S>) -> Self {
        self.add.extend(sublists.into_iter().map(Into::into));
        self
    }

    /// Clears these fields of the record, and empties these sublists: those that the body does not
    /// bring itself. NetSuite's parameter is `replaceSelectedFields`.
    ///
    /// ```
    /// use slowlane_netsuite::Lines;
    /// let lines = Lines::replace(["item"]).and_clear(["memo", "shipDate"]);
    /// ```
    pub fn and_clear<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.clear.extend(fields.into_iter().map(Into::into));
        self
    }

    /// Whatever lines there are, they belong to new records, which have none to add to.
    pub(crate) fn of_new_records() -> Self {
        Self { unchecked: true, ..Self::none() }
    }

    /// Checks the intent against the bodies and, if they agree, writes it into the request.
    pub(crate) fn apply(&self, request: Request, bodies: &[Value]) -> Result<Request, Invalid> {
        let held: Vec<&str> = bodies.iter().flat_map(sublists).collect();
        let named = |name: &str| self.replace.iter().chain(&self.add).any(|n| n == name);
        if let Some(unnamed) = held.iter().find(|name| !self.unchecked && !named(name)) {
            let wanted =
                "to be named in `Lines`, as lines that replace or are added: the body has some";
            return Err(Invalid::new("sublist", unnamed, wanted));
        }
        if let Some(missing) = self.replace.iter().find(|name| !held.contains(&name.as_str())) {
            return Err(Invalid::new(
                "sublist",
                missing,
                "a sublist to replace must be in the body",
            ));
        }
        let has = |name: &String| bodies.iter().any(|body| body.get(name).is_some());
        if let Some(brought) = self.clear.iter().find(|name| has(name)) {
            return Err(Invalid::new("field", brought, "a field to clear must not be in the body"));
        }
        let named: Vec<&str> = self.replace.iter().chain(&self.clear).map(String::as_str).collect();
        let request = match named.is_empty() {
            true => request,
            false => request.query("replace", named.join(",")),
        };
        Ok(match self.clear.is_empty() {
            true => request,
            false => request.query("replaceSelectedFields", true),
        })
    }
}

/// The fields of a record's body that hold lines.
fn sublists(body: &Value) -> impl Iterator<Item = &str> {
    let has_lines = |value: &Value| value.get("items").is_some_and(Value::is_array);
    body.as_object()
        .into_iter()
        .flatten()
        .filter(move |(_, value)| has_lines(value))
        .map(|(name, _)| name.as_str())
}

/// How much of a record to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct View {
    fields: Vec<String>,
    expand_sub_resources: bool,
}

impl View {
    /// The whole record, sublists and subrecords as links.
    pub fn whole() -> Self {
        Self::default()
    }

    /// Only these fields.
    pub fn fields<S: Into<String>>(fields: impl IntoIterator<Item = S>) -> Self {
        Self { fields: fields.into_iter().map(Into::into).collect(), expand_sub_resources: false }
    }

    /// With the lines of sublists and the fields of subrecords in place of links.
    pub fn expand_sub_resources(mut self) -> Self {
        self.expand_sub_resources = true;
        self
    }
}

/// The records of one type; from [`Client::records`].
#[derive(Debug, Clone)]
#[must_use = "nothing is asked of NetSuite before one of its calls"]
pub struct Records {
    client: Client,
    record_type: RecordType,
    strict: bool,
}

impl Client {
    /// The records of the type with this name.
    ///
    /// # Errors
    /// When the name is not of a record type's form.
    pub fn records(&self, record_type: impl AsRef<str>) -> Result<Records, Invalid> {
        Ok(self.record(&RecordType::new(record_type)?))
    }

    /// The records of this type.
    pub fn record(&self, record_type: &RecordType) -> Records {
        Records { client: self.clone(), record_type: record_type.clone(), strict: false }
    }
}

impl Records {
    /// Makes a field name that NetSuite does not know an error. By default it answers a write
    /// that has one with success and leaves the field out.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Reads a record, whole, into the caller's type or a [`Value`].
    ///
    /// # Errors
    /// See [`Error::class`]; a record that does not exist is `Rejected` with `NONEXISTENT_ID`.
    pub async fn get<T: DeserializeOwned>(&self, key: impl Into<RecordKey>) -> Result<T, Error> {
        self.view(key, &View::whole()).await
    }

    /// Reads as much of a record as the view says.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn view<T: DeserializeOwned>(
        &self,
        key: impl Into<RecordKey>,
        view: &View,
    ) -> Result<T, Error> {
        let mut request = self.request(Method::GET, Some(&key.into()))?;
        if !view.fields.is_empty() {
            request = request.query("fields", view.fields.join(","));
        }
        if view.expand_sub_resources {
            request = request.query("expandSubResources", true);
        }
        let answer = self.client.execute(request.clone()).await?;
        answer.json(request.call())
    }

    /// Creates a record. Not repeatable: after an [`Unknown`](crate::Class::Unknown) fate a second
    /// create may make a second record, which is what [`upsert`](Self::upsert) is for.
    ///
    /// # Errors
    /// See [`Error::class`]; `Unknown` also when the record was made but the answer does not name
    /// it.
    pub async fn create(&self, body: &(impl Serialize + ?Sized)) -> Result<Created, Error> {
        self.make(self.request(Method::POST, None)?.json(body)?).await
    }

    /// Creates the record with this external id, or updates it if it exists.
    ///
    /// # Errors
    /// See [`Error::class`]; `Rejected` without sending when `lines` and `body` disagree.
    pub async fn upsert(
        &self,
        id: &ExternalId,
        body: &(impl Serialize + ?Sized),
        lines: Lines,
    ) -> Result<Response, Error> {
        self.write(Method::PUT, &id.into(), body, &lines).await
    }

    /// Changes the fields that the body has and leaves the others alone.
    ///
    /// # Errors
    /// See [`Error::class`]; `Rejected` without sending when `lines` and `body` disagree.
    pub async fn update(
        &self,
        key: impl Into<RecordKey>,
        body: &(impl Serialize + ?Sized),
        lines: Lines,
    ) -> Result<Response, Error> {
        self.write(Method::PATCH, &key.into(), body, &lines).await
    }

    /// Deletes a record. Deleting one that is gone is `Rejected` with `NONEXISTENT_ID`, which
    /// after an [`Unknown`](crate::Class::Unknown) fate means that the first time worked.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn delete(&self, key: impl Into<RecordKey>) -> Result<Response, Error> {
        self.client.send(self.request(Method::DELETE, Some(&key.into()))?).await
    }

    /// Turns a record into a new one of another type, for instance a sales order into an invoice.
    /// `body` holds the fields to set on the way, `{}` for none.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn transform(
        &self,
        key: impl Into<RecordKey>,
        into: &RecordType,
        body: &(impl Serialize + ?Sized),
    ) -> Result<Created, Error> {
        let path = format!("{}/{}/!transform/{into}", self.record_type, key.into());
        self.make(Request::new(Method::POST, path)?.json(body)?).await
    }

    /// Attaches a contact or a file to a record (`!attach`; Oracle's help, "Attach and Detach
    /// Operations", article_0113084334). `other_type` is `contact` or `file`, the only types that
    /// NetSuite attaches.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn attach(
        &self,
        key: impl Into<RecordKey>,
        other_type: &RecordType,
        other: impl Into<RecordKey>,
    ) -> Result<Response, Error> {
        self.relate("!attach", key.into(), other_type, other.into(), &json!({})).await
    }

    /// Attaches a contact in a role, by the role's internal id (`-10` is the primary contact).
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn attach_contact(
        &self,
        key: impl Into<RecordKey>,
        contact: impl Into<RecordKey>,
        role: &RecordId,
    ) -> Result<Response, Error> {
        let body = json!({"role": {"id": role}});
        let contacts = RecordType::new("contact")?;
        self.relate("!attach", key.into(), &contacts, contact.into(), &body).await
    }

    /// Detaches what was attached.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn detach(
        &self,
        key: impl Into<RecordKey>,
        other_type: &RecordType,
        other: impl Into<RecordKey>,
    ) -> Result<Response, Error> {
        self.relate("!detach", key.into(), other_type, other.into(), &json!({})).await
    }

    async fn relate(
        &self,
        action: &str,
        key: RecordKey,
        other_type: &RecordType,
        other: RecordKey,
        body: &Value,
    ) -> Result<Response, Error> {
        let path = format!("{}/{key}/{action}/{other_type}/{other}", self.record_type);
        self.client.send(Request::new(Method::POST, path)?.json(body)?).await
    }

    /// Sends a request that makes a record.
    async fn make(&self, request: Request) -> Result<Created, Error> {
        let response = self.client.send(request.clone()).await?;
        match response.id.clone() {
            Some(id) => Ok(Created { id, response }),
            None => {
                let why = "the record was made, but the answer does not name it";
                Err(Error::local(request.call(), Class::Unknown, why))
            }
        }
    }

    async fn write(
        &self,
        method: Method,
        key: &RecordKey,
        body: &(impl Serialize + ?Sized),
        lines: &Lines,
    ) -> Result<Response, Error> {
        let body =
            serde_json::to_value(body).map_err(|e| Invalid::unquoted("body", e.to_string()))?;
        let request = lines.apply(self.request(method, Some(key))?, std::slice::from_ref(&body))?;
        self.client.send(request.json(&body)?).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn request(
        &self,
        method: Method,
        key: Option<&RecordKey>,
    ) -> Result<Request, Invalid> {
        let request = match key {
            Some(key) => Request::new(method, format!("{}/{key}", self.record_type))?,
            None => Request::new(method, &self.record_type)?,
        };
        if self.strict {
            request.header("x-netsuite-propertynamevalidation", "error")
        } else {
            Ok(request)
        }
    }
}
