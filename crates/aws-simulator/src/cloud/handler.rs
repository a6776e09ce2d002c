//! A function's code as Lambda's Rust runtime has it: a handler of typed events.

use std::fmt::Display;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

use aws_config::SdkConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lambda::{FunctionId, FunctionSettings};
use super::{Cloud, Context, Environment, Functions, Input};

impl Functions {
    /// Creates a function whose environments are made as a Lambda's `main` makes them: `main` gets
    /// the SDK's configuration and returns the handler.
    ///
    /// A batch of messages comes as the event that an event source mapping sends, anything else as
    /// the payload. An error's text is what the caller sees of it.
    pub fn lambda<E, A, X, H>(
        &self,
        settings: FunctionSettings,
        main: impl Fn(SdkConfig) -> H + 'static,
    ) -> FunctionId
    where
        E: DeserializeOwned + 'static,
        A: Serialize + 'static,
        X: Display + 'static,
        H: AsyncFn(E, Context) -> Result<A, X> + 'static,
    {
        let cloud = self.cloud().clone();
        let boot = move |sdk: SdkConfig, _: u64| {
            let (cloud, handle) = (cloud.clone(), main(sdk));
            Rc::new(Handler { cloud, handle, event: PhantomData }) as Rc<dyn Environment>
        };
        self.create(settings, Rc::new(boot))
    }
}

struct Handler<H, E> {
    cloud: Cloud,
    handle: H,
    event: PhantomData<E>,
}

impl<E, A, X, H> Environment for Handler<H, E>
where
    E: DeserializeOwned + 'static,
    A: Serialize + 'static,
    X: Display + 'static,
    H: AsyncFn(E, Context) -> Result<A, X> + 'static,
{
    fn handle(
        self: Rc<Self>,
        input: Input,
        context: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async move {
            let event = match input {
                Input::Batch(queue, messages) => {
                    serde_json::to_value(self.cloud.sqs_event(queue, &messages))
                }
                Input::Payload(payload) => Ok(payload),
            };
            let event = event.and_then(serde_json::from_value).map_err(|e| e.to_string())?;
            let answer = (self.handle)(event, context).await.map_err(|error| error.to_string())?;
            serde_json::to_value(answer).map_err(|error| error.to_string())
        })
    }
}
