//! What became of a request that failed, and how an answer tells.

use http::StatusCode;

use crate::said::{Answered, Api, Call, Detail};

/// What became of a request that failed.
///
/// # How an answer tells
///
/// An error answer is taken for "not executed" in two cases only. NetSuite documents that the
/// request was refused before anything was saved, or the answer points into the request. A script
/// of the account can fail *after* the record was saved: `afterSubmit` runs "right after a record
/// is submitted" (section_4407992281). Its error is a 400 like any other. So on a write an error
/// that could be a script's is [`Unknown`](Self::Unknown).
///
/// | REST web services answer | a write is | a read is | source |
/// |---|---|---|---|
/// | 429, `CONCURRENCY_LIMIT_EXCEEDED` | `Throttled` | `Throttled` | (1) |
/// | 401, `INVALID_LOGIN`, `invalid_token` | `Unauthorized`, or `Throttled`: see there | the same | (1) |
/// | 403, 404, 405, 406, 411, 413, 414, 415, 431 | `Rejected` | `Rejected` | RFC 9110: refused for its address, method, form or permission |
/// | other 4xx, each detail with a place in the request (`o:errorPath`, `o:errorUrl`, `o:errorHeader`, `o:errorQueryParam`) or a code of (1): `INVALID_CONTENT`, `INVALID_REQUEST`, `INVALID_PARAMETER`, `INVALID_HEADER`, `INVALID_ID`, `NONEXISTENT_ID`; (2): `IDEMPOTENCY_ERROR` | `Rejected` | `Rejected` | (1), (2) |
/// | 4xx, `RCRD_HAS_BEEN_CHANGED` | `ChangedUnderUs` | `ChangedUnderUs` | SuiteScript's error codes |
/// | 4xx, a code of a unique value that is taken | `AlreadyExists` | `Rejected` | [`AlreadyExists`](Self::AlreadyExists) |
/// | other 4xx: `USER_ERROR`, a code that is not known, none | `Unknown` | `Rejected` | – |
/// | 408, 5xx, 3xx | `Unknown` | `Unknown` | (1): "failures due to system error" |
///
/// | a RESTlet's answer | a write is | a read is | source |
/// |---|---|---|---|
/// | 400 `SSS_REQUEST_LIMIT_EXCEEDED`, 429 | `Throttled` | `Throttled` | (3) |
/// | 401; 403 `INVALID_LOGIN_ATTEMPT` | `Unauthorized`, or `Throttled` as above | the same | (4): "no valid NetSuite login session" |
/// | 403, 404, 405, 415 | `Rejected` | `Rejected` | (4): wrong domain, no such RESTlet, wrong method, wrong content type |
/// | 400 `SSS_INVALID_SCRIPTLET_ID` | `Rejected` | `Rejected` | clients: the script or its deployment is not there |
/// | 400 with any other code, or none | `Unknown` | `Rejected` | (4): "any unhandled runtime errors return a 400" |
/// | 200 with `{"error": {"code", "message"}}` | `Unknown` | `Rejected` | (4): the script caught its error |
/// | other 4xx | `Unknown` | `Rejected` | – |
/// | 408, 5xx, 3xx | `Unknown` | `Unknown` | (4) |
///
/// Oracle's help: (1) "Error Handling in REST Web Services" (section_156570709583); (2) "Sending an
/// Asynchronous Request Using an Idempotency Key" (subsect_164494900632); (3) "Errors Related to
/// Concurrency Violations" (bridgehead_1525252812); (4) "SuiteScript 2.x RESTlet Error Handling"
/// (section_4634920277). Read in November 2026. `GET` and SuiteQL are reads, whatever else a script
/// does in its `get`; a write that is declared repeatable is still a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Refused for what it says; it was not executed and never will be as it stands. Also
    /// anything the client itself would not send, and an answer to a read that is not of the
    /// shape the caller asked for.
    Rejected,
    /// Not executed because the account is at its limit: REST 429, or a RESTlet's 400 with
    /// `SSS_REQUEST_LIMIT_EXCEEDED`. The limit is shared with every other integration of the
    /// account, so it can be met however few calls this process makes.
    ///
    /// An account over its limit has also been reported to answer "Invalid login attempt", about 61
    /// seconds after the request (`julbrs/netsuite-api-client`, issue 26). So a 401 that comes
    /// after 30 seconds or more is of this class if the same client's credentials were accepted
    /// before. That holds at most twice in a row, since five failed logins lock the user. Such a
    /// 401 costs no new token and no second try.
    Throttled,
    /// Not executed because NetSuite does not accept our credentials, even with a new token.
    /// Repeating it is harmful: five failed logins lock the user for 30 minutes.
    Unauthorized,
    /// Not executed because the record was changed since it was read (`RCRD_HAS_BEEN_CHANGED`):
    /// read again, then decide.
    ChangedUnderUs,
    /// Refused because a record exists that has its external id, or another value that must be
    /// unique. This request made nothing, but the record may well be what an earlier try of it
    /// made: look it up before you take it for a refusal.
    ///
    /// Known by the code, one of SOAP's `StatusDetailCodeType` such as `DUP_RCRD`, `DUP_ENTITY` or
    /// `UNIQUE_CUST_ID_REQD`, which clients of all kinds handle as duplicates. REST web services
    /// have been seen to say it with `USER_ERROR` and "This entity already exists." or "This
    /// record already exists."; so those words count too. In another language than English they
    /// are not recognised, and the class is [`Unknown`](Self::Unknown). A RESTlet's duplicate is
    /// always `Unknown`: its script may have saved other things before.
    AlreadyExists,
    /// It may or may not have been executed: a time-out, a connection lost after the request went
    /// out, a 5xx, an error that could be a script's own.
    Unknown,
    /// It never left: no connection, or no token could be had. Not executed.
    NotSent,
}

impl Class {
    /// The class in lower case, for logs and metrics: `changed_under_us`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Rejected => "rejected",
            Class::Throttled => "throttled",
            Class::Unauthorized => "unauthorized",
            Class::ChangedUnderUs => "changed_under_us",
            Class::AlreadyExists => "already_exists",
            Class::Unknown => "unknown",
            Class::NotSent => "not_sent",
        }
    }
}

/// Codes of requests that were refused at the account's limit.
const AT_THE_LIMIT: &[&str] = &["CONCURRENCY_LIMIT_EXCEEDED", "SSS_REQUEST_LIMIT_EXCEEDED"];

/// Codes of logins that were refused.
const LOGIN_REFUSED: &[&str] = &["INVALID_LOGIN", "INVALID_LOGIN_ATTEMPT", "invalid_token"];

/// Codes with which REST web services refuse a request before they execute it.
const NOT_EXECUTED: &[&str] = &[
    "INVALID_CONTENT",
    "INVALID_REQUEST",
    "INVALID_PARAMETER",
    "INVALID_HEADER",
    "INVALID_ID",
    "NONEXISTENT_ID",
    "IDEMPOTENCY_ERROR",
];

/// Codes of a value that must be unique and is taken: those of SOAP's `StatusDetailCodeType` that
/// are about a whole record.
const TAKEN: &[&str] = &[
    "DUP_ACCT_NAME",
    "DUP_ACCT_NUM",
    "DUP_CSTM_RCRD_ENTRY",
    "DUP_EMPL_EMAIL",
    "DUP_EMPL_ENTITY_NAME",
    "DUP_ENTITY",
    "DUP_ENTITY_EMAIL",
    "DUP_ENTITY_NAME",
    "DUP_ITEM",
    "DUP_ITEM_NAME",
    "DUP_NAME",
    "DUP_RCRD",
    "DUP_TRANS",
    "DUP_VENDOR_EMAIL",
    "DUP_VENDOR_NAME",
    "UNIQUE_CONTACT_NAME_REQD",
    "UNIQUE_CUST_EMAIL_REQD",
    "UNIQUE_CUST_ID_REQD",
    "UNIQUE_ENTITY_NAME_REQD",
    "UNIQUE_RCRD_ID_REQD",
];

/// What REST web services say with the general code `USER_ERROR`.
const TAKEN_IN_WORDS: &[&str] = &["this entity already exists", "this record already exists"];

/// The class of an error answer; the tables are at [`Class`].
pub(crate) fn classify(call: Call<'_>, answered: Answered<'_>, details: &[Detail]) -> Class {
    let status = answered.status.as_u16();
    let refusal = match call.api {
        Api::Token => of_the_token_service(status),
        Api::Rest => of_rest(status, details),
        Api::Restlet => of_a_restlet(answered.status, details),
    };
    match refusal {
        Class::AlreadyExists if !call.writes => Class::Rejected,
        // What had nothing to save was refused, and that is all there is to know.
        Class::Unknown if !call.writes && is_definite(answered.status) => Class::Rejected,
        class => class,
    }
}

/// A token request is refused for its credentials, whatever 4xx says so.
fn of_the_token_service(status: u16) -> Class {
    match status {
        429 => Class::Throttled,
        408 => Class::Unknown,
        400..=499 => Class::Unauthorized,
        _ => Class::Unknown,
    }
}

fn of_rest(status: u16, details: &[Detail]) -> Class {
    match status {
        429 => Class::Throttled,
        401 => Class::Unauthorized,
        403..=406 | 411 | 413..=415 | 431 if !is_coded(details, LOGIN_REFUSED) => Class::Rejected,
        408 => Class::Unknown,
        400..=499 if is_coded(details, AT_THE_LIMIT) => Class::Throttled,
        400..=499 if is_coded(details, LOGIN_REFUSED) => Class::Unauthorized,
        400..=499 if is_coded(details, &["RCRD_HAS_BEEN_CHANGED"]) => Class::ChangedUnderUs,
        400..=499 if details.iter().any(says_taken) => Class::AlreadyExists,
        400..=499 if !details.is_empty() && details.iter().all(was_refused_unexecuted) => {
            Class::Rejected
        }
        _ => Class::Unknown,
    }
}

fn of_a_restlet(status: StatusCode, details: &[Detail]) -> Class {
    match status.as_u16() {
        429 => Class::Throttled,
        401 => Class::Unauthorized,
        403 if is_coded(details, LOGIN_REFUSED) => Class::Unauthorized,
        403 | 404 | 405 | 415 => Class::Rejected,
        400 if is_coded(details, AT_THE_LIMIT) => Class::Throttled,
        400 if is_coded(details, &["SSS_INVALID_SCRIPTLET_ID"]) => Class::Rejected,
        _ => Class::Unknown,
    }
}

/// An answer that says what there is to say: a refusal, or a script's error told with a 200.
fn is_definite(status: StatusCode) -> bool {
    status.is_success() || status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT
}

fn is_coded(details: &[Detail], codes: &[&str]) -> bool {
    details.iter().any(|detail| has_code(detail, codes))
}

fn has_code(detail: &Detail, codes: &[&str]) -> bool {
    detail.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn says_taken(detail: &Detail) -> bool {
    let message = detail.message.to_lowercase();
    let in_words = || TAKEN_IN_WORDS.iter().any(|words| message.contains(words));
    has_code(detail, TAKEN) || has_code(detail, &["USER_ERROR"]) && in_words()
}

/// A script's error knows nothing of the request, so one that points into it is NetSuite's own.
fn was_refused_unexecuted(detail: &Detail) -> bool {
    detail.place.is_some() || has_code(detail, NOT_EXECUTED)
}
