//! Starting processes: fork, sessions, and the init of a guest's namespaces
//! (`clone(2)`, `namespaces(7)`, `user_namespaces(7)`, `time_namespaces(7)`).
#![allow(unsafe_code, reason = "fork and what runs in the child before exec")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Which side of a fork we are on.
pub enum Side {
    /// The new process.
    Child,
    /// The old one, with the child's pid.
    Parent(i32),
}

/// Forks. The child has only the calling thread.
///
/// # Panics
/// If the process has other threads: their locks would stay locked in the child.
pub fn fork() -> io::Result<Side> {
    assert_alone();
    // SAFETY: there is no other thread, so nothing is in an inconsistent state.
    match crate::check(i64::from(unsafe { libc::fork() }))? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

fn assert_alone() {
    let threads = std::fs::read_dir("/proc/self/task")
        .map(Iterator::count)
        .unwrap_or(1);
    assert!(threads == 1, "fork with {threads} threads");
}

/// Forks a process of whose end no signal tells us, and which is there to be
/// waited for even where SIGCHLD is ignored. It may fork and end, nothing else:
/// the C library in it does not know its thread id.
///
/// # Panics
/// As [`fork`].
pub fn fork_quietly() -> io::Result<Side> {
    assert_alone();
    // SAFETY: without flags the child gets a copy of all memory, as by fork;
    // there is no other thread, so nothing is in an inconsistent state.
    let ret = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    match crate::check(ret)? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

/// Waits for the end of child `pid`. Returns the raw wait status.
pub fn wait_for(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live local.
        let ret = unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
        match crate::check(i64::from(ret)) {
            Ok(_) => return Ok(status),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends the process at once, without running destructors or flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing runs after it.
    unsafe { libc::_exit(code) }
}

/// Own session, and /dev/null for the standard descriptors that are named.
pub fn detach(keep_stderr: bool) -> io::Result<()> {
    // SAFETY: no pointers are passed. Fails only for a group leader.
    crate::check(i64::from(unsafe { libc::setsid() }))?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for fd in 0..if keep_stderr { 2 } else { 3 } {
        // SAFETY: both are descriptors; `fd` is one of the standard ones.
        crate::check(i64::from(unsafe { libc::dup2(null.as_raw_fd(), fd) }))?;
    }
    Ok(())
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) {
    // SAFETY: the caller gives up all descriptors from `first` on; used
    // before anything has been opened that is still needed.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Dies with the parent, which must still be `parent`.
pub fn die_with_parent(parent: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    crate::check(i64::from(unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    }))?;
    if std::os::unix::process::parent_id() as i32 == parent {
        Ok(())
    } else {
        Err(io::Error::other("the parent has ended"))
    }
}

/// Lets `tracer` trace us where Yama restricts it (ptrace_scope 1).
pub fn allow_tracer(tracer: i32) {
    // SAFETY: no pointers are passed. EINVAL without Yama: nothing to allow.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, tracer as libc::c_ulong, 0, 0, 0) };
}

/// Whether `fd` is inherited over exec.
pub fn set_inheritable(fd: BorrowedFd<'_>, inherit: bool) -> io::Result<()> {
    let flags = if inherit { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) };
    crate::check(i64::from(ret)).map(drop)
}

/// Descriptor number given to us by the program that started us.
///
/// `None` if it is not open. Call at most once for each number, before any
/// descriptor of our own is opened.
pub fn inherited(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: no pointers are passed.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags < 0 {
        return None;
    }
    // SAFETY: open, and by the caller's word owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_inheritable(std::os::fd::AsFd::as_fd(&fd), false).ok()?;
    Some(fd)
}

/// Replaces the program, as execvp(3): searches `PATH` for names without a
/// slash, hands scripts without `#!` to the shell. Returns only on failure.
pub fn exec(command: &[CString]) -> io::Error {
    let mut pointers: Vec<*const libc::c_char> = command.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a null-terminated array of valid C strings.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Whether `program` is there and may be executed, access(2).
pub fn may_execute(program: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    CString::new(program.as_os_str().as_bytes()).is_ok_and(|path| {
        // SAFETY: a valid C string.
        unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 }
    })
}

/// Whether two processes have the same memory, as by vfork(2): kcmp(2). An
/// error where the kernel cannot tell, or one of them has ended.
pub fn have_same_memory(one: i32, other: i32) -> io::Result<bool> {
    const KCMP_VM: i32 = 1;
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) };
    crate::check(ret).map(|order| order == 0)
}

/// Whether two descriptors of a process share position and flags, as by dup(2): kcmp(2). An
/// error where the kernel cannot tell, or it has ended.
pub fn have_same_open_file(pid: i32, one: i32, other: i32) -> io::Result<bool> {
    const KCMP_FILE: i32 = 0;
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, one, other) };
    crate::check(ret).map(|order| order == 0)
}

/// prctl(2) option that no kernel has; a runtime answers it with 1.
pub const JOB_QUERY: u64 = 0x4d4f_5349;

/// Whether we are the body of a guest, whose /proc shows nothing of us.
pub fn is_guest() -> bool {
    // SAFETY: no pointers are passed; EINVAL where nobody knows the option.
    unsafe { libc::prctl(JOB_QUERY as i32, 0, 0, 0, 0) == 1 }
}

/// Ids of the caller.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Our effective ids.
pub fn ids() -> Ids {
    // SAFETY: these two cannot fail.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: as above.
    let gid = unsafe { libc::getegid() };
    Ids { uid, gid }
}

/// What the init of a guest's namespaces is made of.
pub struct InitSpec<'a> {
    /// Ids the guest sees.
    pub inside: Ids,
    /// Ids it has on this host.
    pub outside: Ids,
    /// Seconds and nanoseconds to add to CLOCK_MONOTONIC and CLOCK_BOOTTIME;
    /// `None`: the host's own clocks, without a time namespace.
    pub clock_offset: Option<(i64, i64)>,
    /// The program ([`crate::stub::init_program`]).
    pub program: BorrowedFd<'a>,
    /// Descriptors it starts with, as numbers 0, 1, 2 …, and no others.
    pub fds: &'a [BorrowedFd<'a>],
}

const NAMESPACES: i32 = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;
const CLONE_NEWTIME: i32 = 0x80;

/// Starts the init of new user, pid, mount (empty root), net, ipc, uts and time
/// namespaces. Returns its pid here. It is our child and dies with the calling
/// thread.
///
/// # Errors
/// What the kernel refused, with the step in words. Nothing is left behind.
pub fn start_init(spec: &InitSpec<'_>) -> io::Result<i32> {
    let mut up = pipe()?;
    let mut down = pipe()?;
    let helper = match fork()? {
        Side::Child => {
            let code = match become_helper(spec, &mut up.1, &mut down.0) {
                Ok(()) => 0,
                Err((step, error)) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    let _ = writeln!(up.1, "E{errno} {step}");
                    1
                }
            };
            exit_now(code)
        }
        Side::Parent(pid) => pid,
    };
    drop(up.1);
    drop(down.0);
    let result = direct_helper(spec, helper, &mut up.0, &mut down.1);
    let _ = wait_for(helper);
    result
}

fn pipe() -> io::Result<(File, File)> {
    let (read, write) = io::pipe()?;
    Ok((
        File::from(OwnedFd::from(read)),
        File::from(OwnedFd::from(write)),
    ))
}

fn direct_helper(
    spec: &InitSpec<'_>,
    helper: i32,
    up: &mut File,
    down: &mut File,
) -> io::Result<i32> {
    let (tag, _) = report(up)?;
    if tag != 'U' {
        return Err(io::Error::other("the helper reports out of order"));
    }
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/{helper}/{file}"), text).map_err(|e| {
            io::Error::new(e.kind(), format!("write {file} of the user namespace: {e}"))
        })
    };
    write("setgroups", "deny".into())?;
    write(
        "uid_map",
        format!("{} {} 1", spec.inside.uid, spec.outside.uid),
    )?;
    write(
        "gid_map",
        format!("{} {} 1", spec.inside.gid, spec.outside.gid),
    )?;
    down.write_all(b"M\n")?;
    // The helper reports init's pid, and init that it stands on its empty root,
    // right before its exec; in either order.
    let (mut pid, mut stands) = (None, false);
    loop {
        match report(up)? {
            ('P', number) => pid = number.parse().ok(),
            _ => stands = true,
        }
        if let (Some(pid), true) = (pid, stands) {
            return Ok(pid);
        }
    }
}

/// Reads one line: a tag, and what belongs to it.
fn report(from: &mut File) -> io::Result<(char, String)> {
    let mut line = String::new();
    let mut byte = [0];
    while from.read(&mut byte)? == 1 && byte[0] != b'\n' && line.len() < 200 {
        line.push(char::from(byte[0]));
    }
    let mut rest = line.chars();
    match rest.next() {
        None => Err(io::Error::other(
            "the init of the guest's namespaces died while starting",
        )),
        Some('E') => {
            let (errno, step) = rest.as_str().split_once(' ').unwrap_or(("", "start"));
            let error = io::Error::from_raw_os_error(errno.parse().unwrap_or(libc::EIO));
            Err(io::Error::new(error.kind(), format!("{step}: {error}")))
        }
        Some(tag) => Ok((tag, rest.as_str().to_owned())),
    }
}

type Step<T> = Result<T, (&'static str, io::Error)>;

fn step(what: &'static str, ret: i64) -> Step<i64> {
    crate::check(ret).map_err(|error| (what, error))
}

/// The helper enters the user namespace and the time namespace, so that init
/// is born into both. Runs after fork in a process of one thread.
fn become_helper(spec: &InitSpec<'_>, up: &mut File, down: &mut File) -> Step<()> {
    let io_step = |what: &'static str| move |error: io::Error| (what, error);
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    step(
        "new user namespace (on Ubuntu see kernel.apparmor_restrict_unprivileged_userns; \
          else user.max_user_namespaces)",
        i64::from(ret),
    )?;
    up.write_all(b"U\n").map_err(io_step("tell the parent"))?;
    let mut go = [0; 2];
    down.read_exact(&mut go)
        .map_err(io_step("wait for the parent"))?;
    keep_capabilities_over_exec()?;
    // SAFETY: no pointers are passed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_setresgid,
            spec.inside.gid,
            spec.inside.gid,
            spec.inside.gid,
        )
    };
    step("set group id", ret)?;
    // SAFETY: no pointers are passed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_setresuid,
            spec.inside.uid,
            spec.inside.uid,
            spec.inside.uid,
        )
    };
    step("set user id", ret)?;
    raise_ambient_capabilities()?;
    let time = if spec.clock_offset.is_some() {
        CLONE_NEWTIME
    } else {
        0
    };
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::unshare(NAMESPACES | time) };
    step(
        "new pid, mount, net, ipc, uts and time namespaces",
        i64::from(ret),
    )?;
    if let Some((seconds, nanoseconds)) = spec.clock_offset {
        let text = format!("monotonic {seconds} {nanoseconds}\nboottime {seconds} {nanoseconds}\n");
        std::fs::write("/proc/self/timens_offsets", text)
            .map_err(io_step("set the clocks' offsets"))?;
    }
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM a raw clone with no stack behaves as fork; this
    // process has one thread.
    let ret = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = step("fork init", ret)?;
    if pid == 0 {
        let (what, error) = match become_init(spec, up) {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let _ = up.write_all(format!("E{errno} {what}\n").as_bytes());
        exit_now(1);
    }
    // In one write: init reports on the same pipe.
    up.write_all(format!("P{pid}\n").as_bytes())
        .map_err(io_step("tell the parent"))
}

/// Capabilities of a non-root user survive setresuid.
fn keep_capabilities_over_exec() -> Step<()> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) };
    step("keep capabilities", i64::from(ret))?;
    Ok(())
}

/// Capabilities survive the exec of a program without file capabilities.
fn raise_ambient_capabilities() -> Step<()> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [[0u32; 3]; 2];
    // SAFETY: header and data have the layout of version 3.
    let ret = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    step("read capabilities", ret)?;
    for set in &mut data {
        set[2] = set[1];
    }
    // SAFETY: as above.
    let ret = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    step("inherit capabilities", ret)?;
    for cap in 0..64u64 {
        let held = data[(cap / 32) as usize][1] >> (cap % 32) & 1 == 1;
        if held {
            // SAFETY: no pointers are passed.
            let ret =
                unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, cap, 0, 0) };
            step("raise ambient capabilities", i64::from(ret))?;
        }
    }
    Ok(())
}

/// Moves onto an empty root, arranges the descriptors, becomes the stub program.
fn become_init(spec: &InitSpec<'_>, up: &mut File) -> Step<std::convert::Infallible> {
    // SAFETY: no pointers are passed.
    let ret = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    step("die with the parent", i64::from(ret))?;
    // SAFETY: no pointers are passed.
    unsafe { libc::setsid() };
    // Ignored signals would be inherited by every body. The C library refuses
    // its own two, which posix_spawn leaves ignored: so without it.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: `default` is a kernel sigaction with SIG_DFL and no flags;
        // fails for signals whose action cannot be set.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, 8) };
    }
    empty_root()?;
    // Everything moves up first, so that no dup2 below overwrites a source.
    let base = 200;
    let sources: Vec<RawFd> = spec
        .fds
        .iter()
        .map(AsRawFd::as_raw_fd)
        .chain([spec.program.as_raw_fd(), up.as_raw_fd()])
        .collect();
    for (index, fd) in sources.iter().enumerate() {
        // SAFETY: plain numbers; this process has one thread and exec follows.
        let ret = unsafe { libc::dup2(*fd, base + index as i32) };
        step("arrange descriptors", i64::from(ret))?;
    }
    let count = spec.fds.len() as i32;
    for index in 0..count {
        // SAFETY: as above.
        let ret = unsafe { libc::dup2(base + index, index) };
        step("arrange descriptors", i64::from(ret))?;
    }
    // SAFETY: as above. Nothing between is used any more.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, count, base + count - 1, 0) };
    step("close descriptors", ret)?;
    // SAFETY: as above.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, base + count + 2, u32::MAX, 0) };
    step("close descriptors", ret)?;
    let (program, up_fd) = (base + count, base + count + 1);
    for fd in [program, up_fd] {
        // SAFETY: no pointers are passed.
        let ret = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        step("close on exec", i64::from(ret))?;
    }
    // SAFETY: two bytes of a live literal.
    unsafe { libc::write(up_fd, b"X\n".as_ptr().cast(), 2) };
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    const EMPTY: &CStr = c"";
    // SAFETY: empty path with AT_EMPTY_PATH names the descriptor; both arrays
    // are null-terminated.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program,
            EMPTY.as_ptr(),
            none.as_ptr(),
            none.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    step("execute the stub program", ret)?;
    Err(("execute the stub program", io::Error::other("returned")))
}

/// A read-only tmpfs with nothing in it becomes the root, nothing else is mounted.
fn empty_root() -> Step<()> {
    let mount = |source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong| {
        // SAFETY: valid C strings, no data argument.
        i64::from(unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                flags,
                std::ptr::null(),
            )
        })
    };
    step(
        "make mounts private",
        mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE),
    )?;
    step(
        "mount an empty root",
        mount(
            c"none",
            c"/proc",
            c"tmpfs",
            libc::MS_NOSUID | libc::MS_NODEV,
        ),
    )?;
    // SAFETY: a valid C string.
    let ret = unsafe { libc::chdir(c"/proc".as_ptr()) };
    step("enter the empty root", i64::from(ret))?;
    // SAFETY: valid C strings.
    let ret = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    step("pivot_root", ret)?;
    // SAFETY: a valid C string.
    let ret = unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) };
    step("leave the old root", i64::from(ret))?;
    // SAFETY: a valid C string.
    let ret = unsafe { libc::chdir(c"/".as_ptr()) };
    step("enter the empty root", i64::from(ret))?;
    step(
        "make the root read-only",
        mount(
            c"none",
            c"/",
            c"",
            libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_BIND,
        ),
    )?;
    Ok(())
}

/// Duplicates `fd` at number `to`, inherited over exec.
pub fn place(fd: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == to {
        return set_inheritable(fd, true);
    }
    // SAFETY: plain numbers; the caller gives up what was at `to`.
    crate::check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), to) })).map(drop)
}
