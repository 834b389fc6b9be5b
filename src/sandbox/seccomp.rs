//! seccomp: a list of the system calls that are still answered. See seccomp(2).
//!
//! How the list was made: `strace -f` over whole lives of the program before an engine (dynamic debug and
//! static builds; answers, refusals, streams, SIGSTOP and SIGCONT, SIGTERM) showed these calls after the
//! listeners were bound:
//!
//! accept4 brk close connect epoll_ctl epoll_wait exit_group fcntl futex getsockopt munmap ppoll read
//! recvfrom rt_sigaction rt_sigreturn sendto shutdown sigaltstack socket statx unlink write writev
//!
//! and with the threads for the log and the watchdog, and with several threads that serve:
//!
//! clock_nanosleep clone epoll_create1 eventfd2 exit getrandom gettid madvise mmap mprotect prctl rseq
//! rt_sigprocmask sched_getaffinity set_robust_list
//!
//! To them come those that libc, std, tokio and the kernel take in their place or beside them, when memory
//! grows, on other versions and on other processors: each group says for what.
//!
//! Everything else is answered with `ENOSYS`, as by a kernel that is older than the call. That is the
//! answer that every libc has a second way for, as when glibc asks for `clone3` first and then takes
//! `clone`. Ending the process instead would give whoever finds one odd call a switch to turn the
//! proxy off with, and prevent no more.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use super::{Measure, Requirements, UpstreamKind};

/// System calls that are allowed for one reason.
struct CallGroup {
    /// When they are needed at all.
    when: When,
    calls: &'static [Call],
}

/// What makes a group of calls necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// The engine is reached over a Unix socket.
    UpstreamIsUnix,
    /// The engine is reached over TCP.
    UpstreamIsTcp,
    /// The engine's name has to be resolved.
    UpstreamIsNamed,
    /// Files are read again later.
    FilesAreRead,
    /// The access log's file is opened again later.
    LogsAreAppendedTo,
    /// What the process takes of its machine is read.
    UsageIsRead,
}

/// A system call by its number, and what its arguments must be: all of these.
struct Call(c_long, &'static [Argument]);

/// What one argument, counted from 0, must be. Arguments here are all narrow: the kernel reads their
/// lower 32 bits.
enum Argument {
    Is(u8, i32),
    /// Of the bits of the first number, just those of the second are set.
    Bits(u8, i32, i32),
    /// This process.
    SelfPid(u8),
}
use Argument::{Bits, Is, SelfPid};

/// The bits of a socket's type that are no flags; `SOCK_TYPE_MASK` of the kernel.
const KIND: i32 = 0xf;
/// Any way of opening a file that could change it, by open(2). `O_TMPFILE` contains `O_DIRECTORY`.
const WRITE_FLAGS: i32 =
    libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY);

/// The one way of opening a file to write: to append to it, and not through a link. It is `APPEND` of
/// `telemetry/log_file.rs`, which a test of the access log holds to it.
const APPEND_FLAGS: i32 = libc::O_WRONLY
    | libc::O_APPEND
    | libc::O_CREAT
    | libc::O_CLOEXEC
    | libc::O_NOFOLLOW
    | libc::O_NONBLOCK
    | libc::O_NOCTTY;
/// What rustix adds to all flags, and which means nothing on a machine of 64 bits.
const LARGE_FILE: i32 = rustix::fs::OFlags::LARGEFILE.bits().cast_signed();

/// The policy.
const ALLOWED: &[CallGroup] = &[
    // Clients are accepted; they and the engine are read, written and closed.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_accept4, &[]),
            Call(libc::SYS_read, &[]),
            Call(libc::SYS_readv, &[]),
            Call(libc::SYS_recvfrom, &[]),
            // Whether a client passed descriptors.
            Call(libc::SYS_recvmsg, &[]),
            Call(libc::SYS_write, &[]),
            Call(libc::SYS_writev, &[]),
            Call(libc::SYS_sendto, &[]),
            Call(libc::SYS_connect, &[]),
            Call(libc::SYS_shutdown, &[]),
            Call(libc::SYS_close, &[]),
        ],
    },
    // Who a client is, whether a connect succeeded, TCP_NODELAY and keep-alive; the reset of a client that does
    // not read; that urgent data shows with its descriptors, and that closing those does not wait: no other
    // options.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_getsockopt, &[]),
            Call(libc::SYS_getsockname, &[]),
            Call(libc::SYS_getpeername, &[]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::IPPROTO_TCP)]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::SOL_SOCKET), Is(2, libc::SO_KEEPALIVE)]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::SOL_SOCKET), Is(2, libc::SO_OOBINLINE)]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::SOL_SOCKET), Is(2, libc::SO_LINGER)]),
        ],
    },
    // The runtime is made inside the sandbox: its epoll instance and what wakes it.
    CallGroup {
        when: When::Always,
        calls: &[Call(libc::SYS_epoll_create1, &[]), Call(libc::SYS_eventfd2, &[])],
    },
    // Waiting for them. aarch64 has only the newer forms; the older are libc's choice elsewhere.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_epoll_ctl, &[]),
            Call(libc::SYS_epoll_pwait, &[]),
            Call(libc::SYS_epoll_pwait2, &[]),
            Call(libc::SYS_ppoll, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_epoll_wait, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_poll, &[]),
        ],
    },
    // Descriptors' flags, and the copy of one that tokio makes for its signals; std's debug build looks
    // at each descriptor before it closes it.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_fcntl, &[Is(1, libc::F_GETFD)]),
            Call(libc::SYS_fcntl, &[Is(1, libc::F_SETFD)]),
            Call(libc::SYS_fcntl, &[Is(1, libc::F_GETFL)]),
            Call(libc::SYS_fcntl, &[Is(1, libc::F_SETFL)]),
            Call(libc::SYS_fcntl, &[Is(1, libc::F_DUPFD_CLOEXEC)]),
            Call(libc::SYS_ioctl, &[Is(1, libc::FIONBIO as i32)]),
        ],
    },
    // Memory, of which none becomes executable.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_brk, &[]),
            Call(libc::SYS_mmap, &[Bits(2, libc::PROT_EXEC, 0)]),
            Call(libc::SYS_mprotect, &[Bits(2, libc::PROT_EXEC, 0)]),
            Call(libc::SYS_mremap, &[]),
            Call(libc::SYS_munmap, &[]),
            Call(libc::SYS_madvise, &[]),
        ],
    },
    // Locks, and clocks where the vDSO cannot read them itself. The kernel goes on with restart_syscall
    // after SIGSTOP and SIGCONT.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_futex, &[]),
            Call(libc::SYS_sched_yield, &[]),
            Call(libc::SYS_clock_gettime, &[]),
            Call(libc::SYS_clock_nanosleep, &[]),
            Call(libc::SYS_nanosleep, &[]),
            Call(libc::SYS_gettimeofday, &[]),
            Call(libc::SYS_restart_syscall, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_time, &[]),
        ],
    },
    // Threads are started inside: one that writes the log, those that read files and resolve names. They
    // share all with the process, so no process is started by it.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_clone, &[Bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)]),
            Call(libc::SYS_set_robust_list, &[]),
            Call(libc::SYS_rseq, &[]),
            Call(libc::SYS_sched_getaffinity, &[]),
            Call(libc::SYS_prctl, &[Is(0, libc::PR_SET_NAME)]),
        ],
    },
    // Hash maps' keys and TLS.
    CallGroup { when: When::Always, calls: &[Call(libc::SYS_getrandom, &[])] },
    // Signals arrive, and the process ends: in order, by abort(3) or by its own stack overflow handler.
    // It sends signals to nobody else.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_rt_sigaction, &[]),
            Call(libc::SYS_rt_sigprocmask, &[]),
            Call(libc::SYS_rt_sigreturn, &[]),
            Call(libc::SYS_sigaltstack, &[]),
            Call(libc::SYS_getpid, &[]),
            Call(libc::SYS_gettid, &[]),
            Call(libc::SYS_tgkill, &[SelfPid(0)]),
            Call(libc::SYS_exit, &[]),
            Call(libc::SYS_exit_group, &[]),
        ],
    },
    // Its own sockets' files are looked at and removed; how, depends on libc's version.
    CallGroup {
        when: When::Always,
        calls: &[
            Call(libc::SYS_statx, &[]),
            Call(libc::SYS_newfstatat, &[]),
            Call(libc::SYS_unlinkat, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_stat, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_lstat, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_unlink, &[]),
        ],
    },
    // Connections to the engine, of its kind only: no datagrams, no raw or netlink sockets, no MPTCP.
    CallGroup {
        when: When::UpstreamIsUnix,
        calls: &[Call(libc::SYS_socket, &[Is(0, libc::AF_UNIX), Bits(1, KIND, libc::SOCK_STREAM), Is(2, 0)])],
    },
    CallGroup {
        when: When::UpstreamIsTcp,
        calls: &[
            Call(libc::SYS_socket, &[Is(0, libc::AF_INET), Bits(1, KIND, libc::SOCK_STREAM), Is(2, 0)]),
            Call(libc::SYS_socket, &[Is(0, libc::AF_INET6), Bits(1, KIND, libc::SOCK_STREAM), Is(2, 0)]),
        ],
    },
    // Files are opened, but not to be written.
    CallGroup {
        when: When::FilesAreRead,
        calls: &[
            Call(libc::SYS_openat, &[Bits(2, WRITE_FLAGS, libc::O_RDONLY)]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_open, &[Bits(1, WRITE_FLAGS, libc::O_RDONLY)]),
            Call(libc::SYS_fstat, &[]),
            Call(libc::SYS_lseek, &[]),
            Call(libc::SYS_pread64, &[]),
            Call(libc::SYS_readlinkat, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_readlink, &[]),
        ],
    },
    // The access log's file, after it was put aside: it is looked at before it is used.
    CallGroup {
        when: When::LogsAreAppendedTo,
        calls: &[Call(libc::SYS_openat, &[Bits(2, !LARGE_FILE, APPEND_FLAGS)]), Call(libc::SYS_fstat, &[])],
    },
    // Figures for the metrics, from files that are open: memory, and a list of descriptors. The clock of the
    // process is no file.
    CallGroup {
        when: When::UsageIsRead,
        calls: &[Call(libc::SYS_pread64, &[]), Call(libc::SYS_getdents64, &[]), Call(libc::SYS_lseek, &[])],
    },
    // getaddrinfo(3): the resolver's datagrams, nscd's or systemd-resolved's socket, and libraries that
    // /etc/nsswitch.conf names. Its netlink socket, which asks for the kinds of addresses that this host
    // has, it can do without.
    CallGroup {
        when: When::UpstreamIsNamed,
        calls: &[
            Call(libc::SYS_socket, &[Is(0, libc::AF_UNIX), Bits(1, KIND, libc::SOCK_STREAM), Is(2, 0)]),
            Call(libc::SYS_socket, &[Is(0, libc::AF_INET), Bits(1, KIND, libc::SOCK_DGRAM)]),
            Call(libc::SYS_socket, &[Is(0, libc::AF_INET6), Bits(1, KIND, libc::SOCK_DGRAM)]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::IPPROTO_IP), Is(2, libc::IP_RECVERR)]),
            Call(libc::SYS_setsockopt, &[Is(1, libc::IPPROTO_IPV6), Is(2, libc::IPV6_RECVERR)]),
            Call(libc::SYS_sendmsg, &[]),
            Call(libc::SYS_sendmmsg, &[]),
            Call(libc::SYS_ioctl, &[Is(1, libc::FIONREAD as i32)]),
            Call(libc::SYS_uname, &[]),
            Call(libc::SYS_mmap, &[]),
            Call(libc::SYS_mprotect, &[]),
            Call(libc::SYS_faccessat, &[]),
            #[cfg(target_arch = "x86_64")]
            Call(libc::SYS_access, &[]),
        ],
    },
];

/// Closes every system call that is not needed, for every thread, for good.
pub fn enter(requirements: &Requirements) -> Measure {
    let rules = rules(requirements);
    let calls = rules.len();
    match compile(rules).and_then(|program| apply_filter_all_threads(&program).map_err(|e| e.to_string())) {
        Ok(()) => Measure::Enforced(format!("seccomp {calls} calls")),
        Err(why) => Measure::Unavailable("seccomp", why),
    }
}

/// The list as seccompiler takes it: a call without rules is allowed with any arguments, else one of its
/// rules must match.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn rules(requirements: &Requirements) -> Rules {
    let mut rules = Rules::new();
    let mut unconditional = Vec::new();
    for Call(number, arguments) in calls(requirements) {
        match rule(arguments) {
            Some(rule) => rules.entry(*number).or_default().push(rule),
            None => unconditional.push(*number),
        }
    }
    rules.extend(unconditional.into_iter().map(|number| (number, vec![])));
    rules
}

fn calls(requirements: &Requirements) -> impl Iterator<Item = &'static Call> {
    ALLOWED.iter().filter(|group| is_needed(group.when, requirements)).flat_map(|group| group.calls)
}

fn is_needed(when: When, requirements: &Requirements) -> bool {
    match when {
        When::Always => true,
        When::UpstreamIsUnix => requirements.upstream == UpstreamKind::Unix,
        When::UpstreamIsTcp => matches!(requirements.upstream, UpstreamKind::Ip(_) | UpstreamKind::Name(_)),
        When::UpstreamIsNamed => matches!(requirements.upstream, UpstreamKind::Name(_)),
        When::LogsAreAppendedTo => !requirements.append_dirs.is_empty(),
        When::UsageIsRead => requirements.reads_usage,
        When::FilesAreRead => {
            !requirements.read_dirs.is_empty() || matches!(requirements.upstream, UpstreamKind::Name(_))
        }
    }
}

fn rule(arguments: &[Argument]) -> Option<SeccompRule> {
    SeccompRule::new(arguments.iter().map(condition).collect()).ok()
}

fn condition(argument: &Argument) -> SeccompCondition {
    let (index, operator, value) = match *argument {
        Is(index, value) => (index, SeccompCmpOp::Eq, value),
        Bits(index, mask, value) => (index, SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned())), value),
        SelfPid(index) => (index, SeccompCmpOp::Eq, std::process::id().cast_signed()),
    };
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, u64::from(value.cast_unsigned()))
        .expect("a system call has at most six arguments")
}

fn compile(rules: Rules) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let refusal = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules, refusal, SeccompAction::Allow, arch)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(upstream: UpstreamKind, read_dirs: &[&str]) -> Rules {
        rules(&Requirements {
            unlink_dirs: vec![],
            read_dirs: read_dirs.iter().map(Into::into).collect(),
            append_dirs: vec![],
            reads_usage: false,
            upstream,
        })
    }

    const KINDS: [UpstreamKind; 3] = [UpstreamKind::Unix, UpstreamKind::Ip(2376), UpstreamKind::Name(2376)];

    #[test]
    fn what_no_upstream_needs_is_in_no_list() {
        for number in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_mount,
            libc::SYS_move_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_clone3,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_socketpair,
            libc::SYS_setuid,
            libc::SYS_kill,
            libc::SYS_memfd_create,
            libc::SYS_renameat2,
            libc::SYS_symlinkat,
        ] {
            for kind in KINDS {
                assert!(!listed(kind, &["/certificate"]).contains_key(&number), "{number} for {kind:?}");
            }
        }
    }

    #[test]
    fn files_are_opened_only_where_some_are_read_again() {
        assert!(!listed(UpstreamKind::Unix, &[]).contains_key(&libc::SYS_openat));
        assert!(!listed(UpstreamKind::Ip(1), &[]).contains_key(&libc::SYS_openat));
        assert!(listed(UpstreamKind::Unix, &["/certificate"]).contains_key(&libc::SYS_openat));
        assert!(listed(UpstreamKind::Name(1), &[]).contains_key(&libc::SYS_openat));
    }

    #[test]
    fn threads_are_started_and_processes_are_not() {
        for kind in KINDS {
            let rules = listed(kind, &[]);
            assert_eq!(
                rules[&libc::SYS_clone].len(),
                1,
                "only on condition that it is a thread, for {kind:?}"
            );
            for number in [
                libc::SYS_clone3,
                #[cfg(target_arch = "x86_64")]
                libc::SYS_fork,
                #[cfg(target_arch = "x86_64")]
                libc::SYS_vfork,
            ] {
                assert!(!rules.contains_key(&number), "{number} for {kind:?}");
            }
        }
    }

    #[test]
    fn sockets_and_executable_memory_are_never_free_of_conditions_unless_names_are_resolved() {
        for kind in [UpstreamKind::Unix, UpstreamKind::Ip(1)] {
            let rules = listed(kind, &["/certificate"]);
            for number in [libc::SYS_socket, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_setsockopt] {
                assert!(!rules[&number].is_empty(), "{number} for {kind:?}");
            }
        }
        let named = listed(UpstreamKind::Name(1), &[]);
        assert!(named[&libc::SYS_mmap].is_empty());
        assert!(!named[&libc::SYS_socket].is_empty());
    }

    #[test]
    fn every_list_makes_a_program() {
        for kind in KINDS {
            assert!(compile(listed(kind, &["/certificate"])).is_ok());
        }
    }
}
