//! Moves that give a version more than it has: each is written down before it is made.
//!
//! Such a move is rehearsed on a copy of the agent, what would be remembered afterwards is handed out with a ticket, and the move
//! is made when that is written and it is still due. What the core is in the meantime is as if nobody had decided: an order, a
//! verdict or another file simply makes another move due. Moves towards safety never wait, and with them what waited is dropped:
//! the next plain [`Command::Remember`] says what is.

use std::collections::VecDeque;

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{ASK_AGAIN, ASK_PATIENCE};
use crate::{Attention, Command, Happened, Memory, Moment, Ticket};

/// More moves than follow from one another at once: all traffic, then the end of a bake that lasts no time.
const MAX_AT_ONCE: usize = 4;

/// A move that waits to be written.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// The move, and those that follow from it at once.
    moves: VecDeque<Move>,
    write: Write,
    /// Why it could not be written, and since when.
    trouble: Option<(String, Moment)>,
}

#[derive(Debug, Clone)]
enum Write {
    /// To be asked for.
    Due,
    /// Asked for, and asked again where nothing comes until then.
    Asked {
        ticket: Ticket,
        until: Moment,
        /// What was remembered then: where that changes, what is being written is not what would be.
        before: Box<Memory>,
    },
    /// It could not be written: it is asked for again then.
    Refused { again_at: Moment },
    /// It is written: the moves are made, as far as they are still due.
    Done,
}

impl Due {
    /// What was remembered when it was asked for; none where it is not being written.
    pub(crate) fn before(&self) -> Option<&Memory> {
        match &self.write {
            Write::Asked { before, .. } => Some(before),
            _ => None,
        }
    }

    pub(crate) fn wakeup(&self) -> Option<Moment> {
        match &self.write {
            Write::Asked { until, .. } => Some(*until),
            Write::Refused { again_at } => Some(*again_at),
            Write::Due | Write::Done => None,
        }
    }

    pub(crate) fn trouble(&self, agent: &str) -> Option<Attention> {
        let (problem, since) = self.trouble.as_ref()?;
        Some(Attention {
            kind: "not-recorded",
            since: *since,
            text: format!("what comes next waits, because it cannot be recorded: {problem}"),
            command: format!("caxton status {agent}"),
        })
    }
}

impl Agent {
    /// Whether the move has to wait. One that was not waited for before is decided now.
    pub(crate) fn must_wait(&mut self, cx: &mut Cx<'_>, next: &Move) -> bool {
        let widens = |reload: &crate::reload::Reload| reload.widens(next);
        if !self.reload.as_ref().is_some_and(widens) {
            return false;
        }
        let known = self
            .due
            .as_mut()
            .filter(|due| due.moves.front() == Some(next));
        match known {
            Some(due) if matches!(due.write, Write::Done) => {
                due.moves.pop_front();
                false
            }
            Some(_) => true,
            None => {
                cx.deeds.extend(self.deed(next));
                let trouble = self.due.take().and_then(|due| due.trouble);
                self.due = Some(Due {
                    moves: VecDeque::from([next.clone()]),
                    write: Write::Due,
                    trouble,
                });
                true
            }
        }
    }

    /// Whether it is this move that waits.
    pub(crate) fn waits_with(&self, next: &Move) -> bool {
        let due = self.due.as_ref();
        due.is_some_and(|due| due.moves.front() == Some(next))
    }

    /// Takes the answer in.
    pub(crate) fn written(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: Result<(), String>) {
        let id = self.reload.as_ref().map(|reload| reload.id);
        let Some(due) = self.due.as_mut() else { return };
        if !matches!(&due.write, Write::Asked { ticket: waits, .. } if *waits == ticket) {
            return;
        }
        let Err(problem) = result else {
            due.write = Write::Done;
            return;
        };
        due.write = Write::Refused {
            again_at: cx.now.after(ASK_AGAIN),
        };
        match &mut due.trouble {
            Some((text, _)) => *text = problem,
            None => {
                due.trouble = Some((problem.clone(), cx.now));
                cx.tell(id, Happened::NotRecorded { reason: problem });
            }
        }
    }

    /// Asks for the move that waits to be written, where it is time to.
    pub(crate) fn ask_to_write(&mut self, cx: &mut Cx<'_>, changed: bool) -> Option<Command> {
        let due = self.due.as_ref()?;
        let ask = match &due.write {
            Write::Due => true,
            Write::Asked { until, .. } => changed || *until <= cx.now,
            Write::Refused { again_at } => *again_at <= cx.now,
            Write::Done => false,
        };
        let first = due.moves.front().filter(|_| ask)?.clone();
        let (moves, memory) = self.rehearse(cx, first);
        let ticket = cx.ticket();
        // Nothing was handed out since that says anything else than this does.
        let before = Box::new(self.memory());
        self.told = memory.clone();
        if let Some(due) = self.due.as_mut() {
            due.moves = moves;
            due.write = Write::Asked {
                ticket,
                until: cx.now.after(ASK_PATIENCE),
                before,
            };
        }
        Some(Command::Remember {
            memory: Box::new(memory),
            ticket: Some(ticket),
        })
    }

    /// What would be remembered once the move is made, with those that follow at once; nothing comes of it.
    fn rehearse(&self, cx: &mut Cx<'_>, first: Move) -> (VecDeque<Move>, Memory) {
        let mut copy = self.clone();
        copy.due = None;
        let (mut out, mut mint) = (Vec::new(), cx.mint.clone());
        let mut trial = Cx {
            now: cx.now,
            agent: cx.agent.clone(),
            out: &mut out,
            mint: &mut mint,
            start: 0,
            deeds: Vec::new(),
        };
        let mut moves = VecDeque::new();
        let mut next = Some(first);
        while let Some(due) = next.take() {
            copy.enter(&mut trial, due.clone());
            moves.push_back(due);
            let follows = copy.decide(trial.now).filter(|_| moves.len() < MAX_AT_ONCE);
            let widens = |due: &Move| copy.reload.as_ref().is_some_and(|it| it.widens(due));
            next = follows.filter(widens);
        }
        copy.note_usage();
        (moves, copy.memory())
    }
}
