//! Where tickets, identifiers and policies' seeds come from: one seeded sequence, the same at every replay.

use crate::{Action, AgentName, Command, Happened, HotReloadId, Moment, Notice, Ticket};

/// SplitMix64, plus a counter for tickets. Good enough for identifiers; not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    state: u64,
    tickets: u64,
}

impl Mint {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            tickets: 0,
        }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn reload_id(&mut self) -> HotReloadId {
        let high = u128::from(self.draw());
        HotReloadId::from_random_bits((high << 64) | u128::from(self.draw()))
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

/// What a step has at hand: the time, and somewhere to put its commands.
pub(crate) struct Cx<'a> {
    pub(crate) now: Moment,
    pub(crate) agent: AgentName,
    pub(crate) out: &'a mut Vec<Command>,
    pub(crate) mint: &'a mut Mint,
    /// Where the commands of this step begin.
    pub(crate) start: usize,
    /// What was done in this step, for the record of a decision.
    pub(crate) deeds: Vec<(HotReloadId, Action)>,
}

impl Cx<'_> {
    pub(crate) fn command(&mut self, command: Command) {
        self.out.push(command);
    }

    pub(crate) fn tell(&mut self, reload: Option<HotReloadId>, what: Happened) {
        let agent = self.agent.clone();
        self.command(Command::Tell(Notice {
            agent,
            reload,
            what,
        }));
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.mint.ticket()
    }

    pub(crate) fn reload_id(&mut self) -> HotReloadId {
        self.mint.reload_id()
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.mint.draw()
    }
}
