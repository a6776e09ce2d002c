//! From a query's text to what is to be done, or to why it is refused.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sqlparser::{
    ast::{
        BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
        OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor,
        UnaryOperator, Value as Literal,
    },
    dialect::OracleDialect,
    parser::Parser,
};

use super::value::{Datum, SortKey, like};
use crate::{
    problem::Problem,
    schema::{self, Kind, RecordType, STANDARD_FIELDS},
};

/// A query that is understood.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) output: Output,
    pub(super) table: Table,
    pub(super) filter: Option<Condition>,
    pub(super) order: Vec<(Term, Way)>,
    pub(super) fetch: Option<usize>,
}

/// What is selected.
#[derive(Debug)]
pub(super) enum Output {
    /// Columns and their names in the answer.
    Columns(Vec<(String, Term)>),
    /// The number of rows, by this name.
    Count(String),
}

/// Where rows come from: record types by the name that SuiteQL has for them.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    alias: Option<String>,
    types: Vec<&'static RecordType>,
}

/// A record as a query sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'s> {
    pub(super) id: u64,
    pub(super) record_type: &'static RecordType,
    pub(super) fields: &'s Map<String, Value>,
}

/// Something that has a value on a row.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Field(String, Option<Kind>),
    /// The record type as SuiteQL names it, such as `SalesOrd`.
    TypeCode,
    Constant(Datum<'static>),
    Upper(Box<Term>),
    Lower(Box<Term>),
    Nvl(Box<Term>, Box<Term>),
}

/// Something that holds on a row, does not, or is unknown for a null's sake.
#[derive(Debug)]
pub(super) enum Condition {
    Compare(Term, BinaryOperator, Term),
    In(Term, Vec<Term>),
    Like(Term, Term),
    IsNull(Term),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Way {
    descending: bool,
}

impl Way {
    pub(super) fn key(self, datum: Datum<'_>) -> SortKey<'_> {
        SortKey { datum, descending: self.descending }
    }
}

impl Plan {
    pub(super) fn parse(text: &str, params: Vec<Value>) -> Result<Self, Problem> {
        let mut statements = Parser::parse_sql(&OracleDialect {}, text).map_err(refuse)?;
        let (Some(statement), None) = (statements.pop(), statements.pop()) else {
            return Err(refuse("a query is one statement"));
        };
        let Statement::Query(query) = statement else {
            return Err(refuse("only SELECT is understood"));
        };
        let select = match query.body.as_ref() {
            SetExpr::Select(select) => select,
            _ => return Err(refuse("only a plain SELECT is understood")),
        };
        let (table, alias) = table(select)?;
        let table = Table { alias, ..Table::named(table)? };
        nothing_else(&query)?;

        let count = params.len();
        let mut reader = Reader { table: &table, params: params.into_iter() };
        let output = reader.output(&select.projection)?;
        let filter =
            select.selection.as_ref().map(|filter| reader.condition(filter)).transpose()?;
        let order = query.order_by.as_ref().map_or(Ok(Vec::new()), |order| reader.order(order))?;
        let fetch = match query.fetch.as_ref().map(|fetch| fetch.to_string()) {
            None => None,
            Some(fetch) => Some(rows_to_fetch(&fetch)?),
        };
        if reader.params.len() > 0 {
            return Err(refuse(format!("there are {count} parameters, and fewer places for them")));
        }
        Ok(Self { output, table, filter, order, fetch })
    }

    /// Whether the order asked for is the one in which rows come anyway.
    pub(super) fn is_by_id(&self) -> bool {
        match self.order.as_slice() {
            [] => true,
            [(Term::Field(name, _), way)] => name == "id" && !way.descending,
            _ => false,
        }
    }
}

/// The one table of a query, and its alias.
fn table(select: &Select) -> Result<(&str, Option<String>), Problem> {
    let [from] = select.from.as_slice() else {
        return Err(refuse("a query selects from one table"));
    };
    match &from.relation {
        TableFactor::Table { name, alias, .. } => match name.0.as_slice() {
            [part] => {
                let ident =
                    part.as_ident().ok_or_else(|| refuse(format!("'{name}' is no table")))?;
                Ok((&ident.value, alias.as_ref().map(|alias| alias.name.value.clone())))
            }
            _ => Err(refuse(format!("'{name}' is no table"))),
        },
        other => Err(refuse(format!("'{other}' is not understood as a table"))),
    }
}

/// Refuses every clause that no other function here reads: without those that are read, a query
/// is the simplest one there is.
fn nothing_else(query: &Query) -> Result<(), Problem> {
    let mut rest = query.clone();
    rest.order_by = None;
    rest.fetch = None;
    if let SetExpr::Select(select) = rest.body.as_mut() {
        select.selection = None;
        select.projection = vec![SelectItem::UnnamedExpr(Expr::Identifier(Ident::new("x")))];
        if let Some(TableFactor::Table { name, alias, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
        {
            *name = vec![Ident::new("y")].into();
            *alias = None;
        }
    }
    let rest = rest.to_string();
    match rest.strip_prefix("SELECT x FROM y") {
        Some("") => Ok(()),
        Some(more) => Err(refuse(format!("'{}' is not understood", more.trim()))),
        None => Err(refuse(format!("a clause in '{rest}' is not understood"))),
    }
}

fn rows_to_fetch(fetch: &str) -> Result<usize, Problem> {
    fetch
        .strip_prefix("FETCH FIRST ")
        .and_then(|fetch| fetch.strip_suffix(" ROWS ONLY"))
        .and_then(|rows| rows.parse().ok())
        .ok_or_else(|| refuse(format!("'{fetch}' is not understood")))
}

impl Table {
    fn named(name: &str) -> Result<Self, Problem> {
        let types: Vec<_> = match schema::find(name) {
            Some((custom, lower)) if lower.starts_with("customrecord") => vec![custom],
            _ => schema::all()
                .filter(|known| known.table(known.name).eq_ignore_ascii_case(name))
                .collect(),
        };
        if types.is_empty() {
            return Err(refuse(format!("Record '{name}' was not found")));
        }
        Ok(Self { name: name.to_lowercase(), alias: None, types })
    }

    fn is_called(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.alias.as_deref().unwrap_or(&self.name))
    }

    fn column(&self, name: &str) -> Result<Term, Problem> {
        let lower = name.to_lowercase();
        if lower.starts_with("cust") {
            return Ok(Term::Field(lower, None));
        }
        if self.types.iter().any(|known| known.type_column() == Some(lower.as_str())) {
            return Ok(Term::TypeCode);
        }
        self.fields()
            .find(|field| field.name.eq_ignore_ascii_case(name) && field.kind != Kind::Object)
            .map(|field| Term::Field(field.name.to_owned(), Some(field.kind)))
            .ok_or_else(|| {
                refuse(format!("Field '{name}' for record '{}' was not found", self.name))
            })
    }

    fn fields(&self) -> impl Iterator<Item = &'static schema::Field> {
        STANDARD_FIELDS.iter().chain(self.types.iter().flat_map(|known| known.fields))
    }
}

/// Reads a query's parts in the order of its text, so that each `?` gets its own parameter.
struct Reader<'t> {
    table: &'t Table,
    params: std::vec::IntoIter<Value>,
}

impl Reader<'_> {
    fn output(&mut self, projection: &[SelectItem]) -> Result<Output, Problem> {
        if let [SelectItem::UnnamedExpr(expr)] = projection
            && is_count(expr)
        {
            return Ok(Output::Count("expr1".to_owned()));
        }
        if let [SelectItem::ExprWithAlias { expr, alias }] = projection
            && is_count(expr)
        {
            return Ok(Output::Count(alias.value.to_lowercase()));
        }
        let mut columns = Vec::new();
        let mut expressions = 0;
        for item in projection {
            match item {
                SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                    for field in self.table.fields().filter(|field| field.kind != Kind::Object) {
                        let name = field.name.to_lowercase();
                        // Types that share a table share fields.
                        if columns.iter().all(|(known, _)| *known != name) {
                            columns
                                .push((name, Term::Field(field.name.to_owned(), Some(field.kind))));
                        }
                    }
                }
                SelectItem::UnnamedExpr(expr) => {
                    let name = match expr {
                        Expr::Identifier(ident) => ident.value.to_lowercase(),
                        Expr::CompoundIdentifier(parts) => {
                            parts.last().map(|ident| ident.value.to_lowercase()).unwrap_or_default()
                        }
                        _ => {
                            expressions += 1;
                            format!("expr{expressions}")
                        }
                    };
                    columns.push((name, self.term(expr)?));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    columns.push((alias.value.to_lowercase(), self.term(expr)?));
                }
                other => return Err(refuse(format!("'{other}' is not understood as a column"))),
            }
        }
        Ok(Output::Columns(columns))
    }

    fn order(&mut self, order: &OrderBy) -> Result<Vec<(Term, Way)>, Problem> {
        let OrderByKind::Expressions(expressions) = &order.kind else {
            return Err(refuse("ORDER BY ALL is not understood"));
        };
        expressions
            .iter()
            .map(|by| {
                if by.with_fill.is_some() || by.options.nulls_first.is_some() {
                    return Err(refuse(format!("'{by}' is not understood")));
                }
                let descending = by.to_string().to_uppercase().ends_with(" DESC");
                Ok((self.term(&by.expr)?, Way { descending }))
            })
            .collect()
    }

    fn condition(&mut self, expr: &Expr) -> Result<Condition, Problem> {
        let not = |negated: bool, condition| match negated {
            true => Condition::Not(Box::new(condition)),
            false => condition,
        };
        Ok(match expr {
            Expr::Nested(inner) => self.condition(inner)?,
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => not(true, self.condition(expr)?),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                Condition::And(Box::new(self.condition(left)?), Box::new(self.condition(right)?))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                Condition::Or(Box::new(self.condition(left)?), Box::new(self.condition(right)?))
            }
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                Condition::Compare(self.term(left)?, op.clone(), self.term(right)?)
            }
            Expr::IsNull(term) => Condition::IsNull(self.term(term)?),
            Expr::IsNotNull(term) => not(true, Condition::IsNull(self.term(term)?)),
            Expr::InList { expr, list, negated } => {
                let term = self.term(expr)?;
                let list = list.iter().map(|item| self.term(item)).collect::<Result<_, _>>()?;
                not(*negated, Condition::In(term, list))
            }
            Expr::Between { expr, negated, low, high } => {
                let (term, low, high) = (self.term(expr)?, self.term(low)?, self.term(high)?);
                let from = Condition::Compare(term.clone(), BinaryOperator::GtEq, low);
                let to = Condition::Compare(term, BinaryOperator::LtEq, high);
                not(*negated, Condition::And(Box::new(from), Box::new(to)))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                not(*negated, Condition::Like(self.term(expr)?, self.term(pattern)?))
            }
            other => return Err(refuse(format!("'{other}' is not understood as a condition"))),
        })
    }

    fn term(&mut self, expr: &Expr) -> Result<Term, Problem> {
        match expr {
            Expr::Nested(inner) => self.term(inner),
            Expr::Identifier(ident) => self.table.column(&ident.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if self.table.is_called(&table.value) => {
                    self.table.column(&column.value)
                }
                _ => Err(refuse(format!("'{expr}' is not a column of '{}'", self.table.name))),
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match self.term(expr)? {
                Term::Constant(Datum::Number(number)) => Ok(Term::Constant(Datum::Number(-number))),
                _ => Err(refuse(format!("'-{expr}' is not a number"))),
            },
            Expr::Value(value) => self.literal(&value.value).map(Term::Constant),
            Expr::Function(function) => self.function(function),
            other => Err(refuse(format!("'{other}' is not understood as a value"))),
        }
    }

    fn literal(&mut self, literal: &Literal) -> Result<Datum<'static>, Problem> {
        match literal {
            Literal::Null => Ok(Datum::Null),
            Literal::Number(digits, _) => digits
                .parse()
                .map(Datum::Number)
                .map_err(|_| refuse(format!("'{digits}' is not a number"))),
            Literal::SingleQuotedString(text) => Ok(Datum::Text(Cow::Owned(text.clone()))),
            Literal::Placeholder(mark) if mark == "?" => {
                let param = self.params.next().ok_or_else(|| refuse("a '?' has no parameter"))?;
                Datum::of_param(param)
                    .ok_or_else(|| refuse("a parameter is neither a text nor a number"))
            }
            other => Err(refuse(format!("'{other}' is not understood as a value"))),
        }
    }

    fn function(&mut self, function: &Function) -> Result<Term, Problem> {
        let not_understood = || refuse(format!("'{function}' is not understood"));
        let FunctionArguments::List(list) = &function.args else {
            return Err(not_understood());
        };
        let mut terms = Vec::new();
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => terms.push(self.term(expr)?),
                _ => return Err(not_understood()),
            }
        }
        match (function.name.to_string().to_uppercase().as_str(), terms.as_slice()) {
            ("UPPER", [term]) => Ok(Term::Upper(Box::new(term.clone()))),
            ("LOWER", [term]) => Ok(Term::Lower(Box::new(term.clone()))),
            ("NVL", [term, instead]) => {
                Ok(Term::Nvl(Box::new(term.clone()), Box::new(instead.clone())))
            }
            (
                "TO_DATE",
                [Term::Constant(Datum::Text(day)), Term::Constant(Datum::Text(format))],
            ) if format.eq_ignore_ascii_case("YYYY-MM-DD")
                && day.parse::<jiff::civil::Date>().is_ok() =>
            {
                Ok(Term::Constant(Datum::Day(day.clone())))
            }
            _ => Err(not_understood()),
        }
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_count(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.to_string().eq_ignore_ascii_case("COUNT(*)"))
}

impl Term {
    /// Its value on a row.
    pub(super) fn on<'s>(&'s self, row: &Row<'s>) -> Datum<'s> {
        let cased = |datum: Datum<'s>, change: fn(&str) -> String| match datum {
            Datum::Text(text) => Datum::Text(Cow::Owned(change(&text))),
            other => other,
        };
        match self {
            Self::Field(name, kind) => Datum::of_field(row.fields.get(name), *kind),
            Self::TypeCode => row
                .record_type
                .type_code()
                .map_or(Datum::Null, |code| Datum::Text(Cow::Borrowed(code))),
            Self::Constant(datum) => datum.clone(),
            Self::Upper(term) => cased(term.on(row), str::to_uppercase),
            Self::Lower(term) => cased(term.on(row), str::to_lowercase),
            Self::Nvl(term, instead) => match term.on(row) {
                Datum::Null => instead.on(row),
                datum => datum,
            },
        }
    }
}

impl Condition {
    /// An internal id below which it holds on no row.
    pub(super) fn lowest_id(&self) -> u64 {
        match self {
            Self::And(left, right) => left.lowest_id().max(right.lowest_id()),
            Self::Compare(
                Term::Field(name, _),
                BinaryOperator::Gt | BinaryOperator::GtEq | BinaryOperator::Eq,
                Term::Constant(Datum::Number(number)),
            ) if name == "id" => number.floor() as u64,
            _ => 0,
        }
    }

    /// Whether it holds on a row; nothing is SQL's unknown.
    pub(super) fn holds(&self, row: &Row<'_>) -> Option<bool> {
        match self {
            Self::Compare(left, op, right) => {
                let order = left.on(row).compare(&right.on(row))?;
                Some(match op {
                    BinaryOperator::Eq => order.is_eq(),
                    BinaryOperator::NotEq => order.is_ne(),
                    BinaryOperator::Lt => order.is_lt(),
                    BinaryOperator::LtEq => order.is_le(),
                    BinaryOperator::Gt => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Self::In(term, list) => {
                let value = term.on(row);
                match value {
                    Datum::Null => None,
                    value => Some(list.iter().any(|item| {
                        value.compare(&item.on(row)).is_some_and(|order| order.is_eq())
                    })),
                }
            }
            Self::Like(term, pattern) => match (term.on(row).shown(), pattern.on(row).shown()) {
                (Some(text), Some(pattern)) => Some(like(&text, &pattern)),
                _ => None,
            },
            Self::IsNull(term) => Some(term.on(row) == Datum::Null),
            Self::Not(condition) => condition.holds(row).map(|holds| !holds),
            Self::And(left, right) => match (left.holds(row), right.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.holds(row), right.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn refuse(why: impl std::fmt::Display) -> Problem {
    Problem::invalid_parameter(
        "q",
        format!(
            "Invalid search query. Detailed unprocessed description follows. Search error occurred: {why}."
        ),
    )
}
