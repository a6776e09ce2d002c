//! A vendor's API: its dialect around its service.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use slowlane_sandbox::{Api, Effect, Measure, Refusal, Remaining, Subject};

use crate::{
    Dialect, Request, Response,
    answer::{Gap, Gaps, json},
    asked::Asked,
    dialect::{Counted, Refused, SignIn},
    keys::{Found, Keys},
    records::Records,
    service::{At, Service},
    services,
    signature::{self, Keys as AwsKeys},
    tokens::{self, Tokens},
};

/// A vendor's API to test against.
#[derive(Debug)]
pub struct Vendor {
    dialect: Dialect,
    service: Box<dyn Service>,
    credentials: BTreeMap<String, String>,
    is_open: bool,
    token_life: Option<Duration>,
    name_prefix: Option<String>,
    tokens: Tokens,
    keys: Keys,
    records: Records,
    /// Answers so far, for their ids.
    answers: Cell<u64>,
}

/// How a call goes on once it has its permit.
#[derive(Debug)]
pub enum Start {
    /// It is executed; its key was taken for it.
    Runs {
        /// The idempotency key.
        key: Option<String>,
        /// How long it takes.
        takes: Duration,
    },
    /// Its key has this answer already.
    Answered(Response),
}

impl Vendor {
    /// An API that speaks a dialect, and lets in who brings the dialect's credentials.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            service: services::of(&dialect.name),
            credentials: dialect.credentials.clone(),
            dialect,
            is_open: false,
            token_life: None,
            name_prefix: None,
            tokens: Tokens::default(),
            keys: Keys::default(),
            records: Records::default(),
            answers: Cell::new(0),
        }
    }

    /// Lets everybody in, and gives a token to whoever asks for one, at any path.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Lets in who brings these in place of the dialect's own credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: BTreeMap<String, String>) -> Self {
        self.credentials.extend(credentials);
        self
    }

    /// Gives tokens that are good for another time than the vendor's.
    #[must_use]
    pub fn with_token_life(mut self, life: Duration) -> Self {
        self.token_life = Some(life);
        self
    }

    /// Knows a call by the first word that begins so in its path, its headers or its body, wherever the
    /// dialect says that names stand.
    #[must_use]
    pub fn named_by(mut self, prefix: &str) -> Self {
        self.name_prefix = Some(prefix.to_owned());
        self
    }

    /// What callers authenticate with, at a sandbox of this address: what stands in their secret.
    #[must_use]
    pub fn credentials(&self, base_url: &str) -> BTreeMap<String, String> {
        let gaps = Gaps::at(Duration::ZERO).with("base_url", Gap::Text(base_url.to_owned()));
        let whole = |text: &str| gaps.fill(&fill(text, &self.credentials));
        self.credentials.iter().map(|(name, text)| (name.clone(), whole(text))).collect()
    }

    fn may_come_in(&self, request: &Request, asked: &Asked, now: Duration) -> bool {
        let texts = |text: &str| fill(text, &self.credentials);
        self.is_open
            || self.dialect.sign_in.iter().any(|way| match way {
                SignIn::Basic { user, password } => {
                    asked.basic() == Some((texts(user), texts(password)))
                }
                SignIn::Signature { sigv4, access_key_id, secret_access_key } => {
                    let (id, secret) = (texts(access_key_id), texts(secret_access_key));
                    let keys = AwsKeys { id: &id, secret: &secret };
                    signature::is_good(request, sigv4, &keys, now)
                }
                SignIn::Header { header, value } => {
                    let given = asked.header(header).unwrap_or_default();
                    match value.split_once("{token}") {
                        Some((before, "")) if self.dialect.token.is_some() => given
                            .strip_prefix(before)
                            .is_some_and(|token| self.tokens.are_good(token, now)),
                        _ => given == texts(value),
                    }
                }
            })
    }

    /// The name that a caller gave to what a call makes.
    fn name_of(&self, request: &Request, asked: &Asked) -> Option<String> {
        let Some(prefix) = &self.name_prefix else { return self.dialect.name_in(asked) };
        let headers = request.headers().values().filter_map(|value| value.to_str().ok());
        let body = String::from_utf8_lossy(request.body());
        let texts = [request.uri().path()].into_iter().chain(headers).chain([&*body]);
        texts.into_iter().find_map(|text| {
            let word = &text[text.find(prefix)?..];
            let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
            Some(word[..word.find(ends).unwrap_or(word.len())].to_owned())
        })
    }

    fn gaps(&self, now: Duration) -> Gaps {
        Gaps::at(now).with("answer", Gap::Number(self.answers.get()))
    }

    /// A refusal in the vendor's words.
    fn refused(&self, refused: Refused, gaps: &Gaps) -> Response {
        let mut response = match self.dialect.refusal(refused) {
            Some(shape) => gaps.answer(shape),
            None => json(500, None),
        };
        self.head(&mut response);
        response
    }

    /// Writes the headers that every answer has.
    fn head(&self, response: &mut Response) {
        self.answers.set(self.answers.get() + 1);
        self.gaps(Duration::ZERO).head(response, &self.dialect.headers);
    }

    /// Takes the idempotency key of a call that would take `takes`, and says what that means.
    fn take_key(
        &mut self,
        request: &Request,
        asked: &Asked,
        takes: Duration,
        now: Duration,
    ) -> Start {
        let rules = self.dialect.idempotency.as_ref();
        let key = rules
            .filter(|rules| rules.heed(asked))
            .and_then(|rules| Some((rules, asked.header(&rules.header)?)));
        let Some((rules, key)) = key else { return Start::Runs { key: None, takes } };
        let gaps = Gaps::at(now).with("key", Gap::Text(key.to_owned()));
        let mut answer = match self.keys.take(rules, key, request, now) {
            Found::New => return Start::Runs { key: Some(key.to_owned()), takes },
            Found::Running => gaps.answer(&rules.in_flight),
            Found::OtherParameters => gaps.answer(&rules.other_parameters),
            Found::Answered(mut answer) => {
                let original = answer.headers().get("request-id").cloned();
                let original = original.and_then(|id| Some(id.to_str().ok()?.to_owned()));
                let gaps = gaps.with("original", Gap::Text(original.unwrap_or_default()));
                gaps.head(&mut answer, &rules.replayed);
                answer
            }
        };
        self.head(&mut answer);
        Start::Answered(answer)
    }

    fn let_go(&mut self, start: Start, answer: &Response, was_executed: bool) {
        if let (Start::Runs { key: Some(key), .. }, Some(rules)) =
            (start, &self.dialect.idempotency)
        {
            self.keys.answered(rules, &key, answer, was_executed);
        }
    }

    fn run(&mut self, request: &Request, took: Duration, now: Duration) -> (Response, Effect) {
        let asked = Asked::of(request);
        if asked.is_malformed {
            return (self.refused(Refused::Rejected, &self.gaps(now)), Effect::default());
        }
        let at = At { now, took, base_url: base_url(request) };
        let mut said = self.service.answer(&asked, &mut self.records, &at);
        let name = self.name_of(request, &asked);
        for created in &mut said.effect.created {
            created.external_id = created.external_id.take().or_else(|| name.clone());
        }
        (said.response, said.effect)
    }
}

impl Api for Vendor {
    type Start = Start;

    /// Gives access tokens.
    fn answer_uncounted(
        &mut self,
        request: &Request,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Response> {
        let service = self.dialect.token.as_ref()?;
        let asked = Asked::of(request);
        let asks_anywhere = self.is_open && asked.text("/grant_type").is_some();
        if request.uri().path() != fill(&service.path, &self.credentials) && !asks_anywhere {
            return None;
        }
        let life = self.token_life.unwrap_or(service.lives.0);
        if !self.is_open && !tokens::may_have_one(&asked, &self.credentials) {
            return Some(Gaps::at(now).answer(&service.refused));
        }
        let gaps = Gaps::at(now)
            .with("token", Gap::Text(self.tokens.give(now + life, rng)))
            .with("base_url", Gap::Text(base_url(request)))
            .with("lives", Gap::Number(life.as_secs()))
            .with("now", Gap::Number(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
        Some(gaps.answer(&service.granted))
    }

    fn authenticate(&mut self, request: &Request, now: Duration) -> Result<(), Box<Response>> {
        let asked = Asked::of(request);
        if !self.may_come_in(request, &asked, now) {
            return Err(Box::new(self.refused(Refused::Unauthorized, &self.gaps(now))));
        }
        match self.service.admit(&asked) {
            Ok(()) => Ok(()),
            Err(mut said) => {
                self.head(&mut said.response);
                Err(Box::new(said.response))
            }
        }
    }

    fn is_write(&self, request: &Request) -> bool {
        self.service.is_write(&Asked::of(request))
    }

    fn units(&self, request: &Request) -> u64 {
        self.service.units(&Asked::of(request))
    }

    /// What its key has an answer for takes no time.
    fn start(&mut self, request: &Request, takes: Duration, now: Duration) -> (Start, Duration) {
        match self.take_key(request, &Asked::of(request), takes, now) {
            runs @ Start::Runs { .. } => (runs, takes),
            answered @ Start::Answered(_) => (answered, Duration::ZERO),
        }
    }

    fn execute(&mut self, request: &Request, start: Start, now: Duration) -> (Response, Effect) {
        let took = match start {
            Start::Answered(answer) => return (answer, Effect::default()),
            Start::Runs { takes, .. } => takes,
        };
        let (mut response, effect) = self.run(request, took, now);
        self.head(&mut response);
        self.let_go(start, &response, true);
        (response, effect)
    }

    /// Most vendors store what their own failure answered once the call has begun.
    fn fail(
        &mut self,
        request: &Request,
        start: Start,
        refusal: Refusal,
        commits: bool,
        now: Duration,
    ) -> (Response, Effect) {
        let took = match start {
            Start::Answered(answer) => return (answer, Effect::default()),
            Start::Runs { takes, .. } => takes,
        };
        let effect = match commits {
            true => self.run(request, took, now).1,
            false => Effect::default(),
        };
        let answer = self.refuse(request, refusal);
        let has_begun = commits || refusal == Refusal::ServerError;
        self.let_go(start, &answer, has_begun);
        (answer, effect)
    }

    fn refuse(&self, request: &Request, refusal: Refusal) -> Response {
        let wait = match refusal {
            Refusal::OverRate { wait, .. } => wait.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        // What else a refusal says of a limit is written by `stamp`, which knows the time.
        let gaps = self.gaps(Duration::ZERO).with("wait", Gap::Wait(wait));
        let units = Gap::Number(self.service.units(&Asked::of(request)));
        self.refused(refusal.into(), &gaps.with("units", units))
    }

    fn stamp(&self, response: &mut Response, limits: &[Remaining], now: Duration) {
        for Remaining { rate, left, resets_in } in limits {
            let Some(headers) = self.dialect.limits.get(&Counted::from(rate.measure)) else {
                continue;
            };
            let gaps = Gaps::at(now)
                .with("limit", amount(rate.measure, rate.capacity()))
                .with("left", amount(rate.measure, *left))
                .with("used", amount(rate.measure, rate.capacity() - left))
                .with("per", Gap::Wait(rate.per))
                .with("reset", Gap::Wait(*resets_in));
            gaps.head(response, headers);
        }
        self.service.stamp(response, limits);
    }

    fn subject(&self, request: &Request) -> Subject {
        let resource = request.uri().path().trim_start_matches('/').to_owned();
        Subject { resource, external_id: self.name_of(request, &Asked::of(request)) }
    }

    fn records(&self) -> BTreeMap<String, u64> {
        self.records.counts()
    }

    fn reset(&mut self) {
        self.records = Records::default();
        self.keys.clear();
    }
}

/// So much of what a rate counts.
fn amount(measure: Measure, amount: u64) -> Gap {
    match measure {
        Measure::Calls | Measure::Units | Measure::Quota => Gap::Number(amount),
        Measure::Time => Gap::Wait(Duration::from_millis(amount)),
    }
}

/// Where the caller has found the sandbox.
fn base_url(request: &Request) -> String {
    let host = request.headers().get(http::header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}")
}

/// A text with the names of credentials in braces.
fn fill(text: &str, credentials: &BTreeMap<String, String>) -> String {
    credentials
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
