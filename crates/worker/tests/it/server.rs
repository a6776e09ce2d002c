//! An HTTP server on a loopback port that answers in bytes, so that a test says all that is on the
//! wire. That may be a body that breaks off, one that never ends, or no answer at all.

use std::sync::{Arc, Mutex, PoisonError};

use slowlane_worker::reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Stops with its test.
pub(crate) struct Server {
    url: Url,
    requests: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Server {
    /// Answers each request by `answer`, which gets the connection after the request was read;
    /// the connection is closed when it returns.
    pub(crate) async fn start<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Server::serving(move |_, stream| answer(stream)).await
    }

    /// As [`Server::start`], by what the request says.
    pub(crate) async fn serving<F>(answer: impl Fn(String, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap()).parse().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                tokio::spawn(answer(request, stream));
            }
        });
        Server { url, requests, task: task.abort_handle() }
    }

    /// Answers each request with these bytes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Server::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                // A client that has read enough closes first.
                let _ = stream.write_all(&answer).await;
            }
        })
        .await
    }

    /// The base URL of the API that it plays.
    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// The requests so far: head and body, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer: the status line's code, header lines without their ends, and a body.
pub(crate) fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

/// The head of an answer whose body ends when the connection does.
pub(crate) fn endless_head(status: u16, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("HTTP/1.1 {status} \r\nconnection: close\r\n{headers}\r\n")
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            return text;
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn content_length(head: &str) -> usize {
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    lengths.next().unwrap_or(0)
}
