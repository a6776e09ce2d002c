//! What a Lambda costs before its first call: how large its package is, and how long it takes from its
//! start until it polls for work.
//!
//! In the place of Lambda's runtime API and of Secrets Manager there is one listener on loopback. It hands
//! out the secret, and notes the first poll. So this is the program's own part of a cold start: to load it,
//! read its settings, make its clients and read the secret.

use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use slowlane_deployer::package::{self, CompressionMethod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const LAMBDAS: [&str; 2] = ["enqueuer", "worker"];
const POLL: &str = "/runtime/invocation/next";
/// After so long a program is taken for one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the template tells the two, and Lambda's own.
const ENVIRONMENT: [(&str, &str); 32] = [
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
    ("AWS_REGION", "eu-central-1"),
    ("AWS_LAMBDA_FUNCTION_NAME", "function"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
    ("HIGH_QUEUE_URL", "http://127.0.0.1:9/1/high"),
    ("NORMAL_QUEUE_URL", "http://127.0.0.1:9/1/normal"),
    ("BATCH_QUEUE_URL", "http://127.0.0.1:9/1/batch"),
    ("DOORBELL_QUEUE_URL", "http://127.0.0.1:9/1/doorbell"),
    ("DEAD_LETTER_QUEUE_URL", "http://127.0.0.1:9/1/dead-letters"),
    ("IDEMPOTENCY_TABLE", "table"),
    ("LIMITS", r#"[{"rate":"100/20s"}]"#),
    ("SHARE_EVERY", "10"),
    ("ON_HIGHER", "swap"),
    ("MAX_DEFERRALS", "10"),
    ("API_CONCURRENCY", "5"),
    ("API_TIMEOUT_SECS", "30"),
    ("CALL_VISIBILITY_SECS", "90"),
    ("WORK_WINDOW_SECS", "180"),
    ("FUNCTION_TIMEOUT_SECS", "270"),
    ("RING_VISIBILITY_SECS", "360"),
    ("RECORD_EXPIRY_SECS", "3024000"),
    ("MAX_WAIT_SECS", "900"),
    ("MAX_ATTEMPTS", "5"),
    ("MAX_RECEIVE_COUNT", "437"),
    ("API_PROFILE", "stripe"),
    ("API_BASE_URL", "https://api.stripe.com"),
    ("API_SECRET", "prod/stripe"),
    ("LOG_LEVEL", "info"),
];

/// Secrets Manager's answer.
const SECRET: &str = r#"{"SecretString":"{\"api_key\":\"sk_test\"}"}"#;

/// Certificates of authorities in one file, as Lambda has them, and other systems.
const CERTIFICATES: [&str; 3] =
    ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The directory of the release binaries slowlane-enqueuer and slowlane-worker
    #[arg(long, value_name = "DIR", env = "SLOWLANE_LAMBDAS")]
    lambdas: PathBuf,
    /// How often each is started
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    starts: u16,
    /// How long half of the starts may take at most, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10)]
    within_ms: u64,
    /// How large a package may be at most, in megabytes
    #[arg(long, value_name = "MB", default_value_t = 4)]
    most_mb: u64,
}

/// Prints the figures, and fails if one is beyond what it may be.
#[expect(clippy::print_stdout, reason = "the figures are its result")]
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut beyond = Vec::new();
    for name in LAMBDAS {
        let binary = options.lambdas.join(format!("slowlane-{name}"));
        let bytes = std::fs::read(&binary).with_context(|| binary.display().to_string())?;
        let zipped =
            package::zip(&[("bootstrap".into(), bytes)], CompressionMethod::Deflated)?.len();
        let starts = starts(&binary, options.starts).await?;
        let [half, most] = [50, 95].map(|percent| quantile(&starts, percent));
        println!(
            "{name:9} {:4.1} MB zipped; exec to first poll p50 {:5.1} ms, p95 {:5.1} ms, of {} starts",
            zipped as f64 / 1e6,
            half.as_secs_f64() * 1e3,
            most.as_secs_f64() * 1e3,
            starts.len()
        );
        if zipped as u64 > options.most_mb * 1_000_000 {
            beyond.push(format!("{name} has more than {} MB zipped", options.most_mb));
        }
        if half > Duration::from_millis(options.within_ms) {
            beyond.push(format!("{name} takes more than {} ms to start", options.within_ms));
        }
    }
    ensure!(beyond.is_empty(), "{}", beyond.join("; "));
    Ok(())
}

/// How long so many starts took, the shortest first. The very first, which reads the program from the
/// disk, is left out.
async fn starts(binary: &Path, number: u16) -> anyhow::Result<Vec<Duration>> {
    start(binary).await?;
    let mut all = Vec::new();
    for _ in 0..number {
        all.push(start(binary).await?);
    }
    all.sort_unstable();
    Ok(all)
}

async fn start(binary: &Path) -> anyhow::Result<Duration> {
    let api = TcpListener::bind("127.0.0.1:0").await?;
    let mut printed = tempfile::tempfile()?;
    let certificates = CERTIFICATES.iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(ENVIRONMENT)
        .envs(certificates.map(|path| ("SSL_CERT_FILE", path)))
        .env("AWS_LAMBDA_RUNTIME_API", api.local_addr()?.to_string())
        .env("AWS_ENDPOINT_URL", format!("http://{}", api.local_addr()?))
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(printed.try_clone()?)
        .kill_on_drop(true);
    let begun = Instant::now();
    let mut program = command.spawn().with_context(|| binary.display().to_string())?;
    let why = tokio::select! {
        polled = first_poll(&api) => {
            polled?;
            let took = begun.elapsed();
            program.kill().await?;
            return Ok(took);
        }
        ended = program.wait() => format!("ended before it polled for work: {}", ended?),
        () = tokio::time::sleep(PATIENCE) => format!("did not poll for work in {PATIENCE:?}"),
    };
    let mut told = String::new();
    printed.rewind()?;
    printed.read_to_string(&mut told)?;
    bail!("{} {why}\n{}", binary.display(), told.trim_end())
}

/// Waits for a request that asks for work. Whoever asks for something else is given the secret.
async fn first_poll(api: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut connection, _) = api.accept().await?;
        if request(&mut connection).await?.contains(POLL) {
            return Ok(());
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{SECRET}", SECRET.len());
        connection.write_all(answer.as_bytes()).await?;
    }
}

/// The first line of a request, once all of it has come that comes at once.
async fn request(connection: &mut TcpStream) -> anyhow::Result<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// The value below or at which so many of a hundred lie.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_program_that_ends_before_it_polls_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("slowlane-worker");
        let text = "#!/bin/sh\necho \"$API_PROFILE is unknown\" >&2\nexit 3\n";
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let told = start(&script).await.unwrap_err().to_string();
        assert!(told.contains("ended before it polled for work: exit status: 3"), "{told}");
        assert!(told.ends_with("\nstripe is unknown"), "{told}");
    }

    #[test]
    fn quantiles_are_of_the_values_themselves() {
        let all = |n: u64| (1..=n).map(Duration::from_millis).collect::<Vec<_>>();
        for (values, percent, expected) in
            [(1, 50, 1), (1, 95, 1), (2, 50, 1), (50, 50, 25), (50, 95, 48), (100, 95, 95)]
        {
            let found = quantile(&all(values), percent);
            assert_eq!(found, Duration::from_millis(expected), "{percent} of {values}");
        }
    }
}
