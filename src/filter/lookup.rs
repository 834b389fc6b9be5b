//! Asks the engine what an object is called and labelled, to decide whether a listener shows it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::policy::object::Object;
use crate::policy::visibility::{Fact, NAMING_FILTERS, Visibility};
use crate::policy::{Allowed, CanonicalPath, ResponseKind, query};
use crate::upstream::{Upstream, UpstreamError};

/// How large what the engine tells of one object, or of all of one kind, may be, in bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// How many questions of a listener the engine gets at a time; further ones wait for their turn.
const MAX_QUESTIONS: usize = 4;

/// What engines and Podman say, in an error of their own, of a name that is the beginning of several ids.
static AMBIGUOUS: [&str; 3] =
    ["Multiple IDs found with provided prefix", "is ambiguous", "more than one result for"];

/// Why it could not be decided whether an object is shown.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The engine gave no answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Its answer broke off, or is too large.
    #[error("the engine's answer about an object could not be read")]
    Body,
    /// Its answer is not what the API says.
    #[error("the engine's answer about an object is not what was expected: {0}")]
    Json(#[from] serde_json::Error),
    /// It answered with an error of its own.
    #[error("the engine answered {0} when it was asked about an object")]
    Status(StatusCode),
}

/// Decides by asking the engine.
#[derive(Clone)]
pub struct Lookup {
    upstream: Arc<Upstream>,
    visibility: Arc<Visibility>,
    /// The turns of all clients of the listener.
    turns: Arc<Semaphore>,
}

/// What an object says of itself, inspected or as an item of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Described {
    #[serde(alias = "ID")]
    id: String,
    name: Option<String>,
    names: Option<Vec<String>>,
    repo_tags: Option<Vec<String>>,
    labels: Option<Labels>,
    config: Option<Configured>,
    spec: Option<Specified>,
    #[serde(rename = "ServiceID")]
    service_id: Option<String>,
    #[serde(rename = "ContainerID")]
    container_id: Option<String>,
}

type Labels = HashMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Configured {
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Specified {
    name: Option<String>,
    labels: Option<Labels>,
}

/// `/volumes` has its list inside an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeList {
    volumes: Option<Vec<Described>>,
}

impl Described {
    /// Whether one of the selectors chooses it.
    pub fn is_visible(&self, visibility: &Visibility) -> bool {
        let own = self.name.iter().chain(self.names.iter().flatten()).map(|name| unrooted(name));
        // With a second slash it is what another container calls this one in a link.
        let own = own.filter(|name| !name.contains('/'));
        let tags = self.repo_tags.iter().flatten().map(String::as_str);
        let spec = self.spec.iter().filter_map(|spec| spec.name.as_deref());
        let labels = [
            self.labels.as_ref(),
            self.config.as_ref().and_then(|config| config.labels.as_ref()),
            self.spec.as_ref().and_then(|spec| spec.labels.as_ref()),
        ];
        let mut labels = labels.into_iter().flatten().flatten();
        own.chain(tags).chain(spec).any(|name| visibility.shows(Fact::Name(name)))
            || labels.any(|(key, value)| visibility.shows(Fact::Label(key, value)))
    }

    /// Its id, which never changes; a volume's name.
    pub fn id(&self) -> Option<&str> {
        let id = if self.id.is_empty() { self.name.as_deref()? } else { self.id.as_str() };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
        (!id.is_empty() && id.bytes().all(plain)).then_some(id)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.name.iter().chain(self.names.iter().flatten()).map(|name| unrooted(name));
        let tags = self.repo_tags.iter().flatten().map(String::as_str);
        names.chain(tags).chain(self.spec.iter().filter_map(|spec| spec.name.as_deref()))
    }

    fn parent_id(&self) -> Option<&str> {
        let parent = self.service_id.as_deref().or(self.container_id.as_deref())?;
        (!parent.is_empty()).then_some(parent)
    }
}

/// Whether an error says that a name fits several objects.
fn is_ambiguous(error: &[u8]) -> bool {
    let error = String::from_utf8_lossy(error);
    AMBIGUOUS.iter().any(|words| error.contains(words))
}

fn unrooted(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

impl Lookup {
    /// Asks `upstream` and decides by `visibility`.
    pub fn new(upstream: Arc<Upstream>, visibility: Visibility) -> Self {
        let turns = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Self { upstream, visibility: Arc::new(visibility), turns }
    }

    /// The id of the object of this name if it is shown. `name` is written as in a path. What is hidden and what
    /// does not exist take the same steps, so that time does not tell the two apart.
    ///
    /// # Errors
    /// [`LookupError`] if the engine does not say.
    pub async fn visible_id(
        &self,
        prefix: &str,
        object: Object,
        name: &str,
    ) -> Result<Option<String>, LookupError> {
        let found = self.inspect(prefix, object, name).await?;
        let shown = match object.parent() {
            None => found.as_ref().is_some_and(|found| found.is_visible(&self.visibility)),
            Some(parent) => {
                let parent_id = found.as_ref().and_then(Described::parent_id);
                let of = self.inspect(prefix, parent, parent_id.unwrap_or(name)).await?;
                parent_id.is_some() && of.is_some_and(|of| of.is_visible(&self.visibility))
            }
        };
        Ok(found.filter(|_| shown).and_then(|found| found.id().map(str::to_owned)))
    }

    /// The ids and names of all objects of a kind that are shown: none of a swarm's if the engine manages none.
    ///
    /// # Errors
    /// [`LookupError`] if the engine does not say.
    pub async fn visible(&self, prefix: &str, object: Object) -> Result<Vec<String>, LookupError> {
        let target = format!("{prefix}{}", object.list_target());
        let all: Vec<Described> = match object {
            Object::Volume => {
                self.ask::<VolumeList>(&target).await?.unwrap_or_default().volumes.unwrap_or_default()
            }
            _ => match self.ask(&target).await {
                Err(LookupError::Status(StatusCode::SERVICE_UNAVAILABLE)) => Vec::new(),
                all => all?.unwrap_or_default(),
            },
        };
        let shown = all.iter().filter(|one| one.is_visible(&self.visibility));
        Ok(shown.flat_map(|one| one.id().into_iter().chain(one.names())).map(str::to_owned).collect())
    }

    /// Whether what something says of itself makes it visible.
    pub fn shows(&self, fact: Fact<'_>) -> bool {
        self.visibility.shows(fact)
    }

    async fn inspect(
        &self,
        prefix: &str,
        object: Object,
        name: &str,
    ) -> Result<Option<Described>, LookupError> {
        self.ask(&format!("{prefix}{}", object.inspect_path(name))).await
    }

    /// What the engine answers; `None` if it says that there is no such thing, or that the name fits several.
    async fn ask<T: DeserializeOwned>(&self, target: &str) -> Result<Option<T>, LookupError> {
        let Ok(target) = Uri::try_from(target) else { return Ok(None) };
        // Held until the answer is read, or is late. It is never closed.
        let _turn = self.turns.acquire().await;
        let answer = self.upstream.in_time(ResponseKind::Bounded, self.answer(target));
        let (status, body) = answer.await??;
        match status {
            StatusCode::OK => Ok(Some(serde_json::from_slice(&body)?)),
            status if status.is_client_error() || is_ambiguous(&body) => Ok(None),
            status => Err(LookupError::Status(status)),
        }
    }

    /// The whole answer of the engine.
    async fn answer(&self, target: Uri) -> Result<(StatusCode, Bytes), LookupError> {
        let response = self.upstream.get(target, &HeaderMap::new(), ResponseKind::Bounded).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|_| LookupError::Body)?.to_bytes()))
    }
}

impl From<LookupError> for NotShown {
    fn from(error: LookupError) -> Self {
        Self::Undecided(error)
    }
}

/// Why a request for an object is not sent on.
#[derive(Debug)]
pub enum NotShown {
    /// There is none that this listener shows: the engine's own words for that.
    NoSuchObject(String),
    /// The engine did not say what it is.
    Undecided(LookupError),
}

impl Lookup {
    /// What to ask for instead of the names in a request: the ids of what they stand for. `None` if it names
    /// nothing.
    ///
    /// # Errors
    /// [`NotShown`] if there is no such object, or it is not shown.
    pub async fn resolve(&self, allowed: &Allowed<'_>) -> Result<Option<Uri>, NotShown> {
        let prefix = allowed.prefix();
        let Some(object) = allowed.endpoint.object else { return self.resolve_list(&prefix, allowed).await };
        match allowed.object_name() {
            Some(name) => {
                let id = self.resolve_one(&prefix, object, name, &CanonicalPath::decode_name(name)).await?;
                let target = allowed.target_with_name(&id);
                target.map(Some).ok_or_else(|| NotShown::NoSuchObject(object.not_found(&id)))
            }
            None => {
                let mut ids = Vec::new();
                for name in allowed.query.values("names") {
                    ids.push(self.resolve_named(&prefix, object, &name).await?);
                }
                let target = allowed.target_with_values(&[("names", &ids)]);
                target.map(Some).ok_or_else(|| NotShown::NoSuchObject(object.not_found(&ids.join(" "))))
            }
        }
    }

    /// What to ask for instead of a part of a list: all of it, because the engine would count what is not shown. The
    /// objects that its filters name must be shown, because it says whether they exist.
    async fn resolve_list(&self, prefix: &str, allowed: &Allowed<'_>) -> Result<Option<Uri>, NotShown> {
        for filters in allowed.query.values("filters") {
            for row in NAMING_FILTERS.iter().filter(|row| row.endpoint == allowed.endpoint.name) {
                for name in query::filter_values(&filters, row.keys) {
                    self.resolve_named(prefix, row.object, &name).await?;
                }
            }
        }
        if allowed.most_items().is_none() {
            return Ok(None);
        }
        // A limit also means that containers count which do not run.
        let target = allowed.target_with_values(&[("limit", &[]), ("all", &["1".to_owned()])]);
        target.map(Some).ok_or_else(|| NotShown::NoSuchObject("the target is too long".to_owned()))
    }

    /// Resolves a name that a query has.
    async fn resolve_named(&self, prefix: &str, object: Object, name: &str) -> Result<String, NotShown> {
        let path = CanonicalPath::parse_name(name);
        let path = path.ok_or_else(|| NotShown::NoSuchObject(object.not_found(name)))?;
        self.resolve_one(prefix, object, &path, name).await
    }

    async fn resolve_one(
        &self,
        prefix: &str,
        object: Object,
        name: &str,
        shown_as: &str,
    ) -> Result<String, NotShown> {
        let id = self.visible_id(prefix, object, name).await?;
        id.ok_or_else(|| NotShown::NoSuchObject(object.not_found(shown_as)))
    }
}
