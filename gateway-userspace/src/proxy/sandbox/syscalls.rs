//! Seccomp: what a server of sockets needs is allowed, what only an attacker needs ends the
//! process, and everything else is refused with EPERM.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::SandboxError;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Reading, writing and waiting.
const DATA: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
];

/// Files, as far as landlock leaves any.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
];

/// Sockets. `socket` and `setsockopt` have rules of their own; `bind` and `listen` are the guard's.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
];

/// Memory.
const MEMORY: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_membarrier,
];

/// Threads, time and the process itself.
const PROCESS: &[c_long] = &[
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_uname,
    // Refused by a filter of its own, so that the C library falls back to `clone`, whose flags
    // can be looked at.
    libc::SYS_clone3,
];

/// The older spellings that libraries still use where the architecture has them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// No lawful path leads here: other programs, other processes, the kernel, other roots, `io_uring`
/// (which would go around this very filter).
const DEADLY: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_acct,
];

/// `ioctl` requests: non-blocking mode, and whether a log goes to a terminal.
const IOCTLS: &[u64] = &[libc::FIONBIO, libc::TCGETS, libc::FIONREAD, libc::TIOCGWINSZ];

/// `prctl` operations: names of threads and of memory.
const PRCTLS: &[u64] = &[libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64];

/// Installs the filters on all threads.
pub(super) fn filter() -> Result<(), SandboxError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(filter_error)?;
    let errno = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let allow = SeccompAction::Allow;
    // Of several filters the strictest answer counts. The list of the allowed comes last: it
    // does not allow installing another.
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let deadly = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    install(clone3, allow.clone(), errno(libc::ENOSYS), arch)?;
    install(deadly, allow.clone(), SeccompAction::KillProcess, arch)?;
    install(allowed()?, errno(libc::EPERM), allow, arch)
}

fn install(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: TargetArch,
) -> Result<(), SandboxError> {
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(filter_error)?;
    let program = BpfProgram::try_from(filter).map_err(filter_error)?;
    apply_filter_all_threads(&program).map_err(|source| SandboxError::Seccomp { source })
}

fn allowed() -> Result<Rules, SandboxError> {
    let always = [DATA, FILES, SOCKETS, MEMORY, PROCESS, OLDER].concat();
    let mut rules: Rules = always.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, families()?);
    rules.insert(libc::SYS_socketpair, vec![equal(0, family(libc::AF_UNIX))?]);
    rules.insert(libc::SYS_setsockopt, options()?);
    rules.insert(libc::SYS_ioctl, any_of(1, IOCTLS)?);
    rules.insert(libc::SYS_prctl, any_of(0, PRCTLS)?);
    rules.insert(libc::SYS_fcntl, any_of(1, FCNTLS)?);
    rules.insert(libc::SYS_clone, vec![thread_only()?]);
    rules.insert(libc::SYS_prlimit64, vec![reads_limits()?]);
    Ok(rules)
}

/// `fcntl` commands. Not among them: locks, leases, seals, signals to others.
const FCNTLS: &[u64] = &[
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GET_SEALS as u64,
];

/// What may be set of a socket: level and option. The listening sockets are the guard's too, and
/// outlive a proxy that was taken over: not one filter or program may be left on them
/// (`SO_ATTACH_FILTER`, `SO_ATTACH_REUSEPORT_EBPF`), no other protocol below (`TCP_ULP`), no forged
/// state (`TCP_REPAIR`).
const OPTIONS: &[(libc::c_int, libc::c_int)] = &[
    // A small answer is not held back for the acknowledgement of the last one.
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    // A connection refused for want of room ends at once.
    (libc::SOL_SOCKET, libc::SO_LINGER),
    // The C library's resolver learns at once that a name server does not listen.
    (libc::SOL_IP, libc::IP_RECVERR),
    (libc::SOL_IPV6, libc::IPV6_RECVERR),
];

fn options() -> Result<Vec<SeccompRule>, SandboxError> {
    let both = |(level, option): &(libc::c_int, libc::c_int)| {
        all_of(vec![is(1, family(*level)), is(2, family(*option))])
    };
    OPTIONS.iter().map(both).collect()
}

/// TCP and UDP for suppliers and their names, unix for the guard. No raw, packet or netlink.
fn families() -> Result<Vec<SeccompRule>, SandboxError> {
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].map(family);
    any_of(0, &families)
}

/// `clone` of a thread of this process; a new process is not one of ours.
fn thread_only() -> Result<SeccompRule, SandboxError> {
    let thread = family(libc::CLONE_THREAD);
    rule(SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread))
}

/// `prlimit64` without new limits: the third argument is NULL.
fn reads_limits() -> Result<SeccompRule, SandboxError> {
    rule(SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0))
}

fn any_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, SandboxError> {
    values.iter().map(|value| equal(argument, *value)).collect()
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, SandboxError> {
    rule(is(argument, value))
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

fn is(argument: u8, value: u64) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn rule(condition: Condition) -> Result<SeccompRule, SandboxError> {
    all_of(vec![condition])
}

fn all_of(conditions: Vec<Condition>) -> Result<SeccompRule, SandboxError> {
    let conditions: Result<Vec<_>, _> = conditions.into_iter().collect();
    conditions.and_then(SeccompRule::new).map_err(filter_error)
}

fn family(constant: libc::c_int) -> u64 {
    u64::from(constant.unsigned_abs())
}

fn filter_error(source: seccompiler::BackendError) -> SandboxError {
    SandboxError::Filter { source }
}
