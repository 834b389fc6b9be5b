//! What the fuzzer runs, and on stable Rust `tests/it/fuzz_bodies.rs`: each body takes any bytes and fails
//! where a promise is broken. The crate's root has the engine's routes as `routes`.
#![allow(dead_code)] // each target uses its own body

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use docker_proxy_acl::http1::synthetic::ErrorPolicy;
use docker_proxy_acl::inbound::{
    ArrivalBudget, ConnectionContext, ConnectionLimits, Limits, PaceLimits, Serving, Session,
    serve_connection,
};
use docker_proxy_acl::net::{Address, DisconnectWatcher, Peer, Socket};
use docker_proxy_acl::policy::catalog::ENGINE;
use docker_proxy_acl::policy::{Acl, CanonicalPath, ListenerPolicy, Origin, Policy, Verdict, View, names};
use docker_proxy_acl::proxy::limits::{RequestLimiter, RequestLimits};
use docker_proxy_acl::proxy::rules::Rules;
use docker_proxy_acl::proxy::service::Service;
use docker_proxy_acl::system::drain::Drain;
use docker_proxy_acl::telemetry::access_log::Client;
use docker_proxy_acl::telemetry::listener::ListenerTelemetry;
use docker_proxy_acl::upstream::{Upstream, UpstreamConfig};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::routes::{Dispatch, dispatch};

/// Names that leave others out, so that there is something to get past.
const NAMED: [&str; 7] =
    ["containers:inspect", "images:inspect", "networks", "volumes", "services:list", "version", "ping"];

/// A path is refused, or forwarded in a form that the engine takes for the same.
pub fn path(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    if let Ok(once) = CanonicalPath::parse(raw) {
        let again = CanonicalPath::parse(once.as_str()).expect("a canonical path is one");
        assert_eq!(again.as_str(), once.as_str());
    }
    static EVERYTHING: LazyLock<Acl> =
        LazyLock::new(|| Acl::from_names(&ENGINE, names::all(&ENGINE)).expect("the names are names"));
    if let Verdict::Allowed(allowed) = EVERYTHING.authorize(&Method::GET, raw, None) {
        assert_is(allowed.path.as_str(), allowed.endpoint.name);
    }
    assert!(!matches!(EVERYTHING.authorize(&Method::POST, raw, None), Verdict::Allowed(_)));
}

/// Whatever a client sends, the engine is asked only for what was named, and the connection ends.
pub fn server(bytes: &[u8]) {
    thread_local! {
        static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
    }
    BENCH.with_borrow_mut(|bench| bench.run(bytes));
}

fn assert_is(path: &str, name: &str) {
    match dispatch(path) {
        Dispatch::Route(_, Some(found)) if found == name => {}
        other => panic!("{path} is {name} here and {other:?} to the engine"),
    }
}

/// A server without its listener: clients come over an in-memory stream, the engine is a stub.
struct Bench {
    runtime: Runtime,
    serving: watch::Sender<Arc<Serving>>,
    heads: Arc<Mutex<Vec<String>>>,
    drain: Drain,
    /// A client that never goes, for connections that have no socket.
    disconnect: DisconnectWatcher,
    _client: UnixStream,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let directory = tempfile::tempdir().expect("a directory");
        let engine = directory.path().join("engine.sock");
        let heads = Arc::default();
        let listener = UnixListener::bind(&engine).expect("a socket for the stub");
        runtime.spawn(stub(listener, Arc::clone(&heads)));
        let config = UpstreamConfig {
            address: Address::Unix(engine),
            response_header_timeout: Some(Duration::from_secs(5)),
            tls: None,
        };
        let upstream = Arc::new(Upstream::new(&config).expect("without TLS there is nothing to load"));
        let acl = Acl::from_names(&ENGINE, NAMED).expect("the names are names");
        let policy = Policy { acl, view: View::default(), origin: Origin::Flags };
        let rules =
            Rules::new(Arc::new(ListenerPolicy::for_everyone(Arc::new(policy))), &upstream, &Arc::default());
        let limiter = RequestLimiter::new(RequestLimits { requests: 64, load: 64, client_share: 100 });
        let service = Service::new(rules, upstream, limiter, ErrorPolicy::default());
        let limits = Limits {
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            pace: PaceLimits { stall_timeout: None, min_rate: 0 },
            connections: ConnectionLimits { total: 1, per_uid: 1 },
        };
        let (client, watched) = UnixStream::pair().expect("a pair of sockets");
        Self {
            serving: watch::Sender::new(Arc::new(Serving { service: Arc::new(service), limits })),
            heads,
            drain: Drain::default(),
            disconnect: Socket::unix(watched, None).disconnect_watcher(),
            _client: client,
            _directory: directory,
            runtime,
        }
    }

    fn run(&mut self, bytes: &[u8]) {
        // The first byte says in what parts the others come.
        let (part, bytes) =
            bytes.split_first().map_or((1, bytes), |(first, rest)| (usize::from(*first) + 1, rest));
        let (client, server) = tokio::io::duplex(part.max(16));
        let context = ConnectionContext {
            session: Session::new(self.serving.subscribe()),
            client: Client {
                peer: Arc::new(Peer::process(0, 0)),
                listener: ListenerTelemetry::new("fuzz".into(), None, None, None),
            },
            heads: Arc::new(ArrivalBudget::of_heads()),
            handshakes: Arc::new(ArrivalBudget::of_handshakes()),
            drain: self.drain.clone(),
            disconnect: self.disconnect.clone(),
            accepted_at: Instant::now(),
        };
        self.runtime.block_on(async {
            let both = async { tokio::join!(serve_connection(server, context), talk(client, bytes, part)).1 };
            let answers = tokio::time::timeout(Duration::from_secs(4), both).await;
            assert_answers(&answers.expect("the connection ends when the client has ended"));
        });
        for head in self.heads.lock().expect("no one panicked").drain(..) {
            assert_named(&head);
        }
    }
}

/// Sends everything, part by part, while it reads, and gives what it read.
async fn talk(client: DuplexStream, bytes: &[u8], part: usize) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(client);
    let send = async {
        for part in bytes.chunks(part) {
            if writing.write_all(part).await.is_err() {
                return;
            }
        }
        let _ = writing.shutdown().await;
    };
    let mut answers = Vec::new();
    let (_, read) = tokio::join!(send, reading.read_to_end(&mut answers));
    read.expect("an in-memory stream does not break");
    answers
}

fn assert_answers(answers: &[u8]) {
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "{}", answers.escape_ascii());
    assert!(
        !answers.starts_with(b"HTTP/1.1 101") && !answers.starts_with(b"HTTP/1.1 5"),
        "{}",
        answers.escape_ascii()
    );
}

fn assert_named(head: &str) {
    let line = head.split("\r\n").next().unwrap_or_default();
    let target = line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let path =
        target.unwrap_or_else(|| panic!("the engine got {head:?}")).split('?').next().unwrap_or_default();
    let acl = Acl::from_names(&ENGINE, NAMED).expect("the names are names");
    match dispatch(path) {
        Dispatch::Route(_, Some(name)) => assert!(acl.endpoints().any(|row| row.name == name), "{head:?}"),
        Dispatch::Route(pattern, None) => panic!("the engine got {head:?}, which is {pattern}"),
        Dispatch::Nothing => panic!("the engine got {head:?}, which is nothing to it"),
    }
    for word in ["upgrade", "transfer-encoding", "content-length", "connection", "expect"] {
        assert!(!head.to_lowercase().contains(&format!("\r\n{word}:")), "the engine got {head:?}");
    }
}

/// Answers every head and keeps it.
async fn stub(listener: UnixListener, heads: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_all(stream, Arc::clone(&heads)));
    }
}

async fn answer_all(mut stream: UnixStream, heads: Arc<Mutex<Vec<String>>>) {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        received.extend_from_slice(&chunk[..read]);
        if received.ends_with(b"\r\n\r\n") {
            let all = String::from_utf8_lossy(&received).into_owned();
            heads.lock().expect("no one panicked").extend(all.split_inclusive("\r\n\r\n").map(str::to_owned));
            received.clear();
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
