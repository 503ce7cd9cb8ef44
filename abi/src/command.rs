//! Calls whose arguments depend on a command: `ioctl`, `fcntl`, `prctl`,
//! socket options and their like. Each command is a row of its own.

mod fcntl;
mod ioctl;
mod ipc;
mod kernel;
mod prctl;
mod sockopt;

use crate::row::{Arg, Resolved, Route, Row, Size};

/// One command of a call.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// System call number.
    pub nr: u32,
    /// The command. For socket options: level in the upper 32 bits, name in
    /// the lower. For quotactl: the command without its type.
    pub code: u64,
    /// The command's name.
    pub name: &'static str,
    /// What the argument is that the row calls `ByCommand`.
    pub arg: Arg,
    /// What the arguments after it are; numbers where the list ends.
    pub then: &'static [Arg],
    /// Where the call is executed.
    pub route: Route,
    /// What is not honoured, in words a user can act on.
    pub gap: &'static str,
}

/// System call numbers of the calls that have commands.
pub(crate) mod nr {
    pub(crate) const IOCTL: u32 = 16;
    pub(crate) const SHMCTL: u32 = 31;
    pub(crate) const SETSOCKOPT: u32 = 54;
    pub(crate) const GETSOCKOPT: u32 = 55;
    pub(crate) const SEMCTL: u32 = 66;
    pub(crate) const MSGCTL: u32 = 71;
    pub(crate) const FCNTL: u32 = 72;
    pub(crate) const SYSFS: u32 = 139;
    pub(crate) const PRCTL: u32 = 157;
    pub(crate) const QUOTACTL: u32 = 179;
    pub(crate) const GET_MEMPOLICY: u32 = 239;
    pub(crate) const KEYCTL: u32 = 250;
    pub(crate) const KCMP: u32 = 312;
    pub(crate) const FSCONFIG: u32 = 431;
    pub(crate) const QUOTACTL_FD: u32 = 443;
    pub(crate) const LANDLOCK_ADD_RULE: u32 = 445;
}

/// The tables, one for each call; the coverage page follows this order.
pub(crate) const TABLES: &[(u32, &[Command])] = &[
    (nr::IOCTL, ioctl::COMMANDS),
    (nr::FCNTL, fcntl::COMMANDS),
    (nr::PRCTL, prctl::COMMANDS),
    (nr::SETSOCKOPT, sockopt::SET),
    (nr::GETSOCKOPT, sockopt::GET),
    (nr::SHMCTL, ipc::SHMCTL),
    (nr::SEMCTL, ipc::SEMCTL),
    (nr::MSGCTL, ipc::MSGCTL),
    (nr::KEYCTL, ipc::KEYCTL),
    (nr::SYSFS, kernel::SYSFS),
    (nr::QUOTACTL, kernel::QUOTACTL),
    (nr::GET_MEMPOLICY, kernel::GET_MEMPOLICY),
    (nr::KCMP, kernel::KCMP),
    (nr::FSCONFIG, kernel::FSCONFIG),
    (nr::LANDLOCK_ADD_RULE, kernel::LANDLOCK_ADD_RULE),
];

const ADDRESSES: &str = "brings the process home: the flags ask about its memory";

/// The command of this call, if it is known.
pub fn command(row: &Row, args: &[u64; 6]) -> Option<&'static Command> {
    find(row.nr, code(row.nr, args))
}

/// Every known command, table by table.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().flat_map(|(_, table)| table.iter())
}

/// Index of the argument that holds the command, if the call has commands.
pub(crate) fn selector(nr: u32) -> Option<usize> {
    match nr {
        nr::IOCTL | nr::FCNTL | nr::SHMCTL | nr::MSGCTL => Some(1),
        nr::FSCONFIG | nr::QUOTACTL_FD | nr::LANDLOCK_ADD_RULE => Some(1),
        nr::SETSOCKOPT | nr::GETSOCKOPT | nr::SEMCTL | nr::KCMP => Some(2),
        nr::PRCTL | nr::SYSFS | nr::KEYCTL | nr::QUOTACTL => Some(0),
        nr::GET_MEMPOLICY => Some(4),
        _ => None,
    }
}

/// The number that selects the command.
fn code(nr: u32, args: &[u64; 6]) -> u64 {
    let low = |index: usize| args[index] & 0xffff_ffff;
    let Some(at) = selector(nr) else {
        return u64::MAX;
    };
    match nr {
        nr::SETSOCKOPT | nr::GETSOCKOPT => low(1) << 32 | low(2),
        nr::QUOTACTL | nr::QUOTACTL_FD => low(at) >> 8,
        nr::GET_MEMPOLICY => args[at],
        _ => low(at),
    }
}

fn find(nr: u32, code: u64) -> Option<&'static Command> {
    let nr = if nr == nr::QUOTACTL_FD {
        nr::QUOTACTL
    } else {
        nr
    };
    let (_, table) = TABLES.iter().find(|(of, _)| *of == nr)?;
    let at = table
        .binary_search_by_key(&code, |command| command.code)
        .ok()?;
    table.get(at)
}

/// Makes a row with a `ByCommand` argument, at index `at`, definite.
pub(crate) fn resolve(row: &Row, args: &[u64; 6], at: usize, plain: Resolved) -> Resolved {
    let mut resolved = plain;
    let Some(command) = command(row, args) else {
        return guess(row, args, at, plain);
    };
    resolved.args[at] = command.arg;
    for (kind, given) in resolved.args[at + 1..].iter_mut().zip(command.then) {
        *kind = *given;
    }
    resolved.route = command.route;
    resolved.gap = command.gap;
    resolved.command = Some(command);
    resolved
}

/// What can be said of a command that is in no table.
fn guess(row: &Row, args: &[u64; 6], at: usize, plain: Resolved) -> Resolved {
    let mut resolved = plain;
    resolved.gap = "";
    match row.nr {
        // Every option is a flat value, but the ones listed; of the length given
        // or less, which only the kernel knows.
        nr::SETSOCKOPT => resolved.args[at] = Arg::InSome(Size::Arg(4)),
        nr::GETSOCKOPT => resolved.args[at] = Arg::OutSome(Size::At(4)),
        nr::IOCTL => match ioctl::encoded(args[1] as u32) {
            Ok(arg) => {
                resolved.args[at] = arg;
                resolved.guessed = true;
            }
            Err(gap) => {
                resolved.route = Route::GoHome;
                resolved.gap = gap;
            }
        },
        nr::GET_MEMPOLICY => {
            resolved.route = Route::GoHome;
            resolved.gap = ADDRESSES;
        }
        // Most likely an error, which the home kernel finds.
        _ => {
            for kind in &mut resolved.args[at..] {
                if matches!(kind, Arg::Int | Arg::ByCommand) {
                    *kind = Arg::Unknown;
                }
            }
            if resolved.route == Route::Both {
                resolved.route = Route::Home;
            }
        }
    }
    if resolved.args[at] == Arg::ByCommand {
        resolved.args[at] = Arg::Addr;
    }
    resolved
}

const fn new(
    nr: u32,
    code: u64,
    name: &'static str,
    arg: Arg,
    route: Route,
    gap: &'static str,
) -> Command {
    Command {
        nr,
        code,
        name,
        arg,
        then: &[],
        route,
        gap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{X86_64, row};

    #[test]
    fn every_row_with_commands_has_a_table() {
        for row in X86_64 {
            let by_command = row.args.contains(&Arg::ByCommand);
            assert_eq!(by_command, selector(row.nr).is_some(), "{}", row.name);
            let of = if row.nr == nr::QUOTACTL_FD {
                nr::QUOTACTL
            } else {
                row.nr
            };
            assert_eq!(
                by_command,
                TABLES.iter().any(|(nr, _)| *nr == of),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn known_and_encoded_and_unknown_commands() {
        let ioctl = row(nr::IOCTL).expect("ioctl has a row");
        let resolve = |code| ioctl.resolve(&[0, code, 0x10_0000, 0, 0, 0]);
        assert_eq!(resolve(0x5401).args[2], Arg::Out(Size::Bytes(36)));
        // _IOWR(0x71, 1, 24 bytes), _IOW(0x71, 1, 8 bytes), _IO(0x71, 1)
        assert_eq!(resolve(0xc018_7101).args[2], Arg::InOut(Size::Bytes(24)));
        assert_eq!(resolve(0x4008_7101).args[2], Arg::In(Size::Bytes(8)));
        assert_eq!(resolve(0x7101).route, Route::GoHome);
        // Garbage in the upper half is not part of the command.
        assert_eq!(resolve(0xdead_0000_5401).args[2], Arg::Out(Size::Bytes(36)));
    }

    #[test]
    fn unlisted_socket_options_are_flat() {
        let set = row(nr::SETSOCKOPT).expect("setsockopt has a row");
        assert_eq!(
            set.resolve(&[3, 1, 2, 0, 4, 0]).args[3],
            Arg::InSome(Size::Arg(4))
        );
        assert_eq!(set.resolve(&[3, 263, 5, 0, 16, 0]).route, Route::GoHome);
    }

    #[test]
    fn codes_strictly_increase() {
        for (nr, table) in TABLES {
            for pair in table.windows(2) {
                assert!(
                    pair[0].code < pair[1].code,
                    "{} {}",
                    pair[0].name,
                    pair[1].name
                );
            }
            assert!(table.iter().all(|command| command.nr == *nr));
        }
    }
}
