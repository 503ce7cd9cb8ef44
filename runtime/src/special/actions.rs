//! rt_sigaction(2): the handler is the body's; home must know what is ignored,
//! and how children are to be waited for.

use std::sync::Arc;

use abi::memory::GuestMemory;
use image::deputy::CHILD_FLAGS;

use crate::forward::{Verdict, Worker};
use crate::guest::{Disposition, Thread};
use crate::home_rows::SET_ACTION;
use crate::host::lock;
use crate::memory::Literal;

/// Where the structure for home seems to lie.
const LITERAL: u64 = 0x1000;

pub(super) fn set(worker: &mut Worker, thread: &Arc<Thread>, args: &[u64; 6]) -> Verdict {
    let [signal, new, _, set_bytes, ..] = *args;
    let mut action = [0u8; 32];
    let settable = (1..=64).contains(&signal)
        && ![libc::SIGKILL as u64, libc::SIGSTOP as u64].contains(&signal);
    // Else the kernel here refuses it, and home must not hear of it.
    if new == 0 || !settable || set_bytes != 8 || thread.memory().read(new, &mut action).is_err() {
        return Verdict::Native;
    }
    let word = |at: usize| {
        action[at..at + 8]
            .iter()
            .rev()
            .fold(0u64, |n, b| n << 8 | u64::from(*b))
    };
    let (handler, flags) = (word(0), word(8));
    let now = match handler as usize {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    };
    let child_flags = if signal == libc::SIGCHLD as u64 {
        flags & CHILD_FLAGS
    } else {
        0
    };
    let mut all = lock(&thread.process.dispositions);
    let before = std::mem::replace(&mut all.of[signal as usize], now);
    let ignored = now == Disposition::Ignored;
    let mut differs = (before == Disposition::Ignored) != ignored;
    if signal == libc::SIGCHLD as u64 {
        differs |= std::mem::replace(&mut all.child_flags, child_flags) != child_flags;
    }
    drop(all);
    // Those that wait are forgotten where they wait.
    differs |= thread.process.holds(signal as i32) && now != Disposition::Handled;
    if differs {
        let mut mirrored = [0u8; 32];
        let handler = if ignored {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        mirrored[..8].copy_from_slice(&(handler as u64).to_le_bytes());
        mirrored[8..16].copy_from_slice(&child_flags.to_le_bytes());
        let memory = Literal {
            at: LITERAL,
            bytes: &mirrored,
        };
        if let Verdict::Gone =
            worker.own(thread, &SET_ACTION, &[signal, LITERAL, 0, 8, 0, 0], &memory)
        {
            return Verdict::Gone;
        }
    }
    // Memory that another thread changes meanwhile concerns only this guest.
    Verdict::Native
}
