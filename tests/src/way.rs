//! How a program is run.

use std::ffi::OsString;
use std::path::PathBuf;

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Native,
    /// Under `mosexec`, without ever leaving home.
    AtHome,
    /// Under `mosexec`, on the second node of a private cluster on this machine.
    Elsewhere,
    /// As that, and moved home and away again all the time.
    Shuffled,
    /// The same, less often: for programs of many processes.
    Stirred,
    /// Under `mosexec`, on the second of three nodes.
    AmongThree,
    /// As that, and moved to one of the others all the time.
    Wandering,
}

impl Way {
    /// What goes before `--` and the command; nothing for [`Way::Native`].
    fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Way::Native => None,
            Way::AtHome => Some(&["--home"]),
            Way::Elsewhere => Some(&["--embedded", "2", "--on", "2"]),
            Way::Shuffled => Some(&[
                "--embedded",
                "2",
                "--on",
                "2",
                "--shuffle",
                "30",
                "--later-min",
                "1",
            ]),
            Way::Stirred => Some(&["--embedded", "2", "--on", "2", "--shuffle", "250"]),
            Way::AmongThree => Some(&["--embedded", "3", "--on", "2"]),
            Way::Wandering => Some(&[
                "--embedded",
                "3",
                "--on",
                "2",
                "--shuffle",
                "30",
                "--later-min",
                "1",
            ]),
        }
    }

    /// The command line that runs `command` in this way.
    ///
    /// # Panics
    /// If it needs `mosexec` and there is none.
    #[must_use]
    pub fn wrap(self, command: &[OsString]) -> Vec<OsString> {
        let Some(options) = self.options() else {
            return command.to_vec();
        };
        let mut line: Vec<OsString> = vec![mosexec().into()];
        line.extend(options.iter().map(Into::into));
        line.push("--".into());
        line.extend_from_slice(command);
        line
    }
}

/// The `mosexec` under test: in `$HOMENODE_BIN_DIR`, else beside the test programs, else in the
/// release or debug directory of the same target directory.
///
/// # Panics
/// If there is none; with what to do.
#[must_use]
pub fn mosexec() -> PathBuf {
    let mut looked_in = Vec::new();
    if let Some(dir) = std::env::var_os("HOMENODE_BIN_DIR") {
        looked_in.push(PathBuf::from(dir));
    } else {
        let profile = target_profile_dir();
        let target = profile.join("..");
        looked_in.extend([profile, target.join("release"), target.join("debug")]);
    }
    looked_in.iter().map(|dir| dir.join("mosexec")).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("no mosexec in {looked_in:?}: build it with `cargo build --release`, or set HOMENODE_BIN_DIR")
    })
}

/// `target/debug` or `target/release`, from where this test program lies (`…/deps/NAME`).
pub(crate) fn target_profile_dir() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    let dir = program.parent().expect("a program lies in a directory");
    if dir.ends_with("deps") {
        dir.join("..")
    } else {
        dir.to_path_buf()
    }
}
