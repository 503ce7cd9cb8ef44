//! Every guest program, in every way of running.
//!
//! One alone: `cargo nextest run -p homenode-tests elsewhere::pipe_large`.

use homenode_tests::{Way, check, guest, guest_names};

/// One test function per program and way; `needs_home` programs use what no call can forward, so
/// that they go home; `sees_moves` programs can tell a move from none; `seen_traced` ones see at home that they are traced, and
/// `only_native` ones trace, which cannot be done at home; `gap` ones use what the README's limits name.
macro_rules! guests {
    (
        anywhere: $($name:ident)*;
        needs_home: $($bound:ident)*;
        sees_moves: $($seeing:ident)*;
        gap: $($gap:ident)*;
        seen_traced: $($traced:ident)*;
        only_native: $($native:ident)*;
    ) => {
        mod native {
            $(#[test] fn $name() { super::check(super::Way::Native, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::Native, &super::guest(stringify!($bound))) })*
            $(#[test] fn $seeing() { super::check(super::Way::Native, &super::guest(stringify!($seeing))) })*
            $(#[test] fn $gap() { super::check(super::Way::Native, &super::guest(stringify!($gap))) })*
            $(#[test] fn $traced() { super::check(super::Way::Native, &super::guest(stringify!($traced))) })*
            $(#[test] fn $native() { super::check(super::Way::Native, &super::guest(stringify!($native))) })*
        }
        mod home {
            $(#[test] fn $name() { super::check(super::Way::AtHome, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::AtHome, &super::guest(stringify!($bound))) })*
            $(#[test] fn $seeing() { super::check(super::Way::AtHome, &super::guest(stringify!($seeing))) })*
            $(#[test] fn $gap() { super::check(super::Way::AtHome, &super::guest(stringify!($gap))) })*
            $(
                #[test]
                #[ignore = "the home proxy traces it, which it can see"]
                fn $native() { super::check(super::Way::AtHome, &super::guest(stringify!($native))) }
            )*
            $(
                #[test]
                #[ignore = "at home its children's states show that they are traced"]
                fn $traced() { super::check(super::Way::AtHome, &super::guest(stringify!($traced))) }
            )*
        }
        mod elsewhere {
            $(#[test] fn $name() { super::check(super::Way::Elsewhere, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::Elsewhere, &super::guest(stringify!($bound))) })*
            $(#[test] fn $seeing() { super::check(super::Way::Elsewhere, &super::guest(stringify!($seeing))) })*
            $(
                #[test]
                #[ignore = "a gap that the README's limits name"]
                fn $gap() { super::check(super::Way::Elsewhere, &super::guest(stringify!($gap))) }
            )*
            $(#[test] fn $native() { super::check(super::Way::Elsewhere, &super::guest(stringify!($native))) })*
        }
        mod shuffled {
            $(#[test] fn $name() { super::check(super::Way::Shuffled, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::Shuffled, &super::guest(stringify!($bound))) })*
            $(
                #[test]
                #[ignore = "what a move still shows is in the README's limits"]
                fn $seeing() { super::check(super::Way::Shuffled, &super::guest(stringify!($seeing))) }
            )*
        }
        // From host to host, too.
        mod wandering {
            $(#[test] fn $name() { super::check(super::Way::Wandering, &super::guest(stringify!($name))) })*
            $(#[test] fn $bound() { super::check(super::Way::Wandering, &super::guest(stringify!($bound))) })*
        }
        // Elsewhere as all others.
        mod elsewhere_traced {
            $(#[test] fn $traced() { super::check(super::Way::Elsewhere, &super::guest(stringify!($traced))) })*
        }
        const LISTED: &[&str] = &[
            $(stringify!($name),)* $(stringify!($bound),)* $(stringify!($seeing),)* $(stringify!($gap),)*
            $(stringify!($traced),)* $(stringify!($native),)*
        ];
    };
}

guests! {
    anywhere:
        ahead_position ahead_signals ahead_threads
        clone_raw clone_shared cpu_time cpu_timers daemon descriptors epoll_wait event_fds errors_descriptor errors_length
        errors_number errors_partial errors_path errors_pointer exec_arguments exec_errors
        exec_keeps exec_scripts exec_ways files_at files_basic files_big files_copy files_directory
        files_names files_special files_stat files_vectors files_xattr fork_memory fresh_looks fork_tree
        fork_wait futex_raw hogs host_facts hostile ids_sessions inherited inotify ipc locks many_children masked_wait memory_changes memory_forks
        mmap_anonymous mmap_file moving_target names_of_bytes orphans pipe_basic pipe_large pipe_splice proc_self
        process_state registers rlimits rows_attributes rows_data rows_devices rows_gone rows_host rows_ids rows_ioctl rows_ipc
        rows_keys rows_mounts rows_network rows_notify rows_paths rows_prctl rows_processes rows_sched rows_security rows_terminal settings signal_child signal_default
        signal_fault signal_fd signal_group
        signal_handler signal_mask signal_restart signal_siginfo signal_stack signal_storm
        socket_tcp socket_timeout socket_udp socket_unix spawn stack_growth static_libc static_pie static_raw stopped_waits
        threads_cancel threads_end threads_fork threads_ids threads_io threads_sync timer_overrun tty vfork_exec
        write_terminal write_vectors;
    needs_home:
        namespaces own_filter rows_at_home rows_ioctl_home rows_network_home sealed shared_memory shared_reading mmap_changes;
    sees_moves:
        ahead_written clocks poll_select rows_other_memory signal_timers;
    gap:
        ;
    seen_traced:
        proc_live waitid_info;
    only_native:
        tracing;
}

#[test]
fn every_guest_program_is_listed() {
    let mut listed = LISTED.to_vec();
    listed.sort_unstable();
    // Those of `scale.rs` and `checkpoints.rs` are apart.
    let mut names = guest_names();
    names.retain(|name| !name.starts_with("scale_") && !name.starts_with("checkpoint_"));
    assert_eq!(names, listed);
}
