//! What servers tell of themselves in text: who leads, how often they flushed, how much they took.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Kind;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the server at this address leads; `None` where it does not answer, or is not part of a quorum.
pub(crate) async fn leads(kind: Kind, address: &str) -> Option<bool> {
    Some(match kind {
        Kind::Raft => sum(&metrics(address).await?, "registry_raft_leading")? > 0.0,
        Kind::Etcd => {
            let text = metrics(address).await?;
            sum(&text, "etcd_server_has_leader").filter(|has| *has > 0.0)?;
            sum(&text, "etcd_server_is_leader")? > 0.0
        }
        Kind::ZooKeeper => {
            let text = ask(address, "srvr").await?;
            text.lines().find_map(|line| line.strip_prefix("Mode: "))? == "leader"
        }
    })
}

/// How often the server has flushed its log; `None` where it does not tell.
pub(crate) async fn fsyncs(kind: Kind, address: &str) -> Option<f64> {
    match kind {
        Kind::Raft => sum(&metrics(address).await?, "registry_raft_fsyncs_total"),
        Kind::Etcd => sum(&metrics(address).await?, "etcd_disk_wal_fsync_duration_seconds_count"),
        Kind::ZooKeeper => sum(&ask(address, "mntr").await?, "zk_cnt_fsynctime"),
    }
}

/// How many requests the server has taken from clients.
pub(crate) async fn requests(kind: Kind, address: &str) -> Option<f64> {
    match kind {
        Kind::Raft => {
            let text = metrics(address).await?;
            let names = ["heartbeats", "reads", "proposals"].map(|name| format!("registry_raft_{name}_total"));
            Some(names.iter().filter_map(|name| sum(&text, name)).sum())
        }
        Kind::Etcd => sum(&metrics(address).await?, "grpc_server_msg_received_total"),
        Kind::ZooKeeper => sum(&ask(address, "srvr").await?, "Received:"),
    }
}

/// The term of a member of raft: every election raises it.
pub(crate) async fn term(address: &str) -> Option<f64> {
    sum(&metrics(address).await?, "registry_raft_term")
}

async fn metrics(address: &str) -> Option<String> {
    ask(address, &format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")).await
}

async fn ask(address: &str, request: &str) -> Option<String> {
    let answer = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(TIMEOUT, answer).await.ok()?
}

/// The sum of the numbers of this name, whatever their labels; `None` where there is none.
fn sum(text: &str, name: &str) -> Option<f64> {
    let of_name = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ', '\t']))
    };
    let numbers: Vec<f64> =
        text.lines().filter(of_name).filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    (!numbers.is_empty()).then(|| numbers.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_labels_are_summed() {
        let text = "# TYPE a counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_more 9\nReceived: 12\nzk\t5\n";
        assert_eq!(sum(text, "a_total"), Some(7.0));
        assert_eq!(sum(text, "Received:"), Some(12.0));
        assert_eq!(sum(text, "zk"), Some(5.0));
        assert_eq!(sum(text, "b_total"), None, "what is not told is not zero");
    }
}
