//! What a request's query says.

use crate::{Request, problem::Problem};

/// The value of a query parameter, decoded.
pub(crate) fn query_param(request: &Request, name: &str) -> Option<String> {
    query_params(request).find_map(|(key, value)| (key == name).then_some(value))
}

/// All query parameters, decoded, in their order.
pub(crate) fn query_params(request: &Request) -> impl Iterator<Item = (String, String)> {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// A query parameter that is `true`, `false` or not there.
pub(crate) fn flag(request: &Request, name: &'static str) -> Result<bool, Problem> {
    match query_param(request, name).as_deref() {
        Some("true") => Ok(true),
        None | Some("false") => Ok(false),
        Some(other) => Err(Problem::invalid_parameter(
            name,
            format!(
                "Invalid value '{other}' for the query parameter '{name}': true or false is expected."
            ),
        )),
    }
}
