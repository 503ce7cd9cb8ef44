//! Signals that wait for a deputy, while its dispositions change: where one is
//! ignored from then on, by default too, the kernel forgets those that wait. A
//! deputy's dispositions are not its process's, so they are taken before and
//! made to wait again.

use std::io;

use crate::ImageError;
use crate::capture::status_field;
use crate::remake::Maker;
use crate::schema::{PendingSignal, SignalAction};

/// Signals of which the kernel forgets those that wait when these dispositions
/// are set, sigaction(2).
pub(crate) fn forgotten(actions: &[SignalAction]) -> u64 {
    const SIG_DFL: u64 = 0;
    const SIG_IGN: u64 = 1;
    let is_forgotten = |a: &&SignalAction| match a.action[0] {
        SIG_DFL => matches!(
            a.signal,
            libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH
        ),
        handler => handler == SIG_IGN,
    };
    let forgotten = actions.iter().filter(is_forgotten);
    forgotten.fold(0, |set, a| set | 1 << (a.signal.clamp(1, 64) - 1))
}

/// Takes the signals of `set` that wait for the thread that serves the slot, or its
/// process.
pub(crate) fn take_all(
    maker: &mut Maker<'_>,
    set: u64,
    into: &mut Vec<PendingSignal>,
) -> Result<(), ImageError> {
    const INFO_AT: usize = 64;
    if set == 0 {
        return Ok(());
    }
    loop {
        let own = own_pending(maker.tid);
        let at = maker.data_address();
        let data = maker.slot.data();
        // No time to wait.
        data[..8].copy_from_slice(&set.to_ne_bytes());
        data[8..24].fill(0);
        data[INFO_AT..INFO_AT + 128].fill(0);
        let args = [at, at + INFO_AT as u64, at + 8, 8];
        maker.add(libc::SYS_rt_sigtimedwait, &args, "take a waiting signal");
        match maker.run() {
            Ok(()) => {}
            Err(ImageError::Step { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let mut info = [0; 128];
        info.copy_from_slice(&maker.slot.data()[INFO_AT..INFO_AT + 128]);
        let mut signal = PendingSignal { tid: 0, info };
        // The thread's own come first.
        if own & 1 << (signal.number().clamp(1, 64) - 1) != 0 {
            signal.tid = maker.tid;
        }
        into.push(signal);
    }
}

/// Makes a signal wait for the thread that serves the slot, or its process. It
/// must be sent by the thread itself: only then may it say who sent it.
pub(crate) fn queue(
    maker: &mut Maker<'_>,
    pid: i32,
    signal: &PendingSignal,
) -> Result<(), ImageError> {
    let number = i32::from_ne_bytes([
        signal.info[0],
        signal.info[1],
        signal.info[2],
        signal.info[3],
    ]) as u64;
    let at = maker.data_address();
    maker.slot.data()[..128].copy_from_slice(&signal.info);
    let pid = pid as u64;
    match signal.tid {
        0 => {
            let args = [pid, number, at];
            maker.add(libc::SYS_rt_sigqueueinfo, &args, "keep a waiting signal");
        }
        tid => {
            let args = [pid, tid as u64, number, at];
            maker.add(libc::SYS_rt_tgsigqueueinfo, &args, "keep a waiting signal");
        }
    }
    match maker.run() {
        // A full queue of signals loses one natively, too.
        Err(ImageError::Step { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
            Ok(())
        }
        other => other,
    }
}

/// Signals that wait for thread `tid` alone.
fn own_pending(tid: i32) -> u64 {
    let status = sys::proc_text::read(format!("/proc/{tid}/status")).unwrap_or_default();
    let field = status_field(&status, "SigPnd:");
    field.map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0))
}
