//! Every system call is classified, and every row makes sense by itself.

use abi::{Arg, Route, Size, X86_64, row};

#[test]
fn numbers_strictly_increase() {
    assert!(X86_64.windows(2).all(|pair| pair[0].nr < pair[1].nr));
}

#[test]
fn every_number_is_classified() {
    for nr in 0..=abi::NR_MAX {
        let hole = abi::UNASSIGNED
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&nr));
        assert_eq!(row(nr).is_none(), hole, "number {nr}");
    }
    assert_eq!(row(abi::NR_MAX + 1).map(|row| row.nr), None);
}

#[test]
fn row_finds_itself() {
    for expected in X86_64 {
        assert_eq!(row(expected.nr).map(|row| row.name), Some(expected.name));
    }
}

fn size_of(arg: Arg) -> Option<Size> {
    match arg {
        Arg::In(size) | Arg::InSome(size) | Arg::Out(size) => Some(size),
        Arg::InOut(size) | Arg::InOutAny(size) | Arg::OutRet(size, _) => Some(size),
        Arg::IovIn(i) | Arg::IovOut(i) | Arg::MmsgIn(i) | Arg::MmsgOut(i) => Some(Size::Arg(i)),
        _ => None,
    }
}

fn check_sizes(name: &str, kinds: &[Arg]) {
    for arg in kinds {
        match size_of(*arg) {
            Some(Size::Arg(i) | Size::ArgPlus(i, _) | Size::Times(i, _) | Size::Bits(i)) => {
                let count = kinds.get(usize::from(i)).copied().unwrap_or(Arg::Addr);
                assert!(
                    matches!(count, Arg::Int | Arg::Int32),
                    "{name}: argument {i}"
                );
            }
            Some(Size::At(i)) => {
                let length = kinds.get(usize::from(i)).copied();
                let pointer = matches!(
                    length,
                    Some(Arg::InOut(Size::Bytes(4)) | Arg::InOutAny(Size::Bytes(4)))
                );
                assert!(pointer, "{name}: argument {i}");
            }
            _ => {}
        }
    }
}

#[test]
fn sizes_point_at_numbers() {
    for row in X86_64 {
        assert!(row.args.len() <= 6, "{}", row.name);
        check_sizes(row.name, row.args);
    }
}

#[test]
fn sizes_of_commands_point_at_numbers() {
    for command in abi::command::commands() {
        let row = row(command.nr).expect("a command belongs to a call");
        let at = row
            .args
            .iter()
            .position(|arg| *arg == Arg::ByCommand)
            .expect("by command");
        let mut kinds = [Arg::Int; 6];
        kinds[..row.args.len()].copy_from_slice(row.args);
        kinds[at] = command.arg;
        kinds[at + 1..at + 1 + command.then.len()].copy_from_slice(command.then);
        check_sizes(command.name, &kinds);
    }
}

#[test]
fn going_home_is_explained() {
    for row in X86_64.iter().filter(|row| row.route == Route::GoHome) {
        assert!(row.gap.contains("brings the process home"), "{}", row.name);
    }
    for command in abi::command::commands().filter(|command| command.route == Route::GoHome) {
        assert!(
            command.gap.contains("brings the process home"),
            "{}",
            command.name
        );
    }
}

#[test]
fn numbers_of_well_known_calls() {
    let known = [
        (0, "read"),
        (9, "mmap"),
        (59, "execve"),
        (60, "exit"),
        (157, "prctl"),
        (202, "futex"),
        (231, "exit_group"),
        (257, "openat"),
        (318, "getrandom"),
        (334, "rseq"),
        (336, "uprobe"),
        (424, "pidfd_send_signal"),
        (435, "clone3"),
        (450, "set_mempolicy_home_node"),
        (451, "cachestat"),
        (462, "mseal"),
        (463, "setxattrat"),
        (467, "open_tree_attr"),
        (468, "file_getattr"),
        (469, "file_setattr"),
    ];
    for (nr, name) in known {
        assert_eq!(row(nr).map(|row| row.name), Some(name));
    }
}
