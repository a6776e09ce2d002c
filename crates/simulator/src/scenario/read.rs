//! Entries of a scenario file that are checked as they are read, so that a mistake is told with its
//! line.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// An entry of a scenario file whose fields must fit together.
pub(super) trait Entry: Sized {
    /// Reads the fields alone.
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// What is wrong with them, if anything is.
    fn mistake(&self) -> Option<&'static str>;
}

/// Reads an entry inside a visitor, since only there an error gets the entry's place.
pub(super) fn entry<'de, T: Entry, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Reader<T>(PhantomData<T>);
    impl<'de, T: Entry> Visitor<'de> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of fields")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let entry = T::fields(MapAccessDeserializer::new(map))?;
            entry.mistake().map_or(Ok(entry), |mistake| Err(A::Error::custom(mistake)))
        }
    }
    deserializer.deserialize_map(Reader(PhantomData))
}

/// Reads a number that must be above 0.
pub(super) fn positive<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + PartialOrd + Default,
{
    let number = N::deserialize(deserializer)?;
    let is_positive = number > N::default();
    if is_positive { Ok(number) } else { Err(D::Error::custom("it must be more than 0")) }
}
