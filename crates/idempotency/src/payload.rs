//! How two payloads are told apart, and keys that are made from content.

use std::fmt;

use serde::Serialize;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

use crate::key::{Error, Key};

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

    pub(crate) fn of_value(mut payload: Value) -> Result<Self, Error> {
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
    pub(crate) fn of_first_format(mut payload: Value) -> Result<Self, Error> {
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

impl Key {
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
        Self::new(PayloadHash::of_first_format(content)?.to_string())
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

    /// As recorded.
    #[test]
    fn a_key_of_content_is_the_hash_of_the_first_format() {
        let recorded = "379c3c261310b93aedb504a467c47b9494b0c2e0205c0130684079a029e3da34";
        for id in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
            assert_eq!(Key::of(&json!({ "id": id })).unwrap().to_string(), recorded);
        }
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
}
