//! A grammar of hostile requests: what a malicious client sends.

use super::rng::Rng;

const METHODS: &[&str] = &[
    "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get", "GETX", "G\0ET", "PRI",
    "PROPFIND", "", " GET", "\r\nGET", "GET\t",
];

const ENDPOINTS: &[&str] = &[
    "/containers/json",
    "/containers/web/json",
    "/containers/web/top",
    "/containers/web/logs",
    "/containers/web/stats",
    "/containers/web/export",
    "/containers/web/archive",
    "/containers/web/changes",
    "/containers/web/attach/ws",
    "/containers/web/checkpoints",
    "/containers/create",
    "/containers/web/start",
    "/containers/web/kill",
    "/containers/web/exec",
    "/containers/prune",
    "/images/json",
    "/images/a/b:c/json",
    "/images/a/history",
    "/images/a/get",
    "/images/get",
    "/images/search",
    "/images/create",
    "/build",
    "/auth",
    "/commit",
    "/networks",
    "/networks/",
    "/networks/bridge",
    "/networks/create",
    "/volumes",
    "/volumes/data",
    "/volumes/create",
    "/services",
    "/services/a",
    "/services/a/logs",
    "/tasks",
    "/tasks/a",
    "/nodes",
    "/swarm",
    "/swarm/init",
    "/swarm/unlockkey",
    "/secrets",
    "/secrets/a",
    "/configs",
    "/configs/a",
    "/plugins",
    "/plugins/privileges",
    "/plugins/a/json",
    "/distribution/a/json",
    "/exec/a/json",
    "/exec/a/start",
    "/info",
    "/version",
    "/_ping",
    "/system/df",
    "/session",
    "/grpc",
    "/debug/pprof/",
    "/debug/vars",
    "/",
];

const VERSIONS: &[&str] =
    &["", "", "", "/v1.41", "/v1.24", "/v4.0.0", "/v9.99", "/v1", "/v1.41/v1.41", "/v1.41/", "/v."];

const TRICKS: &[&str] = &[
    "/",
    "//",
    "/./",
    "/../",
    "/..",
    "%2f",
    "%2F",
    "%2e",
    "%2e%2e",
    "%2f..%2f",
    "..%2f",
    "%5c",
    "\\",
    ";",
    ";a=b",
    "%3b",
    "?",
    "%3f",
    "#",
    "%23",
    "%00",
    "\0",
    "%0a",
    "%0d%0a",
    "%09",
    "\t",
    "%20",
    "%25",
    "%252f",
    "%252e%252e",
    "%",
    "%1",
    "%zz",
    "%u002f",
    "%c0%af",
    "%c3%b6",
    "\u{f6}",
    "|",
    "\"",
    "'",
    "<",
    "*",
    "~",
    "+",
    ":",
    "@",
    "&",
    "=",
    ",",
    "/json",
    "/json/",
    "json",
    "/top",
    "/attach/ws",
    "%2fjson",
    "../../info",
    "/v1.41",
];

/// What stands behind a question mark, and what else should not.
const QUERIES: &[&str] = &[
    "filters={\"name\":[\"web\"]}",
    "a=<>|^`\\[]{}\"'",
    "\u{f6}",
    "a b",
    "#",
    "a#/containers/json",
    "%00",
    "%zz",
    "a;b",
    "a=\x7f",
    "{\r\n",
    "?../../info",
    "{{{{{{{{ HTTP/1.1",
];

const HEADERS: &[&str] = &[
    "Connection: Upgrade\r\nUpgrade: tcp",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 40\r\nContent-Length: 0",
    "Content-Length: 0, 0",
    "Content-Length: -1",
    "Content-Length: 1e3",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked\r\nContent-Length: 6",
    "Content-Length: 6\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Expect: 100-continue",
    "X-HTTP-Method-Override: POST",
    "X-HTTP-Method: DELETE",
    "X-Original-URL: /containers/json",
    "X-Rewrite-URL: /containers/json",
    "X-Forwarded-For: 127.0.0.1",
    "Host: evil",
    "Host:",
    "Connection: close",
    "Connection: Host",
    "Connection: keep-alive",
    "TE: trailers",
    "Accept: */*\r\nAccept: application/json",
    "User-Agent: x\tGET /containers/json HTTP/1.1",
    "User-Agent: \u{f6}\u{ff}",
    "X-Registry-Auth: e30=",
    "Cookie: a=b",
    "No colon",
    ": empty",
    "X\0: y",
    "X: a\0b",
    "X: a\rb",
    "X: a\nGET /containers/json HTTP/1.1",
    "Range: bytes=0-",
];

const VERSIONS_OF_HTTP: &[&str] = &["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.10", "http/1.1", "", "X"];

const LINE_ENDS: &[&str] = &["\n", "\r", "\r\r\n", "\0\r\n"];

const BODIES: &[&str] = &[
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n",
    "DELETE /containers/web HTTP/1.1\r\nHost: x\r\n\r\n",
    "1a\r\nGET /info HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\n\r\n",
    "\0\0\0\x04\0\0\0\0\0",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// A request's target: an endpoint, perhaps with something done to it.
pub fn target(rng: &mut Rng) -> String {
    let mut path = format!("{}{}", rng.pick(VERSIONS), rng.pick(ENDPOINTS));
    for _ in 0..[0, 0, 0, 1, 1, 2, 3][rng.below(7)] {
        deform(&mut path, rng);
    }
    match rng.below(24) {
        0 => format!("http://docker{path}"),
        1 => format!("HTTP://a:b@docker:1{path}"),
        2 => format!("//docker{path}"),
        3 => format!("ftp://docker{path}"),
        4 => "docker:2375".to_owned(),
        5 => "*".to_owned(),
        6 | 7 => format!("{path}?{}{}", rng.pick(TRICKS), rng.pick(ENDPOINTS)),
        8 => format!("{path}{}", ["x", "{"][rng.below(2)].repeat(rng.below(70_000))),
        9..=11 => format!("{path}?{}", rng.pick(QUERIES)),
        12 | 13 => doubled(&path, rng),
        _ => path,
    }
}

/// With one of its slashes twice or more.
fn doubled(path: &str, rng: &mut Rng) -> String {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    let at = if slashes.is_empty() { 0 } else { slashes[rng.below(slashes.len())] };
    format!("{}{}{}", &path[..at], "/".repeat(1 + rng.below(3)), &path[at..])
}

/// The field and the body of one that is framed as it should be.
fn framed_body(rng: &mut Rng) -> (String, String) {
    let body = rng.pick(BODIES);
    if rng.once_in(2) {
        (format!("Content-Length: {}", body.len()), body.to_owned())
    } else {
        ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
    }
}

fn deform(path: &mut String, rng: &mut Rng) {
    let mut at = rng.below(path.len() + 1);
    while !path.is_char_boundary(at) {
        at -= 1;
    }
    match rng.below(4) {
        0 | 1 => path.insert_str(at, rng.pick(TRICKS)),
        2 => {
            // The same character, spelled as an escape.
            if let Some(byte) = path.as_bytes().get(at).filter(|byte| byte.is_ascii()) {
                let escape = format!("%{byte:02x}");
                path.replace_range(at..=at, &escape);
            }
        }
        _ => path.push_str(rng.pick(TRICKS)),
    }
}

/// What it should be, or once in so many times one of these.
fn or<'a>(rng: &mut Rng, times: usize, usual: &'a str, others: &[&'a str]) -> &'a str {
    if rng.once_in(times) { rng.pick(others) } else { usual }
}

/// One request, more or less. Most of its parts are as they should be, so that what is not gets far.
pub fn request(rng: &mut Rng) -> Vec<u8> {
    let end = or(rng, 25, "\r\n", LINE_ENDS);
    let space = or(rng, 40, " ", &["  ", "\t", "", "\u{b}"]);
    let method = or(rng, 5, "GET", METHODS);
    let version = or(rng, 15, "HTTP/1.1", VERSIONS_OF_HTTP);
    let mut text = format!("{method}{space}{}{space}{version}{end}", target(rng));
    if !rng.once_in(20) {
        text += &format!("Host: docker{end}");
    }
    for _ in 0..[0, 0, 0, 0, 1, 2][rng.below(6)] {
        text += &format!("{}{end}", rng.pick(HEADERS));
    }
    if rng.once_in(100) {
        text += &format!("X: y{end}").repeat(90 + rng.below(20));
    }
    if rng.once_in(200) {
        text += &format!("X: {}{end}", "y".repeat(rng.below(70_000)));
    }
    if rng.once_in(6) {
        let (field, body) = framed_body(rng);
        text += &format!("{field}{end}{end}{body}");
        return text.into_bytes();
    }
    text += end;
    if rng.once_in(4) {
        text += rng.pick(BODIES);
    }
    let mut bytes = text.into_bytes();
    if rng.once_in(12) {
        let at = rng.below(bytes.len());
        bytes[at] = rng.byte();
    }
    bytes
}
