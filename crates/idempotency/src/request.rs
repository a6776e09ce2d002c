//! What a caller asks the guard to run once: a scope, a key, and the payload's hash.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

use crate::clock::EpochMs;
use crate::guard::Settings;

/// The longest scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 128;
/// The longest key, in bytes: with its scope it fits a DynamoDB sort key (1,024 bytes),
/// so that one record fits either table layout.
pub const MAX_KEY_BYTES: usize = 895;

/// Why a scope, a key or a payload cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An empty key would make unrelated calls one.
    #[error("the {what} is empty")]
    Empty {
        /// "scope" or "key".
        what: &'static str,
    },
    /// Too long for the table's key.
    #[error("the {what} has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// "scope" or "key".
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A `#` in the scope would make the boundary between scope and key ambiguous.
    #[error("the scope {scope:?} contains '#', which separates scope and key")]
    Separator {
        /// The scope as given.
        scope: String,
    },
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
}

/// Whose keys these are: usually one per operation of a target ("netsuite",
/// "billing.charge"). The same key in two scopes means two different calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// 1 to 128 bytes, without `#`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::TooLong`] or [`Error::Separator`].
    pub fn new(scope: impl Into<String>) -> Result<Self, Error> {
        let scope = scope.into();
        check_length("scope", &scope, MAX_SCOPE_BYTES)?;
        if scope.contains('#') {
            return Err(Error::Separator { scope });
        }
        Ok(Self(scope))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes two requests the same call: an order number, a message id, the value of
/// an `Idempotency-Key` header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// 1 to 895 bytes.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::TooLong`].
    pub fn new(key: impl Into<String>) -> Result<Self, Error> {
        let key = key.into();
        check_length("key", &key, MAX_KEY_BYTES)?;
        Ok(Self(key))
    }

    /// A key made from content, for calls that carry no natural key: the SHA-256 of
    /// its canonical JSON. Pass the parts that identify the call, not those that vary
    /// between deliveries (timestamps, receipt handles).
    ///
    /// Equal content makes the same key in every version of this crate, because a call is
    /// found again by its key alone. So a number beyond 2^53 and a text of its digits make
    /// the same key; the payload's own hash tells them apart.
    ///
    /// # Errors
    /// [`Error::Payload`] for content that is no JSON.
    pub fn of<T: Serialize + ?Sized>(content: &T) -> Result<Self, Error> {
        let content = serde_json::to_value(content).map_err(Error::Payload)?;
        Ok(Self(PayloadHash::of_first_format(content)?.to_string()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    match text.len() {
        0 => Err(Error::Empty { what }),
        bytes if bytes > limit => Err(Error::TooLong { what, bytes, limit }),
        _ => Ok(()),
    }
}

/// The name of a record: `{scope}#{key}`, at most 1,024 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// The record of this key in this scope.
    pub fn new(scope: &Scope, key: &Key) -> Self {
        Self(format!("{}#{}", scope.0, key.0).into())
    }

    /// Reads an id as a store holds it. `None` if it is no `{scope}#{key}`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scope, key) = text.split_once('#')?;
        let id = Self::new(&Scope::new(scope).ok()?, &Key::new(key).ok()?);
        Some(id)
    }

    /// `{scope}#{key}`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `#`.
    pub fn scope(&self) -> &str {
        self.0.split_once('#').map_or("", |(scope, _)| scope)
    }

    /// The part after the first `#`.
    pub fn key(&self) -> &str {
        self.0.split_once('#').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// SHA-256 of a payload's canonical JSON (RFC 8785), so that neither the order of
/// fields nor the way a number is written makes two payloads different.
///
/// RFC 8785 knows only IEEE 754 doubles. Numbers beyond 2^53, which would lose digits and
/// so hash alike, enter the hash as texts of all their digits, as its appendix D advises.
/// A list of where they stood is hashed after the payload, so that such a number and a
/// text of its digits differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadHash([u8; 32]);

impl PayloadHash {
    /// Hashes a payload.
    ///
    /// # Errors
    /// [`Error::Payload`] for a payload that is no JSON.
    pub fn of<T: Serialize + ?Sized>(payload: &T) -> Result<Self, Error> {
        let payload = serde_json::to_value(payload).map_err(Error::Payload)?;
        Self::of_value(payload)
    }

    fn of_value(mut payload: Value) -> Result<Self, Error> {
        let mut wide = WideNumbers::default();
        wide.write_as_texts(&mut payload, &mut String::new());
        let mut hashed = canonical(&payload)?;
        if !wide.numbers.is_empty() || wide.lookalikes {
            wide.numbers.sort_unstable();
            // No JSON text contains this byte: it ends the payload and starts the list.
            hashed.push(0);
            hashed.extend(canonical(&wide.numbers)?);
        }
        Ok(Self(Sha256::digest(hashed).into()))
    }

    /// The hash of the first record format, which knew no list of wide numbers.
    fn of_first_format(mut payload: Value) -> Result<Self, Error> {
        write_wide_integers_as_texts(&mut payload);
        Ok(Self(Sha256::digest(canonical(&payload)?).into()))
    }

    /// A hash made elsewhere.
    pub const fn from_bytes(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Reads the 64 hexadecimal digits that `Display` writes.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json_canonicalizer::to_vec(value).map_err(Error::Payload)
}

/// The largest integer up to which a double holds every integer exactly.
const EXACT_IN_A_DOUBLE: u64 = 1 << 53;

/// The numbers of a payload whose digits a double does not hold.
#[derive(Default)]
struct WideNumbers {
    /// Where they stood, as JSON pointers (RFC 6901).
    numbers: Vec<String>,
    /// Whether the payload has a text that reads like one: the first format
    /// took it for the number.
    lookalikes: bool,
}

impl WideNumbers {
    fn write_as_texts(&mut self, value: &mut Value, at: &mut String) {
        let length = at.len();
        match value {
            Value::Number(number) => {
                if let Some(digits) = wide_digits(number) {
                    *value = Value::String(digits);
                    self.numbers.push(at.clone());
                }
            }
            Value::String(text) => self.lookalikes |= reads_like_a_wide_integer(text),
            Value::Array(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    at.push_str(&format!("/{index}"));
                    self.write_as_texts(value, at);
                    at.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    at.push('/');
                    at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    self.write_as_texts(value, at);
                    at.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// All digits of a whole number beyond 2^53, however it was written. From 10^21 on, where
/// RFC 8785 writes an exponent, only a double can be meant.
fn wide_digits(number: &Number) -> Option<String> {
    if let Some(magnitude) = magnitude(number) {
        return (magnitude > EXACT_IN_A_DOUBLE).then(|| number.to_string());
    }
    let float = number.as_f64()?;
    let wide = (EXACT_IN_A_DOUBLE as f64) < float.abs() && float.abs() < 1e21;
    wide.then(|| format!("{float:.0}"))
}

fn magnitude(integer: &Number) -> Option<u64> {
    integer.as_u64().or_else(|| integer.as_i64().map(i64::unsigned_abs))
}

fn reads_like_a_wide_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the first format did with numbers.
fn write_wide_integers_as_texts(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if magnitude(number).is_some_and(|magnitude| magnitude > EXACT_IN_A_DOUBLE) {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_wide_integers_as_texts),
        Value::Object(fields) => fields.values_mut().for_each(write_wide_integers_as_texts),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One call to guard. It can be claimed any number of times: a second claim of the same
/// request is a duplicate and is told so.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) id: RecordId,
    pub(crate) payload: PayloadHash,
    /// Its hash in the first record format, where that was another.
    pub(crate) earlier_payload: Option<PayloadHash>,
    pub(crate) terms: Terms,
}

/// What a request asks for, where it does not leave it to the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) lease: Option<Lease>,
    pub(crate) repeatable: bool,
    pub(crate) expiry: Option<Duration>,
    pub(crate) settle_window: Option<Duration>,
}

/// The moments that a claim sets.
pub(crate) struct Span {
    pub(crate) lease_until: EpochMs,
    pub(crate) settles_at: EpochMs,
    pub(crate) kept_until: EpochMs,
}

impl Terms {
    pub(crate) fn expiry(&self, settings: &Settings) -> Duration {
        self.expiry.unwrap_or(settings.expiry)
    }

    pub(crate) fn settle_window(&self, settings: &Settings) -> Duration {
        self.settle_window.unwrap_or(settings.settle_window)
    }

    /// Until when a claim at `now` lasts; `Err` with the end of its lease if that is not after
    /// `now`.
    pub(crate) fn span(&self, settings: &Settings, now: EpochMs) -> Result<Span, EpochMs> {
        let lease_until = match self.lease {
            Some(lease) => lease.ends(now),
            None => now.plus(settings.lease),
        };
        if lease_until <= now {
            return Err(lease_until);
        }
        let settles_at = lease_until.plus(self.settle_window(settings));
        let kept_until = settles_at.max(lease_until.plus(self.expiry(settings)));
        Ok(Span { lease_until, settles_at, kept_until })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Lease {
    For(Duration),
    Until(EpochMs),
}

impl Lease {
    pub(crate) fn ends(self, now: EpochMs) -> EpochMs {
        match self {
            Self::For(duration) => now.plus(duration),
            Self::Until(end) => end,
        }
    }
}

impl Request {
    /// A request under `key` with `payload`: the part of the call that must not differ
    /// when the key comes again. Pass `&()` when the key alone says everything.
    ///
    /// # Errors
    /// [`Error::Payload`] for a payload that is no JSON.
    pub fn new<T: Serialize + ?Sized>(scope: Scope, key: Key, payload: &T) -> Result<Self, Error> {
        let value = serde_json::to_value(payload).map_err(Error::Payload)?;
        let payload = PayloadHash::of_value(value.clone())?;
        let earlier_payload = PayloadHash::of_first_format(value)?;
        Ok(Self {
            id: RecordId::new(&scope, &key),
            payload,
            earlier_payload: Some(earlier_payload).filter(|earlier| *earlier != payload),
            terms: Terms::default(),
        })
    }

    /// How long the claim is ours. The request must have left, and its time-out must
    /// have ended, before the lease does. Default: [`Settings::lease`](crate::Settings).
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = Some(Lease::For(lease));
        self
    }

    /// The claim is ours until this moment, usually the Lambda's deadline
    /// (`context.deadline()`), after which the process cannot run on.
    #[must_use]
    pub fn lease_until(mut self, end: SystemTime) -> Self {
        self.terms.lease = Some(Lease::Until(end.into()));
        self
    }

    /// The target may be called twice without harm (a GET, a PUT of the whole record).
    /// Then no dispatched mark is written, and a claim whose lease ran out or whose
    /// outcome is unknown is simply run again. Default: false.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.terms.repeatable = repeatable;
        self
    }

    /// How long the target may work on after its caller has given up on it. Until then its "I do
    /// not have it" does not count. It is stored with the claim, so that it also holds for a worker
    /// that finds the call later. Default: [`Settings::settle_window`](crate::Settings).
    #[must_use]
    pub fn settles_after(mut self, settle_window: Duration) -> Self {
        self.terms.settle_window = Some(settle_window);
        self
    }

    /// How long the result is kept and replayed. A [repeatable](Self::repeatable) call that was
    /// left without one is kept as long. Default: [`Settings::expiry`](crate::Settings).
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.terms.expiry = Some(expiry);
        self
    }

    /// The name of its record.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The hash of its payload.
    pub fn payload(&self) -> PayloadHash {
        self.payload
    }

    /// Whether `stored` is the hash of its payload, by this version or by an earlier one.
    pub(crate) fn recognises(&self, stored: PayloadHash) -> bool {
        stored == self.payload || Some(stored) == self.earlier_payload
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{Just, Strategy, prop_oneof};
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_payloads_hash_alike_however_they_are_written() {
        let one: Value = serde_json::from_str(r#"{"b": 1.0, "a": [1e2, "é"]}"#).unwrap();
        let other = json!({"a": [100, "\u{e9}"], "b": 1});
        assert_eq!(PayloadHash::of(&one).unwrap(), PayloadHash::of(&other).unwrap());
        // printf '{"a":[100,"é"],"b":1}' | sha256sum
        assert_eq!(
            PayloadHash::of(&other).unwrap().to_string(),
            "f5777dc0fb03eb5ad947b13e4d3be480244c35a358ace5f789e14a59bbc7c4dc"
        );
    }

    fn hash(json: &str) -> PayloadHash {
        let value: Value = serde_json::from_str(json).unwrap();
        PayloadHash::of(&value).unwrap()
    }

    /// Numbers at every edge, as numbers and as texts, at two places.
    #[test]
    fn what_differs_hashes_differently() {
        let numbers = [
            "0",
            "1",
            "-1",
            "0.5",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "-9007199254740992",
            "-9007199254740993",
            "-9007199254740994",
            "9223372036854775807",
            "9223372036854775808",
            "9223372036854776000",
            "-9223372036854775807",
            "-9223372036854775808",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e20",
            "1e21",
            "-1e21",
            "1e300",
        ];
        let mut known = HashMap::new();
        for number in numbers {
            let text = format!("\"{number}\"");
            for json in [number, &text] {
                for whole in [
                    json.to_owned(),
                    format!("[{json},0]"),
                    format!("[0,{json}]"),
                    format!("{{\"a\":{json}}}"),
                    format!("{{\"a/0\":{json}}}"),
                    format!("{{\"a\":[{json}]}}"),
                ] {
                    let same = known.insert(hash(&whole), whole.clone());
                    assert!(same.is_none_or(|same| same == whole), "{whole}");
                }
            }
        }
    }

    #[test]
    fn a_number_hashes_alike_however_it_is_written() {
        for (one, other) in [
            ("1e16", "10000000000000000"),
            ("9007199254740994.0", "9007199254740994"),
            ("9223372036854775808.0", "9223372036854775808"),
            ("-9223372036854775808.0", "-9223372036854775808"),
            ("-0.0", "0"),
        ] {
            assert_eq!(hash(one), hash(other), "{one}");
        }
    }

    /// As recorded. Where no number is beyond 2^53, the hash is still the same.
    #[test]
    fn the_first_format_is_recognised_and_still_makes_keys() {
        let recorded = "379c3c261310b93aedb504a467c47b9494b0c2e0205c0130684079a029e3da34";
        let recorded = PayloadHash::parse(recorded).unwrap();
        let (scope, key) = (Scope::new("s").unwrap(), Key::new("k").unwrap());
        for id in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
            let content = json!({ "id": id });
            let request = Request::new(scope.clone(), key.clone(), &content).unwrap();
            assert_ne!(request.payload, recorded);
            assert!(request.recognises(recorded));
            assert_eq!(Key::of(&content).unwrap().to_string(), recorded.to_string());
        }
        let request = Request::new(scope, key, &json!({ "id": 1 })).unwrap();
        assert_eq!(request.earlier_payload, None);
    }

    proptest::proptest! {
        /// Equal JSON, equal hash; other JSON, another one: also where a number and a text
        /// have the same digits.
        #[test]
        fn hashes_are_equal_as_payloads_are(one in any_json(), other in any_json()) {
            let hash = |value: &Value| PayloadHash::of(value).unwrap();
            let same = serde_json::from_str::<Value>(&one.to_string()).unwrap();
            proptest::prop_assert_eq!(hash(&one), hash(&same));
            proptest::prop_assert_eq!(one == other, hash(&one) == hash(&other));
        }
    }

    /// Small JSON from few values, so that two often meet.
    fn any_json() -> impl Strategy<Value = Value> {
        let digits = prop_oneof![
            Just(9_007_199_254_740_993_i128),
            Just(9_007_199_254_740_994),
            Just(-9_007_199_254_740_993),
            Just(i128::from(i64::MIN)),
            Just(i128::from(u64::MAX)),
            Just(7),
        ];
        let leaf = (digits, proptest::bool::ANY).prop_map(|(digits, text)| match text {
            true => json!(digits.to_string()),
            false => serde_json::from_str(&digits.to_string()).unwrap(),
        });
        leaf.prop_recursive(2, 4, 2, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
                proptest::collection::btree_map("[ab/~]", inner, 1..3)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn a_hash_reads_back_and_nothing_else_does() {
        let hash = PayloadHash::of(&json!({})).unwrap();
        assert_eq!(PayloadHash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(PayloadHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_and_keys_are_checked_by_name() {
        let error = |result: Result<Scope, Error>| result.unwrap_err().to_string();
        assert_eq!(error(Scope::new("")), "the scope is empty");
        assert_eq!(
            error(Scope::new("a#b")),
            "the scope \"a#b\" contains '#', which separates scope and key"
        );
        assert_eq!(
            Key::new("k".repeat(896)).unwrap_err().to_string(),
            "the key has 896 bytes, at most 895 are allowed"
        );
        let longest = RecordId::new(
            &Scope::new("s".repeat(MAX_SCOPE_BYTES)).unwrap(),
            &Key::new("k".repeat(MAX_KEY_BYTES)).unwrap(),
        );
        assert_eq!(longest.as_str().len(), 1024);
    }

    #[test]
    fn an_id_splits_at_its_first_separator() {
        let id = RecordId::parse("orders#a#b").unwrap();
        assert_eq!((id.scope(), id.key()), ("orders", "a#b"));
        assert_eq!(RecordId::parse("no separator"), None);
        assert_eq!(RecordId::parse("#key"), None);
        assert_eq!(RecordId::parse("scope#"), None);
    }
}
