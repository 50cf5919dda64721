//! The API server, asked over a real socket.

use registry_api::memory::Reachability;
use scheduler::api;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bench::{Bench, task};

const DEMO: &str = "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'echo hello'\n";

struct Server {
    address: String,
    _task: AbortOnDropHandle<()>,
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    async fn start(bench: &Bench) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connected = bench.observer.clone();
        let task = tokio::spawn(async move {
            api::serve(&connected, listener, &CancellationToken::new()).await.unwrap();
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).await
    }

    async fn post(&self, path: &str, kind: &str, body: &str) -> Response {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}",
            self.address
        ))
        .await
    }

    async fn ask(&self, request: &str) -> Response {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        serde_json::from_str(&response.body).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_submitted_and_followed_over_the_api() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let server = Server::start(&bench).await;

    let submitted = server.post("/api/workflows", "application/toml", DEMO).await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let body: Value = serde_json::from_str(&submitted.body).unwrap();
    let instance = body["instance"].as_str().unwrap().parse().unwrap();
    bench.ended(&instance).await;

    let shown = server.json(&format!("/api/instances/{instance}")).await;
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(shown["tasks"][0]["accepted"], 1);
    assert_eq!(shown["tasks"][0]["attempts"][0]["worker"], "w1");
    assert_eq!(shown["tasks"][0]["attempts"][0]["output"], "hello\n");
    assert_eq!(server.json("/api/instances").await[0]["id"], instance.as_str());
    assert_eq!(server.json("/api/workflows").await[0]["tasks"], 1);
    assert_eq!(server.json("/api/members").await[0]["report"]["role"], "master");
    assert_eq!(server.json("/api/workers").await[0]["report"]["capacity"], 4);
    assert_eq!(server.json("/health").await["status"], "ok");
    bench.eventually("the only master leads", async |reader| reader.leader().await.unwrap()).await;
    assert_eq!(server.json("/api/leader").await["master"], "m1");
    assert_eq!(server.json("/api/leader").await["node"], Value::Null, "this store has no members");
    assert_eq!(server.get("/api/instances/none").await.status, 404);
    for path in ["/".to_owned(), format!("/instances/{instance}")] {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("w1") && page.body.contains("succeeded"), "{}", page.body);
        assert!(page.body.contains("registry: memory") && !page.body.contains("<th>member</th>"), "{}", page.body);
        assert!(!page.body.contains("<script"), "no scripts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_with_mistakes_is_refused_with_all_of_them() {
    let bench = Bench::new();
    let server = Server::start(&bench).await;

    let refused = server
        .post("/api/workflows", "application/toml", "name = 'w'\n[[task]]\nid = 'a'\ncommand = ''\ndepends_on = ['a']")
        .await;

    assert_eq!(refused.status, 400);
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(body["mistakes"].as_array().unwrap().len(), 2, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_pages_cannot_submit() {
    let bench = Bench::new();
    let server = Server::start(&bench).await;

    assert_eq!(server.post("/api/workflows", "text/plain", DEMO).await.status, 415);
    let rebound = server.ask("GET /api/workers HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(rebound.status, 421);
    let long = "x".repeat(200 * 1024);
    assert_eq!(server.post("/api/workflows", "application/toml", &long).await.status, 413);
    assert!(scheduler::overview::Reader::new(&bench.observer).instances().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_cancelled_over_the_api() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let server = Server::start(&bench).await;
    let instance = bench.submit(&["id = 'a'\ncommand = 'sleep 60'"]).await;
    bench.until("it runs", &instance, |view| task(view, "a").state == "running").await;

    let path = format!("/api/instances/{instance}/cancel");
    assert_eq!(server.post(&path, "application/toml", "").await.status, 202);

    assert_eq!(bench.ended(&instance).await.state, "cancelled");
    assert_eq!(server.post(&path, "application/toml", "").await.status, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_tasks_is_shown_as_text() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let server = Server::start(&bench).await;
    let instance = bench.submit(&["id = 'a'\ncommand = 'echo \"<img src=x>\"'"]).await;
    bench.ended(&instance).await;

    let page = server.get(&format!("/instances/{instance}")).await;

    assert!(page.body.contains("&lt;img src=x&gt;"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_registry_says_so() {
    let bench = Bench::new();
    let server = Server::start(&bench).await;
    bench.set_reachable(Reachability::Refusing);

    let refused = server.get("/health").await;

    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("application/json"), "{}", refused.head);
    assert!(refused.body.contains("cannot be reached"), "{}", refused.body);
}
