//! The orders of a run and the pace at which they are started.
//!
//! # The format of an order
//! A JSON object, one a line in a file; it is also the input of the `sales-order-sync` state
//! machine:
//!
//! ```json
//! {"order_id": "web-1001", "customer_id": "118", "priority": "HIGH", "lines": [{"item_id": "501", "quantity": 2, "rate": 19.9}], "memo": "gift"}
//! ```
//!
//! | Field | |
//! |---|---|
//! | `order_id` | becomes the record's external id: 1 to 80 letters, digits, `_` and `-`, once a file |
//! | `customer_id` | the customer's internal id, a text |
//! | `priority` | `HIGH`, `NORMAL` (or `MEDIUM`) or `BATCH`, in any case |
//! | `lines` | at least one `{"item_id": text, "quantity": number, "rate": number}` |
//! | `memo` | a text; may be left out |
//!
//! A field that is none of these is an error, so that a misspelt one is not ignored.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slowlane_message::Priority;

/// The longest name that Step Functions takes for an execution, which is named after its order.
const MAX_ORDER_ID: usize = 80;

/// Orders, and the pace of the urgent ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// All but the HIGH ones are started in this order, as fast as they are taken; beside them a
    /// HIGH one every [`Workload::high_every`].
    pub orders: Vec<Order>,
    /// The time between two HIGH orders.
    pub high_every: Duration,
}

/// A sales order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// The external id of the record it becomes.
    pub order_id: String,
    /// The customer's internal id.
    pub customer_id: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The item's internal id.
    pub item_id: String,
    /// How many.
    pub quantity: serde_json::Number,
    /// The price of one.
    pub rate: serde_json::Number,
}

/// A line that is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {reason}")]
pub struct BadLine {
    /// Counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Workload {
    /// Orders that the project makes itself, always the same for the same numbers.
    #[must_use]
    pub fn made_up(batch: usize, normal: usize, high: usize, high_every: Duration) -> Self {
        let lanes = [(Priority::Batch, batch), (Priority::Normal, normal), (Priority::High, high)];
        let mut orders: Vec<_> = lanes
            .into_iter()
            .flat_map(|(priority, number)| (1..=number).map(move |index| (priority, index, number)))
            .collect();
        // Each priority comes from the beginning to the end, and not all of one before the next.
        orders.sort_by(|(_, index, number), (_, other, others)| {
            (index * others).cmp(&(other * number))
        });
        let orders = orders.into_iter().map(|(priority, index, _)| Order::made_up(priority, index));
        Self { orders: orders.collect(), high_every }
    }

    /// Reads orders, one a line, and the lines that are none. Empty lines are passed over.
    ///
    /// # Errors
    /// When the input cannot be read at all.
    pub fn read(input: impl BufRead, high_every: Duration) -> io::Result<(Self, Vec<BadLine>)> {
        let mut orders = Vec::new();
        let mut bad_lines = Vec::new();
        let mut line_of_id: HashMap<String, usize> = HashMap::new();
        for (index, line) in input.split(b'\n').enumerate() {
            let (line, number) = (line?, index + 1);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let order = Order::parse(&line).and_then(|order| {
                match line_of_id.insert(order.order_id.clone(), number) {
                    None => Ok(order),
                    Some(first) => {
                        Err(format!("order_id {:?} is already on line {first}", order.order_id))
                    }
                }
            });
            match order {
                Ok(order) => orders.push(order),
                Err(reason) => bad_lines.push(BadLine { number, reason }),
            }
        }
        Ok((Self { orders, high_every }, bad_lines))
    }

    /// How many orders have this priority.
    #[must_use]
    pub fn count(&self, priority: Priority) -> usize {
        self.orders.iter().filter(|order| order.priority == priority).count()
    }
}

impl Order {
    fn made_up(priority: Priority, index: usize) -> Self {
        let line = |item: usize| Line {
            item_id: (500 + (index + item) % 40).to_string(),
            quantity: (1 + (index + item) % 5).into(),
            rate: (10 + (index * 7 + item) % 90).into(),
        };
        Self {
            order_id: format!("demo-{}-{index:04}", priority.as_str().to_lowercase()),
            customer_id: (100 + index % 25).to_string(),
            priority,
            lines: (0..=index % 3).map(line).collect(),
            memo: None,
        }
    }

    fn parse(line: &[u8]) -> Result<Self, String> {
        /// An order as it stands in a file, its priority not yet read.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            order_id: String,
            customer_id: String,
            priority: String,
            lines: Vec<Line>,
            memo: Option<String>,
        }
        let Written { order_id, customer_id, priority, lines, memo } =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if order_id.is_empty() || order_id.len() > MAX_ORDER_ID || !order_id.chars().all(is_plain) {
            return Err(format!(
                "order_id {order_id:?} is not 1 to {MAX_ORDER_ID} letters, digits, '_' and '-'"
            ));
        }
        let priority = priority.parse().map_err(|_| {
            format!("priority {priority:?} is not HIGH, NORMAL (or MEDIUM) or BATCH")
        })?;
        if lines.is_empty() {
            return Err("the order has no lines".to_owned());
        }
        Ok(Self { order_id, customer_id, priority, lines, memo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"order_id":"o-1","customer_id":"7","priority":"medium","lines":[{"item_id":"5","quantity":2,"rate":9.90}]}"#;

    fn read(text: &str) -> (Vec<Order>, Vec<String>) {
        let (workload, bad) = Workload::read(text.as_bytes(), Duration::ZERO).unwrap();
        (workload.orders, bad.iter().map(BadLine::to_string).collect())
    }

    #[test]
    fn a_bad_line_is_told_by_number_and_the_others_are_orders() {
        let text = format!(
            "{GOOD}\n\n{{\"order_id\":\n{}\n{}\n{}\n{}\n{GOOD}\r\n\u{fffd}\n{}",
            GOOD.replace("o-1", "o 2"),
            GOOD.replace("medium", "urgent"),
            GOOD.replace(r#"[{"item_id":"5","quantity":2,"rate":9.90}]"#, "[]"),
            GOOD.replace("customer_id", "costumer_id"),
            GOOD.replace("o-1", "o-9").replace("medium", "HIGH"),
        );
        let (orders, bad) = read(&text);
        let ids: Vec<_> =
            orders.iter().map(|order| (order.order_id.as_str(), order.priority)).collect();
        assert_eq!(ids, [("o-1", Priority::Normal), ("o-9", Priority::High)]);
        let expected = [
            "line 3: EOF while parsing",
            "line 4: order_id \"o 2\" is not 1 to 80 letters",
            "line 5: priority \"urgent\" is not HIGH, NORMAL",
            "line 6: the order has no lines",
            "line 7: unknown field `costumer_id`",
            "line 8: order_id \"o-1\" is already on line 1",
            "line 9: expected value",
        ];
        assert_eq!(bad.len(), expected.len(), "{bad:#?}");
        for (bad, expected) in bad.iter().zip(expected) {
            assert!(bad.starts_with(expected), "{bad} should begin: {expected}");
        }
    }

    #[test]
    fn an_order_goes_to_the_state_machine_as_it_was_read() {
        let (orders, _) = read(GOOD);
        assert_eq!(
            serde_json::to_value(&orders[0]).unwrap(),
            serde_json::json!({
                "order_id": "o-1", "customer_id": "7", "priority": "NORMAL",
                "lines": [{"item_id": "5", "quantity": 2, "rate": 9.9}],
            })
        );
    }

    #[test]
    fn made_up_orders_are_valid_different_and_always_the_same() {
        let workload = Workload::made_up(240, 60, 30, Duration::from_millis(400));
        assert_eq!(workload, Workload::made_up(240, 60, 30, Duration::from_millis(400)));
        assert_eq!(Priority::ALL.map(|priority| workload.count(priority)), [30, 60, 240]);
        let text: Vec<_> =
            workload.orders.iter().map(|order| serde_json::to_string(order).unwrap()).collect();
        let (orders, bad) = read(&text.join("\n"));
        assert_eq!((orders, bad), (workload.orders, Vec::<String>::new()));
    }
}
