//! The NetSuite sandbox as a program.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use slowlane_netsuite_sandbox::{
    Clock, Credentials, DemoKey, Fault, KeyKind, Latency, PublicKey, Rate, Sandbox, Settings,
    TbaCredentials, serve,
};
use slowlane_sandbox::process::{announce, stop_signal, write_private};

/// A NetSuite to test against.
///
/// Serves NetSuite's REST services on a loopback port, with a permit pool that answers 429 beyond
/// its limit, service times from a seed, and faults on demand. When it is ready it prints one line
/// to stdout: {"listening":"http://127.0.0.1:PORT"}. SIGINT or SIGTERM ends it.
///
/// Point a client's base address at it, and sign in with the credentials that --write-credentials
/// wrote. Or take --open and sign in not at all:
///
///   slowlane-netsuite-sandbox --port 8080 --limit 5 --latency-ms 200 --open
///   curl -i -X PUT localhost:8080/services/rest/record/v1/salesOrder/eid:o-1
///     -H 'content-type: application/json'
///     -d '{"entity":{"id":"7"},"item":{"items":[{"item":{"id":"3"},"quantity":2}]}}'
///   curl localhost:8080/_sandbox/report
///
/// Control, at any time: GET /_sandbox/report, GET /_sandbox/stats, POST /_sandbox/reset,
/// POST /_sandbox/fault {"fault":"drop-after-commit:3"}, GET and DELETE /_sandbox/fault,
/// POST /_sandbox/seed {"type":"customer","count":50000}.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Permits: calls that may run at one time; the next one is answered 429.
    #[arg(long, default_value_t = 5)]
    limit: u32,

    /// Calls that it takes in a span of time, AMOUNT/SPAN[,fixed|,bucket=N]; may be given more than once.
    ///
    /// 20/s is no more than 20 in any second. NetSuite publishes no such limit; a gateway before it may
    /// have one.
    #[arg(long = "rate", value_name = "RATE")]
    rates: Vec<Rate>,

    /// How long a call takes: a number of milliseconds.
    #[arg(long, value_name = "N", conflicts_with = "latency")]
    latency_ms: Option<u64>,

    /// The same as a distribution: 200, uniform:100..400 or lognormal:median=2000,sigma=1.
    #[arg(long, value_name = "DISTRIBUTION", default_value = "200")]
    latency: Latency,

    /// Seed of all chance: latencies, shares of faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// A fault, KIND[:WHICH][,by=TIME]; may be given more than once.
    ///
    /// KIND: 429-burst, invalid-login, slow (any call); 400, 400-after-commit, 500,
    /// 500-after-commit, drop-after-commit, commit-late (writes to records, RESTlets).
    /// WHICH: a number N (the next N calls), every=N, share=P (0 to 1), for=TIME. Without it,
    /// 429-burst strikes the next 10 calls, the others the first call and then each tenth.
    /// by=TIME: the delay of slow (5s), invalid-login (61s) and commit-late (2s). TIME: 250ms, 2s,
    /// 1m.
    #[arg(long = "fault", value_name = "FAULT", verbatim_doc_comment)]
    faults: Vec<Fault>,

    /// Take calls without a token.
    #[arg(long)]
    open: bool,

    /// The account's id.
    #[arg(long, default_value = "1234567_SB1")]
    account_id: String,

    /// How many seconds an access token is good.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    token_life: u64,

    /// The client id of the integration that may sign in.
    #[arg(long, default_value = "sandbox-client")]
    client_id: String,

    /// The id of its certificate: the `kid` of its assertions.
    #[arg(long, default_value = "sandbox-certificate")]
    certificate_id: String,

    /// Its certificate, or the public key of it (PEM). Without it a key pair is made at start.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["write_credentials", "key"])]
    public_key: Option<PathBuf>,

    /// Where to write the client's side of the key pair made at start, as JSON with client_id,
    /// certificate_id, private_key_pem and account_id, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    write_credentials: Option<PathBuf>,

    /// Where to write keys for token-based authentication (OAuth 1.0a), made at start, as JSON with
    /// account_id, consumer_key, consumer_secret, token_id and token_secret. Without it no such
    /// signature is taken.
    #[arg(long, value_name = "FILE")]
    write_tba_credentials: Option<PathBuf>,

    /// The kind of key pair to make.
    #[arg(long, value_enum, default_value = "p256")]
    key: KeyKind,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?
        .block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let clock = Clock::system();
    let latency = args
        .latency_ms
        .map_or(args.latency, |millis| Latency::Fixed(Duration::from_millis(millis)));
    let mut sandbox = Sandbox::new(Settings {
        account_id: args.account_id.clone(),
        limit: args.limit,
        rates: args.rates.clone(),
        latency,
        seed: args.seed,
        open: args.open,
        token_life: Duration::from_secs(args.token_life),
    });
    for fault in &args.faults {
        sandbox.inject(*fault, clock.now());
    }
    let key = integration_key(&args)?;
    sandbox.register(&args.client_id, &args.certificate_id, key);
    if let Some(path) = &args.write_tba_credentials {
        let credentials = TbaCredentials::generate(&args.account_id)?;
        write_private(path, &credentials)?;
        sandbox.register_tba(credentials);
    }

    let listener =
        tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))
            .await
            .with_context(|| format!("port {} is not free", args.port))?;
    let stop = stop_signal()?;
    let address = listener.local_addr()?;
    announce(&serde_json::json!({ "listening": format!("http://{address}") }))?;
    serve(listener, Arc::new(Mutex::new(sandbox)), clock, stop).await;
    Ok(())
}

/// The key that the integration's assertions are verified with.
fn integration_key(args: &Args) -> anyhow::Result<PublicKey> {
    if let Some(path) = &args.public_key {
        let pem = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        return PublicKey::from_pem(&pem).with_context(|| path.display().to_string());
    }
    let demo = DemoKey::generate(args.key)?;
    match &args.write_credentials {
        Some(path) => write_private(
            path,
            &Credentials {
                client_id: args.client_id.clone(),
                certificate_id: args.certificate_id.clone(),
                private_key_pem: demo.private_key_pem,
                account_id: args.account_id.clone(),
            },
        )?,
        None if args.open => {}
        None => {
            tracing::warn!("nobody can sign in: give --write-credentials, --public-key or --open")
        }
    }
    Ok(demo.public_key)
}
