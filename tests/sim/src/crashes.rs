//! The journal and the power switch of a long life: what is written when, disks that are full for a while, and hosts that are
//! killed between any two events and before and after each write.

use std::time::Duration;

use caxton_rollout::{Event, HotReloadStatus, Moment, Ticket};

use crate::books::Broken;
use crate::simulation::{Later, Simulation};

/// How long a disk is full at most, in milliseconds.
const FULL: u64 = 10 * 60_000;

impl Simulation {
    /// What the journal says to whoever waits.
    pub(crate) fn answer_write(
        &mut self,
        agent: caxton_rollout::AgentName,
        ticket: Ticket,
        bad: bool,
    ) -> Result<Event, Broken> {
        let full = bad || self.is_full();
        let refused = full && self.world.journal.refuse(ticket);
        if !refused {
            self.world.journal.write_up_to(ticket)?;
        }
        let result = if refused {
            Err("no space left on device".to_owned())
        } else {
            Ok(())
        };
        Ok(Event::Written {
            agent,
            ticket,
            result,
        })
    }

    fn is_full(&self) -> bool {
        self.world.now < self.full_until
    }

    /// After an event: some of what was handed out is written, or the host is killed.
    pub(crate) fn keep_journal(&mut self) -> Result<(), Broken> {
        let waiting = self.world.journal.waiting();
        if self.faults && self.rng.below(20_000) == 0 {
            let wait = Duration::from_millis(self.rng.below(FULL));
            self.full_until = self.world.now.after(wait);
            *self.world.reached.entry("a full disk").or_default() += 1;
        }
        let killed = if waiting > 0 { 120 } else { 6 };
        if self.faults && self.rng.below(10_000) < killed {
            return self.kill();
        }
        if waiting > 0 && !self.is_full() && self.rng.percent(50) {
            let some = 1 + self.rng.below(waiting as u64);
            self.world.journal.write_some(some as usize)?;
        }
        Ok(())
    }

    /// The host is killed, with as much on the disk as had come there, and started a while later.
    fn kill(&mut self) -> Result<(), Broken> {
        let waiting = self.world.journal.waiting() as u64;
        if !self.is_full() {
            let written = self.rng.below(waiting + 1);
            self.world.journal.write_some(written as usize)?;
        }
        for memory in self.world.journal.disk.values() {
            if let Some(reload) = &memory.reload {
                let status = reload.status;
                *self.world.killed.entry(status).or_default() += 1;
                if reload.returning.is_some() && status != HotReloadStatus::RollingBack {
                    *self
                        .world
                        .reached
                        .entry("killed on a way back")
                        .or_default() += 1;
                }
            }
        }
        self.queue
            .retain(|_, later| matches!(later, Later::Touch(_) | Later::Tick(_) | Later::Speak(_)));
        self.scheduled.clear();
        self.world.now = Moment(self.world.now.0 + self.rng.below(30_000));
        self.world.restart()?;
        for at in 0..self.agents.len() {
            let wait = self.rng.below(5_000);
            self.later(wait, Later::Speak(at));
        }
        Ok(())
    }

    /// The directory says what is there: the same as before the host was killed.
    pub(crate) fn speak(&mut self, agent: usize) -> Result<(), Broken> {
        let Some(name) = self.agents.get(agent).cloned() else {
            return Ok(());
        };
        match self.files.get(&name).cloned() {
            Some(event) => self.world.tell(event),
            None => self.world.tell(Event::Removed { agent: name }),
        }
    }
}
