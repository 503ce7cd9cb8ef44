//! The most memory that a process has had at any time.

use crate::capture::status_field;

/// Of process `pid`, in bytes; `None`: it has no memory any more, or is gone.
pub fn of(pid: i32) -> Option<u64> {
    let status = sys::proc_text::read(format!("/proc/{pid}/status")).ok()?;
    in_status(&status)
}

/// In the text of proc_pid_status(5).
fn in_status(status: &str) -> Option<u64> {
    let text = status_field(status, "VmHWM:")?;
    let kibibytes: u64 = text.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read() {
        let status = "Name:\ta\nVmHWM:\t    1000 kB\nVmRSS:\t  10 kB\n";
        assert_eq!(in_status(status), Some(1_024_000));
        for odd in [
            "",
            "VmHWM:",
            "VmHWM:\tmuch kB",
            "VmHWM:\t18446744073709551615 kB",
        ] {
            assert_eq!(in_status(odd), None, "{odd}");
        }
        assert!(of(std::process::id() as i32).is_some_and(|bytes| bytes > 100_000));
    }
}
