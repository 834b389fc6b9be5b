//! Which objects a listener shows: the selectors of `--only`, and what they are compared with.

use std::fmt;
use std::str::FromStr;

use super::object::Object;
use super::redaction::Glob;

/// A way to choose objects.
#[derive(Debug, Clone, PartialEq)]
pub enum Selector {
    /// `label:KEY=VALUE`: those that have the label with this value.
    LabelEquals(String, String),
    /// `label:KEY`: those that have the label, with any value.
    LabelPresent(String),
    /// `name:GLOB`: those with a name that fits.
    Name(Glob),
}

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSelector(String);

impl InvalidSelector {
    /// The text as it was given.
    pub fn given(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvalidSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid selector '{}'; write label:KEY=VALUE, label:KEY or name:GLOB", self.0)
    }
}

impl std::error::Error for InvalidSelector {}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        match text.split_once(':') {
            Some(("label", label)) if !label.is_empty() && !label.starts_with('=') => {
                Ok(match label.split_once('=') {
                    Some((key, value)) => Selector::LabelEquals(key.to_owned(), value.to_owned()),
                    None => Selector::LabelPresent(label.to_owned()),
                })
            }
            Some(("name", glob)) if !glob.is_empty() => Ok(Selector::Name(Glob::new(glob))),
            _ => Err(InvalidSelector(text.to_owned())),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::LabelEquals(key, value) => write!(f, "label:{key}={value}"),
            Selector::LabelPresent(key) => write!(f, "label:{key}"),
            Selector::Name(glob) => write!(f, "name:{glob}"),
        }
    }
}

/// Something that an object says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A name, of an image a tag. A container's is without the slash before it.
    Name(&'a str),
    /// A label: key and value.
    Label(&'a str, &'a str),
}

impl Selector {
    /// Whether the selector chooses an object for this fact alone.
    pub fn chooses(&self, fact: Fact<'_>) -> bool {
        match (self, fact) {
            (Selector::LabelEquals(key, value), Fact::Label(k, v)) => key == k && value == v,
            (Selector::LabelPresent(key), Fact::Label(k, _)) => key == k,
            (Selector::Name(glob), Fact::Name(name)) => glob.matches(name),
            _ => false,
        }
    }
}

/// The objects that a listener shows: all, or those that one of its selectors chooses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Visibility {
    only: Vec<Selector>,
}

impl Visibility {
    /// Those that one of these selectors chooses; all if there is none.
    pub fn new(only: Vec<Selector>) -> Self {
        Visibility { only }
    }

    /// The selectors.
    pub fn only(&self) -> &[Selector] {
        &self.only
    }

    /// Whether every object is shown.
    pub fn is_everything(&self) -> bool {
        self.only.is_empty()
    }

    /// Whether this fact alone makes an object visible.
    pub fn shows(&self, fact: Fact<'_>) -> bool {
        self.only.iter().any(|selector| selector.chooses(fact))
    }
}

/// Where an answer has a list of objects, each of which is visible or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    /// Nowhere.
    #[default]
    None,
    /// The answer is the list: containers, images, networks, services, tasks, secrets, configs.
    Root,
    /// Under the keys of [`NAMED_LISTS`]: volumes, disk usage.
    Named,
}

/// Keys of lists in the object that an answer is, written like
/// [`Rule::path`](super::redaction::Rule::path). What has neither names nor labels, as the build cache, is never visible.
pub static NAMED_LISTS: &[&str] = &[
    ".Volumes",
    ".Containers",
    ".Images",
    ".BuildCache",
    ".VolumeUsage.Items",
    ".ContainerUsage.Items",
    ".ImageUsage.Items",
    ".BuildCacheUsage.Items",
];

/// Keys of lists whose items name other objects, written like [`Rule::path`](super::redaction::Rule::path).
pub static REFERENCE_LISTS: &[&str] = &[
    "TaskTemplate.Networks",
    "Spec.Networks",
    "PreviousSpec.Networks",
    "Endpoint.VirtualIPs",
    "NetworksAttachments",
    "ContainerSpec.Secrets",
    "ContainerSpec.Configs",
];

/// Filters of a list that name an object: the engine says whether it exists.
#[derive(Debug)]
pub struct NamingFilters {
    /// The name of the list's endpoint.
    pub endpoint: &'static str,
    /// The keys of the filters.
    pub keys: &'static [&'static str],
    /// What they name.
    pub object: Object,
}

/// The filters that name objects. `after` is Podman's.
pub static NAMING_FILTERS: &[NamingFilters] = &[
    NamingFilters {
        endpoint: "containers:list",
        keys: &["before", "since", "after"],
        object: Object::Container,
    },
    NamingFilters { endpoint: "images:list", keys: &["before", "since", "after"], object: Object::Image },
    NamingFilters { endpoint: "tasks:list", keys: &["service"], object: Object::Service },
    NamingFilters { endpoint: "tasks:list", keys: &["node"], object: Object::Node },
];

/// Keys of objects whose members are named by the ids of other objects.
pub static REFERENCE_MAPS: &[&str] = &["Containers"];

/// Keys of values that tell of objects that are not shown, and go with them: counts and warnings beside lists, in a
/// network the services that have tasks in it, and the config that a service's credentials are in.
pub static BESIDE_LISTS: &[&str] = &[
    ".Warnings",
    ".LayersSize",
    ".BuilderSize",
    "ImageUsage.ActiveCount",
    "ImageUsage.TotalCount",
    "ImageUsage.Reclaimable",
    "ImageUsage.TotalSize",
    "ContainerUsage.ActiveCount",
    "ContainerUsage.TotalCount",
    "ContainerUsage.Reclaimable",
    "ContainerUsage.TotalSize",
    "VolumeUsage.ActiveCount",
    "VolumeUsage.TotalCount",
    "VolumeUsage.Reclaimable",
    "VolumeUsage.TotalSize",
    "BuildCacheUsage.ActiveCount",
    "BuildCacheUsage.TotalCount",
    "BuildCacheUsage.Reclaimable",
    "BuildCacheUsage.TotalSize",
    "Services",
    "CredentialSpec.Config",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn chooses(selector: &str, fact: Fact<'_>) -> bool {
        selector.parse::<Selector>().unwrap().chooses(fact)
    }

    #[test]
    fn selectors_are_written_as_they_are_read() {
        for text in ["label:a=b", "label:a=", "label:a=b=c", "label:a", "label:a:b", "name:web-*", "name:a=b"]
        {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
        for text in ["", "label", "label:", "label:=b", "name:", "id:9f", "Label:a", "a=b"] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")) && error.contains("label:KEY=VALUE"), "{error}");
        }
    }

    #[test]
    fn a_selector_chooses_by_its_own_kind_of_fact() {
        assert!(chooses("label:a=b=c", Fact::Label("a", "b=c")));
        assert!(!chooses("label:a=b", Fact::Label("a", "b2")));
        assert!(!chooses("label:a=", Fact::Label("a", "b")));
        assert!(chooses("label:a", Fact::Label("a", "")));
        assert!(!chooses("label:a", Fact::Label("A", "")));
        assert!(chooses("name:web-*", Fact::Name("web-1")));
        assert!(!chooses("name:web-*", Fact::Name("my-web-1")));
        assert!(!chooses("name:a", Fact::Label("a", "a")));
        assert!(!chooses("label:a", Fact::Name("a")));
    }

    #[test]
    fn selectors_are_alternatives() {
        let visibility = Visibility::new(vec!["label:a".parse().unwrap(), "name:b".parse().unwrap()]);
        assert!(visibility.shows(Fact::Label("a", "1")) && visibility.shows(Fact::Name("b")));
        assert!(!visibility.shows(Fact::Name("a")));
        assert!(Visibility::default().is_everything() && !visibility.is_everything());
    }
}
