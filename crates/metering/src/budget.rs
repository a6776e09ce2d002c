//! Budgets: how much each tenant may use in a day or a month.

use std::fmt;
use std::ops::Deref;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::Money;
use crate::period::Period;
use crate::used::Used;

/// How much each tenant may use.
///
/// ```
/// use slowlane_metering::Budgets;
///
/// let budgets = Budgets::from_json(r#"[{"tokens": "2000000/day"}, {"money": "20/month"}]"#)?;
/// assert_eq!(budgets[1].to_string(), r#"{"money":"20.00/month"}"#);
/// # Ok::<_, slowlane_metering::BudgetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How much.
    pub most: Most,
    /// In how long.
    pub every: Every,
}

/// How much may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// Tokens that are read and written.
    Tokens(u64),
    /// What they cost, in the price list's currency.
    Money(Money),
}

/// In how long. Days and months are UTC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// In each day.
    Day,
    /// In each month.
    Month,
}

impl Every {
    /// The day or the month of a moment.
    #[must_use]
    pub fn period(self, moment: Timestamp) -> Period {
        match self {
            Self::Day => Period::day_of(moment),
            Self::Month => Period::month_of(moment),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// A budget that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The budget.
    pub budget: Budget,
    /// What was used.
    pub used: Used,
    /// When the next day or month begins.
    pub until: Timestamp,
}

impl fmt::Display for Exceeded {
    /// `its tenant has used 2000300 of 2000000 tokens a day, until 2026-12-01T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget: Budget { most, every }, used, until } = self;
        f.write_str("its tenant has used ")?;
        match most {
            Most::Tokens(most) => write!(f, "{} of {most} tokens", used.tokens())?,
            Most::Money(most) => write!(f, "{} of {most}", used.cost)?,
        }
        write!(f, " a {}; the next one begins at {until}", every.word())
    }
}

impl Budget {
    /// Whether so much is all that may be used: the next call would be beyond it.
    #[must_use]
    pub fn is_used_up(&self, used: &Used) -> bool {
        match self.most {
            Most::Tokens(most) => used.tokens() >= most,
            Most::Money(most) => used.cost >= most,
        }
    }

    /// Whether it counts the same as `earlier`, in as long: there is one of each kind.
    #[must_use]
    pub fn repeats(&self, earlier: &Self) -> bool {
        let kind = |most| matches!(most, Most::Tokens(_));
        self.every == earlier.every && kind(self.most) == kind(earlier.most)
    }
}

/// The budgets of a target: each tenant has all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Budgets(Vec<Budget>);

/// What is wrong with a list of budgets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not JSON.
    #[error("this is no JSON: {0}")]
    NotJson(String),
    /// An entry, or a field of it.
    #[error("{place}: {problem}")]
    Entry {
        /// The entry, counted from 1, and the field: `budgets[2].tokens`.
        place: String,
        /// What is wrong with it, and what to write.
        problem: String,
    },
}

impl Budgets {
    /// Reads a JSON array of budgets.
    ///
    /// # Errors
    /// The first mistake, with its entry and field.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Error::NotJson(error.to_string()))?;
        let budgets: Vec<Budget> = serde_path_to_error::deserialize(value).map_err(|error| {
            Error::Entry { place: place(error.path()), problem: error.inner().to_string() }
        })?;
        Self::try_from(budgets)
    }

    /// As [`from_json`](Self::from_json) reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let entries: Vec<String> = self.0.iter().map(Budget::to_string).collect();
        format!("[{}]", entries.join(","))
    }

    /// Whether one of them counts money, which needs a price list.
    #[must_use]
    pub fn count_money(&self) -> bool {
        self.iter().any(|budget| matches!(budget.most, Most::Money(_)))
    }

    /// Whether one of them is of so long.
    #[must_use]
    pub fn count(&self, every: Every) -> bool {
        self.iter().any(|budget| budget.every == every)
    }
}

impl TryFrom<Vec<Budget>> for Budgets {
    type Error = Error;

    fn try_from(budgets: Vec<Budget>) -> Result<Self, Error> {
        for (index, budget) in budgets.iter().enumerate() {
            if budgets[..index].iter().any(|earlier| budget.repeats(earlier)) {
                let problem = "there is one of this kind already; take one of them out".to_owned();
                return Err(Error::Entry { place: format!("budgets[{}]", index + 1), problem });
            }
        }
        Ok(Self(budgets))
    }
}

impl FromIterator<Budget> for Budgets {
    /// Of budgets that stood in one list.
    fn from_iter<T: IntoIterator<Item = Budget>>(budgets: T) -> Self {
        Self(budgets.into_iter().collect())
    }
}

impl Deref for Budgets {
    type Target = [Budget];

    fn deref(&self) -> &[Budget] {
        &self.0
    }
}

/// `budgets[2].tokens`, counted from 1 as people do.
fn place(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold("budgets".to_owned(), |place, segment| match segment {
        Segment::Seq { index } => format!("{place}[{}]", index + 1),
        Segment::Map { key } => format!("{place}.{key}"),
        Segment::Enum { .. } | Segment::Unknown => place,
    })
}

/// What each tenant may use. It has one of `tokens` and `money`.
#[derive(Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Budget"))]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Tokens that are read and written, in a day or a month: `2000000/day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<String>,
    /// What they cost by the target's `prices`, in a day or a month: `20/month`.
    #[serde(skip_serializing_if = "Option::is_none")]
    money: Option<String>,
}

impl TryFrom<Fields> for Budget {
    type Error = String;

    fn try_from(Fields { tokens, money }: Fields) -> Result<Self, String> {
        let (text, counts_tokens) = match (&tokens, &money) {
            (Some(text), None) => (text, true),
            (None, Some(text)) => (text, false),
            _ => {
                let problem = "a budget is one thing; write `tokens` or `money` in each entry";
                return Err(problem.to_owned());
            }
        };
        let read = || {
            let (most, every) = text.split_once('/')?;
            let every = match every.trim() {
                "day" => Every::Day,
                "month" => Every::Month,
                _ => return None,
            };
            let most = match counts_tokens {
                true => Most::Tokens(most.trim().parse().ok()?),
                false => Most::Money(most.trim().parse().ok()?),
            };
            Some(Self { most, every })
        };
        let example = if counts_tokens { "2000000/day" } else { "20/month" };
        let read = read().ok_or_else(|| {
            format!("`{text}` is no budget of a day or a month; write `{example}`")
        })?;
        match read.is_used_up(&Used::default()) {
            true => Err("a budget of nothing lets nothing through; raise it".to_owned()),
            false => Ok(read),
        }
    }
}

impl From<&Budget> for Fields {
    fn from(Budget { most, every }: &Budget) -> Self {
        let every = every.word();
        match most {
            Most::Tokens(most) => {
                Self { tokens: Some(format!("{most}/{every}")), ..Self::default() }
            }
            Most::Money(most) => Self { money: Some(format!("{most}/{every}")), ..Self::default() },
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Budget {
    /// Reads it inside a visitor, since only there an error of a TOML file gets the entry's place.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Budget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Budget, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                fields.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// An entry of a list of budgets.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Budget {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Fields::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Fields::json_schema(generator)
    }
}

impl fmt::Display for Budget {
    /// As it is written: `{"tokens":"2000000/day"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::used::Tokens;

    #[test]
    fn budgets_are_read_as_they_are_written() {
        let text = r#"[{"tokens":"2000000/day"},{"money":"20.00/month"},{"tokens":"9/month"}]"#;
        let budgets = Budgets::from_json(text).unwrap();
        assert_eq!(budgets.to_json(), text);
        assert!(budgets.count_money() && budgets.count(Every::Day));
        assert!(!Budgets::default().count(Every::Day));
    }

    #[test]
    fn a_mistake_names_its_entry_and_its_mend() {
        for (entries, told) in [
            (
                r#"{"tokens":"5/week"}"#,
                "budgets[1]: `5/week` is no budget of a day or a month; write",
            ),
            (r#"{"tokens":"5.5/day"}"#, "write `2000000/day`"),
            (r#"{"money":"-1/day"}"#, "write `20/month`"),
            (r#"{"tokens":"0/day"}"#, "a budget of nothing lets nothing through"),
            (r#"{"tokens":"5/day","money":"5/day"}"#, "write `tokens` or `money`"),
            (r#"{"token":"5/day"}"#, "token"),
            (r#"{"tokens":"5/day"},{"tokens":"6/day"}"#, "budgets[2]: there is one of this kind"),
        ] {
            let error = Budgets::from_json(&format!("[{entries}]")).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
        assert!(matches!(Budgets::from_json("{"), Err(Error::NotJson(_))));
    }

    #[test]
    fn a_budget_is_used_up_by_what_it_counts() {
        let cost = "1.50".parse().ok();
        let used = Used::by_call(Tokens { input: 90, output: 10, ..Tokens::default() }, cost);
        for (budget, used_up) in [
            (r#"{"tokens":"101/day"}"#, false),
            (r#"{"tokens":"100/day"}"#, true),
            (r#"{"money":"1.51/day"}"#, false),
            (r#"{"money":"1.5/day"}"#, true),
        ] {
            let budgets = Budgets::from_json(&format!("[{budget}]")).unwrap();
            assert_eq!(budgets[0].is_used_up(&used), used_up, "{budget}");
        }
        let budget = Budget { most: Most::Tokens(100), every: Every::Month };
        let until = Every::Month.period("2026-11-30T12:00:00Z".parse().unwrap()).ends();
        let told = Exceeded { budget, used, until }.to_string();
        let expected = "its tenant has used 100 of 100 tokens a month; the next one begins at \
                        2026-12-01T00:00:00Z";
        assert_eq!(told, expected);
    }
}
