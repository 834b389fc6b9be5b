//! Landlock: no file can be opened and no TCP port used but those that are needed, whatever the user
//! may do otherwise, root included. See landlock(7).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, NetPort, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Measure, Requirements, UpstreamKind, ensure_single_threaded};

/// The newest ABI whose restrictions this was tested under. An older kernel restricts less; what a
/// newer one could restrict as well is left alone.
const TESTED: ABI = ABI::V7;

/// Where libc reads how to resolve a name, and the libraries that it may load to do it. The whole of
/// /etc, because resolv.conf and hosts are replaced by new files when the network changes.
const RESOLVER: [&str; 5] = ["/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// The resolver's port.
const DNS: u16 = 53;

/// Restricts this process, as far as the kernel can.
///
/// Connecting to a Unix socket by its path is no file access to these ABIs, so the engine's socket
/// needs no rule and may be replaced by a new one.
pub fn enter(requirements: &Requirements) -> Measure {
    match ensure_single_threaded().and_then(|()| restrict(requirements).map_err(|error| error.to_string())) {
        Ok(status) => measure(&status),
        Err(why) => unavailable(&why),
    }
}

fn restrict(requirements: &Requirements) -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(TESTED))?
        .handle_access(AccessNet::from_all(TESTED))?
        .scope(Scope::from_all(TESTED))?
        .create()?
        .add_rules(path_beneath_rules(&requirements.unlink_dirs, AccessFs::RemoveFile))?
        .add_rules(path_beneath_rules(readable(requirements), AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(&requirements.append_dirs, AccessFs::WriteFile | AccessFs::MakeReg))?
        .add_rules(ports(requirements.upstream).iter().map(|port| Ok::<_, RulesetError>(connect(*port))))?
        .restrict_self()
}

fn connect(port: u16) -> NetPort {
    NetPort::new(port, AccessNet::ConnectTcp)
}

/// The ports that are connected to over TCP.
fn ports(upstream: UpstreamKind) -> Vec<u16> {
    match upstream {
        UpstreamKind::Unix => vec![],
        UpstreamKind::Ip(port) => vec![port],
        // An answer that does not fit a datagram is asked for again over TCP.
        UpstreamKind::Name(port) => vec![port, DNS],
    }
}

/// What files are read in, whole.
fn readable(requirements: &Requirements) -> Vec<PathBuf> {
    let mut places = requirements.read_dirs.clone();
    if let UpstreamKind::Name(_) = requirements.upstream {
        places.extend(RESOLVER.map(PathBuf::from));
        // Often a link into a directory of the program that keeps it.
        let real = Path::new("/etc/resolv.conf").canonicalize().ok();
        places.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    places
}

fn measure(status: &RestrictionStatus) -> Measure {
    match (&status.landlock, &status.ruleset) {
        (LandlockStatus::NotEnabled, _) => unavailable("the kernel has it disabled; its parameter is lsm="),
        (LandlockStatus::NotImplemented, _) => {
            unavailable("this kernel does not have it, or a seccomp profile around this process forbids it")
        }
        (LandlockStatus::Available { .. }, RulesetStatus::NotEnforced) => {
            unavailable("the kernel did not enforce it")
        }
        (LandlockStatus::Available { effective_abi, .. }, _) => {
            Measure::Enforced(format!("landlock ABI {}", (*effective_abi).min(TESTED) as i32))
        }
    }
}

fn unavailable(why: &str) -> Measure {
    Measure::Unavailable("landlock", why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements(upstream: UpstreamKind) -> Requirements {
        Requirements {
            unlink_dirs: vec![],
            read_dirs: vec![],
            append_dirs: vec![],
            reads_usage: false,
            upstream,
        }
    }

    #[test]
    fn only_names_open_the_files_of_the_resolver() {
        assert!(readable(&requirements(UpstreamKind::Unix)).is_empty());
        assert!(readable(&requirements(UpstreamKind::Ip(2376))).is_empty());
        assert!(readable(&requirements(UpstreamKind::Name(2376))).contains(&PathBuf::from("/etc")));
    }

    #[test]
    fn only_the_engines_port_is_connected_to() {
        assert!(ports(UpstreamKind::Unix).is_empty());
        assert_eq!(ports(UpstreamKind::Ip(2376)), [2376]);
        assert_eq!(ports(UpstreamKind::Name(2376)), [2376, DNS]);
    }
}
