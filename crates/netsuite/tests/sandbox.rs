//! The whole client against the sandbox, over a real socket.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what serves it")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{TryStreamExt as _, future::join_all};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slowlane_netsuite::{
    AccountId, Algorithm, Auth, Class, Client, ClientBuilder, ExternalId, IdempotencyKey, Lines,
    Method, OAuth2, Place, Poll, RecordId, RecordType, Request, Retry, Url, View, quoted,
};
use slowlane_netsuite_sandbox::{
    Clock, DemoKey, Fault, FaultKind, KeyKind, Latency, Sandbox, Settings, Which,
};
use tokio::net::TcpListener;

const ACCOUNT: &str = "1234567_SB1";

/// A sandbox behind a socket, and the means to look into it.
struct Server {
    base: Url,
    sandbox: Arc<Mutex<Sandbox>>,
    clock: Clock,
    key: DemoKey,
}

impl Server {
    async fn start(settings: Settings) -> Self {
        Self::start_with(settings, KeyKind::P256).await
    }

    async fn start_with(settings: Settings, kind: KeyKind) -> Self {
        let key = DemoKey::generate(kind).unwrap();
        let mut sandbox = Sandbox::new(settings);
        sandbox.register("client", "certificate", key.public_key.clone());
        let (sandbox, clock) = (Arc::new(Mutex::new(sandbox)), Clock::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(slowlane_netsuite_sandbox::serve(
            listener,
            sandbox.clone(),
            clock,
            std::future::pending(),
        ));
        Self { base, sandbox, clock, key }
    }

    fn auth(&self, algorithm: Option<Algorithm>) -> Auth {
        Auth::oauth2(OAuth2 {
            client_id: "client".into(),
            certificate_id: "certificate".into(),
            private_key_pem: self.key.private_key_pem.clone().into(),
            algorithm,
        })
        .unwrap()
    }

    fn builder_as(&self, auth: Auth) -> ClientBuilder {
        Client::builder(AccountId::new(ACCOUNT).unwrap(), auth).base_url(self.base.clone()).unwrap()
    }

    fn builder(&self) -> ClientBuilder {
        self.builder_as(self.auth(None))
    }

    fn inject(&self, kind: FaultKind, which: Which) {
        let fault = Fault { kind, which, by: Duration::from_millis(50) };
        self.sandbox.lock().unwrap().inject(fault, self.clock.now());
    }

    fn created(&self) -> u64 {
        self.sandbox.lock().unwrap().report().records_created
    }
}

fn quick() -> Settings {
    Settings { latency: Latency::Fixed(Duration::from_millis(1)), ..Settings::default() }
}

fn eid(id: &str) -> ExternalId {
    ExternalId::new(id).unwrap()
}

fn order(memo: &str, quantity: u32) -> Value {
    json!({"entity": {"id": "7"}, "memo": memo, "item": {"items": [{"item": {"id": "3"}, "quantity": quantity}]}})
}

fn lines_of(order: &Value) -> usize {
    order["item"]["items"].as_array().unwrap().len()
}

fn key(n: u32) -> IdempotencyKey {
    IdempotencyKey::new(format!("cac827ea-3543-4cda-add2-{n:012}")).unwrap()
}

fn soon() -> Poll {
    Poll { first: Duration::from_millis(5), longest: Duration::from_millis(50), ..Poll::default() }
}

/// Everything a client can do with records, jobs, RESTlets and the rest, by whatever credentials.
async fn whole_api(client: &Client) {
    let orders = client.records("salesOrder").unwrap().strict();
    let whole = View::whole().expand_sub_resources();

    let id = orders.create(&order("one", 1)).await.unwrap().id;
    let id = &id;
    assert_eq!(orders.get::<Value>(id).await.unwrap()["memo"], "one");
    orders.update(id, &json!({"memo": "two"}), Lines::none()).await.unwrap();
    orders.update(id, &order("two", 2), Lines::add(["item"])).await.unwrap();
    assert_eq!(lines_of(&orders.view(id, &whole).await.unwrap()), 2);
    orders.update(id, &order("two", 2), Lines::replace(["item"])).await.unwrap();
    let seen: Value = orders.view(id, &whole).await.unwrap();
    assert_eq!((lines_of(&seen), seen["memo"].as_str()), (1, Some("two")));
    let some: Value = orders.view(id, &View::fields(["memo"])).await.unwrap();
    assert!(some.get("memo").is_some() && some.get("entity").is_none());

    for quantity in [1, 5] {
        orders.upsert(&eid("o-1"), &order("up", quantity), Lines::replace(["item"])).await.unwrap();
    }
    let upserted: Value = orders.view(&eid("o-1"), &whole).await.unwrap();
    assert_eq!(
        (lines_of(&upserted), upserted["item"]["items"][0]["quantity"].as_u64()),
        (1, Some(5))
    );

    let invoice = RecordType::new("invoice").unwrap();
    let invoiced = orders.transform(&eid("o-1"), &invoice, &json!({})).await.unwrap();
    client.record(&invoice).get::<Value>(&invoiced.id).await.unwrap();

    let cleared = Lines::replace(["item"]).and_clear(["memo"]);
    orders.update(id, &json!({"item": order("x", 9)["item"]}), cleared).await.unwrap();
    let seen: Value = orders.view(id, &whole).await.unwrap();
    assert_eq!((lines_of(&seen), seen.get("memo")), (1, None));

    let (customers, contact) =
        (client.records("customer").unwrap(), RecordType::new("contact").unwrap());
    let customer = customers.create(&json!({"companyName": "Acme"})).await.unwrap().id;
    let ann = json!({"firstName": "Ann", "lastName": "Lee", "externalId": "ann"});
    client.record(&contact).create(&ann).await.unwrap();
    customers.attach(&customer, &contact, &eid("ann")).await.unwrap();
    customers.attach_contact(&customer, &eid("ann"), &RecordId::new("-10").unwrap()).await.unwrap();
    customers.detach(&customer, &contact, &eid("ann")).await.unwrap();
    let gone = customers.detach(&customer, &contact, &eid("bob")).await.unwrap_err();
    assert!(gone.class() == Class::Rejected && gone.has_code("NONEXISTENT_ID"), "{gone}");

    orders.delete(id).await.unwrap();
    let gone = orders.get::<Value>(id).await.unwrap_err();
    assert!(gone.class() == Class::Rejected && gone.has_code("NONEXISTENT_ID"), "{gone}");
    let place = Place::Path(format!("/services/rest/record/v1/salesOrder/{id}"));
    assert_eq!(gone.details()[0].place, Some(place));
    let misspelt = orders.create(&json!({"entity": {"id": "7"}, "mmeo": "x"})).await.unwrap_err();
    assert_eq!(misspelt.class(), Class::Rejected, "{misspelt}");

    let echo = client.restlet("customscript_echo", "customdeploy1").unwrap();
    let echoed: Value = echo.get(&[("name", "a b&c")]).await.unwrap();
    assert_eq!(echoed["params"]["name"], "a b&c");
    let echoed: Value = echo.post(&json!({"n": 1})).await.unwrap();
    assert_eq!((&echoed["method"], &echoed["body"]["n"]), (&json!("POST"), &json!(1)));
    for (script, status) in [("2", 400), ("3", 200)] {
        let error =
            client.restlet(script, "1").unwrap().put::<Value>(&json!({})).await.unwrap_err();
        assert_eq!(
            (error.class(), error.status().unwrap().as_u16()),
            (Class::Unknown, status),
            "{error}"
        );
    }

    let skew = client.server_time().await.unwrap().duration_since(jiff::Timestamp::now());
    assert!(skew.as_secs().abs() < 60, "{skew}");
    let types = client.record_types().await.unwrap();
    assert!(types.contains(&invoice));
    assert!(client.record_schema(&invoice).await.unwrap()["properties"].is_object());
    assert!(client.openapi(&[invoice]).await.unwrap()["paths"].is_object());
}

#[tokio::test]
async fn the_whole_api_by_oauth2_with_every_algorithm() {
    use Algorithm::{Es256, Es384, Es512, Ps256, Ps384, Ps512};
    let kinds: [(KeyKind, &[Algorithm]); 4] = [
        (KeyKind::P256, &[Es256]),
        (KeyKind::P384, &[Es384]),
        (KeyKind::P521, &[Es512]),
        (KeyKind::Rsa3072, &[Ps256, Ps384, Ps512]),
    ];
    for (kind, algorithms) in kinds {
        let server = Server::start_with(quick(), kind).await;
        for algorithm in algorithms {
            let client = server.builder_as(server.auth(Some(*algorithm))).build().unwrap();
            assert!(client.server_time().await.is_ok(), "{algorithm:?}");
        }
        whole_api(&server.builder().build().unwrap()).await;
    }
}

#[tokio::test]
async fn the_whole_api_by_token_based_authentication() {
    let server = Server::start(quick()).await;
    server.sandbox.lock().unwrap().register_tba(slowlane_netsuite_sandbox::TbaCredentials {
        account_id: ACCOUNT.into(),
        consumer_key: "ck".into(),
        consumer_secret: "c&s".into(),
        token_id: "tk".into(),
        token_secret: "t s%".into(),
    });
    let auth = |secret: &str| {
        Auth::tba(slowlane_netsuite::Tba {
            consumer_key: "ck".into(),
            consumer_secret: "c&s".into(),
            token_id: "tk".into(),
            token_secret: secret.into(),
        })
        .unwrap()
    };
    whole_api(&server.builder_as(auth("t s%")).build().unwrap()).await;
    let wrong = server.builder_as(auth("wrong")).build().unwrap();
    let error = wrong.records("customer").unwrap().get::<Value>(1).await.unwrap_err();
    assert_eq!(error.class(), Class::Unauthorized);
}

#[tokio::test]
async fn queries_stream_with_bound_values_by_offset_abreast_and_by_key() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Row {
        id: String,
        memo: Option<String>,
    }
    let server = Server::start(quick()).await;
    let seed = json!({"type": "salesOrder", "count": 2500, "fields": {"memo": "seeded"}});
    let seed = serde_json::from_value(seed).unwrap();
    server.sandbox.lock().unwrap().seed(&seed, server.clock.now()).unwrap();
    let client = server.builder().build().unwrap();

    let query = || {
        client
            .suiteql("SELECT id, memo FROM transaction WHERE type = ? AND memo = ? ORDER BY id ASC")
            .bind("SalesOrd")
            .bind("seeded")
            .page_rows(400)
    };
    let ways = [
        query(),
        query().pages_at_once(3),
        client
            .suiteql("SELECT id, memo FROM transaction WHERE memo = ? AND id > ? ORDER BY id ASC")
            .bind("seeded")
            .page_rows(400)
            .keyset("id"),
    ];
    for way in ways {
        let shown = format!("{way:?}");
        let rows: Vec<Row> = way.rows().try_collect().await.unwrap();
        assert_eq!(rows.len(), 2500, "{shown}");
        assert!(rows.is_sorted_by_key(|row| row.id.parse::<u64>().unwrap()));
        assert!(rows.iter().all(|row| row.memo.as_deref() == Some("seeded")));
    }
    let evil = client.suiteql("SELECT id FROM transaction WHERE memo = ?").bind("x' OR '1' = '1");
    assert!(evil.rows::<Row>().try_collect::<Vec<_>>().await.unwrap().is_empty());
    let error = client.suiteql("SELEC id").rows::<Row>().try_next().await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected);
}

#[tokio::test]
async fn lists_are_filtered_and_come_page_after_page() {
    let server = Server::start(quick()).await;
    let seed = |fields: Value| {
        let seed = json!({"type": "customer", "count": 1200, "fields": fields});
        serde_json::from_value(seed).unwrap()
    };
    {
        let mut sandbox = server.sandbox.lock().unwrap();
        sandbox.seed(&seed(json!({"comments": "no. {n}"})), server.clock.now()).unwrap();
    }
    let customers = server.builder().build().unwrap().records("customer").unwrap();
    for list in [customers.list(), customers.list().page_rows(500).pages_at_once(3)] {
        let ids: Vec<RecordId> = list.ids().try_collect().await.unwrap();
        assert_eq!((ids.len(), ids[0].as_str(), ids[1199].as_str()), (1200, "1001", "2200"));
    }
    let filter = format!("comments IS {} OR comments IS {}", quoted("no. 7").unwrap(), "'no. 9'");
    let found: Vec<RecordId> = customers.list().matching(filter).ids().try_collect().await.unwrap();
    assert_eq!(found, [RecordId::from(1007), RecordId::from(1009)]);
    let first = customers.list().page_rows(10).pages().try_next().await.unwrap().unwrap();
    assert_eq!((first.rows.len(), first.total), (10, Some(1200)));
    let error = customers.list().matching("colour IS red").ids().try_next().await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected);
}

#[tokio::test]
async fn jobs_and_batches_run_once_for_each_key() {
    let server = Server::start(quick()).await;
    let client = server.builder().build().unwrap();
    let orders = client.records("salesOrder").unwrap();

    let request =
        || Request::new(Method::POST, "salesOrder").unwrap().json(&order("job", 1)).unwrap();
    let job = client.submit(request(), &key(1)).await.unwrap();
    assert!(job.wait(&soon()).await.unwrap().completed);
    let [task] = &job.tasks().await.unwrap()[..] else { panic!("one task") };
    assert!(job.task(task).await.unwrap().completed);
    assert!(job.result(task).await.is_ok());
    let again = client.submit(request(), &key(1)).await.unwrap();
    assert_eq!((again.id(), again.replayed(), server.created()), (job.id(), true, 1));

    let job = orders.batch_create(&vec![order("many", 1); 100], &key(2)).await.unwrap();
    job.wait(&soon()).await.unwrap();
    assert_eq!((job.tasks().await.unwrap().len(), server.created()), (100, 101));

    let upserts = [(eid("b-1"), order("first", 1)), (eid("b-2"), json!({"memo": "no entity"}))];
    let job = orders.batch_upsert(&upserts, Lines::replace(["item"]), &key(3)).await.unwrap();
    job.wait(&soon()).await.unwrap();
    let tasks = job.tasks().await.unwrap();
    assert!(job.result(&tasks[0]).await.is_ok());
    assert_eq!(
        job.result(&tasks[1]).await.unwrap_err().class(),
        Class::Rejected,
        "one of a batch may fail"
    );

    let updates = [(eid("b-1"), json!({"memo": "changed"}))];
    orders
        .batch_update(&updates, Lines::none(), &key(4))
        .await
        .unwrap()
        .wait(&soon())
        .await
        .unwrap();
    let changed: Value = orders.get(&eid("b-1")).await.unwrap();
    assert_eq!(changed["memo"], "changed");
    let id = RecordId::new(changed["id"].as_str().unwrap()).unwrap();
    orders.batch_delete(&[id], &key(5)).await.unwrap().wait(&soon()).await.unwrap();
    assert!(orders.get::<Value>(&eid("b-1")).await.unwrap_err().has_code("NONEXISTENT_ID"));
}

#[tokio::test]
async fn permits_keep_below_the_limit_and_retries_get_over_it() {
    let settings =
        Settings { limit: 4, latency: Latency::Fixed(Duration::from_millis(5)), ..quick() };
    let server = Server::start(settings).await;
    let upsert = async |client: &Client, n: u32| {
        let orders = client.records("salesOrder").unwrap();
        orders.upsert(&eid(&format!("o-{n}")), &order("m", 1), Lines::replace(["item"])).await
    };
    let careful = server.builder().max_in_flight(4).build().unwrap();
    for outcome in join_all((0..40).map(|n| upsert(&careful, n))).await {
        outcome.unwrap();
    }
    let stats = server.sandbox.lock().unwrap().stats();
    assert_eq!((stats.http_429, stats.max_concurrency), (0, 4));

    let bold = server.builder().build().unwrap();
    let outcomes = join_all((40..80).map(|n| upsert(&bold, n))).await;
    let refused = outcomes.into_iter().filter_map(Result::err);
    assert!(
        refused
            .map(|e| assert_eq!((e.class(), e.is_safe_to_repeat()), (Class::Throttled, true)))
            .count()
            > 0
    );

    let retry = Retry {
        max_attempts: 50,
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_millis(200),
    };
    let patient = server.builder().retry(retry).build().unwrap();
    for outcome in join_all((80..120).map(|n| upsert(&patient, n))).await {
        outcome.unwrap();
    }
    let report = server.sandbox.lock().unwrap().report();
    assert_eq!((report.max_concurrency, report.duplicate_effects), (4, 0));
}

#[tokio::test]
async fn a_lost_answer_is_never_repeated_unless_the_caller_says_so() {
    let server = Server::start(quick()).await;
    let retry = Retry { first_wait: Duration::from_millis(1), ..Retry::default() };
    let client = server.builder().retry(retry).build().unwrap();
    let orders = client.records("salesOrder").unwrap();
    for kind in [FaultKind::DropAfterCommit, FaultKind::ServerErrorAfterCommit] {
        let before = server.created();
        server.inject(kind, Which::Next(1));
        let error = orders.create(&order("m", 1)).await.unwrap_err();
        assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, false), "{kind:?}");
        assert_eq!(server.created(), before + 1, "saved all the same, and once: {kind:?}");
    }
    server.inject(FaultKind::DropAfterCommit, Which::Next(2));
    let replace = Request::new(Method::PUT, "salesOrder/eid:o-1").unwrap().query("replace", "item");
    client.send(replace.json(&order("m", 1)).unwrap().repeatable()).await.unwrap();
    let whole: Value =
        orders.view(&eid("o-1"), &View::whole().expand_sub_resources()).await.unwrap();
    assert_eq!(lines_of(&whole), 1);
}

#[tokio::test]
async fn an_error_that_may_be_a_scripts_own_leaves_the_fate_of_a_write_unknown() {
    let server = Server::start(quick()).await;
    let client = server.builder().build().unwrap();
    let orders = client.records("salesOrder").unwrap();
    let create = client.restlet("customscript_create", "customdeploy1").unwrap();
    for (kind, saves) in [(FaultKind::UserError, 0), (FaultKind::UserErrorAfterCommit, 1)] {
        let before = server.created();
        server.inject(kind, Which::Next(2));
        let of_rest = orders.create(&order("m", 1)).await.unwrap_err();
        let customer = json!({"type": "customer", "companyName": "Acme"});
        let of_a_restlet = create.post::<Value>(&customer).await.unwrap_err();
        for error in [of_rest, of_a_restlet] {
            assert_eq!(
                (error.class(), error.status().unwrap().as_u16(), error.is_safe_to_repeat()),
                (Class::Unknown, 400, false),
                "{kind:?}: {error}"
            );
        }
        assert_eq!(server.created(), before + 2 * saves, "{kind:?}");
    }
}

#[tokio::test]
async fn a_create_that_is_repeated_is_refused_as_a_duplicate() {
    let server = Server::start(quick()).await;
    let client = server.builder().build().unwrap();
    let order = json!({"externalId": "o-1", "entity": {"id": "7"}, "item": order("m", 1)["item"]});
    let customer = json!({"externalId": "c-1", "companyName": "Acme"});
    for (record_type, body) in [("salesOrder", order), ("customer", customer)] {
        let records = client.records(record_type).unwrap();
        server.inject(FaultKind::DropAfterCommit, Which::Next(1));
        assert_eq!(records.create(&body).await.unwrap_err().class(), Class::Unknown);
        let error = records.create(&body).await.unwrap_err();
        assert_eq!(
            (error.class(), error.is_safe_to_repeat()),
            (Class::AlreadyExists, false),
            "{error}"
        );
    }
    assert_eq!(server.created(), 2);
}

#[tokio::test]
async fn a_token_that_ended_early_is_replaced_without_the_caller_noticing() {
    let server = Server::start(Settings { token_life: Duration::from_secs(1), ..quick() }).await;
    // A clock that stands still believes in the first token for ever.
    let now = jiff::Timestamp::now();
    let client = server.builder().clock(move || now).build().unwrap();
    client.server_time().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1050)).await;
    client.server_time().await.unwrap();
}
