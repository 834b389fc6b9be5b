//! Every answer that the proxy makes up itself, by named constructors.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use http_body_util::Full;

use super::head::HeadError;

/// An answer of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticResponse {
    status: StatusCode,
    format: ErrorFormat,
    body: Cow<'static, str>,
    /// When to ask again, in seconds (RFC 9110 section 10.2.3).
    retry_after: Option<u32>,
}

/// How a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// The words that always stood there, for people.
    Text,
    /// The engine's own form of an error, `{"message": "..."}`, which programs parse.
    Json,
}

/// Which form refusals have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// Text over HTTP/1.0, which a person with `nc` speaks, and JSON over HTTP/1.1.
    #[default]
    ByVersion,
    /// Always the same.
    Always(ErrorFormat),
}

impl ErrorPolicy {
    /// The form for a request of this version.
    pub fn format(self, version: Version) -> ErrorFormat {
        match (self, version) {
            (Self::Always(format), _) => format,
            (Self::ByVersion, Version::HTTP_10) => ErrorFormat::Text,
            (Self::ByVersion, _) => ErrorFormat::Json,
        }
    }
}

impl SyntheticResponse {
    /// For another method than GET.
    pub fn only_get(format: ErrorFormat, reason: impl Display) -> Self {
        const WORDS: &str = "400 Bad request ; only GET allowed";
        match format {
            ErrorFormat::Text => Self::text(StatusCode::BAD_REQUEST, "400 Bad request ; only GET allowed.\n"),
            ErrorFormat::Json => Self::json(StatusCode::BAD_REQUEST, format_args!("{WORDS}: {reason}")),
        }
    }

    /// For what is not enabled or does not exist.
    pub fn not_found(format: ErrorFormat, reason: impl Display) -> Self {
        match format {
            ErrorFormat::Text => Self::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            ErrorFormat::Json => {
                Self::json(StatusCode::NOT_FOUND, format_args!("404 page not found: {reason}"))
            }
        }
    }

    /// For a target that cannot be understood in just one way.
    pub fn bad_request(format: ErrorFormat, problem: impl Display) -> Self {
        Self::line(format, StatusCode::BAD_REQUEST, format_args!("400 Bad request ; {problem}"))
    }

    /// For a path and a query that are too long for a request once the path is canonical.
    pub fn target_too_long(format: ErrorFormat) -> Self {
        let problem = "the path in its canonical form and the query are too long";
        Self::error(format, StatusCode::URI_TOO_LONG, problem)
    }

    /// For a head that is no request.
    pub fn head_error(format: ErrorFormat, error: HeadError) -> Self {
        Self::error(format, error.status(), error)
    }

    /// For a connection beyond the limits.
    pub fn too_many_connections(format: ErrorFormat, problem: impl Display) -> Self {
        Self::error(format, StatusCode::SERVICE_UNAVAILABLE, problem)
    }

    /// For a request beyond the limits on answers in flight.
    pub fn too_many_requests(format: ErrorFormat, problem: impl Display) -> Self {
        /// Long enough for most answers to end.
        const RETRY_AFTER: u32 = 5;
        Self {
            retry_after: Some(RETRY_AFTER),
            ..Self::error(format, StatusCode::SERVICE_UNAVAILABLE, problem)
        }
    }

    /// For HTTP where TLS is spoken: the words that dockerd has for it, in the form that it has.
    pub fn needs_tls() -> Self {
        Self::text(StatusCode::BAD_REQUEST, "Client sent an HTTP request to an HTTPS server.\n")
    }

    /// For an object that does not exist or is not shown, in the engine's own words.
    pub fn no_such_object(message: &str) -> Self {
        let body = format!("{}\n", serde_json::json!({ "message": message }));
        Self {
            status: StatusCode::NOT_FOUND,
            format: ErrorFormat::Json,
            body: body.into(),
            retry_after: None,
        }
    }

    /// For an engine that is out of reach, or breaks off before its answer begins.
    pub fn bad_gateway(problem: impl Display) -> Self {
        Self::json(StatusCode::BAD_GATEWAY, format_args!("docker-proxy-acl: {problem}"))
    }

    /// For an engine that takes too long to begin its answer.
    pub fn gateway_timeout(problem: impl Display) -> Self {
        Self::json(StatusCode::GATEWAY_TIMEOUT, format_args!("docker-proxy-acl: {problem}"))
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The length of its body in bytes.
    pub fn body_len(&self) -> u64 {
        self.body.len() as u64
    }

    /// The answer for hyper to send.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let headers = self.headers();
        let body = match self.body {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(headers);
        response
    }

    /// The answer as HTTP/1.1, the last on its connection, for where hyper is not in charge.
    pub fn to_http1_bytes(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        let date = httpdate::fmt_http_date(SystemTime::now());
        for (name, value) in self.headers() {
            text.push_str(&format!("{}: {}\r\n", title_case(&name), value.to_str().unwrap_or_default()));
        }
        text.push_str(&format!("Date: {date}\r\nConnection: close\r\n\r\n{}", self.body));
        text.into_bytes()
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let content_type = match self.format {
            ErrorFormat::Text => "text/plain; charset=utf-8",
            ErrorFormat::Json => "application/json",
        };
        let always = [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::CONTENT_LENGTH, HeaderValue::from(self.body.len())),
        ];
        let retry_after = self.retry_after.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
        always.into_iter().chain(retry_after)
    }

    fn error(format: ErrorFormat, status: StatusCode, problem: impl Display) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        Self::line(format, status, format_args!("{} {reason} ; {problem}", status.as_u16()))
    }

    fn line(format: ErrorFormat, status: StatusCode, line: impl Display) -> Self {
        match format {
            ErrorFormat::Text => Self::text(status, format!("{line}.\n")),
            ErrorFormat::Json => Self::json(status, line),
        }
    }

    fn text(status: StatusCode, body: impl Into<Cow<'static, str>>) -> Self {
        Self { status, format: ErrorFormat::Text, body: body.into(), retry_after: None }
    }

    fn json(status: StatusCode, message: impl Display) -> Self {
        let body = format!("{}\n", serde_json::json!({ "message": message.to_string() }));
        Self { status, format: ErrorFormat::Json, body: body.into(), retry_after: None }
    }
}

fn title_case(name: &HeaderName) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_answers_of_old_have_their_old_bytes() {
        assert_eq!(SyntheticResponse::only_get(ErrorFormat::Text, "why").body.len(), 36);
        assert_eq!(SyntheticResponse::not_found(ErrorFormat::Text, "why").body.len(), 19);
    }

    #[test]
    fn in_json_they_begin_with_the_same_words_and_go_on_with_the_reason() {
        for (response, body) in [
            (
                SyntheticResponse::only_get(ErrorFormat::Json, "why"),
                "{\"message\":\"400 Bad request ; only GET allowed: why\"}\n",
            ),
            (
                SyntheticResponse::not_found(ErrorFormat::Json, "why"),
                "{\"message\":\"404 page not found: why\"}\n",
            ),
            (
                SyntheticResponse::bad_request(ErrorFormat::Json, "\"why\""),
                "{\"message\":\"400 Bad request ; \\\"why\\\"\"}\n",
            ),
        ] {
            assert_eq!(response.body, body);
        }
    }

    #[test]
    fn the_form_follows_the_version_unless_it_is_set() {
        use ErrorFormat::{Json, Text};
        for (policy, version, format) in [
            (ErrorPolicy::ByVersion, Version::HTTP_10, Text),
            (ErrorPolicy::ByVersion, Version::HTTP_11, Json),
            (ErrorPolicy::Always(Text), Version::HTTP_11, Text),
            (ErrorPolicy::Always(Json), Version::HTTP_10, Json),
        ] {
            assert_eq!(policy.format(version), format, "{policy:?} {version:?}");
        }
    }

    #[test]
    fn the_bytes_are_a_whole_answer() {
        let bytes = SyntheticResponse::head_error(ErrorFormat::Text, HeadError::Http2).to_http1_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(body, "400 Bad Request ; HTTP/2 is not supported; use HTTP/1.1.\n");
    }
}
