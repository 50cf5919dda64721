//! Members that are lost, frozen, or leave.

use super::fake::Reaction;
use super::*;
use crate::proto::request::Request;

fn reads(request: &Request) -> Reaction {
    match request {
        Request::Get(_) => Reaction::Answer(Answer::Get(proto::GetAnswer {
            entry: None,
            revision: Some(proto::Revision { incarnation: 1, counter: 1 }),
        })),
        _ => Reaction::Silence,
    }
}

fn get() -> Request {
    Request::Get(proto::Get { key: "/a".to_owned(), freshness: None })
}

#[tokio::test]
async fn reads_go_on_at_another_member_when_the_home_is_lost() {
    let first = Fake::start(1, reads).await;
    let second = Fake::start(2, reads).await;
    let client = client_of(vec![first.target(), second.target()]);
    client.router.at_home(&get(), soon()).await.unwrap();
    let (home, other) = if first.requests().is_empty() { (second, first) } else { (first, second) };
    drop(home);
    client.router.at_home(&get(), soon()).await.unwrap();
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_made_again() {
    let member = Fake::start(1, reads).await;
    let client = client_of(vec![member.target()]);
    client.router.at_home(&get(), soon()).await.unwrap();
    member.break_connections();
    client.router.at_home(&get(), soon()).await.unwrap();
}

/// A host that takes connections and bytes and never says anything, as a stopped process does.
#[tokio::test]
async fn a_frozen_member_costs_no_more_than_the_connect_timeout() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = frozen.local_addr().unwrap().to_string();
    let member = Fake::start(1, reads).await;
    let client = client_of(vec![Target { id: 2, address }, member.target()]);
    let started = Instant::now();
    client.router.at_home(&get(), soon()).await.unwrap();
    assert!(started.elapsed() < timing().connect_timeout * 3, "{:?}", started.elapsed());
}

/// The bytes of a connection pass through here until it is frozen: as with SIGSTOP, nothing is closed.
#[tokio::test]
async fn a_member_that_freezes_is_noticed_by_the_keep_alive() {
    let member = Fake::start(1, reads).await;
    let (proxy, freeze) = freezing_proxy(member.target().address).await;
    let client = client_of(vec![Target { id: 1, address: proxy }]);
    client.router.at_home(&get(), soon()).await.unwrap();
    let mut connection = client.connection.clone();
    connection.reached(ConnectionState::Connected).await;
    freeze.cancel();
    let started = Instant::now();
    connection.reached(ConnectionState::Suspended).await;
    let bound = (timing().keep_alive_interval + timing().keep_alive_timeout) * 3;
    assert!(started.elapsed() < bound, "{:?}", started.elapsed());
}

async fn freezing_proxy(to: String) -> (String, tokio_util::sync::CancellationToken) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let freeze = tokio_util::sync::CancellationToken::new();
    let frozen = freeze.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((near, _)) = listener.accept().await {
            if frozen.is_cancelled() {
                held.push(near);
                continue;
            }
            let Ok(far) = tokio::net::TcpStream::connect(&to).await else { continue };
            let frozen = frozen.clone();
            tokio::spawn(async move {
                let (mut near, mut far) = (near, far);
                frozen.run_until_cancelled(tokio::io::copy_bidirectional(&mut near, &mut far)).await;
                if frozen.is_cancelled() {
                    // The sockets stay open, and nobody reads them.
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (address, freeze)
}
