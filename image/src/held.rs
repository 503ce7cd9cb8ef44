//! Calls from which on signals are to wait where the signalfd or the timer is that they are for.

/// Which signals call `nr` is about, bit n-1 for signal n: signalfd(2) and timer_create(2) by the bytes
/// that their second argument points at, `None` for a null pointer. Other calls are about none.
pub fn signals_of(nr: i64, pointed_at: Option<&[u8]>) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let bit = |signal: u64| match signal {
        1..=64 => 1 << (signal - 1),
        _ => 0,
    };
    match (nr, pointed_at) {
        (libc::SYS_signalfd | libc::SYS_signalfd4, set) => {
            set.and_then(|bytes| bytes.get(..8)).map_or(0, word)
        }
        (libc::SYS_timer_create, None) => bit(libc::SIGALRM as u64),
        // struct sigevent: a value, the signal, how it is sent.
        (libc::SYS_timer_create, Some(event)) => match (event.get(8..12), event.get(12..16)) {
            (Some(_), Some(how)) if word(how) == libc::SIGEV_NONE as u64 => 0,
            (Some(signal), Some(_)) => bit(word(signal)),
            _ => 0,
        },
        _ => 0,
    }
}

/// How many bytes of it [`signals_of`] looks at.
pub fn bytes_of(nr: i64) -> usize {
    match nr {
        libc::SYS_timer_create => 16,
        libc::SYS_signalfd | libc::SYS_signalfd4 => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_events() {
        let set = 0b101u64.to_le_bytes();
        assert_eq!(signals_of(libc::SYS_signalfd4, Some(&set)), 0b101);
        assert_eq!(signals_of(libc::SYS_signalfd4, Some(&set[..7])), 0);
        assert_eq!(signals_of(libc::SYS_timer_create, None), 1 << 13);
        let event = |signal: i32, how: i32| {
            let mut bytes = [0; 16];
            bytes[8..12].copy_from_slice(&signal.to_le_bytes());
            bytes[12..].copy_from_slice(&how.to_le_bytes());
            signals_of(libc::SYS_timer_create, Some(&bytes))
        };
        assert_eq!(event(10, libc::SIGEV_SIGNAL), 1 << 9);
        assert_eq!(event(10, libc::SIGEV_NONE), 0);
        for wild in [0, 65, -1, i32::MIN] {
            assert_eq!(event(wild, libc::SIGEV_SIGNAL), 0, "{wild}");
        }
        assert_eq!(signals_of(libc::SYS_read, Some(&set)), 0);
    }
}
