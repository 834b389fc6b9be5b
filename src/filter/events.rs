//! The engine's events, of which only those of visible objects go on.
//!
//! Events of containers carry their names and labels. What others are called and labelled is asked of the engine
//! and remembered, so that an object's last event, after which the engine knows nothing of it, can be judged too.
//! An event that cannot be judged does not go on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde::Deserialize;

use super::body::BodyError;
use super::json::{Event as Token, Framing, Kind, Tokenizer};
use super::lookup::Lookup;
use super::redact::{FilterError, MAX_ITEM, Reason};
use super::stats::{LeftOut, Stats};
use crate::policy::CanonicalPath;
use crate::policy::object::Object;
use crate::policy::redaction::ATTRIBUTES;
use crate::policy::visibility::Fact;

/// How many objects a stream of events remembers as visible, and how many as hidden. Of what does not fit the engine
/// is asked again.
const MAX_REMEMBERED: usize = 16 * 1024;

/// How many events are decided on before other connections have their turn.
const MAX_AT_ONCE: usize = 64;

/// The kinds that are asked for when a stream begins.
const KINDS: [Object; 7] = [
    Object::Container,
    Object::Network,
    Object::Volume,
    Object::Image,
    Object::Service,
    Object::Secret,
    Object::Config,
];

/// What of an event decides.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    action: String,
    actor: Actor,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Option<HashMap<String, String>>,
}

/// Decides on events one after the other.
struct Decider {
    lookup: Lookup,
    /// The version prefix that the client asked with.
    prefix: String,
    visible: HashSet<(Object, String)>,
    hidden: HashSet<(Object, String)>,
    has_begun: bool,
}

impl Decider {
    async fn shows(&mut self, event: &[u8]) -> bool {
        self.begin().await;
        let Ok(event) = serde_json::from_slice::<Event>(event) else { return false };
        let Some(object) = Object::of_event(&event.r#type) else { return false };
        let is_shown = self.shows_actor(object, &event).await && self.shows_container_of(&event).await;
        if matches!(event.action.as_str(), "destroy" | "remove" | "delete" | "update" | "rename") {
            // Another may get its name, or it other labels.
            let key = (object, event.actor.id);
            self.visible.remove(&key);
            self.hidden.remove(&key);
        }
        is_shown
    }

    /// Asks for what there is, so that its last event can be judged.
    async fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        for object in KINDS {
            // An engine without a swarm has no services to tell of.
            let visible = self.lookup.visible(&self.prefix, object).await.unwrap_or_default();
            let room = MAX_REMEMBERED.saturating_sub(self.visible.len());
            self.visible.extend(visible.into_iter().take(room).map(|id| (object, id)));
        }
    }

    async fn shows_actor(&mut self, object: Object, event: &Event) -> bool {
        let id = &event.actor.id;
        let own = event.actor.attributes.as_ref();
        let own_facts = own.into_iter().flatten().filter_map(|(key, value)| match key.as_str() {
            "name" => Some(Fact::Name(value)),
            key if ATTRIBUTES.contains(&key) => None,
            key => Some(Fact::Label(key, value)),
        });
        let is_chosen = own_facts.into_iter().any(|fact| self.lookup.shows(fact));
        match object {
            // They tell all that decides.
            Object::Container => {
                self.remember(object, id, is_chosen);
                is_chosen
            }
            _ if is_chosen => {
                self.remember(object, id, true);
                true
            }
            _ => self.is_visible(object, id).await,
        }
    }

    /// Whether the container that an event of a network or a volume names is visible, if it names one.
    async fn shows_container_of(&mut self, event: &Event) -> bool {
        let attributes = event.actor.attributes.as_ref();
        match attributes.and_then(|attributes| attributes.get("container")) {
            Some(id) if event.r#type != "container" => self.is_visible(Object::Container, id).await,
            _ => true,
        }
    }

    async fn is_visible(&mut self, object: Object, id: &str) -> bool {
        let key = (object, id.to_owned());
        if self.visible.contains(&key) || self.hidden.contains(&key) {
            return self.visible.contains(&key);
        }
        let Some(name) = CanonicalPath::parse_name(id) else { return false };
        let found = self.lookup.visible_id(&self.prefix, object, &name).await;
        let is_visible = matches!(found, Ok(Some(_)));
        self.remember(object, id, is_visible);
        is_visible
    }

    fn remember(&mut self, object: Object, id: &str, is_visible: bool) {
        let key = (object, id.to_owned());
        let (set, other) = if is_visible {
            (&mut self.visible, &mut self.hidden)
        } else {
            (&mut self.hidden, &mut self.visible)
        };
        other.remove(&key);
        if set.len() < MAX_REMEMBERED {
            set.insert(key);
        } else if !is_visible {
            set.clear();
        }
    }
}

/// Takes a sequence of objects apart.
struct Splitter {
    tokens: Tokenizer,
    held: Vec<u8>,
    /// How long what came before the chunk at hand is.
    before: u64,
}

impl Splitter {
    fn split(&mut self, chunk: &[u8], whole: &mut VecDeque<Bytes>) -> Result<(), FilterError> {
        let mut from = 0;
        loop {
            let token = self.tokens.next(chunk).map_err(|error| self.fail(error.into()))?;
            let Some(token) = token else { break };
            if token == Token::End(Kind::Object) && self.tokens.depth() == 0 {
                self.held.extend_from_slice(&chunk[from..self.tokens.position()]);
                from = self.tokens.position();
                let mut event = self.held.trim_ascii_start().to_vec();
                event.push(b'\n');
                self.held.clear();
                whole.push_back(event.into());
            }
        }
        self.held.extend_from_slice(&chunk[from..]);
        if self.held.len() > MAX_ITEM {
            return Err(self.fail(Reason::TooLarge));
        }
        self.before += chunk.len() as u64;
        Ok(())
    }

    fn fail(&self, reason: Reason) -> FilterError {
        FilterError { reason, offset: self.before + self.tokens.position() as u64 }
    }

    fn finish(&mut self) -> Result<(), FilterError> {
        self.tokens.finish().map(drop).map_err(|error| self.fail(error.into()))
    }
}

type Decision = Pin<Box<dyn Future<Output = (Decider, Bytes, bool)> + Send>>;

/// A body of events without those of objects that are not visible.
pub struct VisibleEvents<B> {
    body: B,
    splitter: Splitter,
    whole: VecDeque<Bytes>,
    /// `None` while it decides.
    decider: Option<Decider>,
    deciding: Option<Decision>,
    stats: Arc<Stats>,
}

impl<B> VisibleEvents<B> {
    /// The events of `body`, judged by asking the engine with a version prefix; those left out are counted.
    pub fn new(body: B, lookup: Lookup, prefix: String, stats: Arc<Stats>) -> Self {
        let decider =
            Decider { lookup, prefix, visible: HashSet::new(), hidden: HashSet::new(), has_begun: false };
        Self {
            body,
            splitter: Splitter { tokens: Tokenizer::new(Framing::Sequence), held: Vec::new(), before: 0 },
            whole: VecDeque::new(),
            decider: Some(decider),
            deciding: None,
            stats,
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin> Body for VisibleEvents<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        for _ in 0..MAX_AT_ONCE {
            if let Some(deciding) = &mut this.deciding {
                let (decider, event, is_shown) = ready!(deciding.as_mut().poll(cx));
                (this.decider, this.deciding) = (Some(decider), None);
                if is_shown {
                    return Poll::Ready(Some(Ok(Frame::data(event))));
                }
                this.stats.note_left_out(LeftOut { hidden: 1, redacted: 0 });
            }
            if let Some(event) = this.whole.pop_front() {
                if let Some(mut decider) = this.decider.take() {
                    this.deciding = Some(Box::pin(async move {
                        let text = event.strip_prefix(b"\x1e").unwrap_or(&event);
                        let is_shown = decider.shows(text).await;
                        (decider, event, is_shown)
                    }));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let chunk = frame.into_data().unwrap_or_default();
                    if let Err(error) = this.splitter.split(&chunk, &mut this.whole) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(this.splitter.finish().err().map(|error| Err(error.into()))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_their_bytes_are_split() {
        let text = "{\"a\":{\"b\":\"}{\"}}\n\u{1e}{\"c\":[{}]}\r\n {}";
        for at in 0..=text.len() {
            let mut splitter =
                Splitter { tokens: Tokenizer::new(Framing::Sequence), held: Vec::new(), before: 0 };
            let mut whole = VecDeque::new();
            splitter.split(&text.as_bytes()[..at], &mut whole).unwrap();
            splitter.split(&text.as_bytes()[at..], &mut whole).unwrap();
            splitter.finish().unwrap();
            assert_eq!(whole, ["{\"a\":{\"b\":\"}{\"}}\n", "\u{1e}{\"c\":[{}]}\n", "{}\n"], "split at {at}");
        }
    }
}
