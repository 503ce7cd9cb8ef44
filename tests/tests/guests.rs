//! Every guest program, in every way of running.
//!
//! One alone: `cargo nextest run -p homenode-tests elsewhere::pipe_large`.

use homenode_tests::{Way, check, guest, guest_names};

/// One test function per program and way; `needs_home` programs use what no call can forward, so
/// that they have to migrate home first.
macro_rules! guests {
    (anywhere: $($name:ident)*; needs_home: $($bound:ident)*;) => {
        mod native {
            $(#[test] fn $name() { super::check(super::Way::Native, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::Native, &super::guest(stringify!($bound))) })*
        }
        mod home {
            $(#[test] fn $name() { super::check(super::Way::AtHome, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::AtHome, &super::guest(stringify!($bound))) })*
        }
        mod elsewhere {
            $(#[test] fn $name() { super::check(super::Way::Elsewhere, &super::guest(stringify!($name))) })*
            $(
                #[test]
                #[ignore = "needs a process to migrate home while it runs"]
                fn $bound() { super::check(super::Way::Elsewhere, &super::guest(stringify!($bound))) }
            )*
        }
        const LISTED: &[&str] = &[$(stringify!($name),)* $(stringify!($bound),)*];
    };
}

guests! {
    anywhere:
        clocks clone_raw clone_shared daemon descriptors epoll_wait errors_descriptor errors_length
        errors_number errors_partial errors_path errors_pointer event_fds exec_arguments exec_errors
        exec_keeps exec_scripts exec_ways files_at files_basic files_big files_copy files_directory
        files_names files_special files_stat files_vectors files_xattr fork_memory fork_tree
        fork_wait futex_raw host_facts ids_sessions inherited inotify ipc locks many_children
        mmap_anonymous mmap_file orphans pipe_basic pipe_large pipe_splice poll_select proc_live proc_self
        process_state registers rlimits signal_child signal_default signal_fault signal_group
        signal_handler signal_mask signal_restart signal_siginfo signal_storm signal_timers
        socket_tcp socket_udp socket_unix spawn stack_growth static_libc static_pie static_raw
        threads_cancel threads_end threads_fork threads_ids threads_io threads_sync tty vfork_exec
        waitid_info;
    needs_home:
        namespaces own_filter shared_memory shared_reading tracing;
}

#[test]
fn every_guest_program_is_listed() {
    let mut listed = LISTED.to_vec();
    listed.sort_unstable();
    assert_eq!(guest_names(), listed);
}
