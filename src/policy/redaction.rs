//! What of an answer is redacted: the classes, and the table of the fields that each holds.
//!
//! The table is the policy. The filter is driven by it, and a test takes every field of the Engine API
//! 1.25 to 1.56 and finds it here or in a list of harmless ones.

use std::fmt;
use std::str::FromStr;

use wildmatch::WildMatch;

use Class::*;

/// A kind of field that `--redact` takes out of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Environment variables.
    Env,
    /// Command lines, and what shows them.
    Commands,
    /// Labels and annotations.
    Labels,
    /// Places on the host.
    Paths,
    /// Options of drivers.
    Options,
    /// Join tokens, configs' data, keys.
    Tokens,
}

impl Class {
    /// Every class, in the order of the help.
    pub const ALL: [Class; 6] = [Env, Commands, Labels, Paths, Options, Tokens];

    /// How the flag spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Env => "env",
            Commands => "commands",
            Labels => "labels",
            Paths => "paths",
            Options => "options",
            Tokens => "tokens",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownClass(String);

impl UnknownClass {
    /// The text as it was given.
    pub fn given(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Class::ALL.map(Class::name).join(", ");
        write!(f, "unknown class '{}'; the classes are: {names}, all", self.0)
    }
}

impl std::error::Error for UnknownClass {}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Class::ALL.into_iter().find(|class| class.name() == text).ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Classes(u8);

impl Classes {
    /// No class: nothing is redacted.
    pub const NONE: Classes = Classes(0);
    /// Every class.
    pub const ALL: Classes = Classes::of(&Class::ALL);

    /// The set of these classes.
    pub const fn of(classes: &[Class]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < classes.len() {
            set |= 1 << classes[at] as u8;
            at += 1;
        }
        Classes(set)
    }

    /// Those of either set.
    #[must_use]
    pub const fn union(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    /// Whether a class is in the set.
    pub const fn contains(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// Whether the sets share a class.
    pub const fn intersects(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no class in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The classes of the set, in the order of [`Class::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        classes.into_iter().fold(Classes::NONE, |set, class| set.union(Classes::of(&[class])))
    }
}

/// `all`, or the classes with commas between them; nothing for no class.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Classes::ALL {
            return f.write_str("all");
        }
        f.write_str(&self.iter().map(Class::name).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Classes {
    type Err = UnknownClass;

    /// Reads `all`, one class, or several with commas between them.
    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        text.split(',')
            .map(|name| match name {
                "all" => Ok(Classes::ALL),
                name => name.parse().map(|class| Classes::of(&[class])),
            })
            .try_fold(Classes::NONE, |set, next| Ok(set.union(next?)))
    }
}

/// A pattern for names, in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob {
    /// What comes before the first `*` or `?`; most names differ there, which is seen at once.
    literal: String,
    rest: WildMatch,
}

impl Glob {
    /// A pattern as it was written.
    pub fn new(pattern: &str) -> Self {
        let (literal, rest) = pattern.split_at(pattern.find(['*', '?']).unwrap_or(pattern.len()));
        Glob { literal: literal.to_owned(), rest: WildMatch::new(rest) }
    }

    /// Whether the whole name fits the pattern; upper and lower case differ.
    pub fn matches(&self, name: &str) -> bool {
        name.strip_prefix(&self.literal).is_some_and(|rest| self.rest.matches(rest))
    }
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        Glob::new(pattern)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.literal, self.rest)
    }
}

/// What is taken out of the answers that a listener gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Redaction {
    classes: Classes,
    keep_env: Vec<Glob>,
    keep_labels: Vec<Glob>,
}

impl Redaction {
    /// Redacts these classes, but keeps variables and labels whose names fit a pattern. A pattern for
    /// variables implies the class `env`, one for labels the class `labels`.
    pub fn new(classes: Classes, keep_env: Vec<Glob>, keep_labels: Vec<Glob>) -> Self {
        let env = if keep_env.is_empty() { Classes::NONE } else { Classes::of(&[Env]) };
        let labels = if keep_labels.is_empty() { Classes::NONE } else { Classes::of(&[Labels]) };
        Redaction { classes: classes.union(env).union(labels), keep_env, keep_labels }
    }

    /// Redacts what either redacts, and keeps what a pattern of either keeps.
    #[must_use]
    pub fn and(mut self, other: Redaction) -> Self {
        self.classes = self.classes.union(other.classes);
        self.keep_env.extend(other.keep_env);
        self.keep_labels.extend(other.keep_labels);
        self
    }

    /// The classes that are redacted, with those that the patterns imply.
    pub fn classes(&self) -> Classes {
        self.classes
    }

    /// The patterns of the variables that stay.
    pub fn keep_env(&self) -> &[Glob] {
        &self.keep_env
    }

    /// The patterns of the labels that stay.
    pub fn keep_labels(&self) -> &[Glob] {
        &self.keep_labels
    }

    /// Whether anything is redacted at all.
    pub fn is_none(&self) -> bool {
        self.classes.is_empty()
    }

    /// Whether the variable or label of this name stays.
    pub fn keeps(&self, entries: Entries, name: &str) -> bool {
        let globs = match entries {
            Entries::Env => &self.keep_env,
            Entries::Labels => &self.keep_labels,
        };
        globs.iter().any(|glob| glob.matches(name))
    }
}

/// What has names of its own that a pattern can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Environment variables, kept by `--keep-env`.
    Env,
    /// Labels and annotations, kept by `--keep-label`.
    Labels,
}

/// What becomes of a redacted value. `null` stays `null` in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It becomes the empty value of its type: `""`, `[]`, `{}`, `0`, `false`.
    Empty,
    /// An object becomes empty. Anything else has no row: a container has an object `Volumes` below API 1.20, the
    /// list of volumes an array.
    EmptyObject,
    /// Its entries go, name and value, but for those that a pattern keeps: strings `NAME=VALUE` and objects
    /// with a `Name` in an array, members of an object. Anything else becomes empty.
    Entries(Entries),
    /// Of an object the members with these names stay, the others go; an array becomes empty; a string, a
    /// number, `true` and `false` stay. Labels among the members stay if a pattern keeps them.
    Known(&'static [&'static str], Option<Entries>),
    /// An event's action: `exec_create: /bin/sh -c ...` becomes `exec_create`. What follows the colon stays in
    /// the actions of [`PLAIN_ACTIONS`]. Anything but a string is none, and has the next row that fits: an event has
    /// a `status` where a task has a `Status`.
    Action,
}

/// A row of the table: where a field stands, and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The end of the path of keys that leads to the field. Case does not count, as in Go's decoder;
    /// items of arrays add no part. A dot at the beginning anchors the path at an object that is the whole
    /// document. The longest row that fits decides.
    pub path: &'static str,
    /// The classes of which each alone redacts it. None: it is harmless, though a shorter row fits it.
    pub classes: Classes,
    /// How.
    pub handling: Handling,
}

const fn empty(path: &'static str, classes: &[Class]) -> Rule {
    Rule { path, classes: Classes::of(classes), handling: Handling::Empty }
}

const fn harmless(path: &'static str) -> Rule {
    Rule { path, classes: Classes::NONE, handling: Handling::Empty }
}

const fn entries(path: &'static str, class: Class, entries: Entries) -> Rule {
    Rule { path, classes: Classes::of(&[class]), handling: Handling::Entries(entries) }
}

/// Everything that is ever redacted.
#[rustfmt::skip] // one row a line
pub static RULES: &[Rule] = &[
    // Containers, images, services, tasks and plugins, as strings or as objects.
    entries("Env", Env, Entries::Env),
    // The engine's own variables; engines before 18.09 do not mask the password in them.
    empty(".HttpProxy", &[Env]),
    empty(".HttpsProxy", &[Env]),
    empty(".NoProxy", &[Env]),

    empty("Command", &[Commands]),
    empty("Cmd", &[Commands]),
    empty("Entrypoint", &[Commands]),
    empty("Args", &[Commands]),
    empty("Shell", &[Commands]),
    // The program of a container; in a list of changes `Path` names a file of the container.
    empty(".Path", &[Commands]),
    // Of an exec's process.
    empty("arguments", &[Commands]),
    empty("runtimeArgs", &[Commands]),
    // Of `Healthcheck`, and what its command printed.
    empty("Test", &[Commands]),
    empty("Health.Log.Output", &[Commands]),
    empty(".Processes", &[Commands]),
    // Steps of a build.
    empty("BuildCache.Description", &[Commands]),
    empty("BuildCacheUsage.Items.Description", &[Commands]),
    // They repeat `ENV` and `LABEL` instructions word for word. A legacy build's last step is the `Cmd`.
    empty("CreatedBy", &[Commands, Env, Labels]),
    empty("created_by", &[Commands, Env, Labels]),
    empty("OnBuild", &[Commands, Env, Labels]),
    empty("ContainerConfig.Cmd", &[Commands, Env, Labels]),
    // How an image was built; descriptors can hold the content that they describe.
    empty("Statement", &[Env, Commands, Labels, Paths]),
    empty("Descriptor.data", &[Env, Commands, Labels, Paths]),
    empty("ImageManifestDescriptor.data", &[Env, Commands, Labels, Paths]),
    // Podman: the command line that made the container.
    empty("CreateCommand", &[Env, Commands, Labels, Paths, Options]),
    Rule { path: ".Action", classes: Classes::of(&[Commands]), handling: Handling::Action },
    Rule { path: ".status", classes: Classes::of(&[Commands]), handling: Handling::Action },

    entries("Labels", Labels, Entries::Labels),
    entries("Annotations", Labels, Entries::Labels),
    Rule { path: "Actor.Attributes", classes: Classes::of(&[Labels]), handling: Handling::Known(ATTRIBUTES, Some(Entries::Labels)) },

    empty("Mounts.Source", &[Paths]),
    empty("Binds", &[Paths]),
    empty("Mountpoint", &[Paths]),
    // Below API 1.20: the sources of a container's mounts by their destinations.
    Rule { path: ".Volumes", classes: Classes::of(&[Paths]), handling: Handling::EmptyObject },
    // Of volumes of the driver `local`: what is mounted, and its layers.
    empty("Options.device", &[Paths, Options]),
    empty("Options.o", &[Paths, Options]),
    // Of a secret of Podman's: where on the host its content is.
    empty("Spec.Driver.Options.path", &[Paths, Options]),
    empty("LogPath", &[Paths]),
    empty("LogConfig.Path", &[Paths]),
    empty("HostsPath", &[Paths]),
    empty("HostnamePath", &[Paths]),
    empty("ResolvConfPath", &[Paths]),
    empty("ContainerIDFile", &[Paths]),
    empty("SandboxKey", &[Paths]),
    empty("GraphDriver.Data", &[Paths]),
    empty("PathOnHost", &[Paths]),
    empty("Devices.Path", &[Paths]),
    empty("BlkioWeightDevice.Path", &[Paths]),
    empty("BlkioDeviceReadBps.Path", &[Paths]),
    empty("BlkioDeviceReadIOps.Path", &[Paths]),
    empty("BlkioDeviceWriteBps.Path", &[Paths]),
    empty("BlkioDeviceWriteIOps.Path", &[Paths]),
    empty("CredentialSpec.File", &[Paths]),
    // Of a plugin: the places that it asks to mount.
    empty("PluginPrivilege.Value", &[Paths]),
    empty("DockerRootDir", &[Paths]),
    empty("DriverStatus", &[Paths]),
    empty("CDISpecDirs", &[Paths]),
    empty("Runtimes.*.path", &[Paths]),
    empty("InitPath", &[Paths]),
    empty("InitBinary", &[Paths]),
    empty("Containerd.Address", &[Paths]),
    empty("NRI.Info", &[Paths]),
    // A reloaded engine's runtimes, as text.
    empty("Attributes.runtimes", &[Paths, Commands]),
    // They name plugins' sockets and the swarm's certificate files.
    empty(".Warnings", &[Paths]),
    empty(".Swarm.Error", &[Paths]),
    // Why a container did not start: the command, the mount or the volume's options that failed.
    empty("State.Error", &[Commands, Paths, Options]),
    empty("Status.Err", &[Commands, Paths, Options]),

    // Volumes, networks, their IPAM drivers, logs, secrets, templates, devices and plugins' mounts.
    empty("Options", &[Options]),
    empty("DriverOpts", &[Options]),
    empty("LogConfig.Config", &[Options]),
    empty("StorageOpt", &[Options]),
    empty("Tmpfs", &[Options]),
    // Of cluster volumes.
    empty("VolumeContext", &[Options]),
    empty("PublishContext", &[Options]),
    empty("MountVolume", &[Options]),
    // What a volume's driver says of itself; of a task, a node and a network the engine does.
    Rule { path: ".Status", classes: Classes::of(&[Options]), handling: Handling::Known(STATUS, None) },
    empty("Volumes.Status", &[Options]),
    empty("VolumeUsage.Items.Status", &[Options]),
    harmless("DNSConfig.Options"),

    empty("JoinTokens", &[Tokens]),
    empty("UnlockKey", &[Tokens]),
    empty("Spec.Data", &[Tokens]),
    // Podman, asked with `showsecret`.
    empty("SecretData", &[Tokens]),
    empty("SigningCAKey", &[Tokens]),
    empty("SigningCACert", &[Tokens]),
    empty("ExternalCAs.CACert", &[Tokens]),
    empty("ExternalCAs.URL", &[Tokens]),
    empty("ExternalCAs.Options", &[Tokens, Options]),
];

/// Attributes of events that stay when labels go: those that the engine itself writes beside a container's
/// or an image's labels. A label with such a name cannot be told from the attribute, so it stays too.
pub static ATTRIBUTES: &[&str] = &[
    // Containers and their execs.
    "name",
    "image",
    "exitCode",
    "signal",
    "execID",
    "execDuration",
    "oldName",
    "width",
    "height",
    "imageID",
    "imageRef",
    // Volumes, networks and images.
    "container",
    "type",
    "driver",
    "destination",
    "propagation",
    "read/write",
    // Swarm objects: what changed.
    "id",
    "replicas.old",
    "replicas.new",
    "state.old",
    "state.new",
    "updatestate.old",
    "updatestate.new",
    "availability.old",
    "availability.new",
    "role.old",
    "role.new",
    "reachability.old",
    "reachability.new",
    "leader.old",
    "leader.new",
    "desiredstate.old",
    "desiredstate.new",
    "image.old",
    "image.new",
    // Podman.
    "containerExitCode",
    "podId",
    "network",
];

/// Members of a `Status` that the engine itself writes: of tasks, nodes and networks.
pub static STATUS: &[&str] =
    &["Timestamp", "State", "Message", "Err", "ContainerStatus", "PortStatus", "Addr", "IPAM"];

/// Actions of events that tell no command after their colon.
pub static PLAIN_ACTIONS: &[&str] = &["health_status"];

/// Objects whose members have names that users or drivers chose, written like [`Rule::path`]. A row of one
/// part does not fit such a member, so a label `Env` is a label and a network `Args` a network.
pub static MAPS: &[&str] = &[
    "Labels",
    "Annotations",
    "Attributes",
    "Options",
    "DriverOpts",
    "LogConfig.Config",
    "StorageOpt",
    "Tmpfs",
    "Sysctls",
    "GraphDriver.Data",
    "Networks",
    "Containers",
    "Services",
    "AuxiliaryAddresses",
    "Segments",
    "VolumeContext",
    "PublishContext",
    "Config.Volumes",
    "ContainerConfig.Volumes",
    "ExposedPorts",
    "PortBindings",
    "NetworkSettings.Ports",
    "Runtimes",
    "IndexConfigs",
    "IPAM.Subnets",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spelled_as_the_flag_spells_them() {
        for class in Class::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
            assert_eq!(class.to_string().parse(), Ok(Classes::of(&[class])));
        }
        assert_eq!("all".parse(), Ok(Classes::ALL));
        assert_eq!("labels,env".parse::<Classes>().unwrap().to_string(), "env,labels");
        assert_eq!(Classes::ALL.to_string(), "all");
        assert_eq!(Classes::NONE.to_string(), "");
    }

    #[test]
    fn an_unknown_class_is_answered_with_those_that_there_are() {
        let error = "passwords".parse::<Classes>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown class 'passwords'; the classes are: env, commands, labels, paths, options, tokens, all"
        );
        for text in ["", "Env", "env, labels", "env,"] {
            assert!(text.parse::<Classes>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_implies_its_class() {
        let redaction = Redaction::new(Classes::of(&[Paths]), vec!["VIRTUAL_*".into()], vec![]);
        assert_eq!(redaction.classes(), Classes::of(&[Env, Paths]));
        let redaction = Redaction::new(Classes::NONE, vec![], vec!["a".into()]);
        assert_eq!(redaction.classes(), Classes::of(&[Labels]));
        assert!(Redaction::default().is_none());
    }

    #[test]
    fn patterns_fit_whole_names() {
        let redaction = Redaction::new(Classes::NONE, vec!["VIRTUAL_*".into(), "T?".into()], vec![]);
        for (name, stays) in
            [("VIRTUAL_HOST", true), ("VIRTUAL_", true), ("virtual_host", false), ("MY_VIRTUAL_HOST", false)]
        {
            assert_eq!(redaction.keeps(Entries::Env, name), stays, "{name}");
        }
        assert!(redaction.keeps(Entries::Env, "T\u{e4}"));
        assert!(!redaction.keeps(Entries::Labels, "VIRTUAL_HOST"));
    }

    #[test]
    fn no_two_rows_say_something_of_the_same_field() {
        let place = |rule: &Rule| (rule.path.to_lowercase(), rule.handling == Handling::Action);
        for (number, rule) in RULES.iter().enumerate() {
            assert!(RULES[..number].iter().all(|other| place(other) != place(rule)), "{}", rule.path);
        }
    }
}
