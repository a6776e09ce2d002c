//! NetSuite's dialect: sign-in, the services, and the words of its refusals.

use std::{collections::BTreeMap, time::Duration};

use slowlane_sandbox::{Api, Effect, LateEffect, Latency, Rate, Refusal, Setup, Subject, in_json};

use crate::{
    Request, Response, Seed,
    account::{Account, Start},
    key::PublicKey,
    oauth2::OAuth2,
    problem::Problem,
    records::external_id,
    route::{self, Service, text_header},
    tba::{Tba, TbaCredentials},
};

/// How a NetSuite sandbox behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account, such as `123_SB1`. Its host name is one of the audiences that an assertion
    /// may name; the other is the address at which the sandbox was reached.
    pub account_id: String,
    /// The permits of the account: calls that may run at one time.
    pub limit: u32,
    /// What it takes in a span of time. NetSuite publishes no such limit; a gateway before it, or a team's
    /// own rule, may have one.
    pub rates: Vec<Rate>,
    /// How long a call takes, from its permit to its answer.
    pub latency: Latency,
    /// All chance comes from it: latencies, shares of faults, access tokens.
    pub seed: u64,
    /// Whether calls are taken without a token, for load generators.
    pub open: bool,
    /// How long an access token is good: NetSuite's hour, or less for a test of expiry.
    pub token_life: Duration,
}

impl Default for Settings {
    /// A developer account: 5 permits, tokens of an hour, calls of 200 ms.
    fn default() -> Self {
        Self {
            account_id: "1234567_SB1".to_owned(),
            limit: 5,
            rates: Vec::new(),
            latency: Latency::Fixed(Duration::from_millis(200)),
            seed: 1,
            open: false,
            token_life: Duration::from_secs(3600),
        }
    }
}

impl From<Settings> for Setup<NetSuite> {
    fn from(settings: Settings) -> Self {
        let Settings { limit, latency, seed, .. } = settings;
        let rates = settings.rates.clone();
        Self {
            settings: slowlane_sandbox::Settings { limit, rates, latency, seed },
            api: NetSuite {
                account: Account::new(limit),
                settings,
                oauth2: OAuth2::default(),
                tba: Tba::default(),
            },
        }
    }
}

/// A NetSuite account, and who may sign in to it.
#[derive(Debug)]
pub struct NetSuite {
    settings: Settings,
    oauth2: OAuth2,
    tba: Tba,
    account: Account,
}

impl NetSuite {
    /// Lets an integration sign in by OAuth 2.0 with a certificate's key.
    pub fn register(&mut self, client_id: &str, certificate_id: &str, key: PublicKey) {
        self.oauth2.register(client_id, certificate_id, key);
    }

    /// Lets a token sign requests by token-based authentication.
    pub fn register_tba(&mut self, credentials: TbaCredentials) {
        self.tba.register(credentials);
    }

    /// Fills the account with made-up records, which do not count as created by calls.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the request; records made before that stay.
    pub fn seed(&mut self, seed: &Seed, now: Duration) -> Result<(), String> {
        self.account.seed(seed, now)
    }

    fn sign_in(&mut self, request: &Request, now: Duration) -> Result<(), Problem> {
        if self.settings.open {
            return Ok(());
        }
        let authorization = text_header(request, "authorization").unwrap_or_default();
        match authorization.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.oauth2.authenticate(token.trim(), Service::of(request).scope(), now)
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("oauth") => {
                self.tba.authenticate(request, now)
            }
            _ => {
                Err(Problem::invalid_login("the Authorization header is neither Bearer nor OAuth"))
            }
        }
    }

    fn account_host(&self) -> String {
        let account = self.settings.account_id.to_lowercase().replace('_', "-");
        format!("{account}.suitetalk.api.netsuite.com")
    }
}

impl Api for NetSuite {
    type Start = Start;

    const IDEMPOTENCY_HEADER: &'static str = "x-netsuite-idempotency-key";

    /// NetSuite takes requests of up to 104 MB.
    const MAX_BODY_BYTES: usize = 104 * 1024 * 1024;

    /// A token request needs no permit.
    fn answer_uncounted(
        &mut self,
        request: &Request,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Response> {
        if Service::of(request) != Service::Token {
            return None;
        }
        let (host, life) = (self.account_host(), self.settings.token_life);
        Some(self.oauth2.token(request, &host, life, now, rng))
    }

    fn authenticate(&mut self, request: &Request, now: Duration) -> Result<(), Box<Response>> {
        self.sign_in(request, now).map_err(|problem| Box::new(problem.answer_to(request)))
    }

    fn is_write(&self, request: &Request) -> bool {
        route::is_write(request)
    }

    fn start(&mut self, request: &Request, takes: Duration, _: Duration) -> (Start, Duration) {
        // A job is handed in at once; what it does takes its time afterwards.
        let (takes, job_takes) = match route::is_async(request) {
            true => (Duration::ZERO, takes),
            false => (takes, Duration::ZERO),
        };
        (self.account.start(request, job_takes), takes)
    }

    fn execute(&mut self, request: &Request, start: Start, now: Duration) -> (Response, Effect) {
        self.account.execute(request, start, now)
    }

    fn refuse(&self, request: &Request, refusal: Refusal) -> Response {
        match refusal {
            Refusal::TooManyRequests | Refusal::OverRate { .. } => {
                Problem::concurrency_limit_exceeded()
            }
            Refusal::Unauthorized => Problem::invalid_login("over the limit"),
            Refusal::BadRequest => Problem::user_error(),
            Refusal::ServerError => Problem::unexpected(),
            Refusal::Unreadable => Problem::invalid_request(
                "The request body is larger than 104 MB, or did not arrive whole.",
            ),
        }
        .answer_to(request)
    }

    fn advance(&mut self, now: Duration) -> Vec<LateEffect> {
        self.account.advance(now)
    }

    /// The path below the record service, or below all services.
    fn subject(&self, request: &Request) -> Subject {
        let path = request.uri().path();
        let resource = [route::RECORD_PATH, "/services/rest/", "/"]
            .iter()
            .find_map(|prefix| path.strip_prefix(prefix))
            .unwrap_or(path);
        Subject { resource: resource.to_owned(), external_id: external_id(path) }
    }

    fn records(&self) -> BTreeMap<String, u64> {
        self.account.counts()
    }

    /// Such as `customer/1001 contact/1002 as -10`.
    fn attachments(&self) -> Vec<String> {
        self.account.attachments()
    }

    fn seed(&mut self, body: &[u8], now: Duration) -> Result<(), String> {
        NetSuite::seed(self, &in_json(body)?, now)
    }

    fn reset(&mut self) {
        self.account = Account::new(self.settings.limit);
    }
}
