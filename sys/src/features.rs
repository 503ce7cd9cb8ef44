//! What the kernel must be able to do, probed once before the first guest.
//!
//! Not listed, since they cannot be probed without a tracee and are older than
//! what is listed: `SECCOMP_IOCTL_NOTIF_ADDFD` (5.9), and
//! `PTRACE_GET_RSEQ_CONFIGURATION` (5.13; a kernel built without rseq needs none).
#![allow(unsafe_code, reason = "raw system calls with harmless arguments")]

use std::fs;
use std::io;
use std::sync::LazyLock;

/// Where a feature is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Where processes are traced and deputies live.
    Home,
    /// Where bodies run.
    Host,
}

/// One thing the kernel must be able to do.
pub struct Feature {
    /// What the user would look for.
    pub name: &'static str,
    /// Kernel version that brought it, or what it is configured with.
    pub since: &'static str,
    /// Where it is needed.
    pub at: &'static [Where],
    /// Whether it is there.
    probe: fn() -> bool,
}

use Where::{Home, Host};

/// All of them.
pub const FEATURES: &[Feature] = &[
    feature("pidfd_getfd", "Linux 5.6", &[Home, Host], has_pidfd_getfd),
    feature(
        "tracing of processes that are no descendants",
        "kernel.yama.ptrace_scope 0 or 1, with 2 only root may",
        &[Home],
        may_trace,
    ),
    feature(
        "seccomp user notification",
        "Linux 5.0, CONFIG_SECCOMP_FILTER",
        &[Host],
        has_notification,
    ),
    feature(
        "seccomp WAIT_KILLABLE_RECV",
        "Linux 5.19",
        &[Host],
        has_wait_killable,
    ),
    feature("clone3 with set_tid", "Linux 5.5", &[Host], has_set_tid),
    feature(
        "user namespaces",
        "CONFIG_USER_NS, user.max_user_namespaces above 0, kernel.unprivileged_userns_clone 1",
        &[Host],
        may_make_user_namespaces,
    ),
    feature(
        "pid, network, ipc and uts namespaces",
        "CONFIG_NAMESPACES",
        &[Host],
        || {
            ["pid", "net", "ipc", "uts", "mnt"]
                .iter()
                .all(|kind| has_namespace(kind))
        },
    ),
    feature(
        "time namespaces",
        "Linux 5.6, CONFIG_TIME_NS",
        &[Host],
        || has_namespace("time"),
    ),
    feature(
        "choosing the next pid and the memory layout",
        "Linux 3.18, CONFIG_CHECKPOINT_RESTORE",
        &[Host],
        has_checkpoint_restore,
    ),
];

const fn feature(
    name: &'static str,
    since: &'static str,
    at: &'static [Where],
    probe: fn() -> bool,
) -> Feature {
    Feature {
        name,
        since,
        at,
        probe,
    }
}

/// Checks all that is needed at one end.
///
/// # Errors
/// What this kernel lacks, with the version or setting that brings it.
pub fn check(at: Where) -> Result<(), String> {
    let missing: Vec<String> = FEATURES
        .iter()
        .filter(|feature| feature.at.contains(&at) && !(feature.probe)())
        .map(|feature| format!("{} ({})", feature.name, feature.since))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let release = setting("kernel/osrelease").unwrap_or_default();
    Err(format!(
        "the kernel here ({release}) lacks or forbids: {}",
        missing.join("; ")
    ))
}

/// What is known to be in the way of an unprivileged user's namespaces although
/// they can be made; words for the user, or nothing.
pub fn namespace_hint() -> &'static str {
    match setting("kernel/apparmor_restrict_unprivileged_userns").as_deref() {
        Some("0") | None => "",
        Some(_) => {
            " (kernel.apparmor_restrict_unprivileged_userns is on: install the AppArmor profile \
             for homenode-runtime, or set it to 0)"
        }
    }
}

/// Whether `SECCOMP_IOCTL_NOTIF_RECV` returns when the last process under the
/// filter has ended (Linux 6.11). By version, since the probe would be a process
/// that ends.
pub fn receive_wakes_at_the_end() -> bool {
    static WAKES: LazyLock<bool> = LazyLock::new(|| {
        setting("kernel/osrelease").is_some_and(|release| is_at_least(&release, (6, 11)))
    });
    *WAKES
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_owned())
}

fn is_root() -> bool {
    crate::process::ids().uid == 0
}

fn errno(ret: i64) -> i32 {
    crate::check(ret)
        .err()
        .and_then(|error: io::Error| error.raw_os_error())
        .unwrap_or(0)
}

fn has_pidfd_getfd() -> bool {
    // SAFETY: no pointers are passed; -1 is no descriptor.
    errno(unsafe { libc::syscall(libc::SYS_pidfd_getfd, -1, -1, 0) }) == libc::EBADF
}

fn may_trace() -> bool {
    match setting("kernel/yama/ptrace_scope").as_deref() {
        None | Some("0" | "1") => true,
        Some("2") => is_root(),
        Some(_) => false,
    }
}

fn has_notification() -> bool {
    let action = libc::SECCOMP_RET_USER_NOTIF;
    let operation = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: `action` is a live local.
    errno(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, &raw const action) }) == 0
}

fn has_wait_killable() -> bool {
    const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: flags are looked at before the filter, which is null: nothing can
    // be installed. EFAULT: the flags are known.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            none,
        )
    };
    errno(ret) == libc::EFAULT
}

fn has_set_tid() -> bool {
    // struct clone_args with a set_tid_size of 1 and no set_tid. EINVAL: both
    // are known; E2BIG: they are not.
    let mut args = [0u64; 10];
    args[4] = libc::SIGCHLD as u64;
    args[9] = 1;
    // SAFETY: `args` is a live local of the given length; the call fails, so no
    // process is made.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    errno(ret) == libc::EINVAL
}

fn may_make_user_namespaces() -> bool {
    let is_zero = |name| setting(name).as_deref() == Some("0");
    has_namespace("user")
        && !is_zero("user/max_user_namespaces")
        && (is_root() || !is_zero("kernel/unprivileged_userns_clone"))
}

fn has_namespace(kind: &str) -> bool {
    fs::exists(format!("/proc/self/ns/{kind}")).unwrap_or(false)
}

fn has_checkpoint_restore() -> bool {
    const PR_SET_MM_MAP_SIZE: libc::c_ulong = 15;
    let mut bytes = 0u32;
    // SAFETY: `bytes` is a live local; only the size is asked for.
    let ret = unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP_SIZE, &raw mut bytes, 0, 0) };
    ret == 0 && fs::exists("/proc/sys/kernel/ns_last_pid").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(is_at_least("6.11.0-rc1", (6, 11)));
        assert!(is_at_least("6.18.44-fc", (6, 11)));
        assert!(is_at_least("10.0", (6, 11)));
        assert!(!is_at_least("6.8.0-51-generic", (6, 11)));
        assert!(!is_at_least("5.19", (6, 11)));
        assert!(!is_at_least("", (6, 11)));
    }

    #[test]
    fn this_kernel_has_what_the_tests_need() {
        assert_eq!(check(Home), Ok(()));
        assert_eq!(check(Host), Ok(()));
    }
}
