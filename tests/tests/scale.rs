//! One guest at the kernel's limits: threads, descriptors, processes, names, arguments, files, memory.

use homenode_tests::{Way, check, guest};

/// `sees_moves`: a move shows, since mappings that lie side by side may become one.
macro_rules! scale {
    (anywhere: $($name:ident)*; sees_moves: $($seeing:ident)*;) => {
        mod native {
            $(#[test] fn $name() { super::check(super::Way::Native, &super::sized(stringify!($name))) })*
            $(#[test] fn $seeing() { super::check(super::Way::Native, &super::sized(stringify!($seeing))) })*
        }
        mod elsewhere {
            $(#[test] fn $name() { super::check(super::Way::Elsewhere, &super::sized(stringify!($name))) })*
            $(#[test] fn $seeing() { super::check(super::Way::Elsewhere, &super::sized(stringify!($seeing))) })*
        }
        mod stirred {
            $(#[test] fn $name() { super::check(super::Way::Stirred, &super::sized(stringify!($name))) })*
        }
    };
}

scale! {
    anywhere:
        scale_arguments scale_descriptors scale_files scale_guests scale_memory scale_paths
        scale_threads;
    sees_moves:
        scale_mappings;
}

/// A debug build on a busy machine takes its time.
fn sized(name: &str) -> homenode_tests::Case {
    guest(name).time_limit(180)
}
