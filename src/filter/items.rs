//! The item of a list that is being judged: what it says of itself, and its bytes until it is known to be
//! visible.

use super::json::{self, Event, Kind, Tokenizer};
use super::plan::Plan;
use crate::policy::visibility::Fact;

/// How many bytes of an item are held until it is known to be visible.
pub const MAX_ITEM: usize = 1024 * 1024;

/// What a key of an item holds. Keys count in the engine's own spelling: what is spelled otherwise makes
/// nothing visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Other,
    /// `Name`.
    Name,
    /// `Names` of a container.
    Names,
    /// `RepoTags` of an image.
    Tags,
    Labels,
    /// `Spec` of a service, a secret or a config, which has the name and the labels.
    Spec,
    /// `Target`, `NetworkID`, `ServiceID`, `SecretID` or `ConfigID`: the object that the item names.
    Reference,
    /// `Network`, which has the id of the network that the item names.
    Network,
}

impl Place {
    fn of(key: &[u8], plan: &Plan) -> Self {
        match key {
            b"Target" | b"NetworkID" | b"ServiceID" | b"SecretID" | b"ConfigID"
                if plan.decides_by_references() =>
            {
                Place::Reference
            }
            b"Network" if plan.decides_by_references() => Place::Network,
            _ if plan.decides_by_references() => Place::Other,
            b"Name" => Place::Name,
            b"Names" => Place::Names,
            b"RepoTags" => Place::Tags,
            b"Labels" => Place::Labels,
            b"Spec" => Place::Spec,
            _ => Place::Other,
        }
    }
}

/// What of a string is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Name,
    ContainerName,
    Label,
    Reference,
}

/// An item that is not yet known to be visible.
#[derive(Debug)]
pub(super) struct Item {
    /// How deep it stands.
    depth: usize,
    /// Which of the open objects and arrays is its list.
    pub(super) list: usize,
    /// Behind the comma in what is held before it.
    pub(super) comma: Option<usize>,
    place: Place,
    in_spec: Place,
    label: String,
    /// The string at hand, and where it begins in the chunk.
    text: Option<(Text, usize)>,
    /// What of it came in chunks before.
    earlier: Vec<u8>,
}

impl Item {
    pub(super) fn new(depth: usize, list: usize, comma: Option<usize>) -> Self {
        Item {
            depth,
            list,
            comma,
            place: Place::Other,
            in_spec: Place::Other,
            label: String::new(),
            text: None,
            earlier: Vec::new(),
        }
    }

    /// Whether the event ends the item.
    pub(super) fn ends(&self, event: Event, tokens: &Tokenizer) -> bool {
        event == Event::End(Kind::Object) && tokens.depth() == self.depth
    }

    /// A key has come.
    pub(super) fn enter(&mut self, tokens: &Tokenizer, chunk: &[u8], plan: &Plan) {
        self.key(tokens.depth() - self.depth, tokens.key(chunk), plan);
    }

    /// Whether the value of the key that has come can make the item visible if it is a string.
    pub(super) fn judges_value(&self, tokens: &Tokenizer) -> bool {
        self.text_at(tokens.depth() - self.depth).is_some()
    }

    /// Whether the event makes the item visible.
    pub(super) fn shows(&mut self, event: Event, tokens: &Tokenizer, chunk: &[u8], plan: &Plan) -> bool {
        let level = tokens.depth() - self.depth;
        match event {
            Event::Begin(Kind::String) => {
                self.earlier.clear();
                self.text = self.text_at(level).map(|text| (text, tokens.position()));
            }
            Event::End(Kind::String) => {
                let Some((text, from)) = self.text.take() else { return false };
                self.earlier.extend_from_slice(&chunk[from..tokens.position()]);
                self.earlier.pop(); // the quote
                return self.chooses(text, plan);
            }
            _ => {}
        }
        false
    }

    /// Keeps what is needed of a chunk that ends within a string.
    pub(super) fn end_chunk(&mut self, chunk: &[u8]) {
        if let Some((_, from)) = &mut self.text {
            self.earlier.extend_from_slice(&chunk[*from..]);
            *from = 0;
        }
    }

    fn key(&mut self, level: usize, key: &[u8], plan: &Plan) {
        match (level, self.place, self.in_spec) {
            (1, ..) => (self.place, self.in_spec) = (Place::of(key, plan), Place::Other),
            (2, Place::Spec, _) => self.in_spec = Place::of(key, plan),
            (2, Place::Network, _) => {
                self.in_spec = if key == b"ID" { Place::Reference } else { Place::Other };
            }
            (2, Place::Labels, _) | (3, Place::Spec, Place::Labels) => {
                self.label = String::from_utf8_lossy(key).into_owned();
            }
            // An object where there should be a list of names.
            (2, ..) => self.place = Place::Other,
            _ => {}
        }
    }

    fn text_at(&self, level: usize) -> Option<Text> {
        match (level, self.place, self.in_spec) {
            (1, Place::Name, _) | (2, Place::Spec, Place::Name) | (2, Place::Tags, _) => Some(Text::Name),
            (2, Place::Names, _) => Some(Text::ContainerName),
            (1, Place::Reference, _) | (2, Place::Network, Place::Reference) => Some(Text::Reference),
            (2, Place::Labels, _) | (3, Place::Spec, Place::Labels) => Some(Text::Label),
            _ => None,
        }
    }

    fn chooses(&self, text: Text, plan: &Plan) -> bool {
        let decoded;
        let bytes = if self.earlier.contains(&b'\\') {
            decoded = json::unescaped(&self.earlier);
            &decoded
        } else {
            &self.earlier
        };
        let Ok(string) = std::str::from_utf8(bytes) else { return false };
        match text {
            Text::Reference => plan.names(string),
            Text::Name => plan.shows(Fact::Name(string)),
            Text::Label => plan.shows(Fact::Label(&self.label, string)),
            Text::ContainerName => {
                let name = string.strip_prefix('/').unwrap_or(string);
                // With a second slash it is what another container calls this one in a link.
                !name.contains('/') && plan.shows(Fact::Name(name))
            }
        }
    }
}
