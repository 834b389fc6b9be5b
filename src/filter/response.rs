//! What is done with an answer, by its head: shown as it comes, filtered, or not shown at all.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use thiserror::Error;

use super::body::{BodyError, FilteredBody};
use super::events::VisibleEvents;
use super::json::Framing;
use super::lookup::{Lookup, LookupError, NotShown};
use super::memo::Memo;
use super::redact::{Plan, Redactor};
use super::stats::Stats;
use crate::policy::object::Object;
use crate::policy::visibility::Lists;
use crate::policy::{Allowed, Body, Endpoint, View};
use crate::upstream::Upstream;
use crate::upstream::body::UpstreamBody;

/// The media types of JSON, and of objects one after the other, that engines answer with.
static JSON: [&str; 5] = [
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
];

/// Fields of a head that say something of the bytes that follow, which filtering makes untrue.
#[rustfmt::skip] // one a line
static ABOUT_THE_BYTES: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    header::ACCEPT_RANGES,
    header::TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
];

/// How long an error may be that is text, in bytes.
const MAX_TEXT: usize = 4096;

/// Why nothing of an answer is shown.
#[derive(Debug, Error)]
pub enum Unfilterable {
    /// It is compressed, which was not asked for.
    #[error("the answer cannot be filtered: it has a content encoding")]
    ContentEncoding,
    /// It is not JSON, or says that it is not UTF-8.
    #[error("the answer cannot be filtered: its content type is not JSON")]
    ContentType,
    /// It is an error in text that is no message: too long, not UTF-8, or JSON after all.
    #[error("the answer cannot be filtered: it is text, but no error message")]
    Text,
    /// It cannot be filtered from its first bytes on, or never came.
    #[error(transparent)]
    Body(BodyError),
}

/// What a listener does with the answers of the engine.
pub struct Filter {
    plan: Arc<Plan>,
    /// What the plan made of items of lists.
    memo: Arc<Memo>,
    /// Decides whether an object is shown; `None` if all are.
    lookup: Option<Lookup>,
    stats: Arc<Stats>,
}

/// What of an answer is left out because of what it names, found out before the engine is asked for it.
#[derive(Default)]
pub struct Scope {
    /// What is named inside: ids and names of visible objects.
    inside: Option<Arc<Plan>>,
    /// What each item of a list is part of.
    parents: Option<Arc<Plan>>,
    /// The most items of a list, which the engine would count with those that are not shown.
    most: Option<usize>,
}

/// What is filtered: the engine's answer, or what is left of its events.
pub enum Source {
    /// The answer.
    Answer(UpstreamBody),
    /// Its events of visible objects.
    Events(Box<VisibleEvents<UpstreamBody>>),
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Answer(body) => Pin::new(body).poll_frame(cx).map(|next| next.map(|frame| Ok(frame?))),
            Self::Events(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }
}

/// An answer of which the view is shown.
pub enum Shown {
    /// As it comes.
    Whole(Response<UpstreamBody>),
    /// Rewritten as it comes.
    Filtered(Response<Box<FilteredBody<Source>>>),
}

impl Filter {
    /// The filter for a view, which asks the engine what objects are called, and counts what filtering comes to;
    /// `None` if the view shows everything.
    pub fn new(view: &View, upstream: &Arc<Upstream>, stats: &Arc<Stats>) -> Option<Self> {
        if view.is_whole() {
            return None;
        }
        let visibility = &view.visibility;
        let lookup = || Lookup::new(Arc::clone(upstream), visibility.clone());
        Some(Self {
            plan: Arc::new(Plan::new(view.redaction.clone(), visibility.clone())),
            memo: Arc::default(),
            lookup: (!visibility.is_everything()).then(lookup),
            stats: Arc::clone(stats),
        })
    }

    fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// What to ask the engine for instead of what the client named; `None` if that can stay.
    ///
    /// # Errors
    /// [`NotShown`] if there is no such object, or it is not shown.
    pub async fn resolve(&self, allowed: &Allowed<'_>) -> Result<Option<Uri>, NotShown> {
        match &self.lookup {
            Some(lookup) => lookup.resolve(allowed).await,
            None => Ok(None),
        }
    }

    /// What is left out of an answer because of what it names.
    ///
    /// # Errors
    /// [`LookupError`] if the engine does not say what there is.
    pub async fn scope(&self, allowed: &Allowed<'_>) -> Result<Scope, LookupError> {
        let (Some(lookup), endpoint) = (&self.lookup, allowed.endpoint) else {
            return Ok(Scope::default());
        };
        let mut scope = Scope { most: allowed.most_items(), ..Scope::default() };
        let mut inside = HashSet::new();
        for object in endpoint.refers_to {
            let visible = lookup.visible(&allowed.prefix(), *object).await?.into_iter();
            match object {
                Object::Service => scope.parents = Some(Arc::new(Plan::references(visible.collect()))),
                _ => inside.extend(visible),
            }
        }
        if !endpoint.refers_to.is_empty() || endpoint.lists == Lists::Named {
            scope.inside = Some(Arc::new(Plan::references(inside)));
        }
        Ok(scope)
    }

    /// Whether answers of an endpoint are rewritten, so that the engine must not compress them.
    pub fn rewrites(&self, endpoint: &Endpoint) -> bool {
        endpoint.body.is_json()
    }

    /// What is shown of an answer. An answer that ends by itself is waited for until its first bytes have
    /// passed, so that one that cannot be filtered becomes an error instead of a cut connection.
    ///
    /// Below API 1.24 engines write errors as text. That is shown like the `message` of one in JSON.
    ///
    /// # Errors
    /// [`Unfilterable`] if nothing of it can be shown.
    pub async fn show(
        &self,
        response: Response<UpstreamBody>,
        allowed: &Allowed<'_>,
        scope: &Scope,
    ) -> Result<Shown, Unfilterable> {
        let endpoint = allowed.endpoint;
        let Some(framing) = framing(endpoint.body, response.status()) else {
            return Ok(Shown::Whole(response));
        };
        let is_answer = response.status().is_success();
        let (mut head, mut body) = response.into_parts();
        let form = form(head.status, &head.headers).inspect_err(|_| self.stats.note_failure())?;
        for name in &ABOUT_THE_BYTES {
            head.headers.remove(name);
        }
        if form == Form::Text {
            let text = message(&mut body).await?;
            let body = Box::new(FilteredBody::judged(Source::Answer(body), text, self.stats()));
            return Ok(Shown::Filtered(Response::from_parts(head, body)));
        }
        let passes = if is_answer {
            self.passes(allowed, framing, scope)
        } else {
            vec![Redactor::new(Arc::clone(&self.plan), framing, Lists::None)]
        };
        let source = match &self.lookup {
            Some(lookup) if is_answer && endpoint.is_events() => {
                let stats = self.stats();
                Source::Events(Box::new(VisibleEvents::new(body, lookup.clone(), allowed.prefix(), stats)))
            }
            _ => Source::Answer(body),
        };
        let mut body = Box::new(FilteredBody::new(source, passes, self.stats()));
        if framing == Framing::Document {
            body.begin().await.map_err(Unfilterable::Body)?;
        }
        Ok(Shown::Filtered(Response::from_parts(head, body)))
    }
}

impl Filter {
    fn passes(&self, allowed: &Allowed<'_>, framing: Framing, scope: &Scope) -> Vec<Redactor> {
        let pass = |plan: &Arc<Plan>, lists| Redactor::new(Arc::clone(plan), framing, lists);
        let lists = if scope.parents.is_some() { Lists::None } else { allowed.endpoint.lists };
        let parents = scope.parents.iter().map(|plan| pass(plan, Lists::Root));
        let inside = scope.inside.iter().map(|plan| pass(plan, Lists::Named));
        let mut last = pass(&self.plan, lists).with_at_most(scope.most);
        // Where the engine's answer is a list, and what an item becomes depends on nothing but its bytes.
        if lists == Lists::Root && scope.most.is_none() {
            last = last.with_memo(self.memo.recall((allowed.path.as_str(), allowed.query.text.as_deref())));
        }
        parents.chain(inside).chain([last]).collect()
    }
}

/// How an answer is read; `None` if it is shown as it comes. An error is a JSON document whatever was asked
/// for, and one without a body (RFC 9110 section 6.4.1) holds nothing.
fn framing(body: Body, status: StatusCode) -> Option<Framing> {
    match (body, status) {
        (_, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => None,
        (Body::Sequence, status) if status.is_success() => Some(Framing::Sequence),
        (Body::Document | Body::Sequence, _) => Some(Framing::Document),
        (Body::Opaque | Body::Constant, status) if status.is_success() => None,
        (Body::Opaque | Body::Constant, _) => Some(Framing::Document),
    }
}

/// In what form an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    /// An error that is a message and no more.
    Text,
}

/// The form that a head says. An answer need not say it: Docker 20.10 begins a container's statistics without a type,
/// Podman 4.3 its processes. The pass ends it where it is not JSON.
fn form(status: StatusCode, headers: &HeaderMap) -> Result<Form, Unfilterable> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Unfilterable::ContentEncoding);
    }
    match content_type(headers) {
        Some(text) if is_json(text) => Ok(Form::Json),
        Some(text) if is_error(status) && is_text(text) => Ok(Form::Text),
        None if !is_error(status) && !headers.contains_key(header::CONTENT_TYPE) => Ok(Form::Json),
        _ => Err(Unfilterable::ContentType),
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The content type, if there is one and no other.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let one = types.next()?.to_str().ok()?;
    types.next().is_none().then_some(one)
}

/// Whether a content type is JSON in UTF-8.
fn is_json(text: &str) -> bool {
    is_in_utf8(text, &JSON)
}

/// Whether a content type is text in UTF-8.
fn is_text(text: &str) -> bool {
    is_in_utf8(text, &["text/plain"])
}

/// Whether a content type is one of these, in UTF-8.
fn is_in_utf8(text: &str, types: &[&str]) -> bool {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next().unwrap_or_default();
    types.contains(&essence.as_str())
        && parts.all(|parameter| match parameter.split_once('=') {
            Some(("charset", charset)) => charset.trim_matches('"') == "utf-8",
            _ => true,
        })
}

/// The whole of an error that is text.
async fn message(body: &mut UpstreamBody) -> Result<Bytes, Unfilterable> {
    let text = Limited::new(body, MAX_TEXT).collect().await.map_err(|error| match error.downcast() {
        Ok(broken_off) => Unfilterable::Body(BodyError::Upstream(*broken_off)),
        Err(_) => Unfilterable::Text,
    })?;
    let text = text.to_bytes();
    if is_message(&text) { Ok(text) } else { Err(Unfilterable::Text) }
}

/// Whether a text is one that could be the `message` of an error. An object or an array is filtered as JSON, or not
/// at all, whatever its content type says.
fn is_message(text: &[u8]) -> bool {
    let invisible = |char: char| char.is_whitespace() || char.is_control() || char == '\u{feff}';
    str::from_utf8(text).is_ok_and(|text| !text.trim_start_matches(invisible).starts_with(['{', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_content_type() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/x-ndjson",
            "application/json-seq",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in
            ["", "text/plain", "application/jsonp", "application/json; charset=utf-16", "application/*"]
        {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn a_message_is_text_that_is_no_json() {
        for good in ["", "No such container: nope\n", "a: {\"b\": 1}", "\u{20ac}", "1", "\"a\""] {
            assert!(is_message(good.as_bytes()), "{good}");
        }
        for bad in [&b"{}"[..], b" \r\n\t[1]", b"\0{}", b"\xef\xbb\xbf{}", b"\xff", b"a\xc3"] {
            assert!(!is_message(bad), "{}", bad.escape_ascii());
        }
        assert!(is_text("text/plain") && is_text("Text/Plain; charset=UTF-8"));
        assert!(!is_text("text/plain; charset=utf-16") && !is_text("text/html"));
    }

    #[test]
    fn an_answer_need_not_say_that_it_is_json_but_must_not_say_otherwise() {
        let mut headers = HeaderMap::new();
        let form = |headers: &HeaderMap, status| form(status, headers).ok();
        assert_eq!(form(&headers, StatusCode::OK), Some(Form::Json));
        assert_eq!(form(&headers, StatusCode::NOT_FOUND), None);
        for wrong in ["text/plain", "application/octet-stream", "\u{e4}"] {
            headers.insert(header::CONTENT_TYPE, wrong.parse().unwrap());
            assert_eq!(form(&headers, StatusCode::OK), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_is_read_as_a_document_whatever_was_asked_for() {
        for body in [Body::Document, Body::Sequence, Body::Opaque, Body::Constant] {
            assert_eq!(framing(body, StatusCode::NOT_FOUND), Some(Framing::Document));
            assert_eq!(framing(body, StatusCode::NO_CONTENT), None);
        }
        assert_eq!(framing(Body::Sequence, StatusCode::OK), Some(Framing::Sequence));
        assert_eq!(framing(Body::Opaque, StatusCode::OK), None);
    }
}
