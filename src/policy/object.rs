//! The kinds of objects that an engine has: where one is inspected, and how the engine says that there is none.

/// A kind of object that a request can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume, which has a name and no id.
    Volume,
    /// A swarm service.
    Service,
    /// A task of a service.
    Task,
    /// A node of the swarm.
    Node,
    /// A secret.
    Secret,
    /// A config.
    Config,
    /// A command that was started in a container.
    Exec,
}

impl Object {
    /// Where the engine tells about one, without the version prefix; `name` is written as in a path.
    pub fn inspect_path(self, name: &str) -> String {
        match self {
            Self::Container => format!("/containers/{name}/json"),
            Self::Image => format!("/images/{name}/json"),
            Self::Network => format!("/networks/{name}"),
            Self::Volume => format!("/volumes/{name}"),
            Self::Service => format!("/services/{name}"),
            Self::Task => format!("/tasks/{name}"),
            Self::Node => format!("/nodes/{name}"),
            Self::Secret => format!("/secrets/{name}"),
            Self::Config => format!("/configs/{name}"),
            Self::Exec => format!("/exec/{name}/json"),
        }
    }

    /// Where the engine lists all of them, without the version prefix.
    pub fn list_target(self) -> &'static str {
        match self {
            Self::Container => "/containers/json?all=1",
            Self::Image => "/images/json",
            Self::Network => "/networks",
            Self::Volume => "/volumes",
            Self::Service => "/services",
            Self::Task => "/tasks",
            Self::Node => "/nodes",
            Self::Secret => "/secrets",
            Self::Config => "/configs",
            Self::Exec => unreachable!("the engine does not list execs"),
        }
    }

    /// What the engine says of a name that none has.
    pub fn not_found(self, name: &str) -> String {
        match self {
            Self::Container => format!("No such container: {name}"),
            Self::Image => format!("No such image: {name}"),
            Self::Network => format!("network {name} not found"),
            Self::Volume => format!("get {name}: no such volume"),
            Self::Service => format!("service {name} not found"),
            Self::Task => format!("task {name} not found"),
            Self::Node => format!("node {name} not found"),
            Self::Secret => format!("secret {name} not found"),
            Self::Config => format!("config {name} not found"),
            Self::Exec => format!("No such exec instance: {name}"),
        }
    }

    /// What it is part of, and visible with.
    pub fn parent(self) -> Option<Self> {
        match self {
            Self::Task => Some(Self::Service),
            Self::Exec => Some(Self::Container),
            _ => None,
        }
    }

    /// The kind that an event's `Type` names.
    pub fn of_event(kind: &str) -> Option<Self> {
        Some(match kind {
            "container" => Self::Container,
            "image" => Self::Image,
            "network" => Self::Network,
            "volume" => Self::Volume,
            "service" => Self::Service,
            "secret" => Self::Secret,
            "config" => Self::Config,
            _ => return None,
        })
    }
}
