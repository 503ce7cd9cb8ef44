//! Calls for many messages, sendmmsg(2) and recvmmsg(2), of which some are over.

use crate::vectors::{Read, Vectors};

/// Most messages of one call (UIO_MAXIOV).
const MESSAGES_MAX: u64 = 1024;
/// Bytes of a `struct mmsghdr`, and where in it stands how much was sent.
pub(crate) const MESSAGE_BYTES: u64 = 64;
const SENT: u64 = 56;

/// Whether the call is one of them.
pub(crate) fn are_many(nr: u32) -> bool {
    [libc::SYS_sendmmsg, libc::SYS_recvmmsg].contains(&i64::from(nr))
}

/// How many messages such a call wants that goes on after `done` of them, of which the kernel has come
/// back for no reason that the program knows. One that was sent in part ends it, as a time limit does and
/// a flag by which it does not wait.
pub(crate) fn wanted(nr: u32, args: &[u64; 6], done: u64, read: Read) -> Option<u64> {
    let flags = args[3] as i32;
    let all = (args[2] & 0xffff_ffff).min(MESSAGES_MAX);
    let goes_on = match i64::from(nr) {
        _ if done >= all => false,
        libc::SYS_sendmmsg => was_sent_whole(args[1], done, read),
        libc::SYS_recvmmsg => {
            args[4] == 0 && flags & (libc::MSG_WAITFORONE | libc::MSG_DONTWAIT) == 0
        }
        _ => false,
    };
    goes_on.then_some(all)
}

fn was_sent_whole(array: u64, done: u64, read: Read) -> bool {
    let at = array.wrapping_add(done.wrapping_sub(1).wrapping_mul(MESSAGE_BYTES));
    let mut sent = [0; 4];
    // Its header is that of a sendmsg.
    let message = Vectors::of(libc::SYS_sendmsg as u32, &[0, at, 0, 0, 0, 0], read);
    read(at.wrapping_add(SENT), &mut sent)
        && message.is_some_and(|message| message.bytes() == u64::from(u32::from_ne_bytes(sent)))
}

/// The rest of such a call after `done` messages.
pub fn skip(args: &mut [u64; 6], done: u64) {
    args[1] = args[1].wrapping_add(done * MESSAGE_BYTES);
    args[2] = (args[2] & 0xffff_ffff)
        .min(MESSAGES_MAX)
        .saturating_sub(done);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: u64 = 0x1000;
    const PIECE: u64 = 0x9000;

    /// Messages of one piece of 100 bytes, of which so many are sent.
    fn sent(bytes: u32) -> impl Fn(u64, &mut [u8]) -> bool {
        move |at, into| {
            let mut memory = vec![0; 0x9010];
            for message in 0..3 {
                let at = (ARRAY + message * MESSAGE_BYTES) as usize;
                memory[at + 16..at + 24].copy_from_slice(&PIECE.to_ne_bytes());
                memory[at + 24..at + 32].copy_from_slice(&1u64.to_ne_bytes());
                memory[at + 56..at + 60].copy_from_slice(&bytes.to_ne_bytes());
            }
            memory[PIECE as usize + 8..][..8].copy_from_slice(&100u64.to_ne_bytes());
            let range = at as usize..at as usize + into.len();
            memory
                .get(range)
                .map(|bytes| into.copy_from_slice(bytes))
                .is_some()
        }
    }

    #[test]
    fn goes_on_behind_a_message_that_is_sent_whole() {
        let nr = libc::SYS_sendmmsg as u32;
        let mut args = [3, ARRAY, 3, 0, 0, 0];
        assert_eq!(wanted(nr, &args, 2, &sent(100)), Some(3));
        assert_eq!(wanted(nr, &args, 2, &sent(99)), None);
        assert_eq!(
            wanted(nr, &[3, 0x8000_0000, 3, 0, 0, 0], 2, &sent(100)),
            None
        );
        skip(&mut args, 2);
        assert_eq!(args[1..3], [ARRAY + 128, 1]);
    }

    #[test]
    fn waits_for_messages_that_are_wanted() {
        let wanted = |flags: i32, limit| {
            let args = [3, ARRAY, 5000, flags as u64, limit, 0];
            wanted(libc::SYS_recvmmsg as u32, &args, 1, &sent(0))
        };
        assert_eq!(wanted(0, 0), Some(1024));
        assert_eq!(wanted(0, 0x2000), None);
        assert_eq!(wanted(libc::MSG_WAITFORONE, 0), None);
        assert_eq!(wanted(libc::MSG_DONTWAIT, 0), None);
    }
}
