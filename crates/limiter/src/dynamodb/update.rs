//! The expressions of an `UpdateItem`.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{self, name};
use crate::core::control::Control;
use crate::core::form::{Form, QuotaForm, RateForm, offset};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Reserve};
use crate::core::register::Entry;
use crate::moment::{Moment, micros};
use crate::names::SlotId;

/// A meter that nobody asks is tidied away a day after it has no meaning any more. A clock that is
/// wrong by less than that loses nothing.
const KEPT_SECS: u64 = 24 * 60 * 60;

/// Assignments and conditions, with a `#name` and a `:value` for all that they use: DynamoDB
/// refuses a request that defines one it does not use.
#[derive(Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    /// [`Form::permitted`] and [`Form::apply`] in DynamoDB's words.
    pub(super) fn reserve(form: &Form, reserve: &Reserve, ttl_attribute: &str) -> Self {
        let mut update = Self::default();
        for rate in 0..reserve.rates.len() {
            update.rate(form, reserve, rate);
        }
        for (quota, form) in form.quotas.iter().enumerate() {
            update.quota(*form, reserve, quota);
        }
        if !reserve.overdraw {
            update.latest(form, reserve);
        }
        let ttl = update.name(ttl_attribute);
        let expires = update.value(reserve.means_until().as_micros() / 1_000_000 + KEPT_SECS);
        update.set.push(format!("{ttl} = {expires}"));
        update
    }

    fn rate(&mut self, form: &Form, reserve: &Reserve, rate: usize) {
        let due = self.name(item::due(rate));
        let now = self.value(reserve.now.as_micros());
        match form.rates {
            RateForm::Idle => {
                let next = self.value(reserve.now.plus_micros(offset(reserve, rate)).as_micros());
                self.conditions.push(format!("(attribute_not_exists({due}) OR {due} <= {now})"));
                self.set.push(format!("{due} = {next}"));
            }
            RateForm::Busy(lead) => {
                let leading = self.name(item::due(lead));
                let further = self.value(offset(reserve, rate));
                let latest = self.value(form.latest(reserve).as_micros());
                self.conditions.push(match rate == lead {
                    true => format!("{due} > {now} AND {due} <= {latest}"),
                    false => format!("(attribute_not_exists({due}) OR {due} <= {leading})"),
                });
                self.set.push(format!("{due} = {leading} + {further}"));
            }
        }
    }

    /// The moment of the last of the calls that are granted.
    fn latest(&mut self, form: &Form, reserve: &Reserve) {
        let latest = self.name(name::LATEST);
        let (to_last, burst) = (reserve.to_last(), micros(reserve.burst()));
        let set = match form.rates {
            RateForm::Idle => {
                let at = reserve.now.plus_micros(to_last).minus(reserve.burst());
                format!("{latest} = {}", self.value(at.as_micros()))
            }
            RateForm::Busy(lead) => {
                let leading = self.name(item::due(lead));
                let sign = if to_last >= burst { '+' } else { '-' };
                format!("{latest} = {leading} {sign} {}", self.value(to_last.abs_diff(burst)))
            }
        };
        self.set.push(set);
    }

    fn quota(&mut self, form: QuotaForm, reserve: &Reserve, quota: usize) {
        let Some(term) = reserve.quotas.get(quota) else { return };
        let (spent, resets) = (self.name(item::spent(quota)), self.name(item::resets(quota)));
        let now = self.value(reserve.now.as_micros());
        let units = self.value(term.units.saturating_mul(reserve.calls.max(1).into()));
        match form {
            QuotaForm::Running => {
                let room = self.value(Form::room(reserve, term).unwrap_or(0));
                self.conditions.push(format!("{resets} > {now} AND {spent} <= {room}"));
                self.set.push(format!("{spent} = {spent} + {units}"));
            }
            QuotaForm::Over => {
                let at = self.value(term.resets_at.as_micros());
                let over = format!("(attribute_not_exists({resets}) OR {resets} <= {now})");
                self.conditions.push(over);
                self.set.push(format!("{spent} = {units}"));
                self.set.push(format!("{resets} = {at}"));
            }
        }
    }

    /// `None` if there is nothing to give back.
    pub(super) fn refund(refund: &Refund) -> Option<Self> {
        let mut update = Self::default();
        for (rate, back) in refund.rates.iter().enumerate().filter(|(_, back)| !back.is_zero()) {
            let (due, back) = (update.name(item::due(rate)), update.value(micros(*back)));
            update.conditions.push(format!("{due} >= {back}"));
            update.set.push(format!("{due} = {due} - {back}"));
        }
        for (quota, back) in refund.quotas.iter().enumerate().filter(|(_, back)| back.units > 0) {
            let spent = update.name(item::spent(quota));
            let resets = update.name(item::resets(quota));
            let (units, at) = (update.value(back.units), update.value(back.resets_at.as_micros()));
            update.conditions.push(format!("{resets} = {at} AND {spent} >= {units}"));
            update.set.push(format!("{spent} = {spent} - {units}"));
        }
        (!update.set.is_empty()).then_some(update)
    }

    /// `None` if the two are the same.
    pub(super) fn undo(before: &Meter, after: &Meter) -> Option<Self> {
        let mut update = Self::default();
        for (rate, now) in after.due.iter().enumerate() {
            let was = before.due.get(rate).map(|due| due.as_micros());
            update.put_back(item::due(rate), now.as_micros(), was);
        }
        for (quota, now) in after.spent.iter().enumerate() {
            let was = before.spent.get(quota);
            let resets_at = was.map(|spent| spent.resets_at.as_micros());
            update.put_back(item::spent(quota), now.units, was.map(|spent| spent.units));
            update.put_back(item::resets(quota), now.resets_at.as_micros(), resets_at);
        }
        if after.latest != before.latest {
            let was = Some(before.latest.as_micros()).filter(|was| *was > 0);
            update.put_back(name::LATEST.to_owned(), after.latest.as_micros(), was);
        }
        (before != after).then_some(update)
    }

    fn put_back(&mut self, attribute: String, now: u64, was: Option<u64>) {
        let (attribute, now) = (self.name(attribute), self.value(now));
        self.conditions.push(format!("{attribute} = {now}"));
        match was {
            Some(was) => {
                let was = self.value(was);
                self.set.push(format!("{attribute} = {was}"));
            }
            None => self.remove.push(attribute),
        }
    }

    pub(super) fn control(control: &Control) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(control)?;
        Ok(Self::versioned(name::CONTROL, text, control.version))
    }

    pub(super) fn ledger(ledger: &Ledger, ttl_attribute: &str) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(ledger)?;
        let mut update = Self::versioned(name::LEDGER, text, ledger.version);
        let ttl = update.name(ttl_attribute);
        let expires = update.value(ledger.kept_until.as_micros() / 1_000_000 + KEPT_SECS);
        update.set.push(format!("{ttl} = {expires}"));
        Ok(update)
    }

    /// Replaces what is stored under the version before.
    fn versioned(attribute: &str, text: String, number: u64) -> Self {
        let mut update = Self::default();
        let version = update.name(name::VERSION);
        let stored = update.name(attribute);
        let next = update.value(number);
        update.values.insert(":stored".to_owned(), AttributeValue::S(text));
        let condition = match number.saturating_sub(1) {
            0 => format!("attribute_not_exists({version})"),
            before => format!("{version} = {}", update.value(before)),
        };
        update.conditions.push(condition);
        update.set.push(format!("{version} = {next}"));
        update.set.push(format!("{stored} = :stored"));
        update
    }

    pub(super) fn enter(slot: &SlotId, entry: Entry) -> Self {
        let mut update = Self::default();
        let number = |moment: Moment| AttributeValue::N(moment.as_micros().to_string());
        let stored = HashMap::from([
            (name::ENTERED_AT.to_owned(), number(entry.entered_at)),
            (name::LEASE_UNTIL.to_owned(), number(entry.lease_until)),
        ]);
        update.values.insert(":entry".to_owned(), AttributeValue::M(stored));
        let attribute = update.name(format!("{}{slot}", name::SLOT));
        update.set.push(format!("{attribute} = :entry"));
        update
    }

    pub(super) fn leave(slot: &SlotId, if_lapsed_before: Option<Moment>) -> Self {
        let mut update = Self::default();
        let attribute = update.name(format!("{}{slot}", name::SLOT));
        if let Some(before) = if_lapsed_before {
            let (lease, before) =
                (update.name(name::LEASE_UNTIL), update.value(before.as_micros()));
            update.conditions.push(format!("{attribute}.{lease} < {before}"));
        }
        update.remove.push(attribute);
        update
    }

    /// The placeholder of an attribute, the same each time.
    fn name(&mut self, attribute: impl Into<String>) -> String {
        let attribute = attribute.into();
        let known = self.names.iter().find(|(_, name)| **name == attribute);
        if let Some((placeholder, _)) = known {
            return placeholder.clone();
        }
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), attribute);
        placeholder
    }

    /// The placeholder of a number, the same each time.
    fn value(&mut self, number: u64) -> String {
        let placeholder = format!(":v{number}");
        self.values.insert(placeholder.clone(), AttributeValue::N(number.to_string()));
        placeholder
    }

    pub(super) fn into_request(self, request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let clause = |word: &str, members: &[String]| match members {
            [] => String::new(),
            members => format!("{word} {} ", members.join(", ")),
        };
        let expression = clause("SET", &self.set) + &clause("REMOVE", &self.remove);
        let condition = (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "));
        request
            .update_expression(expression.trim_end())
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values((!self.values.is_empty()).then_some(self.values))
    }
}
