//! Who may run a process: a numbered permission, granted by its home, with one holder at any time.
//!
//! The home node keeps one [`Lease`] for each of its processes. A move is offered under a new epoch;
//! the target claims it before it runs the process; home grants each epoch to that target alone and
//! only until it takes the offer back. Messages may be late, lost or doubled: a claim of an older
//! epoch is refused, and a holder that stands still for a move asks home how it went. Answers name
//! the epoch that was asked for, and who asked heeds only the first answer to that epoch: a second
//! one might come when the next move has begun.

use crate::load::NodeId;

/// The permission to run one process, as its home keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    epoch: u32,
    holder: NodeId,
    offered: Option<NodeId>,
    /// The last epoch that was claimed.
    claimed: u32,
}

/// What home says to a node that claims, or stands still and asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the holder: it runs the process.
    Run,
    /// A move away from it is under way: it stands still and asks again.
    Wait,
    /// Another runs the process, or may: it forgets it.
    Forget,
}

impl Lease {
    /// The lease of a process that begins at home.
    pub fn new(home: NodeId) -> Lease {
        Lease {
            epoch: 0,
            holder: home,
            offered: None,
            claimed: 0,
        }
    }

    /// Who runs the process, or stands still for a move.
    pub fn holder(&self) -> NodeId {
        self.holder
    }

    /// Whether an offer is open.
    pub fn is_offered(&self) -> bool {
        self.offered.is_some()
    }

    /// Offers the process to a node; the epoch under which it can be claimed. `None` if it is
    /// offered already, or `from` does not hold it.
    pub fn offer(&mut self, from: NodeId, to: NodeId) -> Option<u32> {
        if self.offered.is_some() || self.holder != from {
            return None;
        }
        self.epoch = self.epoch.checked_add(1)?;
        self.offered = Some(to);
        Some(self.epoch)
    }

    /// A node has the image and wants to run it. Claiming again gives the same answer.
    pub fn claim(&mut self, by: NodeId, epoch: u32) -> Verdict {
        if epoch != self.epoch {
            return Verdict::Forget;
        }
        match self.offered {
            Some(to) if to == by => {
                self.holder = by;
                self.offered = None;
                self.claimed = epoch;
                Verdict::Run
            }
            None if self.holder == by => Verdict::Run,
            _ => Verdict::Forget,
        }
    }

    /// Takes the offer of this epoch back, since the target does not claim it: true if it was still
    /// open. The holder is the one who held it before; later claims are refused.
    pub fn take_back(&mut self, epoch: u32) -> bool {
        let open = self.offered.is_some() && epoch == self.epoch;
        if open {
            self.offered = None;
            self.epoch = self.epoch.saturating_add(1);
        }
        open
    }

    /// A node where the process stands still for the move of this epoch asks how it went. If the
    /// process has left it then and come again since, what stands still there is not what runs.
    pub fn ask(&self, by: NodeId, epoch: u32) -> Verdict {
        if self.holder != by || self.claimed >= epoch {
            Verdict::Forget
        } else if self.offered.is_some() {
            Verdict::Wait
        } else {
            Verdict::Run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: NodeId = NodeId(0);

    #[test]
    fn a_move_passes_the_lease_once() {
        let mut lease = Lease::new(HOME);
        let epoch = lease.offer(HOME, NodeId(1)).expect("free");
        assert_eq!(lease.offer(HOME, NodeId(2)), None);
        assert_eq!(lease.ask(HOME, epoch), Verdict::Wait);
        assert_eq!(lease.claim(NodeId(2), epoch), Verdict::Forget);
        assert_eq!(lease.claim(NodeId(1), epoch), Verdict::Run);
        assert_eq!(lease.claim(NodeId(1), epoch), Verdict::Run, "said again");
        assert!(!lease.take_back(epoch));
        assert_eq!(lease.ask(HOME, epoch), Verdict::Forget);
        assert_eq!(lease.holder(), NodeId(1));
    }

    #[test]
    fn what_was_taken_back_cannot_be_claimed() {
        let mut lease = Lease::new(HOME);
        let epoch = lease.offer(HOME, NodeId(1)).expect("free");
        assert!(lease.take_back(epoch));
        assert_eq!(lease.claim(NodeId(1), epoch), Verdict::Forget);
        assert_eq!(lease.claim(NodeId(1), epoch + 1), Verdict::Forget);
        assert_eq!(lease.ask(HOME, epoch), Verdict::Run);
    }

    #[test]
    fn what_stands_still_does_not_run_when_the_process_has_come_back() {
        let mut lease = Lease::new(HOME);
        let away = lease.offer(HOME, NodeId(1)).expect("free");
        assert_eq!(lease.claim(NodeId(1), away), Verdict::Run);
        let back = lease.offer(NodeId(1), HOME).expect("free");
        assert_eq!(lease.claim(HOME, back), Verdict::Run);
        assert_eq!(lease.ask(HOME, away), Verdict::Forget);
        assert_eq!(lease.ask(NodeId(1), back), Verdict::Forget);
    }
}
