//! One guest at the kernel's limits: threads, descriptors, processes, names, arguments, files, memory.

use homenode_tests::{Way, check, guest};

macro_rules! scale {
    ($($name:ident)*) => {
        mod native {
            $(#[test] fn $name() { super::check(super::Way::Native, &super::sized(stringify!($name))) })*
        }
        mod elsewhere {
            $(#[test] fn $name() { super::check(super::Way::Elsewhere, &super::sized(stringify!($name))) })*
        }
        mod stirred {
            $(#[test] fn $name() { super::check(super::Way::Stirred, &super::sized(stringify!($name))) })*
        }
    };
}

scale! {
    scale_arguments scale_descriptors scale_files scale_guests scale_mappings scale_memory scale_paths
    scale_threads
}

/// A debug build on a busy machine takes its time.
fn sized(name: &str) -> homenode_tests::Case {
    guest(name).time_limit(180)
}
