//! The request by which `docker-proxy-acl healthcheck` asks a listener whether it is alive.
//!
//! Any answer will do. That it is refused every half minute is no warning; who pretends to be it hides
//! that it was refused `/_ping`, and no more.

use http::{Request, header};

/// How the probe calls itself in `User-Agent`.
const USER_AGENT: &str = "docker-proxy-acl-healthcheck";
/// What it asks for (Engine API `/_ping`).
const PATH: &str = "/_ping";

/// All that it sends.
pub fn request() -> String {
    format!("GET {PATH} HTTP/1.0\r\nUser-Agent: {USER_AGENT}\r\n\r\n")
}

/// Whether a request is the probe's.
pub fn is_health_probe<B>(request: &Request<B>) -> bool {
    let agent = request.headers().get(header::USER_AGENT);
    request.uri().path() == PATH && agent.is_some_and(|agent| agent == USER_AGENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_recognised() {
        let sent = request();
        let mut lines = sent.split("\r\n");
        let target = lines.next().unwrap().split(' ').nth(1).unwrap();
        let agent = lines.next().unwrap().split_once(": ").unwrap().1;
        let ask = |target: &str, agent: &str| {
            Request::builder().uri(target).header("user-agent", agent).body(()).unwrap()
        };
        assert!(is_health_probe(&ask(target, agent)));
        assert!(!is_health_probe(&ask("/info", agent)));
        assert!(!is_health_probe(&ask(target, "curl")));
    }
}
