//! A vendor's sandbox as a program.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use slowlane_sandbox::process::{announce, stop_signal, write_private};
use slowlane_vendor_sandbox::{
    Clock, Dialect, Fault, Latency, Measure, Rate, Sandbox, Settings, Vendor, serve,
};

/// A vendor's API to test against.
///
/// Serves it on a loopback port, in the vendor's own dialect: its errors, its sign-in, and what it does
/// with idempotency keys. It refuses calls beyond a limit and says how long to wait, as the vendor does.
/// Records can be read back. When it is ready it prints one line to stdout:
/// {"listening":"http://127.0.0.1:PORT","auth":"...","base_path":"...","sample":{...}}, with a call that
/// makes a record, what the base URL has below that address, and the way to sign in. SIGINT or SIGTERM
/// ends it.
///
///   slowlane-sandbox --profile stripe --port 8080 --rate 25/s
///   curl -u sk_test_sandbox: localhost:8080/v1/customers -d name=Ada
///   curl localhost:8080/_sandbox/report
///
/// Control, at any time: GET /_sandbox/report, GET /_sandbox/stats, POST /_sandbox/reset,
/// POST /_sandbox/fault {"fault":"drop-after-commit:3"}, GET and DELETE /_sandbox/fault.
#[derive(Parser)]
#[command(name = "slowlane-sandbox", version, verbatim_doc_comment)]
struct Args {
    /// The profile whose API it is: http, stripe, salesforce, openai, anthropic, ...
    #[arg(long)]
    profile: String,

    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Calls that may run at one time.
    #[arg(long, default_value_t = 5)]
    concurrency: u32,

    /// Calls in a span of time, AMOUNT/SPAN[,fixed|,bucket=N]; may be given more than once.
    ///
    /// 100/20s is no more than 100 in any 20 seconds; with ,fixed in spans that follow one another;
    /// 2/s,bucket=40 fills a bucket of 40 with two a second. An amount that is a time, 20m/5m,
    /// counts how long calls take.
    #[arg(long = "rate", value_name = "RATE", verbatim_doc_comment)]
    rates: Vec<Rate>,

    /// The same for what calls weigh: a language model's tokens, points of a query.
    #[arg(long, value_name = "RATE", value_parser = of_amounts)]
    units: Vec<Rate>,

    /// The same for calls in a long span, which vendors refuse in other words: 15000/1d.
    #[arg(long = "quota", value_name = "RATE", value_parser = of_amounts)]
    quotas: Vec<Rate>,

    /// How long a call takes, in milliseconds: 200, uniform:100..400 or
    /// lognormal:median=2000,sigma=1.
    #[arg(long, value_name = "DISTRIBUTION", default_value = "200")]
    latency: Latency,

    /// Seed of all chance: latencies, shares of faults, tokens.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// A fault, KIND[:WHICH][,by=TIME]; may be given more than once.
    ///
    /// KIND: 429-burst, invalid-login, slow (any call); 400, 400-after-commit, 500,
    /// 500-after-commit, drop-after-commit, commit-late (writes).
    /// WHICH: a number N (the next N calls), every=N, share=P (0 to 1), for=TIME. Without it,
    /// 429-burst strikes the next 10 calls, the others the first call and then each tenth.
    /// by=TIME: the delay of slow (5s), invalid-login (61s) and commit-late (2s). For 429-burst
    /// it is the wait that is asked for. TIME: 250ms, 2s, 1m.
    #[arg(long = "fault", alias = "faults", value_name = "FAULT", verbatim_doc_comment)]
    faults: Vec<Fault>,

    /// Know a call in the report by the first word that begins so in its path, headers or body. It
    /// is used in place of where the dialect says that names stand.
    #[arg(long, value_name = "PREFIX")]
    named_by: Option<String>,

    /// Take calls without a sign-in.
    #[arg(long)]
    open: bool,

    /// What callers sign in with, as JSON with the fields that the profile's page names; those that
    /// are not in it stay the sandbox's own.
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// Where to write what callers sign in with, as JSON, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    write_credentials: Option<PathBuf>,

    /// How many seconds an access token is good, in place of the vendor's own time.
    #[arg(long, value_name = "SECONDS")]
    token_life: Option<u64>,
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
    let dialect = Dialect::of(&args.profile)?;
    let Dialect { auth, base_path, sample, .. } = &dialect;
    let mut line = json!({ "auth": auth, "base_path": base_path, "sample": sample });
    let vendor = vendor(&args, dialect)?;
    let listener =
        tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))
            .await
            .with_context(|| format!("port {} is not free", args.port))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    if let Some(path) = &args.write_credentials {
        write_private(path, &vendor.credentials(&base_url))?;
    }
    let clock = Clock::system();
    let mut sandbox = Sandbox::new((settings(&args), vendor));
    for fault in &args.faults {
        sandbox.inject(*fault, clock.now());
    }
    let stop = stop_signal()?;
    line["listening"] = base_url.as_str().into();
    announce(&line)?;
    serve(listener, Arc::new(Mutex::new(sandbox)), clock, stop).await;
    Ok(())
}

fn vendor(args: &Args, dialect: Dialect) -> anyhow::Result<Vendor> {
    let mut vendor = Vendor::new(dialect);
    if args.open {
        vendor = vendor.open();
    }
    if let Some(prefix) = &args.named_by {
        vendor = vendor.named_by(prefix);
    }
    if let Some(seconds) = args.token_life {
        vendor = vendor.with_token_life(Duration::from_secs(seconds));
    }
    if let Some(path) = &args.credentials {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let credentials: BTreeMap<String, String> = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON object of texts", path.display()))?;
        vendor = vendor.with_credentials(credentials);
    }
    Ok(vendor)
}

/// A rate of something else than time.
fn of_amounts(text: &str) -> anyhow::Result<Rate> {
    let rate: Rate = text.parse()?;
    anyhow::ensure!(rate.measure == Measure::Calls, "only --rate counts how long calls take");
    Ok(rate)
}

fn settings(args: &Args) -> Settings {
    let of = |rates: &[Rate], measure| {
        rates.iter().map(move |rate| Rate { measure, ..*rate }).collect::<Vec<_>>()
    };
    let rates =
        [args.rates.clone(), of(&args.units, Measure::Units), of(&args.quotas, Measure::Quota)];
    Settings {
        limit: args.concurrency,
        rates: rates.concat(),
        latency: args.latency,
        seed: args.seed,
    }
}
