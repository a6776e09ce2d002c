//! The part of SOQL that a test needs: fields of one type, with conditions of equality.

use serde_json::{Value, json};
use sqlparser::{
    ast::{BinaryOperator, Expr, SelectItem, SetExpr, Statement, TableFactor, Value as Literal},
    dialect::GenericDialect,
    parser::Parser,
};

use crate::records::reads;

/// `SELECT Id, Name FROM Account WHERE Name = 'Acme' AND City__c = 'Ulm'`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) fields: Vec<String>,
    pub(super) record_type: String,
    conditions: Vec<(String, String)>,
}

impl Query {
    /// Reads a query; the error says what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let statements = Parser::parse_sql(&GenericDialect {}, text).map_err(|e| e.to_string())?;
        let [Statement::Query(query)] = &statements[..] else {
            return Err("expecting one SELECT".to_owned());
        };
        let SetExpr::Select(select) = query.body.as_ref() else {
            return Err("expecting a SELECT".to_owned());
        };
        let fields = select.projection.iter().map(|item| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Ok(name.value.clone()),
            other => Err(format!("unexpected field: {other}")),
        });
        let [from] = &select.from[..] else { return Err("expecting one type".to_owned()) };
        let TableFactor::Table { name, .. } = &from.relation else {
            return Err(format!("unexpected type: {from}"));
        };
        let mut conditions = Vec::new();
        if let Some(selection) = &select.selection {
            read_conditions(selection, &mut conditions)?;
        }
        let fields = fields.collect::<Result<_, _>>()?;
        Ok(Self { fields, record_type: name.to_string(), conditions })
    }

    pub(super) fn holds_for(&self, record: &Value) -> bool {
        self.conditions.iter().all(|(field, wanted)| reads(&record[field], wanted))
    }

    /// The fields that were asked for, after the attributes that every record has.
    pub(super) fn fields_of(&self, record: &Value, url: &str) -> Value {
        let attributes = json!({ "type": self.record_type, "url": url });
        let mut row = json!({ "attributes": attributes });
        for field in &self.fields {
            row[field] = record[field].clone();
        }
        row
    }
}

fn read_conditions(
    expression: &Expr,
    conditions: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let unexpected = || Err(format!("unexpected condition: {expression}"));
    let Expr::BinaryOp { left, op, right } = expression else { return unexpected() };
    if *op == BinaryOperator::And {
        read_conditions(left, conditions)?;
        return read_conditions(right, conditions);
    }
    let (Expr::Identifier(field), BinaryOperator::Eq, Expr::Value(value)) =
        (left.as_ref(), op, right.as_ref())
    else {
        return unexpected();
    };
    let wanted = match &value.value {
        Literal::SingleQuotedString(text) => text.clone(),
        Literal::Number(number, _) => number.clone(),
        Literal::Boolean(truth) => truth.to_string(),
        _ => return unexpected(),
    };
    conditions.push((field.value.clone(), wanted));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_named_malformed() {
        let query = Query::parse("SELECT Id, Name FROM Account WHERE Name = 'A' AND N__c = 2");
        let query = query.unwrap();
        assert_eq!((&*query.record_type, query.fields.len()), ("Account", 2));
        assert!(query.holds_for(&json!({"Name": "A", "N__c": 2})));
        assert!(!query.holds_for(&json!({"Name": "B", "N__c": 2})));
        for wrong in ["SELEC Id FROM Account", "SELECT Id FROM Account WHERE Name LIKE 'A%'", ""] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
