//! Several calls in one body of `multipart/mixed`, as OData V2 has its `$batch`, and the answer to it.
//!
//! Both have one form for whoever calls, that of OData's batches in JSON: `{"requests": [...]}` goes out, and
//! `{"responses": [...]}` comes back with one answer to each request.

use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::body::BodyError;

/// Its lines begin no line of a part: JSON has no line feed that is not escaped.
pub(crate) const MEDIA_TYPE: &str = "multipart/mixed; boundary=slowlane-batch";
const BOUNDARY: &str = "slowlane-batch";
/// The most header lines of a part, and of the answer in it.
const MAX_HEADERS: usize = 64;

/// One of the calls.
struct Part<'a> {
    id: &'a str,
    method: &'a str,
    url: &'a str,
    headers: Vec<(HeaderName, &'a str)>,
    body: Option<&'a Value>,
    group: Option<&'a str>,
}

/// What has one answer of its own at the top level.
enum Entry<'a> {
    Read(Part<'a>),
    /// A changeset: all of it is executed, or nothing.
    Changes(Vec<Part<'a>>),
}

impl Part<'_> {
    fn reads(&self) -> bool {
        self.method == "GET"
    }
}

/// The body of a batch.
pub(crate) fn write(batch: &Value) -> Result<Vec<u8>, BodyError> {
    let mut text = String::new();
    for (number, entry) in entries(batch)?.iter().enumerate() {
        text += &format!("--{BOUNDARY}\r\n");
        match entry {
            Entry::Read(part) => write_part(part, &mut text),
            Entry::Changes(parts) => {
                let changeset = format!("slowlane-changeset-{number}");
                text += &format!("content-type: multipart/mixed; boundary={changeset}\r\n\r\n");
                for part in parts {
                    text += &format!("--{changeset}\r\n");
                    write_part(part, &mut text);
                }
                text += &format!("--{changeset}--\r\n");
            }
        }
    }
    text += &format!("--{BOUNDARY}--\r\n");
    Ok(text.into_bytes())
}

fn write_part(part: &Part<'_>, text: &mut String) {
    let Part { id, method, url, .. } = part;
    *text += "content-type: application/http\r\ncontent-transfer-encoding: binary\r\n";
    *text += &format!("content-id: {id}\r\n\r\n{method} {url} HTTP/1.1\r\n");
    let has = |name: &str| part.headers.iter().any(|(own, _)| own == name);
    let body = part.body.map(Value::to_string).unwrap_or_default();
    if !has("accept") {
        *text += "accept: application/json\r\n";
    }
    if part.body.is_some() && !has("content-type") {
        *text += "content-type: application/json\r\n";
    }
    for (name, value) in &part.headers {
        *text += &format!("{name}: {value}\r\n");
    }
    if part.body.is_some() {
        *text += &format!("content-length: {}\r\n", body.len());
    }
    *text += &format!("\r\n{body}\r\n");
}

/// The calls in their order: reads, and changesets of those that are neighbours and of one group. A change
/// without a group is a changeset of its own, since V2 takes none outside.
fn entries(batch: &Value) -> Result<Vec<Entry<'_>>, BodyError> {
    let requests = batch["requests"].as_array().filter(|all| !all.is_empty());
    let requests = requests.ok_or(BodyError::NoBatch)?;
    let (mut ids, mut groups) = (BTreeSet::new(), BTreeSet::new());
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let wrong = |why| BodyError::NoPart { index, why };
        let part = part(request).map_err(wrong)?;
        if !ids.insert(part.id) {
            return Err(wrong("has the `id` of another"));
        }
        if part.reads() {
            if part.group.is_some() {
                return Err(wrong("reads, and so is in no `atomicityGroup`"));
            }
            entries.push(Entry::Read(part));
            continue;
        }
        match (entries.last_mut(), part.group) {
            (Some(Entry::Changes(parts)), Some(group)) if parts[0].group == Some(group) => {
                parts.push(part);
            }
            (_, Some(group)) if !groups.insert(group) => {
                return Err(wrong("is not beside the others of its `atomicityGroup`"));
            }
            _ => entries.push(Entry::Changes(vec![part])),
        }
    }
    Ok(entries)
}

fn part(request: &Value) -> Result<Part<'_>, &'static str> {
    let text = |name: &str| request.get(name).filter(|value| !value.is_null()).map(Value::as_str);
    let id = text("id").flatten().filter(|id| is_word(id) && id.len() <= 128);
    let method = text("method").flatten();
    let method =
        method.filter(|of| ["GET", "POST", "PUT", "PATCH", "MERGE", "DELETE"].contains(of));
    let url = text("url").flatten().filter(|url| is_word(url));
    let group = match text("atomicityGroup") {
        Some(group) => Some(group.ok_or("has an `atomicityGroup` that is no text")?),
        None => None,
    };
    let body = request.get("body").filter(|body| !body.is_null());
    let part = Part {
        id: id.ok_or("needs an `id`: a text of visible ASCII characters")?,
        method: method.ok_or("needs a `method`: GET, POST, PUT, PATCH, MERGE or DELETE")?,
        url: url.ok_or("needs a `url`: a text of visible ASCII characters")?,
        headers: headers(&request["headers"])?,
        body,
        group,
    };
    if part.reads() && part.body.is_some() {
        return Err("reads, and so has no `body`");
    }
    Ok(part)
}

/// Whether a text can stand in a line among others.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn headers(headers: &Value) -> Result<Vec<(HeaderName, &str)>, &'static str> {
    const UNFIT: &str = "has `headers` that are no object of texts which headers can have";
    if headers.is_null() {
        return Ok(Vec::new());
    }
    let pairs = headers.as_object().ok_or(UNFIT)?.iter().map(|(name, value)| {
        let name = name.parse::<HeaderName>().ok().filter(|name| *name != CONTENT_LENGTH)?;
        let value = value.as_str()?;
        HeaderValue::from_str(value).ok().filter(|_| value.is_ascii())?;
        Some((name, value))
    });
    pairs.collect::<Option<_>>().ok_or(UNFIT)
}

/// An answer in parts, in the form of JSON: one answer to each request of `batch`, in their order. A refused
/// changeset has one answer, which is that of each of its requests. A request without an answer has the
/// status 0. `None` if it is no such answer, or its end is not there.
pub(crate) fn read(batch: &Value, headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let entries = entries(batch).ok()?;
    let mut given = split(body, &boundary(headers)?)?.into_iter();
    let mut responses = Vec::new();
    for entry in &entries {
        let answer = given.next();
        match entry {
            Entry::Read(part) => {
                let answer = answer.and_then(|answer| answers(answer).into_iter().next());
                responses.push(response(part, answer.as_ref()));
            }
            Entry::Changes(parts) => {
                responses.extend(of_changes(parts, answer.map(answers).unwrap_or_default()));
            }
        }
    }
    Some(json!({ "responses": responses }))
}

fn of_changes(parts: &[Part<'_>], answers: Vec<Embedded>) -> Vec<Value> {
    if let [refusal] = answers.as_slice()
        && refusal.status >= 300
    {
        return parts.iter().map(|part| response(part, Some(refusal))).collect();
    }
    let named = answers.iter().any(|answer| answer.id.is_some());
    let answer = |(index, part): (usize, &Part<'_>)| {
        let answer = match named {
            true => answers.iter().find(|answer| answer.id.as_deref() == Some(part.id)),
            false => answers.get(index),
        };
        response(part, answer)
    };
    parts.iter().enumerate().map(answer).collect()
}

fn response(part: &Part<'_>, answer: Option<&Embedded>) -> Value {
    let mut response = json!({ "id": part.id, "status": 0 });
    if let Some(group) = part.group {
        response["atomicityGroup"] = group.into();
    }
    let Some(answer) = answer else { return response };
    response["status"] = answer.status.into();
    response["headers"] = Value::Object(answer.headers.clone());
    if !answer.body.is_empty() {
        let parsed = serde_json::from_slice(&answer.body).ok();
        response["body"] =
            parsed.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned().into());
    }
    response
}

/// An answer that stands in a part.
struct Embedded {
    id: Option<String>,
    status: u16,
    headers: Map<String, Value>,
    body: Vec<u8>,
}

/// The answers in one part of the top level: one, or those of a changeset.
fn answers(part: &[u8]) -> Vec<Embedded> {
    let Some((headers, body)) = head(part) else { return Vec::new() };
    match boundary(&headers) {
        Some(boundary) => {
            let parts = split(body, &boundary).unwrap_or_default();
            parts.into_iter().filter_map(|part| embedded(head(part)?)).collect()
        }
        None => embedded((headers, body)).into_iter().collect(),
    }
}

fn embedded((part, body): (HeaderMap, &[u8])) -> Option<Embedded> {
    let mut room = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut room);
    // The line feed before the next delimiter is the delimiter's, and may be the head's last too.
    let closed = [body, b"\r\n\r\n"].concat();
    let httparse::Status::Complete(start) = answer.parse(&closed).ok()? else { return None };
    let own = header_map(answer.headers)?;
    let id = part.get("content-id").or_else(|| own.get("content-id"));
    let body = body.get(start..).unwrap_or_default();
    let length = own.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let headers = own
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), Value::from(value.to_str().ok()?))));
    Some(Embedded {
        id: id.and_then(|id| id.to_str().ok()).map(|id| id.trim_matches(['<', '>']).to_owned()),
        status: answer.code?,
        headers: headers.collect(),
        body: body.get(..length.unwrap_or(body.len())).unwrap_or(body).to_vec(),
    })
}

/// A part's headers, and what comes after them.
fn head(part: &[u8]) -> Option<(HeaderMap, &[u8])> {
    let mut room = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(part, &mut room).ok()? {
        httparse::Status::Complete((start, headers)) => {
            Some((header_map(headers)?, part.get(start..)?))
        }
        httparse::Status::Partial => None,
    }
}

fn header_map(headers: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let pairs = headers.iter().map(|header| {
        Some((header.name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(header.value).ok()?))
    });
    pairs.collect()
}

/// The boundary that a `Content-Type` of `multipart/mixed` names.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let mut fields = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').map(str::trim);
    fields.next().filter(|form| form.eq_ignore_ascii_case("multipart/mixed"))?;
    let named = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    named.filter(|boundary| !boundary.is_empty()).map(str::to_owned)
}

/// What stands between the delimiters of a boundary. `None` if the last one is not there.
fn split<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<&'a [u8]>> {
    let delimiter = format!("--{boundary}").into_bytes();
    let (mut parts, mut begun) = (Vec::new(), None);
    let mut start = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        if let Some(after) = line.strip_prefix(delimiter.as_slice()) {
            let after = after.trim_ascii_end();
            if after.is_empty() || after == b"--" {
                if let Some(begun) = begun {
                    parts.push(without_line_end(body.get(begun..start)?));
                }
                if after == b"--" {
                    return Some(parts);
                }
                begun = Some(end);
            }
        }
        start = end;
    }
    None
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mixed(boundary: &str) -> HeaderMap {
        let value =
            HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}")).unwrap();
        HeaderMap::from_iter([(CONTENT_TYPE, value)])
    }

    fn batch() -> Value {
        json!({ "requests": [
            { "id": "a", "method": "POST", "url": "Orders", "atomicityGroup": "g", "body": { "n": 1 } },
            { "id": "b", "method": "PATCH", "url": "Orders('1')", "atomicityGroup": "g",
              "headers": { "If-Match": "W/\"1\"" }, "body": { "n": "ä\r\n--slowlane-batch--" } },
            { "id": "c", "method": "GET", "url": "Orders?$top=1" },
            { "id": "d", "method": "DELETE", "url": "Orders('2')" },
        ] })
    }

    #[test]
    fn changes_of_one_group_are_a_changeset_and_reads_stand_alone() {
        insta::assert_snapshot!(
            String::from_utf8(write(&batch()).unwrap()).unwrap().replace('\r', "")
        );
    }

    #[test]
    fn what_is_no_batch_is_refused_by_its_place() {
        let one = |request: Value| json!({ "requests": [{ "id": "0", "method": "GET", "url": "X" }, request] });
        for (batch, told) in [
            (json!({}), "an object with `requests`"),
            (json!({ "requests": [] }), "an object with `requests`"),
            (one(json!({ "method": "GET", "url": "X" })), "requests[1] needs an `id`"),
            (
                one(json!({ "id": "0", "method": "GET", "url": "X" })),
                "requests[1] has the `id` of another",
            ),
            (
                one(json!({ "id": "1", "method": "TRACE", "url": "X" })),
                "requests[1] needs a `method`",
            ),
            (
                one(json!({ "id": "1", "method": "GET", "url": "X HTTP/1.1\r\nhost: y" })),
                "needs a `url`",
            ),
            (one(json!({ "id": "1\r\n", "method": "GET", "url": "X" })), "needs an `id`"),
            (
                one(
                    json!({ "id": "1", "method": "GET", "url": "X", "headers": { "a": "b\r\nc: d" } }),
                ),
                "requests[1] has `headers`",
            ),
            (one(json!({ "id": "1", "method": "GET", "url": "X", "body": 1 })), "has no `body`"),
            (
                one(json!({ "id": "1", "method": "GET", "url": "X", "atomicityGroup": "g" })),
                "is in no `atomicityGroup`",
            ),
        ] {
            let error = write(&batch).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
        let apart = json!({ "requests": [
            { "id": "1", "method": "POST", "url": "X", "atomicityGroup": "g" },
            { "id": "2", "method": "POST", "url": "X", "atomicityGroup": "h" },
            { "id": "3", "method": "POST", "url": "X", "atomicityGroup": "g" },
        ] });
        let error = write(&apart).unwrap_err().to_string();
        assert!(error.contains("requests[2] is not beside the others"), "{error}");
    }

    /// As SAP's gateway writes it.
    const ANSWER: &str = "--ejjeeffe0\r\nContent-Type: multipart/mixed; boundary=ejjeeffe1\r\nContent-Length: 400\r\n\r\n\
        --ejjeeffe1\r\nContent-Type: application/http\r\nContent-Length: 200\r\ncontent-transfer-encoding: binary\r\n\
        content-id: b\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 0\r\ndataserviceversion: 2.0\r\n\r\n\r\n\
        --ejjeeffe1\r\nContent-Type: application/http\r\ncontent-transfer-encoding: binary\r\ncontent-id: a\r\n\r\n\
        HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 17\r\nlocation: Orders('7')\r\n\r\n\
        {\"d\":{\"ID\":\"7\"}}\n\r\n--ejjeeffe1--\r\n\r\n\
        --ejjeeffe0\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 404 Not Found\r\n\
        Content-Type: application/json\r\n\r\n{\"error\":{\"code\":\"X/1\"}}\r\n\
        --ejjeeffe0\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\nno\r\n--ejjeeffe0--\r\n";

    #[test]
    fn each_request_has_its_answer_by_its_id_or_its_order() {
        let read = read(&batch(), &mixed("ejjeeffe0"), ANSWER.as_bytes()).unwrap();
        insta::assert_json_snapshot!(read);
    }

    fn statuses(answer: &str) -> Option<Vec<(String, u64)>> {
        let read = read(&batch(), &mixed("\"x\""), answer.as_bytes())?;
        let all = read["responses"].as_array().unwrap().iter();
        Some(
            all.map(|one| {
                (one["id"].as_str().unwrap().to_owned(), one["status"].as_u64().unwrap())
            })
            .collect(),
        )
    }

    #[test]
    fn one_refusal_answers_for_its_whole_changeset_and_none_is_lost() {
        let http = "content-type: application/http\n\nHTTP/1.1 ";
        let all = |of: [u64; 4]| {
            Some(["a", "b", "c", "d"].map(str::to_owned).into_iter().zip(of).collect::<Vec<_>>())
        };
        for (answer, expected) in [
            (
                format!(
                    "--x\n{http}409 Conflict\n\n--x\n{http}200 OK\n\n{{}}\n--x\n{http}204 No Content\n--x--"
                ),
                all([409, 409, 200, 204]),
            ),
            // The server has stopped at the first refusal.
            (format!("--x\n{http}500 Oh\n\n\n--x--\n"), all([500, 500, 0, 0])),
            // An answer of a changeset that lacks one.
            (
                format!(
                    "--x\ncontent-type: multipart/mixed;boundary=y\n\n--y\n{http}201 Created\n\n\n--y--\n--x--"
                ),
                all([201, 0, 0, 0]),
            ),
            ("--x--".to_owned(), all([0, 0, 0, 0])),
            ("--x\n\nnothing of it\n--x--".to_owned(), all([0, 0, 0, 0])),
            // It broke off.
            (format!("--x\n{http}409 Conflict\n\n"), None),
            ("<html>".to_owned(), None),
        ] {
            assert_eq!(statuses(&answer), expected, "{answer}");
        }
        let plain =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        assert_eq!(super::read(&batch(), &plain, b"--x--"), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_back_every_request_is_told_of(answer in "(--x|--y|--x--|--y--|\r\n|content-type: |multipart/mixed; boundary=y|application/http|HTTP/1.1 |200 |a|\\PC){0,40}") {
            let answer = format!("{answer}\r\n--x--\r\n");
            let told = statuses(&answer).unwrap();
            prop_assert_eq!(told.len(), 4);
        }
    }
}
