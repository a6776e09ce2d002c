//! DynamoDB's condition and update expressions: a small, honest evaluator. What it does not know
//! it refuses to parse, and the run panics: a guess would make every result worthless.

use std::cmp::Ordering;

use super::value::{Item, Value};

/// The names (`#n`) and values (`:v`) that an expression refers to.
#[derive(Clone, Debug, Default)]
pub struct Bindings<'a> {
    /// `ExpressionAttributeNames`.
    pub names: Vec<(&'a str, &'a str)>,
    /// `ExpressionAttributeValues`.
    pub values: Item,
}

impl Bindings<'_> {
    fn name<'a>(&'a self, written: &'a str) -> &'a str {
        if !written.starts_with('#') {
            return written;
        }
        match self.names.iter().find(|(known, _)| *known == written) {
            Some((_, name)) => name,
            None => panic!("DynamoDB: the expression uses {written}, which is not bound"),
        }
    }

    fn value(&self, written: &str) -> &Value {
        match self.values.get(written) {
            Some(value) => value,
            None => panic!("DynamoDB: the expression uses {written}, which is not bound"),
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `a OR b`.
    Or(Box<Condition>, Box<Condition>),
    /// `a AND b`.
    And(Box<Condition>, Box<Condition>),
    /// `NOT a`.
    Not(Box<Condition>),
    /// `a = b` and its like.
    Compare(Operand, Comparison, Operand),
    /// `a BETWEEN b AND c`.
    Between(Operand, Operand, Operand),
    /// `a IN (b, c)`.
    In(Operand, Vec<Operand>),
    /// `attribute_exists(a)`.
    Exists(Path),
    /// `attribute_not_exists(a)`.
    NotExists(Path),
    /// `begins_with(a, b)`.
    BeginsWith(Operand, Operand),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A document path: names, `#placeholders`, joined by dots. Indexes are not modelled.
pub(super) type Path = Vec<Box<str>>;

/// What a condition compares and an update assigns.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// An attribute.
    Path(Path),
    /// `:value`.
    Bound(Box<str>),
    /// `if_not_exists(path, operand)`; in updates only.
    IfNotExists(Path, Box<Operand>),
    /// `a + b`; in updates only.
    Plus(Box<Operand>, Box<Operand>),
    /// `a - b`; in updates only.
    Minus(Box<Operand>, Box<Operand>),
}

/// An update expression: its SET, REMOVE and ADD clauses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    set: Vec<(Path, Operand)>,
    remove: Vec<Path>,
    add: Vec<(Path, Operand)>,
}

impl Condition {
    /// Reads a condition expression.
    ///
    /// # Panics
    /// On anything that is not modelled.
    pub fn parse(text: &str) -> Condition {
        let mut parser = Parser::new(text);
        let condition = parser.or();
        parser.end();
        condition
    }

    /// Whether it holds for `item`. A comparison with a missing attribute, or between two types,
    /// is false (doc); `<>` is true then.
    pub fn holds(&self, item: Option<&Item>, bindings: &Bindings<'_>) -> bool {
        let find = |operand: &Operand| operand.find(item, bindings);
        match self {
            Condition::Or(a, b) => a.holds(item, bindings) || b.holds(item, bindings),
            Condition::And(a, b) => a.holds(item, bindings) && b.holds(item, bindings),
            Condition::Not(a) => !a.holds(item, bindings),
            Condition::Compare(a, comparison, b) => comparison.holds(find(a), find(b)),
            Condition::Between(a, low, high) => {
                Comparison::GreaterOrEqual.holds(find(a), find(low))
                    && Comparison::LessOrEqual.holds(find(a), find(high))
            }
            Condition::In(a, list) => {
                (list.iter()).any(|b| Comparison::Equal.holds(find(a), find(b)))
            }
            Condition::Exists(path) => at(item, path, bindings).is_some(),
            Condition::NotExists(path) => at(item, path, bindings).is_none(),
            Condition::BeginsWith(a, prefix) => match (find(a), find(prefix)) {
                (Some(Value::Text(text)), Some(Value::Text(prefix))) => text.starts_with(&**prefix),
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, a: Option<&Value>, b: Option<&Value>) -> bool {
        if self == Comparison::NotEqual {
            return a != b;
        }
        let (Some(a), Some(b)) = (a, b) else {
            return false;
        };
        if self == Comparison::Equal {
            return a == b;
        }
        let Some(order) = a.order(b) else {
            return false;
        };
        match self {
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }
    }
}

impl Operand {
    /// The value as it lies in the item or the bindings, where it need not be computed.
    fn find<'a>(&self, item: Option<&'a Item>, bindings: &'a Bindings<'_>) -> Option<&'a Value> {
        match self {
            Operand::Path(path) => at(item, path, bindings),
            Operand::Bound(name) => Some(bindings.value(name)),
            other => panic!("DynamoDB: {other:?} is not an operand of a condition"),
        }
    }

    fn compute(&self, item: &Item, bindings: &Bindings<'_>) -> Value {
        match self {
            Operand::Path(_) | Operand::Bound(_) => match self.find(Some(item), bindings) {
                Some(value) => value.clone(),
                None => panic!("DynamoDB: the update refers to {self:?}, which the item lacks"),
            },
            Operand::IfNotExists(path, default) => match at(Some(item), path, bindings) {
                Some(value) => value.clone(),
                None => default.compute(item, bindings),
            },
            Operand::Plus(a, b) => add(a.compute(item, bindings), b.compute(item, bindings), 1),
            Operand::Minus(a, b) => add(a.compute(item, bindings), b.compute(item, bindings), -1),
        }
    }
}

fn add(a: Value, b: Value, sign: i128) -> Value {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a + sign * b),
        (a, b) => panic!("DynamoDB: {a:?} and {b:?} cannot be added"),
    }
}

fn at<'a>(item: Option<&'a Item>, path: &Path, bindings: &Bindings<'_>) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = item?.get(bindings.name(first))?;
    for name in rest {
        let Value::Map(map) = value else {
            return None;
        };
        value = map.get(bindings.name(name))?;
    }
    Some(value)
}

impl Update {
    /// Reads an update expression.
    ///
    /// # Panics
    /// On anything that is not modelled.
    pub fn parse(text: &str) -> Update {
        let mut parser = Parser::new(text);
        let mut update = Update::default();
        while let Some(clause) = parser.next() {
            match clause.to_ascii_uppercase().as_str() {
                "SET" => {
                    update.set = parser.list(|parser| {
                        let path = parser.path();
                        parser.expect("=");
                        (path, parser.sum())
                    })
                }
                "REMOVE" => update.remove = parser.list(Parser::path),
                "ADD" => {
                    update.add = parser.list(|parser| (parser.path(), parser.operand()));
                }
                other => panic!("DynamoDB: the clause {other} is not modelled"),
            }
        }
        update
    }

    /// The attributes of `item` that this expression sets (`UPDATED_NEW`).
    pub fn touched(&self, item: &Item, bindings: &Bindings<'_>) -> Item {
        let mut touched = Item::default();
        for (path, _) in self.set.iter().chain(&self.add) {
            let name = path.first().map_or("", |name| bindings.name(name));
            if let Some(value) = item.get(name) {
                touched.set(name, value.clone());
            }
        }
        touched
    }

    /// Applies it; right-hand sides see the item as it was before (doc).
    pub fn apply(&self, item: &mut Item, bindings: &Bindings<'_>) {
        let set = self.set.iter().map(|(path, operand)| (path, operand.compute(item, bindings)));
        let add = self.add.iter().map(|(path, operand)| {
            let more = operand.compute(item, bindings);
            match at(Some(item), path, bindings) {
                Some(value) => (path, add(value.clone(), more, 1)),
                None => (path, more),
            }
        });
        let values: Vec<_> = set.chain(add).collect();
        for (path, value) in values {
            set_at(item, path, value, bindings);
        }
        for path in &self.remove {
            let [name] = path.as_slice() else {
                panic!("DynamoDB: removing a nested attribute is not modelled");
            };
            item.remove(bindings.name(name));
        }
    }
}

fn set_at(item: &mut Item, path: &Path, value: Value, bindings: &Bindings<'_>) {
    let (Some(last), parents) = (path.last(), &path[..path.len() - 1]) else {
        return;
    };
    let mut map = item;
    for name in parents {
        map = match map.get_mut(bindings.name(name)) {
            Some(Value::Map(inner)) => inner,
            _ => panic!("DynamoDB: the update's path {path:?} leads through no map"),
        };
    }
    map.set(bindings.name(last), value);
}

/// Words, `#names`, `:values` and signs, one after the other.
struct Parser<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':' | '.');
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if ["<=", ">=", "<>"].iter().any(|sign| rest.starts_with(sign)) {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
        Parser { text, tokens: tokens.into_iter().peekable() }
    }

    fn or(&mut self) -> Condition {
        let mut left = self.and();
        while self.takes("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and()));
        }
        left
    }

    fn and(&mut self) -> Condition {
        let mut left = self.not();
        while self.takes("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not()));
        }
        left
    }

    fn not(&mut self) -> Condition {
        if self.takes("NOT") {
            return Condition::Not(Box::new(self.not()));
        }
        if self.takes("(") {
            let inner = self.or();
            self.expect(")");
            return inner;
        }
        for (function, build) in [
            ("attribute_exists", Condition::Exists as fn(Path) -> Condition),
            ("attribute_not_exists", Condition::NotExists),
        ] {
            if self.takes(function) {
                self.expect("(");
                let path = self.path();
                self.expect(")");
                return build(path);
            }
        }
        if self.takes("begins_with") {
            let (a, b) = self.pair();
            return Condition::BeginsWith(a, b);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Condition {
        let left = self.operand();
        if self.takes("BETWEEN") {
            let low = self.operand();
            self.expect("AND");
            return Condition::Between(left, low, self.operand());
        }
        if self.takes("IN") {
            self.expect("(");
            let list = self.list(Parser::operand);
            self.expect(")");
            return Condition::In(left, list);
        }
        let comparison = match self.next() {
            Some("=") => Comparison::Equal,
            Some("<>") => Comparison::NotEqual,
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::LessOrEqual,
            Some(">") => Comparison::Greater,
            Some(">=") => Comparison::GreaterOrEqual,
            other => self.unknown(other),
        };
        Condition::Compare(left, comparison, self.operand())
    }

    fn sum(&mut self) -> Operand {
        let left = self.operand();
        if self.takes("+") {
            Operand::Plus(Box::new(left), Box::new(self.operand()))
        } else if self.takes("-") {
            Operand::Minus(Box::new(left), Box::new(self.operand()))
        } else {
            left
        }
    }

    fn operand(&mut self) -> Operand {
        if self.takes("if_not_exists") {
            self.expect("(");
            let path = self.path();
            self.expect(",");
            let default = self.operand();
            self.expect(")");
            return Operand::IfNotExists(path, Box::new(default));
        }
        match self.tokens.peek() {
            Some(token) if token.starts_with(':') => {
                let name = (*token).into();
                self.tokens.next();
                Operand::Bound(name)
            }
            _ => Operand::Path(self.path()),
        }
    }

    fn pair(&mut self) -> (Operand, Operand) {
        self.expect("(");
        let first = self.operand();
        self.expect(",");
        let second = self.operand();
        self.expect(")");
        (first, second)
    }

    fn path(&mut self) -> Path {
        match self.next() {
            Some(token)
                if !token.starts_with(':')
                    && token
                        .starts_with(|c: char| c.is_ascii_alphabetic() || c == '#' || c == '_') =>
            {
                if self.tokens.peek() == Some(&"(") {
                    self.unknown(Some(token));
                }
                token.split('.').map(Box::from).collect()
            }
            other => self.unknown(other),
        }
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut list = vec![one(self)];
        while self.takes(",") {
            list.push(one(self));
        }
        list
    }

    fn next(&mut self) -> Option<&'a str> {
        self.tokens.next()
    }

    fn takes(&mut self, token: &str) -> bool {
        self.tokens.next_if(|next| next.eq_ignore_ascii_case(token)).is_some()
    }

    fn expect(&mut self, token: &str) {
        if !self.takes(token) {
            let found = self.next();
            self.unknown(found);
        }
    }

    fn end(&mut self) {
        if let Some(token) = self.next() {
            self.unknown(Some(token));
        }
    }

    fn unknown(&self, token: Option<&str>) -> ! {
        panic!("DynamoDB: {token:?} is not modelled where it stands in {:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(item: serde_json::Value) -> Item {
        serde_json::from_value(item).unwrap()
    }

    fn bindings() -> Bindings<'static> {
        Bindings {
            names: vec![("#s", "status")],
            values: read(json!({
                ":one": {"N": "1"}, ":nine": {"N": "9"}, ":ten": {"N": "10"},
                ":run": {"S": "RUNNING"}, ":done": {"S": "DONE"},
            })),
        }
    }

    fn item() -> Item {
        read(json!({
            "id": {"S": "k"}, "status": {"S": "RUNNING"}, "attempt": {"N": "9"},
            "deep": {"M": {"lease": {"N": "10"}}},
        }))
    }

    #[test]
    fn conditions_hold_as_documented() {
        let cases = [
            ("attribute_not_exists(id)", false),
            ("attribute_exists(id) AND #s = :run", true),
            ("attribute_not_exists(id) OR #s <> :run", false),
            // Numbers compare as numbers: 9 < 10 although "9" > "10".
            ("attempt < :ten", true),
            ("attempt >= :nine AND NOT attempt > :nine", true),
            ("attempt BETWEEN :one AND :ten", true),
            ("#s IN (:done, :run)", true),
            ("deep.lease = :ten", true),
            // A missing attribute: comparisons are false, <> is true.
            ("missing < :ten", false),
            ("missing <> :ten", true),
            // Two types: no order.
            ("attempt < :run", false),
            ("begins_with(#s, :run)", true),
            // AND binds more strongly than OR.
            ("#s = :run OR #s = :done AND attempt = :one", true),
            ("(#s = :run OR #s = :done) AND attempt = :one", false),
        ];
        for (text, expected) in cases {
            let holds = Condition::parse(text).holds(Some(&item()), &bindings());
            assert_eq!(holds, expected, "{text}");
        }
        let absent = Condition::parse("attribute_not_exists(id)");
        assert!(absent.holds(None, &bindings()));
    }

    #[test]
    fn updates_see_the_item_as_it_was() {
        let mut changed = item();
        let text = "SET attempt = attempt + :one, before = attempt, #s = :done, \
                    fresh = if_not_exists(fresh, :ten) REMOVE deep ADD counter :nine";
        Update::parse(text).apply(&mut changed, &bindings());
        let expected = json!({
            "id": {"S": "k"}, "status": {"S": "DONE"}, "attempt": {"N": "10"},
            "before": {"N": "9"}, "fresh": {"N": "10"}, "counter": {"N": "9"},
        });
        assert_eq!(serde_json::to_value(&changed).unwrap(), expected);
    }

    #[test]
    fn what_is_not_modelled_panics() {
        for text in ["size(a) > :one", "contains(a, :one)", "a = ", "a = :one :one", "a[0] = :one"]
        {
            let parsed = std::panic::catch_unwind(|| Condition::parse(text));
            assert!(parsed.is_err(), "{text} was parsed");
        }
        let parsed = std::panic::catch_unwind(|| Update::parse("DELETE a :one"));
        assert!(parsed.is_err());
    }
}
