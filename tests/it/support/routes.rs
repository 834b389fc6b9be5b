//! The engine's own router, rebuilt from what its log says of it, to compare the proxy's with.

/// What `dockerd -D` logs as "Registering GET, ..." (20.10), in its order, with the catalog's name for
/// each; none where no name may lead. Attestations came with API 1.55.
#[rustfmt::skip] // one row a line
pub static ROUTES: &[(&str, Option<&str>)] = &[
    ("/containers/{name:.*}/checkpoints", None),
    ("/containers/json", Some("containers:list")),
    ("/containers/{name:.*}/export", Some("containers:export")),
    ("/containers/{name:.*}/changes", Some("containers:changes")),
    ("/containers/{name:.*}/json", Some("containers:inspect")),
    ("/containers/{name:.*}/top", Some("containers:top")),
    ("/containers/{name:.*}/logs", Some("containers:logs")),
    ("/containers/{name:.*}/stats", Some("containers:stats")),
    ("/containers/{name:.*}/attach/ws", None),
    ("/exec/{id:.*}/json", Some("exec:inspect")),
    ("/containers/{name:.*}/archive", Some("containers:archive")),
    ("/images/json", Some("images:list")),
    ("/images/search", Some("images:search")),
    ("/images/get", Some("images:export")),
    ("/images/{name:.*}/get", Some("images:export")),
    ("/images/{name:.*}/history", Some("images:history")),
    ("/images/{name:.*}/json", Some("images:inspect")),
    ("/images/{name:.*}/attestations", Some("images:attestations")),
    ("/_ping", Some("ping")),
    ("/events", Some("events")),
    ("/info", Some("info")),
    ("/version", Some("version")),
    ("/system/df", Some("system:df")),
    ("/volumes", Some("volumes:list")),
    ("/volumes/{name:.*}", Some("volumes:inspect")),
    ("/swarm", Some("swarm:inspect")),
    ("/swarm/unlockkey", None),
    ("/services", Some("services:list")),
    ("/services/{id}", Some("services:inspect")),
    ("/services/{id}/logs", Some("services:logs")),
    ("/nodes", Some("nodes:list")),
    ("/nodes/{id}", Some("nodes:inspect")),
    ("/tasks", Some("tasks:list")),
    ("/tasks/{id}", Some("tasks:inspect")),
    ("/tasks/{id}/logs", Some("tasks:logs")),
    ("/secrets", Some("secrets:list")),
    ("/secrets/{id}", Some("secrets:inspect")),
    ("/configs", Some("configs:list")),
    ("/configs/{id}", Some("configs:inspect")),
    ("/plugins", Some("plugins:list")),
    ("/plugins/{name:.*}/json", Some("plugins:inspect")),
    ("/plugins/privileges", None),
    ("/distribution/{name:.*}/json", Some("distribution:inspect")),
    ("/networks", Some("networks:list")),
    ("/networks/", Some("networks:list")),
    ("/networks/{id:.+}", Some("networks:inspect")),
];

/// What the engine does with the path of a request's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// It takes this route, which has this name in the catalog.
    Route(&'static str, Option<&'static str>),
    /// It takes none: a redirect to another path, or 404.
    Nothing,
}

/// Where the engine's router takes a path as it stands in a request.
pub fn dispatch(raw_path: &str) -> Dispatch {
    let Some(path) = decoded(raw_path) else { return Dispatch::Nothing };
    if !is_clean(&path) {
        return Dispatch::Nothing;
    }
    // Each route is registered with and without a version, one route after the other.
    let ways: Vec<&[u8]> = without_version(&path).into_iter().chain([path.as_slice()]).collect();
    let found = ROUTES.iter().find(|(pattern, _)| ways.iter().any(|path| matches(pattern, path)));
    found.map_or(Dispatch::Nothing, |(pattern, name)| Dispatch::Route(pattern, *name))
}

/// As Go's `url.PathUnescape`.
fn decoded(raw: &str) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            path.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &tail[2..];
        } else {
            path.push(*first);
            rest = tail;
        }
    }
    Some(path)
}

/// Whether the router would not redirect to a cleaner path first.
fn is_clean(path: &[u8]) -> bool {
    let Some(relative) = path.strip_prefix(b"/") else { return false };
    let segments: Vec<&[u8]> = relative.split(|byte| *byte == b'/').collect();
    let last = segments.len() - 1;
    segments.iter().enumerate().all(|(index, segment)| match *segment {
        b"" => index == last,
        b"." | b".." => false,
        _ => true,
    })
}

/// What is left after `/v{version:[0-9.]+}`.
fn without_version(path: &[u8]) -> Option<&[u8]> {
    let after_v = path.strip_prefix(b"/v")?;
    let end = after_v.iter().position(|byte| *byte == b'/')?;
    let version = &after_v[..end];
    let is_version = !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_version.then_some(&after_v[end..])
}

fn matches(pattern: &str, path: &[u8]) -> bool {
    let Some((prefix, rest)) = pattern.split_once('{') else { return path == pattern.as_bytes() };
    let (variable, suffix) = rest.split_once('}').unwrap();
    let name = path.strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_suffix(suffix.as_bytes()));
    let Some(name) = name else { return false };
    // In Go's expressions a dot does not match a line's end.
    let on_one_line = !name.contains(&b'\n');
    match variable.split_once(':') {
        Some((_, ".*")) => on_one_line,
        Some((_, ".+")) => on_one_line && !name.is_empty(),
        None => !name.is_empty() && !name.contains(&b'/'),
        Some((_, other)) => panic!("what does {other} match?"),
    }
}
