//! Where the measured programs are, and the command line of each mode.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// Environment variable that names the directory of `mosexec`.
pub const BIN_DIR: &str = "HOMENODE_BIN_DIR";
const GUEST: &str = "homenode-bench-guest";

/// How a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By the kernel alone.
    Native,
    /// Under `mosexec`, on its home node.
    Home,
    /// Under `mosexec`, on the second node of an embedded cluster.
    Forwarded,
}

impl Mode {
    /// Every mode, in the order of measuring.
    pub const ALL: [Self; 3] = [Self::Native, Self::Home, Self::Forwarded];

    /// Arguments of `mosexec` that choose this mode.
    fn mosexec_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Native => &[],
            Self::Home => &["--home", "--"],
            Self::Forwarded => &["--embedded", "2", "--on", "2", "--"],
        }
    }
}

/// The programs under measurement.
#[derive(Clone, Debug)]
pub struct Product {
    guest: PathBuf,
    mosexec: Option<PathBuf>,
}

impl Product {
    /// Finds the programs; the guest is built first if cargo runs the bench, for cargo builds no
    /// binary but the one it runs.
    pub fn find() -> Result<Self> {
        let bench = env::current_exe().context("finding the bench's own executable")?;
        let beside = bench
            .parent()
            .context("the bench's executable lies in no directory")?;
        if let Some(cargo) = env::var_os("CARGO") {
            build_guest(&cargo, beside)?;
        }
        let guest = beside.join(GUEST);
        ensure!(
            guest.is_file(),
            "{} is missing; `cargo build --release -p homenode-bench` makes it",
            guest.display()
        );
        let products = env::var_os(BIN_DIR).map_or_else(|| beside.to_owned(), PathBuf::from);
        let mosexec = products.join("mosexec");
        Ok(Self {
            guest,
            mosexec: mosexec.is_file().then_some(mosexec),
        })
    }

    /// The measuring guest.
    pub fn guest(&self) -> &Path {
        &self.guest
    }

    /// `mosexec`, if there is one.
    pub fn mosexec(&self) -> Option<&Path> {
        self.mosexec.as_deref()
    }

    /// `command` as it is run in `mode`; nothing if that takes a `mosexec` and there is none.
    pub fn command_line(&self, mode: Mode, command: &[OsString]) -> Option<Vec<OsString>> {
        if mode == Mode::Native {
            return Some(command.to_vec());
        }
        let mut line = vec![self.mosexec.clone()?.into_os_string()];
        line.extend(mode.mosexec_arguments().iter().map(OsString::from));
        line.extend_from_slice(command);
        Some(line)
    }
}

/// Builds the guest into `directory`, a profile's directory such as `target/release`.
fn build_guest(cargo: &OsStr, directory: &Path) -> Result<()> {
    let (Some(profile), Some(target)) = (directory.file_name(), directory.parent()) else {
        return Ok(());
    };
    let profile = if profile == "debug" {
        OsStr::new("dev")
    } else {
        profile
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--bin", GUEST, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .arg("--profile")
        .arg(profile)
        .status()
        .with_context(|| format!("running {}", cargo.display()))?;
    ensure!(status.success(), "building {GUEST} failed: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_those_of_the_manual() {
        let product = Product {
            guest: "/g".into(),
            mosexec: Some("/b/mosexec".into()),
        };
        let line = |mode| {
            product
                .command_line(mode, &["true".into()])
                .map(|words| words.join(OsStr::new(" ")))
        };
        assert_eq!(line(Mode::Native), Some("true".into()));
        assert_eq!(line(Mode::Home), Some("/b/mosexec --home -- true".into()));
        assert_eq!(
            line(Mode::Forwarded),
            Some("/b/mosexec --embedded 2 --on 2 -- true".into())
        );
    }

    #[test]
    fn without_mosexec_only_native_runs() {
        let product = Product {
            guest: "/g".into(),
            mosexec: None,
        };
        let runs = Mode::ALL.map(|mode| product.command_line(mode, &["true".into()]).is_some());
        assert_eq!(runs, [true, false, false]);
    }
}
