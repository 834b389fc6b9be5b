//! One endpoint: all that its row in the catalog says of it, and the words that rows are written in.

use serde::Serialize;

use super::load::Load;
use super::object::Object;
use super::query::{Kind, Parameter};
use super::redaction::{Class, Classes};
use super::version::ApiVersion;
use super::visibility::Lists;

/// One `GET` operation of the API that `-a` can enable.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// What `-a` calls it, such as `containers:list`.
    pub name: &'static str,
    /// The API's path, with at most one name in it. `{id}` stands for one segment, `{*name}` for anything,
    /// slashes included: these are `{name:.*}` in the engine's own routes.
    #[serde(serialize_with = "serialize_api_path")]
    pub path: &'static str,
    /// Another path that the engine answers in the same way, if it has one.
    #[serde(skip)]
    pub alias: Option<&'static str>,
    /// What an answer tells the client.
    pub exposes: &'static str,
    /// The group that enables it, if any; else only its own name does.
    pub group: Option<&'static str>,
    /// When its answer ends.
    pub response: ResponseKind,
    /// Whether an answer holds files of containers or images; enabling it is worth a warning.
    pub hands_out_files: bool,
    /// What an answer is made of, which says whether it can be filtered.
    pub body: Body,
    /// What of an answer can be redacted.
    #[serde(rename = "redactable", serialize_with = "serialize_classes")]
    pub holds: Classes,
    /// Where an answer lists objects that can be invisible.
    #[serde(skip)]
    pub lists: Lists,
    /// What its answers cost the engine while they are given.
    #[serde(skip)]
    pub load: Load,
    /// What the path names, or for `/images/get` the query.
    #[serde(skip)]
    pub object: Option<Object>,
    /// Kinds of objects that its answer names by their ids.
    #[serde(skip)]
    pub refers_to: &'static [Object],
    /// The query parameters that are sent on.
    #[serde(serialize_with = "serialize_parameters")]
    pub parameters: &'static [Parameter],
    /// Below this version of the API its answer shows what that of another endpoint does, so that its name is
    /// needed too.
    #[serde(skip)]
    pub shows_more_below: Option<(ApiVersion, &'static str)>,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// One JSON document.
    Document,
    /// JSON objects one after the other.
    Sequence,
    /// What cannot be filtered: logs, archives.
    Opaque,
    /// A word that tells nothing of any object.
    Constant,
}

/// When an endpoint's answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseKind {
    /// By itself.
    Bounded,
    /// Perhaps never: it may be quiet for hours, and its head may be late.
    Streaming,
}

/// A path that no name enables.
#[derive(Debug, PartialEq, Eq)]
pub struct DeniedPath {
    /// The path, written like [`Endpoint::path`].
    pub path: &'static str,
    /// Why nothing enables it.
    pub why: &'static str,
}

impl Endpoint {
    /// The path as the API's documents write it, such as `/images/{name}/json`.
    pub fn api_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    pub(super) const fn or_at(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// What stands before and after the name in its path; `None` if the path names nothing.
    pub fn around_name(&self) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.path.split_once('{')?;
        Some((before, rest.split_once('}')?.1))
    }

    /// The name that is needed too for an answer of this version of the API; `None` is the engine's own version.
    pub fn also_needed_at(&self, version: Option<ApiVersion>) -> Option<&'static str> {
        let (below, name) = self.shows_more_below?;
        (version? < below).then_some(name)
    }

    /// Whether its answer's purpose are secrets of the swarm's, or what goes with them. What holds some among other
    /// things, as `info` does, can be shown without.
    pub fn hands_out_tokens(&self) -> bool {
        self.group.is_none() && self.holds.contains(Class::Tokens)
    }

    /// Whether its answer is the engine's events.
    pub fn is_events(&self) -> bool {
        self.body == Body::Sequence && self.object.is_none()
    }

    /// Whether its answer holds only objects that a listener shows.
    pub fn can_be_limited(&self) -> bool {
        self.object.is_some() || self.lists != Lists::None || self.is_events()
    }

    /// The part of its name before the colon enables it too.
    pub(super) const fn grouped(mut self) -> Self {
        self.group = Some(before_colon(self.name));
        self
    }

    pub(super) const fn exposes(mut self, what: &'static str) -> Self {
        self.exposes = what;
        self
    }

    pub(super) const fn streaming(mut self) -> Self {
        self.response = ResponseKind::Streaming;
        self
    }

    /// Its connection counts, its answer does not.
    pub(super) const fn quiet(mut self) -> Self {
        self.load = Load::Quiet;
        self
    }

    pub(super) const fn costs(mut self, units: u32) -> Self {
        self.load = Load::Costly(units);
        self
    }

    pub(super) const fn costs_if(mut self, parameter: &'static str, units: u32) -> Self {
        self.load = Load::CostlyIf(parameter, units);
        self
    }

    pub(super) const fn costs_unless_false(mut self, parameter: &'static str, units: u32) -> Self {
        self.load = Load::CostlyUnlessFalse(parameter, units);
        self
    }

    pub(super) const fn hands_out_files(mut self) -> Self {
        self.hands_out_files = true;
        self.opaque()
    }

    pub(super) const fn opaque(mut self) -> Self {
        self.body = Body::Opaque;
        self
    }

    pub(super) const fn constant(mut self) -> Self {
        self.body = Body::Constant;
        self
    }

    pub(super) const fn sequence(mut self) -> Self {
        self.body = Body::Sequence;
        self
    }

    pub(super) const fn holds(mut self, classes: &[Class]) -> Self {
        self.holds = Classes::of(classes);
        self
    }

    pub(super) const fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    pub(super) const fn shows_more_below(mut self, version: ApiVersion, name: &'static str) -> Self {
        self.shows_more_below = Some((version, name));
        self
    }

    pub(super) const fn refers_to(mut self, objects: &'static [Object]) -> Self {
        self.refers_to = objects;
        self
    }

    pub(super) const fn of(mut self, object: Object) -> Self {
        self.object = Some(object);
        self
    }

    pub(super) const fn lists(mut self, lists: Lists) -> Self {
        self.lists = lists;
        self
    }
}

/// An endpoint that only its own name enables, with an answer that is one JSON document and ends by itself;
/// the other methods of [`Endpoint`] say what else there is to say of it.
pub(super) const fn row(name: &'static str, path: &'static str) -> Endpoint {
    Endpoint {
        name,
        path,
        alias: None,
        exposes: "",
        group: None,
        response: ResponseKind::Bounded,
        hands_out_files: false,
        body: Body::Document,
        holds: Classes::NONE,
        lists: Lists::None,
        load: Load::Ordinary,
        object: None,
        refers_to: &[],
        parameters: &[],
        shows_more_below: None,
    }
}

/// A query parameter of this name and kind.
pub(super) const fn parameter(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind }
}

/// The whole name if it has no colon.
const fn before_colon(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b':' {
            return name.split_at(at).0;
        }
        at += 1;
    }
    name
}

fn serialize_api_path<S: serde::Serializer>(path: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.replace("{*", "{"))
}

fn serialize_classes<S: serde::Serializer>(classes: &Classes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(classes.iter().map(Class::name))
}

fn serialize_parameters<S: serde::Serializer>(
    parameters: &&'static [Parameter],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(parameters.iter().map(|parameter| parameter.name))
}
