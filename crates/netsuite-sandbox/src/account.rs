//! An account: its records and jobs, and the services over them.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;
use slowlane_sandbox::{Effect, LateEffect};

use crate::{
    Request, Response, Seed, catalog,
    jobs::{self, Jobs},
    problem::{Problem, json_response},
    records::{Done, Store, timestamp},
    restlet,
    route::{self, Service},
    suiteql,
};

/// What an account holds.
#[derive(Debug)]
pub(crate) struct Account {
    store: Store,
    jobs: Jobs,
    limit: u32,
}

/// What a call knows of the account from its start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The version of the record that it changes.
    version: Option<u64>,
    /// How long its job takes, if it is asynchronous.
    job_takes: Duration,
}

impl Account {
    pub(crate) fn new(limit: u32) -> Self {
        Self { store: Store::new(), jobs: Jobs::default(), limit }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.store.counts()
    }

    pub(crate) fn attachments(&self) -> Vec<String> {
        self.store.attachments()
    }

    pub(crate) fn seed(&mut self, seed: &Seed, now: Duration) -> Result<(), String> {
        self.store.seed(seed, now)
    }

    /// What is to be remembered of the account until a call ends.
    pub(crate) fn start(&self, request: &Request, job_takes: Duration) -> Start {
        Start { version: self.store.version(request), job_takes }
    }

    /// Executes the jobs whose time has come.
    pub(crate) fn advance(&mut self, now: Duration) -> Vec<LateEffect> {
        let mut effects = Vec::new();
        while let Some(due) = self.jobs.next_due(now) {
            let (answer, effect) = self
                .store
                .execute(&due.request, due.at)
                .unwrap_or_else(|problem| (problem.answer_to(&due.request), Effect::default()));
            self.jobs.settle(&due, answer);
            effects.push(LateEffect { key: due.key, effect });
        }
        effects
    }

    /// Does what a call asks for.
    pub(crate) fn execute(
        &mut self,
        request: &Request,
        start: Start,
        now: Duration,
    ) -> (Response, Effect) {
        self.serve(request, start, now)
            .unwrap_or_else(|problem| (problem.answer_to(request), Effect::default()))
    }

    fn serve(&mut self, request: &Request, start: Start, now: Duration) -> Done {
        let only = |response| Ok((response, Effect::default()));
        match Service::of(request) {
            Service::Records if catalog::is_asked(request) => only(catalog::answer(request)?),
            Service::Records if route::is_async(request) => {
                only(self.jobs.submit(request, start.job_takes, now)?)
            }
            Service::Records if jobs::is_batch(request) => Err(Problem::invalid_header(
                "Prefer",
                "A batch needs the header 'Prefer: respond-async'.",
            )),
            Service::Records => {
                if start.version != self.store.version(request) {
                    return Err(Problem::record_changed());
                }
                self.store.execute(request, now)
            }
            Service::SuiteQl => only(suiteql::answer(&self.store, request)?),
            Service::Jobs => only(self.jobs.answer(request, now)?),
            Service::Restlets => restlet::answer(&mut self.store, request, now),
            Service::ServerTime => only(system(request, &json!({"serverTime": timestamp(now)}))?),
            Service::Governance => {
                let limits = json!({
                    "type": "accountLimit",
                    "accountConcurrencyLimit": self.limit,
                    "accountUnallocatedConcurrencyLimit": self.limit,
                });
                only(system(request, &limits)?)
            }
            Service::Token | Service::Unknown => Err(Problem::not_found(request.uri().path())),
        }
    }
}

fn system(request: &Request, body: &serde_json::Value) -> Result<Response, Problem> {
    match *request.method() {
        Method::GET => Ok(json_response(StatusCode::OK, body)),
        _ => Err(Problem::method_not_allowed()),
    }
}
