//! The Redis store on a real server: `redis-server` or `valkey-server`, wherever the path or
//! `SLOWLANE_REDIS_SERVER` has one.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use slowlane_limiter::{
    LimitKey, Meter, Moment, QuotaTerm, RateTerm, RedisStore, Reserve, Store, conformance,
};

use crate::{START, millis, seconds};

/// A server that keeps nothing. It ends when this is dropped.
struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _no_zombie = self.0.wait();
    }
}

impl Server {
    /// `None` where there is no server to be had. In CI that is an error.
    fn start() -> anyhow::Result<Option<Self>> {
        let given = std::env::var("SLOWLANE_REDIS_SERVER").ok();
        let names = ["redis-server".to_owned(), "valkey-server".to_owned()];
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        for name in given.into_iter().chain(names) {
            let server = Command::new(&name)
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .args(["--port", &port.to_string()])
                .stdout(Stdio::null())
                .spawn();
            if let Ok(server) = server {
                return Ok(Some(Self(server, port)));
            }
        }
        anyhow::ensure!(std::env::var_os("CI").is_none(), "no redis-server and no valkey-server");
        eprintln!("SKIPPED: neither redis-server nor valkey-server is installed");
        Ok(None)
    }

    async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.1))?;
        let start = Instant::now();
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => return Ok(connection),
                Err(error) if start.elapsed() > seconds(30) => {
                    return Err(error).context("the server does not answer");
                }
                Err(_) => tokio::time::sleep(millis(20)).await,
            }
        }
    }
}

#[tokio::test]
async fn the_store_conforms() -> anyhow::Result<()> {
    let Some(server) = Server::start()? else { return Ok(()) };
    let store = RedisStore::new(server.connection().await?);
    conformance::check(&store, "suite").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_stored_is_small_and_goes_away() -> anyhow::Result<()> {
    let Some(server) = Server::start()? else { return Ok(()) };
    let mut connection = server.connection().await?;
    let store = RedisStore::new(connection.clone()).prefix("team:");
    let limit = LimitKey::new("crm/acme")?;
    let term = RateTerm { cost: millis(100), burst: Duration::ZERO };
    let quota = QuotaTerm { units: 1, limit: 9, resets_at: START.plus(seconds(3600)) };
    let reserve = Reserve {
        now: START,
        horizon: Duration::MAX,
        calls: 1,
        rates: vec![term],
        quotas: vec![quota],
        overdraw: false,
    };
    let granted = store.reserve(&limit, &reserve).await?.map(|granted| granted.before);
    assert_eq!(granted, Ok(Meter::default()));
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await?;
    assert_eq!(keys, ["team:{crm/acme}:meter"]);
    let expires: u64 = redis::cmd("EXPIRETIME").arg(&keys[0]).query_async(&mut connection).await?;
    let a_day_after = Moment(START.as_micros()).plus(seconds(3600 + 24 * 3600));
    assert_eq!(expires, a_day_after.as_micros() / 1_000_000);
    Ok(())
}
