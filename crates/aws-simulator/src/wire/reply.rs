//! What a service reads and answers.

use serde::Serialize;

/// An answer of a service.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn ok(body: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Reply { status: 200, body }
    }

    pub(super) fn empty() -> Reply {
        Reply { status: 200, body: b"{}".to_vec() }
    }

    pub(super) fn refused(kind: &str, message: &str) -> Reply {
        Reply::failed(400, kind, message)
    }

    pub(super) fn failed(status: u16, kind: &str, message: &str) -> Reply {
        #[derive(Serialize)]
        struct Body<'a> {
            __type: &'a str,
            message: &'a str,
        }
        let body = serde_json::to_vec(&Body { __type: kind, message }).unwrap_or_default();
        Reply { status, body }
    }
}

/// Reads a request's body.
///
/// # Panics
/// If it has a field that is not modelled: an answer that ignores it would be a guess.
pub(super) fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> T {
    match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            panic!("the simulator does not understand {}: {error}", String::from_utf8_lossy(body))
        }
    }
}
