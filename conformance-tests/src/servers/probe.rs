//! Asks servers how they are, past every relay and client library.

use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Broken, Outcome};

/// How long one question may take: a server that stands still does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// How often servers are asked what they will answer sooner or later.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take until they do, on a machine with other things to do.
const ANSWER_AT_LAST: Duration = Duration::from_secs(90);

/// Asks until the answer is no error; `what` says what is waited for.
pub(super) async fn until<T, R>(what: &str, question: impl Fn() -> R) -> Outcome<T>
where
    R: Future<Output = Outcome<T>>,
{
    let mut ticks = tokio::time::interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    loop {
        ticks.tick().await;
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(last) if start.elapsed() > ANSWER_AT_LAST => {
                return Err(Broken::harness(format!("waited {ANSWER_AT_LAST:?} in vain until {what}: {last}")));
            }
            Err(_not_yet) => {}
        }
    }
}

/// Sends `question` over a connection of its own and reads until the server ends it.
async fn ask(address: &str, question: &str) -> Outcome<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        Ok::<_, Broken>(answer)
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await?
}

/// What ZooKeeper answers to a four letter word.
pub(super) async fn four_letters(address: &str, word: &str) -> Outcome<String> {
    ask(address, word).await
}

/// How many requests of clients a server of ZooKeeper has taken.
pub(super) async fn requests_of_zookeeper(address: &str) -> Outcome<u64> {
    sum(&four_letters(address, "srvr").await?, "Received:")
}

/// How many messages of clients a server of etcd has taken.
pub(super) async fn requests_of_etcd(address: &str) -> Outcome<u64> {
    let question = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    sum(&ask(address, &question).await?, "grpc_server_msg_received_total{")
}

/// The sum of the numbers at the ends of the lines that begin like this.
fn sum(text: &str, beginning: &str) -> Outcome<u64> {
    let lines = text.lines().filter(|line| line.starts_with(beginning));
    let numbers: Vec<u64> = lines.filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    if numbers.is_empty() {
        Err(Broken::harness(format!("no {beginning} in {text:?}")))
    } else {
        Ok(numbers.iter().sum())
    }
}

/// What etcd answers to a call of its JSON interface.
pub(super) async fn json(address: &str, path: &str, body: &Value) -> Outcome<Value> {
    let body = body.to_string();
    let length = body.len();
    let question = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = ask(address, &question).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Broken::harness(format!("etcd says {answer:?}")))?;
    if head.split(' ').nth(1) == Some("200") {
        Ok(serde_json::from_str(body)?)
    } else {
        Err(Broken::harness(format!("etcd refuses {path}: {body}")))
    }
}
