//! CloudWatch's metric math, as far as the alarms use it: so that an alarm can be tried on values
//! before it stands anywhere. Source: "Using math expressions with CloudWatch metrics", User Guide.
//!
//! A comparison is 1 or 0, `FILL` puts a number where a metric has no value, and an expression over a
//! missing value has none.

/// An expression that is not understood here.
#[derive(Debug, thiserror::Error)]
#[error("metric math is not understood from here on: {0:?}")]
pub struct NotUnderstood(String);

/// The value of an expression, `None` where there is none. `known` says the value of each metric by
/// the name that the expression has for it.
///
/// # Errors
/// If the expression is not one of those that the alarms use.
pub fn value(
    expression: &str,
    known: &dyn Fn(&str) -> Option<f64>,
) -> Result<Option<f64>, NotUnderstood> {
    let mut reader = Reader { rest: expression.trim_start(), known };
    let value = reader.both()?;
    match reader.rest {
        "" => Ok(value[0]),
        _ => reader.not_understood(),
    }
}

/// One value, or those of an array.
type Values = Vec<Option<f64>>;
type Read<T = Values> = Result<T, NotUnderstood>;

struct Reader<'a> {
    rest: &'a str,
    known: &'a dyn Fn(&str) -> Option<f64>,
}

impl Reader<'_> {
    fn not_understood<T>(&self) -> Read<T> {
        Err(NotUnderstood(self.rest.to_owned()))
    }

    fn eat(&mut self, token: &str) -> bool {
        let Some(after) = self.rest.strip_prefix(token) else { return false };
        self.rest = after.trim_start();
        true
    }

    /// `a AND b`
    fn both(&mut self) -> Read {
        let mut left = self.compared()?;
        while self.eat("AND") {
            let truth = |left: f64, right: f64| f64::from(left != 0.0 && right != 0.0);
            left = combined(left, self.compared()?, truth);
        }
        Ok(left)
    }

    /// `a > b`, `a < b`
    fn compared(&mut self) -> Read {
        let left = self.sum()?;
        if self.eat(">") {
            return Ok(combined(left, self.sum()?, |left, right| f64::from(left > right)));
        }
        if self.eat("<") {
            return Ok(combined(left, self.sum()?, |left, right| f64::from(left < right)));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Read {
        let mut left = self.quotient()?;
        while self.eat("+") {
            left = combined(left, self.quotient()?, |left, right| left + right);
        }
        Ok(left)
    }

    fn quotient(&mut self) -> Read {
        let mut left = self.single()?;
        while self.eat("/") {
            left = combined(left, self.single()?, |left, right| left / right);
        }
        Ok(left)
    }

    /// A number, a metric, a function, or something in brackets.
    fn single(&mut self) -> Read {
        if self.eat("(") {
            let inner = self.both()?;
            return if self.eat(")") { Ok(inner) } else { self.not_understood() };
        }
        if self.eat("[") {
            return Ok(self.list("]")?.concat());
        }
        let end = self.rest.find(|other: char| !other.is_ascii_alphanumeric());
        let (word, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if word.is_empty() {
            return self.not_understood();
        }
        self.rest = after.trim_start();
        if let Ok(number) = word.parse() {
            return Ok(vec![Some(number)]);
        }
        if !self.eat("(") {
            return Ok(vec![(self.known)(word)]);
        }
        let arguments = self.list(")")?;
        match (word, &arguments[..]) {
            ("FILL", [value, with]) => Ok(vec![value[0].or(with[0])]),
            ("IF", [condition, then, otherwise]) => Ok(match condition[0] {
                Some(0.0) => otherwise.clone(),
                Some(_) => then.clone(),
                None => vec![None],
            }),
            ("MAX", [of]) => Ok(vec![of.iter().flatten().copied().reduce(f64::max)]),
            _ => Err(NotUnderstood(word.to_owned())),
        }
    }

    /// Expressions between commas, up to the closing bracket.
    fn list(&mut self, end: &str) -> Read<Vec<Values>> {
        let mut items = vec![self.both()?];
        while self.eat(",") {
            items.push(self.both()?);
        }
        if self.eat(end) { Ok(items) } else { self.not_understood() }
    }
}

fn combined(left: Values, right: Values, with: impl Fn(f64, f64) -> f64) -> Values {
    vec![left[0].zip(right[0]).map(|(left, right)| with(left, right))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Option<f64> {
        let known = |name: &str| match name {
            "a" => Some(6.0),
            "b" => Some(2.0),
            _ => None,
        };
        value(expression, &known).unwrap()
    }

    #[test]
    fn it_is_calculated_as_cloudwatch_does() {
        for (expression, expected) in [
            ("a/b+1", Some(4.0)),
            ("a / (b + 1)", Some(2.0)),
            ("a>b", Some(1.0)),
            ("IF(a<b,1,0)", Some(0.0)),
            ("(a>b) AND (b<3)", Some(1.0)),
            ("MAX([a,b,FILL(none,9)])", Some(9.0)),
            ("none+1", None),
            ("IF(none>1,1,0)", None),
            ("FILL(none,0)+a", Some(6.0)),
        ] {
            assert_eq!(of(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for expression in ["", "a+", "SUM(a)", "(a", "a b", "FILL(a)"] {
            let error = value(expression, &|_| Some(1.0)).unwrap_err();
            assert!(error.to_string().contains("not understood"), "{expression}");
        }
    }
}
