//! What the command inherits from who started `mosexec`, and nothing else.

mod job;

use std::process::Command;

use job::{ELSEWHERE, mosexec, run, stderr};

/// `mosexec` with these options, started by `python3` after `prepare`.
fn prepared(prepare: &str, options: &[&str], command: &[&str]) -> Command {
    let mosexec = mosexec(options);
    let script = format!("import os, signal, sys; {prepare}; os.execv(sys.argv[1], sys.argv[1:])");
    let mut python = Command::new("python3");
    python.env_remove("HOMENODE_LOG");
    python.args(["-c", &script]).arg(mosexec.get_program());
    python.args(mosexec.get_args()).arg("--").args(command);
    python
}

const WAYS: [&[&str]; 2] = [&["--home"], ELSEWHERE];

/// The processes that mosexec starts leave no trace in the command.
#[test]
fn no_signal_of_ours_is_pending() {
    let prepare = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])";
    let look = "import signal; print(sorted(signal.sigpending()))";
    for way in WAYS {
        let output = run(&mut prepared(prepare, way, &["python3", "-c", look]));
        assert_eq!(
            (
                String::from_utf8_lossy(&output.stdout).trim(),
                &*stderr(&output)
            ),
            ("[]", "")
        );
    }
}

/// A parent that ignores SIGCHLD has no children to wait for.
#[test]
fn ignored_ends_of_children() {
    let prepare = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)";
    let look = "import os, signal; print(signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN); \
                os.fork() or os._exit(0)\ntry: os.wait()\nexcept ChildProcessError: print('none')";
    for way in WAYS {
        let output = run(&mut prepared(prepare, way, &["python3", "-c", look]));
        assert_eq!(
            (&*String::from_utf8_lossy(&output.stdout), &*stderr(&output)),
            ("True\nnone\n", "")
        );
    }
}
