//! Where the engine is: what a setting or a variable says, else the first socket that is found.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::settings::{DockerEnv, Setting, UpstreamSettings};

/// The sockets that are looked for if nothing says where the engine is, in this order.
const PLACES: [Place; 3] = [
    // Docker's own default, and this program's if no socket is found: the engine may start later.
    Place { name: "/var/run/docker.sock", in_runtime_dir: None },
    // dockerd-rootless.sh listens here.
    Place { name: "$XDG_RUNTIME_DIR/docker.sock", in_runtime_dir: Some("docker.sock") },
    // And here Podman's user unit podman.socket.
    Place { name: "$XDG_RUNTIME_DIR/podman/podman.sock", in_runtime_dir: Some("podman/podman.sock") },
];

/// A place where an engine's socket may be.
#[derive(Debug)]
struct Place {
    /// As people write it.
    name: &'static str,
    /// Its path in the user's runtime directory; `None` if the name is its path.
    in_runtime_dir: Option<&'static str>,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// A socket that this process may connect to, whether or not an engine listens there now.
    Socket(PathBuf),
    /// Something that this process may not connect to, or not even look at.
    PermissionDenied(PathBuf),
    /// Something else than a socket.
    NotASocket,
    /// Nothing.
    Missing,
    /// The variable that the place is named by is not set.
    Unset,
    /// Not looked at: the runtime directory is another user's, whose engine this is not.
    OtherUsers,
    /// Not looked at: others may write to the runtime directory, so anybody's socket may be there.
    Writable,
}

/// The engine's address as it is written, and where that comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// The address.
    pub address: String,
    /// Where it comes from.
    pub source: UpstreamSource,
}

/// Where the engine's address comes from. Its `Display` is what the log and `config show` say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamSource {
    /// A setting or a variable.
    Setting(Setting),
    /// A place that was looked at.
    Place(Looked),
}

/// Which place was taken, and what was at those that it was preferred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    taken: &'static str,
    passed_over: Vec<(&'static str, Seen)>,
}

/// Where the engine is.
pub(super) fn locate(settings: &UpstreamSettings, docker: &DockerEnv) -> Located {
    written(settings, docker).unwrap_or_else(|| first_socket(look_once(docker.runtime_dir.as_deref())))
}

/// What is written, the first of these that is.
fn written(settings: &UpstreamSettings, docker: &DockerEnv) -> Option<Located> {
    let all = [
        (&settings.address, Setting::Upstream),
        (&docker.host, Setting::DockerHost),
        (&docker.container_host, Setting::ContainerHost),
    ];
    all.into_iter().find_map(|(address, setting)| {
        Some(Located { address: address.clone()?, source: UpstreamSource::Setting(setting) })
    })
}

/// The first socket that may be connected to; else the first that is there, so that the error is about it; else the
/// default. None is tried: an engine that just restarts would be mistaken for one that is not there, and another used.
fn first_socket(seen: &[Seen; PLACES.len()]) -> Located {
    let socket = seen.iter().position(|seen| matches!(seen, Seen::Socket(_)));
    let denied = || seen.iter().position(|seen| matches!(seen, Seen::PermissionDenied(_)));
    let taken = socket.or_else(denied).unwrap_or(0);
    let address = match &seen[taken] {
        Seen::Socket(path) | Seen::PermissionDenied(path) => format!("unix://{}", path.display()),
        _ => format!("unix://{}", PLACES[taken].name),
    };
    let names = PLACES.iter().map(|place| place.name);
    let passed_over = names.zip(seen.iter().cloned()).take(socket.unwrap_or(PLACES.len())).collect();
    Located { address, source: UpstreamSource::Place(Looked { taken: PLACES[taken].name, passed_over }) }
}

/// Looks at the places, for when they are asked for later.
pub(super) fn look_ahead(docker: &DockerEnv) {
    look_once(docker.runtime_dir.as_deref());
}

/// What is at the places, looked at when the configuration is first read: a reload, in the sandbox and perhaps as
/// another user, could see something else, and does not take up another engine anyway.
fn look_once(runtime_dir: Option<&Path>) -> &'static [Seen; PLACES.len()] {
    static SEEN: OnceLock<[Seen; PLACES.len()]> = OnceLock::new();
    SEEN.get_or_init(|| {
        PLACES.map(|Place { name, in_runtime_dir }| match (in_runtime_dir, runtime_dir) {
            (None, _) => look(PathBuf::from(name)),
            (Some(path), Some(directory)) => look_in(directory, path),
            (Some(_), None) => Seen::Unset,
        })
    })
}

/// What is at a path in a runtime directory, if that is the user's own and no one else may write to it: otherwise it
/// does not count (XDG Base Directory Specification). `su` and `sudo -E` leave root with the variable of a user.
fn look_in(runtime_dir: &Path, path: &str) -> Seen {
    match runtime_dir.metadata() {
        Ok(directory) if directory.uid() != geteuid().as_raw() => Seen::OtherUsers,
        Ok(directory) if directory.mode() & 0o022 != 0 => Seen::Writable,
        Ok(_) => look(runtime_dir.join(path)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Seen::OtherUsers,
        Err(_) => Seen::Missing,
    }
}

fn look(path: PathBuf) -> Seen {
    match path.metadata() {
        Ok(file) if !file.file_type().is_socket() => Seen::NotASocket,
        // To connect is to write (unix(7)).
        Ok(_) if access(&path, Access::WRITE_OK).is_ok() => Seen::Socket(path),
        Ok(_) => Seen::PermissionDenied(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Seen::PermissionDenied(path),
        Err(_) => Seen::Missing,
    }
}

impl UpstreamSource {
    /// The setting that is wrong if the address is.
    pub(super) fn setting(&self) -> Setting {
        match self {
            Self::Setting(setting) => *setting,
            Self::Place(_) => Setting::Upstream,
        }
    }
}

impl fmt::Display for UpstreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(Setting::Upstream) => f.write_str("the setting upstream"),
            Self::Setting(variable) => variable.fmt(f),
            Self::Place(looked) => looked.fmt(f),
        }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.taken == PLACES[0].name { "the default" } else { self.taken })?;
        let mut separator = "; ";
        for (name, seen) in &self.passed_over {
            write!(f, "{separator}{name}: {seen}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket(_) => "a socket",
            Self::PermissionDenied(_) => "permission denied",
            Self::NotASocket => "not a socket",
            Self::Missing => "not there",
            Self::Unset => "the variable is not set",
            Self::OtherUsers => "the directory is another user's",
            Self::Writable => "others may write to the directory",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use Seen::{Missing, NotASocket, OtherUsers, Unset, Writable};

    fn settings(address: Option<&str>) -> UpstreamSettings {
        UpstreamSettings {
            address: address.map(str::to_owned),
            response_header_timeout: Duration::ZERO,
            tls: Default::default(),
        }
    }

    fn socket(path: &str) -> Seen {
        Seen::Socket(path.into())
    }

    fn denied(path: &str) -> Seen {
        Seen::PermissionDenied(path.into())
    }

    /// The address, and where it comes from.
    fn told(located: &Located) -> (&str, String) {
        (&located.address, located.source.to_string())
    }

    #[test]
    fn what_is_written_counts_in_this_order() {
        let docker = DockerEnv {
            host: Some("tcp://docker:1".to_owned()),
            container_host: Some("unix:///podman.sock".to_owned()),
            ..DockerEnv::default()
        };
        let podman = DockerEnv { host: None, ..docker.clone() };
        let given = written(&settings(Some("/given.sock")), &docker).unwrap();
        assert_eq!(told(&given), ("/given.sock", "the setting upstream".to_owned()));
        assert_eq!(
            told(&written(&settings(None), &docker).unwrap()),
            ("tcp://docker:1", "DOCKER_HOST".to_owned())
        );
        assert_eq!(
            told(&written(&settings(None), &podman).unwrap()),
            ("unix:///podman.sock", "CONTAINER_HOST".to_owned())
        );
        assert_eq!(written(&settings(None), &DockerEnv::default()), None);
    }

    #[test]
    fn the_first_socket_that_may_be_connected_to_is_taken() {
        let (system, docker, podman) =
            ("/var/run/docker.sock", "/run/user/1/docker.sock", "/run/user/1/podman/podman.sock");
        for (seen, address, source) in [
            ([socket(system), socket(docker), socket(podman)], system, "the default"),
            (
                [Missing, socket(docker), socket(podman)],
                docker,
                "$XDG_RUNTIME_DIR/docker.sock; /var/run/docker.sock: not there",
            ),
            (
                [denied(system), socket(docker), Missing],
                docker,
                "$XDG_RUNTIME_DIR/docker.sock; /var/run/docker.sock: permission denied",
            ),
            (
                [NotASocket, Missing, socket(podman)],
                podman,
                "$XDG_RUNTIME_DIR/podman/podman.sock; /var/run/docker.sock: not a socket, \
                 $XDG_RUNTIME_DIR/docker.sock: not there",
            ),
        ] {
            assert_eq!(told(&first_socket(&seen)), (&*format!("unix://{address}"), source.to_owned()));
        }
    }

    #[test]
    fn without_one_it_is_the_first_that_is_there_else_the_default() {
        let (system, docker) = ("/var/run/docker.sock", "/run/user/1/docker.sock");
        for (seen, address, source) in [
            (
                [denied(system), Missing, Missing],
                system,
                "the default; /var/run/docker.sock: permission denied, $XDG_RUNTIME_DIR/docker.sock: not there, \
                 $XDG_RUNTIME_DIR/podman/podman.sock: not there",
            ),
            (
                [Missing, denied(docker), NotASocket],
                docker,
                "$XDG_RUNTIME_DIR/docker.sock; /var/run/docker.sock: not there, $XDG_RUNTIME_DIR/docker.sock: \
                 permission denied, $XDG_RUNTIME_DIR/podman/podman.sock: not a socket",
            ),
            (
                [Missing, OtherUsers, Writable],
                system,
                "the default; /var/run/docker.sock: not there, $XDG_RUNTIME_DIR/docker.sock: the directory is another \
                 user's, $XDG_RUNTIME_DIR/podman/podman.sock: others may write to the directory",
            ),
            (
                [Missing, Unset, Unset],
                system,
                "the default; /var/run/docker.sock: not there, $XDG_RUNTIME_DIR/docker.sock: the variable is not \
                 set, $XDG_RUNTIME_DIR/podman/podman.sock: the variable is not set",
            ),
        ] {
            assert_eq!(told(&first_socket(&seen)), (&*format!("unix://{address}"), source.to_owned()));
        }
    }
}
