//! How a process gets from one node to another in the simulation: offer, answer, image, lease.
//!
//! The source offers; the target answers; home gives an epoch; the source lets the process stand
//! still and sends the image; the target claims the lease and runs it. Any of these may be late or
//! lost, images excepted, and any node may fail in between.

use std::time::Duration;

use crate::admission::{Offer, admit};
use crate::candidates::fits;
use crate::lease::{Lease, Verdict};
use crate::load::{Load, NodeId};
use crate::sim::policy::Policy;
use crate::sim::world::{Event, Expected, Fate, InFlight, Nanos, SECOND, World};

/// An answer is waited for so long.
const ANSWER_WITHIN: Nanos = SECOND / 5;
/// What is unanswered is said again so often.
const AGAIN: Nanos = SECOND / 5;
/// After the image should have arrived, home waits so long for the claim.
const CLAIM_WITHIN: Nanos = SECOND;
/// A target waits so long for a guest it has said yes to.
const EXPECT: Nanos = 5 * SECOND;
/// A program that is refused so often starts at home.
pub(crate) const REFUSALS_MAX: u8 = 10;

/// What nodes say to each other about one process, and to themselves when time is up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message {
    /// To the target.
    Offer(Move, Offer),
    /// To the source: yes, or no and how the target is.
    Answer(Move, Option<Load>),
    /// The source has heard nothing.
    AnswerOver(Move),
    /// To home: may it move?
    MayMove(Move),
    /// To the source: it may, under this epoch.
    Go(Move, u32),
    /// To the target: the image.
    Image(u32, u32),
    /// The target claims the lease if it has no answer yet.
    ClaimAgain(u32, u32),
    /// To home: process, epoch, by whom.
    Claim(u32, u32, u32),
    /// To the target: process, epoch.
    Claimed(u32, u32, Verdict),
    /// Home takes the offer back if it is still open.
    TakeBack(u32, u32),
    /// The source asks if it does not know yet how the move went.
    AskAgain(u32, u32),
    /// To home: process, epoch, by whom.
    Ask(u32, u32, u32),
    /// To the source: process, epoch.
    Asked(u32, u32, Verdict),
}

/// A move from a node to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) process: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Which offer of this process it is.
    pub(crate) offer: u32,
    /// It starts there.
    pub(crate) start: bool,
    /// Refusals before this offer.
    pub(crate) refusals: u8,
    /// How long it takes to get there.
    pub(crate) takes: Nanos,
}

impl World {
    /// Sends a message: a node that speaks to itself is heard at once.
    fn say(&mut self, from: u32, to: u32, message: Message) {
        if from == to {
            self.push(self.now, Event::Message(to, message));
        } else if !self.random.chance(self.scenario.loss) {
            let delay = self
                .random
                .exponential(self.scenario.delay.as_nanos() as f64);
            self.push(self.now + delay as Nanos, Event::Message(to, message));
        }
    }

    fn later(&mut self, node: u32, after: Nanos, message: Message) {
        self.push(self.now + after, Event::Message(node, message));
    }

    /// Offers a process to a node.
    pub(crate) fn offer(&mut self, mut movement: Move, offer: Offer) {
        let process = &mut self.processes[movement.process as usize];
        process.offer += 1;
        movement.offer = process.offer;
        let (from, to) = (movement.from, movement.to);
        self.nodes[from as usize].in_flight.push(InFlight {
            process: movement.process,
            to: NodeId(u64::from(to)),
            until: self.now + movement.takes + EXPECT,
        });
        self.outcome.offers += 1;
        self.say(from, to, Message::Offer(movement, offer));
        self.later(from, ANSWER_WITHIN, Message::AnswerOver(movement));
    }

    fn landed(&mut self, node: u32, process: u32) {
        let n = &mut self.nodes[node as usize];
        n.in_flight.retain(|f| f.process != process);
    }

    pub(crate) fn receive(&mut self, node: u32, message: Message) {
        match message {
            Message::Offer(movement, offer) => self.offered(node, movement, &offer),
            Message::Answer(movement, None) => self.accepted(node, movement),
            Message::Answer(movement, Some(load)) => self.refused(node, movement, Some(load)),
            Message::AnswerOver(movement) => self.refused(node, movement, None),
            Message::MayMove(movement) => self.may_move(node, movement),
            Message::Go(movement, epoch) => self.go(node, movement, epoch),
            Message::Image(process, epoch) => {
                self.nodes[node as usize].arrived.push((process, epoch));
                self.claim_again(node, process, epoch);
            }
            Message::ClaimAgain(process, epoch) => self.claim_again(node, process, epoch),
            Message::Claim(process, epoch, by) => {
                let verdict =
                    self.as_home(process, |lease| lease.claim(NodeId(u64::from(by)), epoch));
                if verdict == Verdict::Run && !self.nodes[by as usize].alive {
                    // It failed after it had claimed; home knows that by membership, and the
                    // source may have let go already.
                    self.end(process, Fate::Lost);
                }
                self.say(node, by, Message::Claimed(process, epoch, verdict));
            }
            Message::Claimed(process, epoch, verdict) => {
                self.claimed(node, process, epoch, verdict);
            }
            Message::TakeBack(process, epoch) => self.take_back(process, epoch),
            Message::AskAgain(process, epoch) => self.ask_again(node, process, epoch),
            Message::Ask(process, epoch, by) => {
                let verdict =
                    self.as_home(process, |lease| lease.ask(NodeId(u64::from(by)), epoch));
                self.say(node, by, Message::Asked(process, epoch, verdict));
            }
            Message::Asked(process, epoch, verdict) => self.asked(node, process, epoch, verdict),
        }
    }

    /// What home says of a process that is there; the others are forgotten.
    fn as_home(&mut self, process: u32, say: impl FnOnce(&mut Lease) -> Verdict) -> Verdict {
        let p = &mut self.processes[process as usize];
        match p.fate {
            Fate::There => say(&mut p.lease),
            _ => Verdict::Forget,
        }
    }

    /// At the target.
    fn offered(&mut self, node: u32, movement: Move, offer: &Offer) {
        let here = self.load_now(node);
        let takes = match self.policy {
            Policy::Ours => admit(&here, offer, &self.settings).is_ok(),
            Policy::Mosix => fits(&here, offer.need.memory, &self.settings) || offer.home,
            Policy::Stay | Policy::RoundRobin | Policy::Omniscient => true,
        };
        if takes {
            self.nodes[node as usize].expected.push(Expected {
                process: movement.process,
                memory: offer.need.memory,
                until: self.now + movement.takes + EXPECT,
            });
            if let Some(omniscient) = &mut self.omniscient {
                omniscient.update(node, &self.nodes[node as usize]);
            }
        }
        let answer = Message::Answer(movement, (!takes).then_some(here));
        self.say(node, movement.from, answer);
    }

    /// True once for each offer: later answers to it are void.
    fn is_answer(&mut self, movement: &Move) -> bool {
        let p = &mut self.processes[movement.process as usize];
        let answers = p.offer == movement.offer && p.fate == Fate::There;
        p.offer += u32::from(answers);
        answers
    }

    /// At the source.
    fn accepted(&mut self, node: u32, movement: Move) {
        if self.is_answer(&movement) {
            let home = self.processes[movement.process as usize].job.home;
            self.say(node, home, Message::MayMove(movement));
        }
    }

    /// At the source: no, or no answer.
    fn refused(&mut self, node: u32, movement: Move, load: Option<Load>) {
        if !self.is_answer(&movement) {
            return;
        }
        let process = movement.process;
        self.outcome.refused += 1;
        self.landed(node, process);
        if let Some(load) = load {
            let now = self.time();
            self.boards[node as usize].learn(load, Duration::ZERO, now);
        }
        if !movement.start {
            return;
        }
        self.nodes[node as usize]
            .still
            .retain(|(p, _)| *p != process);
        if movement.refusals + 1 < REFUSALS_MAX {
            self.place(process, movement.refusals + 1);
        } else {
            self.begin(node, process);
        }
    }

    /// At home.
    fn may_move(&mut self, node: u32, movement: Move) {
        let from = NodeId(u64::from(movement.from));
        let to = NodeId(u64::from(movement.to));
        let p = &mut self.processes[movement.process as usize];
        if p.fate != Fate::There {
            return;
        }
        if let Some(epoch) = p.lease.offer(from, to) {
            let within = movement.takes + CLAIM_WITHIN;
            self.later(node, within, Message::TakeBack(movement.process, epoch));
            self.say(node, movement.from, Message::Go(movement, epoch));
        }
    }

    /// At the source: the process stands still, its image is sent.
    fn go(&mut self, node: u32, movement: Move, epoch: u32) {
        let process = movement.process;
        if movement.start {
            let n = &mut self.nodes[node as usize];
            n.still.retain(|(p, _)| *p != process);
        } else if !self.halt(node, process) {
            return;
        }
        self.nodes[node as usize].still.push((process, epoch));
        self.later(movement.to, movement.takes, Message::Image(process, epoch));
        self.later(
            node,
            movement.takes + AGAIN / 10,
            Message::AskAgain(process, epoch),
        );
    }

    /// At the target.
    fn claim_again(&mut self, node: u32, process: u32, epoch: u32) {
        if self.nodes[node as usize]
            .arrived
            .contains(&(process, epoch))
        {
            let home = self.processes[process as usize].job.home;
            self.say(node, home, Message::Claim(process, epoch, node));
            self.later(node, AGAIN, Message::ClaimAgain(process, epoch));
        }
    }

    /// At the target: what home says.
    fn claimed(&mut self, node: u32, process: u32, epoch: u32, verdict: Verdict) {
        let n = &mut self.nodes[node as usize];
        let Some(at) = n.arrived.iter().position(|a| *a == (process, epoch)) else {
            return;
        };
        n.arrived.swap_remove(at);
        n.expected.retain(|e| e.process != process);
        if verdict == Verdict::Run {
            let home = self.processes[process as usize].job.home;
            self.processes[process as usize].moves += u32::from(epoch > 1 || node == home);
            self.outcome.moved += 1;
            self.outcome.last_move = self.now as f64 / SECOND as f64;
            self.begin(node, process);
        }
    }

    /// At home.
    fn take_back(&mut self, process: u32, epoch: u32) {
        let p = &mut self.processes[process as usize];
        if p.fate != Fate::There || !p.lease.take_back(epoch) {
            return;
        }
        self.outcome.taken_back += 1;
        let holder = &self.nodes[p.lease.holder().0 as usize];
        let held =
            holder.running.contains(&process) || holder.still.iter().any(|(p, _)| *p == process);
        if !held {
            // The holder has failed; home knows that by membership.
            self.end(process, Fate::Lost);
        }
    }

    /// At the source.
    fn ask_again(&mut self, node: u32, process: u32, epoch: u32) {
        if self.nodes[node as usize].still.contains(&(process, epoch)) {
            let home = self.processes[process as usize].job.home;
            self.say(node, home, Message::Ask(process, epoch, node));
            self.later(node, AGAIN, Message::AskAgain(process, epoch));
        }
    }

    /// At the source: how the move went.
    fn asked(&mut self, node: u32, process: u32, epoch: u32, verdict: Verdict) {
        let n = &mut self.nodes[node as usize];
        let Some(at) = n.still.iter().position(|s| *s == (process, epoch)) else {
            return;
        };
        if verdict == Verdict::Wait {
            return;
        }
        n.still.swap_remove(at);
        self.landed(node, process);
        if verdict == Verdict::Run {
            self.begin(node, process);
        } else {
            self.settle(node);
        }
    }
}
