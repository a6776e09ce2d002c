//! What AWS's answers say of this machine's clock.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::clock::{Clock, SharedCorrection};

/// Tells a [`SharedCorrection`] the `Date` of every answer of an SDK client, whichever service's:
/// `config.interceptor(DateListener::new(correction, clock))`. It costs no request.
#[derive(Clone)]
pub struct DateListener {
    correction: SharedCorrection,
    clock: Arc<dyn Clock>,
}

impl DateListener {
    /// One that tells `correction`, by the clock that the limiter reads too.
    #[must_use]
    pub fn new(correction: SharedCorrection, clock: Arc<dyn Clock>) -> Self {
        Self { correction, clock }
    }
}

impl std::fmt::Debug for DateListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DateListener")
    }
}

/// When this attempt was sent.
#[derive(Debug)]
struct SentAt(SystemTime);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for DateListener {
    fn name(&self) -> &'static str {
        "DateListener"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        state.interceptor_state().store_put(SentAt(self.clock.now()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        if let (Some(date), Some(sent)) = (date, state.load::<SentAt>()) {
            self.correction.learns(sent.0, self.clock.now(), date);
        }
        Ok(())
    }
}
