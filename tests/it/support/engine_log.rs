//! What engines log of their routes and calls, which each version of each says in its own way.

/// The call that a line tells of, such as `GET /v1.41/info`.
///
/// - Docker up to 26: `msg="Calling GET /info"`, and from 25 on more fields after it.
/// - Docker from 28 on: `msg="handling GET request" method=GET ... request-url=/info`.
/// - Podman: a line as a web server's access log has it, `"GET /info HTTP/1.1" 200`, once the call is over.
pub fn call(line: &str) -> Option<String> {
    if let Some(message) = field(line, "msg") {
        if let Some(call) = message.strip_prefix("Calling ") {
            return Some(call.to_owned());
        }
        let is_call = message.starts_with("handling ") && message.ends_with(" request");
        return is_call
            .then(|| Some(format!("{} {}", field(line, "method")?, field(line, "request-url")?)))?;
    }
    let request = unquoted(line.split_once("] \"").filter(|(client, _)| client.contains(" - - ["))?.1);
    Some(request.rsplit_once(" HTTP/1.")?.0.to_owned())
}

/// The path of a `GET` that a line says to be answered, without the version that may stand before it:
/// `msg="Registering GET, /info"`, or from 28 on `msg="Registering route" method=GET path=/info`.
pub fn route(line: &str) -> Option<String> {
    let message = field(line, "msg")?;
    match message.strip_prefix("Registering GET, ") {
        Some(path) => Some(path.to_owned()),
        None if message == "Registering route" && field(line, "method")? == "GET" => field(line, "path"),
        None => None,
    }
}

/// The value of a field of logrus's text format, which quotes values as Go does if they need it.
fn field(line: &str, name: &str) -> Option<String> {
    let start = line.find(&format!(" {name}="))? + name.len() + 2;
    Some(match line[start..].strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => line[start..].split(' ').next().unwrap().to_owned(),
    })
}

/// What stands before the closing quote. Requests are ASCII that can be seen, of which two bytes are escaped.
fn unquoted(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next().filter(|c| *c != '"') {
        plain.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    plain
}

#[test]
fn every_engine_s_way_of_logging_a_call_is_read() {
    for line in [
        r#"time="..." level=debug msg="Calling GET /v1.41/info?a=\"b\"""#,
        r#"time="..." level=debug msg="Calling GET /v1.41/info?a=\"b\"" spanID=84 traceID=90"#,
        r#"time="..." level=debug msg="handling GET request" method=GET module=api request-url="/v1.41/info?a=\"b\"" vars="map[]""#,
        r#"@ - - [27/Nov/2026:17:51:07 +0000] "GET /v1.41/info?a=\"b\" HTTP/1.1" 200 3 "" "curl/7.88.1""#,
    ] {
        assert_eq!(call(line).as_deref(), Some(r#"GET /v1.41/info?a="b""#), "{line}");
    }
    let plain = "level=debug msg=\"handling POST request\" method=POST module=api request-url=/v1.41/build vars=\"map[]\"";
    assert_eq!(call(&format!("time=x {plain}")).as_deref(), Some("POST /v1.41/build"));
    for line in
        ["", "time=x level=info msg=\"Calling\"", "time=x msg=\"form data: {}\"", "a - b", "time=x msg=event"]
    {
        assert_eq!(call(line), None, "{line}");
    }
}

#[test]
fn every_engine_s_way_of_logging_a_route_is_read() {
    for line in [
        r#"time="..." level=debug msg="Registering GET, /networks/{id:.+}""#,
        r#"time="..." level=debug msg="Registering route" method=GET path="/networks/{id:.+}""#,
    ] {
        assert_eq!(route(line).as_deref(), Some("/networks/{id:.+}"), "{line}");
    }
    for line in [
        r#"time="..." level=debug msg="Registering routers""#,
        r#"time="..." level=debug msg="Registering POST, /build""#,
        r#"time="..." level=debug msg="Registering route" method=POST path=/build"#,
    ] {
        assert_eq!(route(line), None, "{line}");
    }
}
