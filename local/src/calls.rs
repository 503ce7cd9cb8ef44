//! Calls of a process at home that would be forwarded if it were elsewhere, as far as the kernel counts
//! them: reads and writes, proc_pid_io(5).

/// Of process `pid` so far; 0 of one that is not for us to see.
pub fn at_home(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    counted(&text)
}

fn counted(io: &str) -> u64 {
    let count = |name: &str| -> u64 {
        let line = io.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    };
    count("syscr:").saturating_add(count("syscw:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted() {
        let io = "rchar: 10\nwchar: 20\nsyscr: 3\nsyscw: 4\nread_bytes: 0\n";
        assert_eq!(counted(io), 7);
        assert_eq!(counted("syscr: x"), 0);
    }
}
