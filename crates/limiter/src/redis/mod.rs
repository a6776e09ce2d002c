//! Limits in Redis or Valkey, where a team has one: each step is a script, which runs atomically.

use std::collections::HashMap;

use redis::aio::ConnectionLike;
use redis::{AsyncCommands as _, RedisError, Script, ScriptInvocation};

use crate::core::control::{Control, Record};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Refusal, Reservation, Reserve, Spent};
use crate::core::register::{Entry, Register};
use crate::moment::{Moment, micros};
use crate::names::{LimitKey, SlotId};
use crate::store::{Error, Store};

/// A meter that nobody asks is tidied away a day after it has no meaning any more.
const KEPT_SECS: u64 = 24 * 60 * 60;

/// The greatest number that a script can hold exactly, less what it adds.
const MOST: u64 = 1 << 52;

/// The field of a slot's entry begins with this.
const SLOT: &str = "slot:";

/// Limits in Redis (from 4.0 on) or Valkey, on one connection or one that reconnects
/// (`redis::aio::ConnectionManager`, a feature of that crate).
///
/// Each operation is one request, in a cluster too: both keys of a limit have its name as their
/// hash tag. A server that loses its data forgets what was granted, and so does not keep the limit
/// for a moment. A replica that takes over may have forgotten the last moments.
#[derive(Clone)]
pub struct RedisStore<C> {
    connection: C,
    prefix: String,
}

impl<C> std::fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl<C> RedisStore<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    /// A store whose keys begin with `limiter:`.
    #[must_use]
    pub fn new(connection: C) -> Self {
        Self { connection, prefix: "limiter:".to_owned() }
    }

    /// Another beginning of all keys.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn key(&self, kind: &str, limit: &LimitKey) -> String {
        format!("{}{{{limit}}}:{kind}", self.prefix)
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        invocation.invoke_async(&mut self.connection.clone()).await.map_err(failed)
    }

    async fn fields(&self, kind: &str, limit: &LimitKey) -> Result<HashMap<String, String>, Error> {
        let key = self.key(kind, limit);
        self.connection.clone().hgetall(key).await.map_err(failed)
    }
}

fn failed(error: RedisError) -> Error {
    Error::Failed(Box::new(error))
}

impl<C> Store for RedisStore<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, Error> {
        let script = Script::new(include_str!("reserve.lua"));
        let mut call = script.prepare_invoke();
        let seconds = reserve.means_until().as_micros() / 1_000_000;
        call.key(self.key("meter", limit))
            .arg(reserve.now.as_micros())
            .arg(micros(reserve.horizon).min(MOST))
            .arg(reserve.calls.max(1))
            .arg(micros(reserve.burst()).min(MOST))
            .arg(u8::from(reserve.overdraw))
            .arg(seconds.saturating_add(KEPT_SECS).min(MOST))
            .arg(reserve.rates.len());
        for term in &reserve.rates {
            call.arg(micros(term.cost).min(MOST));
        }
        call.arg(reserve.quotas.len());
        for term in &reserve.quotas {
            let resets_at = term.resets_at.as_micros().min(MOST);
            call.arg(term.units.min(MOST)).arg(term.limit.min(MOST)).arg(resets_at);
        }
        let (granted, before): (bool, Vec<String>) = self.run(&call).await?;
        let before = meter_before(limit, reserve, &before)?;
        let reserved = before.reserve(reserve);
        if reserved.is_ok() != granted {
            let problem = format!("the script said {granted}, the rule says {reserved:?}");
            return Err(Error::Unreadable { what: format!("meter of {limit}"), problem });
        }
        Ok(reserved)
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), Error> {
        let script = Script::new(include_str!("refund.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key("meter", limit)).arg(refund.rates.len());
        for back in &refund.rates {
            call.arg(micros(*back).min(MOST));
        }
        call.arg(refund.quotas.len());
        for back in &refund.quotas {
            call.arg(back.units.min(MOST)).arg(back.resets_at.as_micros());
        }
        self.run::<u8>(&call).await.map(drop)
    }

    async fn undo(&self, limit: &LimitKey, before: &Meter, after: &Meter) -> Result<bool, Error> {
        let script = Script::new(include_str!("undo.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key("meter", limit));
        let text = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        for (rate, due) in after.due.iter().enumerate() {
            let was = before.due.get(rate).map(|due| due.as_micros());
            call.arg(format!("due{rate}")).arg(due.as_micros()).arg(text(was));
        }
        for (quota, spent) in after.spent.iter().enumerate() {
            let was = before.spent.get(quota);
            let resets = was.map(|spent| spent.resets_at.as_micros());
            let units = text(was.map(|spent| spent.units));
            call.arg(format!("spent{quota}")).arg(spent.units).arg(units);
            let now = spent.resets_at.as_micros();
            call.arg(format!("resets{quota}")).arg(now).arg(text(resets));
        }
        if after.latest != before.latest {
            let was = Some(before.latest.as_micros()).filter(|was| *was > 0);
            call.arg("latest").arg(after.latest.as_micros()).arg(text(was));
        }
        self.run(&call).await
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, Error> {
        let fields = self.fields("ledger", limit).await?;
        let Some(text) = fields.get("ledger") else { return Ok(Ledger::default()) };
        serde_json::from_str(text).map_err(|error| Error::Unreadable {
            what: format!("ledger of {limit}"),
            problem: error.to_string(),
        })
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, Error> {
        let text = serde_json::to_string(ledger).map_err(|error| Error::Failed(error.into()))?;
        let script = Script::new(include_str!("ledger.lua"));
        let mut call = script.prepare_invoke();
        let seconds = ledger.kept_until.as_micros() / 1_000_000;
        call.key(self.key("ledger", limit));
        call.arg(ledger.version.saturating_sub(1)).arg(ledger.version).arg(text);
        call.arg(seconds.saturating_add(KEPT_SECS).min(MOST));
        self.run(&call).await
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, Error> {
        let fields = self.fields("meter", limit).await?;
        let number = |field: String| number(limit, &field, fields.get(&field).map(String::as_str));
        let mut meter = Meter::default();
        while let Some(due) = number(format!("due{}", meter.due.len()))? {
            meter.due.push(Moment(due));
        }
        while let Some(units) = number(format!("spent{}", meter.spent.len()))? {
            let resets_at = number(format!("resets{}", meter.spent.len()))?.unwrap_or(0);
            meter.spent.push(Spent { units, resets_at: Moment(resets_at) });
        }
        meter.latest = Moment(number("latest".to_owned())?.unwrap_or(0));
        Ok(meter)
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, Error> {
        record(limit, self.fields("control", limit).await?)
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, Error> {
        let text = serde_json::to_string(control).map_err(|error| Error::Failed(error.into()))?;
        let script = Script::new(include_str!("control.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key("control", limit));
        call.arg(control.version.saturating_sub(1)).arg(control.version).arg(text);
        self.run(&call).await
    }

    async fn enter(&self, limit: &LimitKey, slot: &SlotId, entry: Entry) -> Result<Record, Error> {
        let script = Script::new(include_str!("enter.lua"));
        let mut call = script.prepare_invoke();
        let (entered, lease) = (entry.entered_at.as_micros(), entry.lease_until.as_micros());
        call.key(self.key("control", limit));
        call.arg(format!("{SLOT}{slot}")).arg(format!("{entered}:{lease}"));
        record(limit, self.run(&call).await?)
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), Error> {
        let script = Script::new(include_str!("leave.lua"));
        let mut call = script.prepare_invoke();
        let before = if_lapsed_before.map_or_else(String::new, |at| at.as_micros().to_string());
        call.key(self.key("control", limit)).arg(format!("{SLOT}{slot}")).arg(before);
        self.run::<u8>(&call).await.map(drop)
    }
}

/// What the script found: the due moments, two numbers for each quota, and the latest moment; empty
/// where there was none.
fn meter_before(limit: &LimitKey, reserve: &Reserve, found: &[String]) -> Result<Meter, Error> {
    let found = found.iter().map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
    let found = found.map(|text| number(limit, "before", text));
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    let (latest, found) = found.split_last().map_or((None, &[][..]), |(last, rest)| (*last, rest));
    let (due, spent) = found.split_at(reserve.rates.len().min(found.len()));
    // A meter that has less is one that was never asked for so much.
    let due = due.iter().map_while(|due| due.map(Moment)).collect();
    let spent = spent.chunks(2).map_while(|pair| {
        let (units, resets_at) = (pair.first()?.as_ref()?, pair.get(1)?.as_ref()?);
        Some(Spent { units: *units, resets_at: Moment(*resets_at) })
    });
    Ok(Meter { due, spent: spent.collect(), latest: Moment(latest.unwrap_or(0)) })
}

fn record(limit: &LimitKey, fields: HashMap<String, String>) -> Result<Record, Error> {
    let unreadable =
        |problem: String| Error::Unreadable { what: format!("record of {limit}"), problem };
    let mut record = Record::default();
    if let Some(text) = fields.get("control") {
        record.control = serde_json::from_str(text).map_err(|e| unreadable(e.to_string()))?;
    }
    let mut register = Register::default();
    for (field, text) in &fields {
        let Some(id) = field.strip_prefix(SLOT) else { continue };
        let times = text
            .split_once(':')
            .and_then(|(entered, lease)| Some((entered.parse().ok()?, lease.parse().ok()?)));
        let (Ok(slot), Some((entered, lease))) = (SlotId::new(id), times) else {
            return Err(unreadable(format!("{field:?} is {text:?}")));
        };
        let entry = Entry { entered_at: Moment(entered), lease_until: Moment(lease) };
        register.slots.insert(slot, entry);
    }
    Ok(Record { register, ..record })
}

fn number(limit: &LimitKey, field: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    let read = text.map(|text| {
        text.parse().map_err(|_| Error::Unreadable {
            what: format!("meter of {limit}"),
            problem: format!("{field:?} is {text:?}"),
        })
    });
    read.transpose()
}
