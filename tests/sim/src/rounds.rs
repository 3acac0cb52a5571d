//! The decision that is told for a round of judging, held against what was said and against what follows it.

use caxton_rollout::{
    Action, AgentName, Command, Decided, Decision, Event, Evidence, Happened, HotReloadId,
    HotReloadStatus, Judgement, Memory, OnInconclusive, Ticket, Traffic, VersionNumber,
};

use crate::books::{Checked, broken};

/// What is known of one agent's rounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds {
    /// The question whose answer must be taken if it comes.
    waits: Option<Ticket>,
    /// The last one that was decided.
    last: Option<Ticket>,
    /// What the directory's settings say that a reload does which makes no progress.
    pub(crate) wanted: OnInconclusive,
    reload: Option<Going>,
}

/// The reload that was begun last.
#[derive(Debug, Clone, Copy)]
struct Going {
    id: HotReloadId,
    candidate: VersionNumber,
    inconclusive: OnInconclusive,
}

impl Rounds {
    /// Every round that is taken is told once, before what follows from it, and as it is.
    pub(crate) fn check(
        &mut self,
        agent: &AgentName,
        judged: Option<Ticket>,
        before: Option<Traffic>,
        commands: &[Command],
    ) -> Checked {
        let mine = commands.iter().filter(|command| command.agent() == agent);
        let mine: Vec<&Command> = mine.collect();
        let told = mine
            .iter()
            .enumerate()
            .filter_map(|(at, command)| match command {
                Command::Decided(decision) => Some((at, decision)),
                _ => None,
            });
        let told: Vec<(usize, &Decision)> = told.collect();
        match (judged, told.as_slice()) {
            (None, []) => {}
            (Some(ticket), []) if self.waits != Some(ticket) => {}
            (Some(ticket), []) => return broken(format!("{ticket:?} was taken and not decided")),
            (Some(ticket), [(at, decision)]) if decision.ticket == ticket => {
                if self.last >= Some(ticket) {
                    return broken(format!("{ticket:?} is decided twice"));
                }
                self.last = Some(ticket);
                self.waits = self.waits.filter(|waits| *waits != ticket);
                let (first, rest) = mine.split_at(*at);
                if first.iter().any(|command| does_something(command)) {
                    return broken("something is done before its decision is told");
                }
                let follows = Follows {
                    reload: decision.reload,
                    commands: rest,
                    before,
                };
                self.is_allowed(&decision.outcome, before)?;
                follows.agrees(&decision.outcome.action, self.candidate(decision.reload))?;
            }
            (_, told) => return broken(format!("decisions that nobody asked for: {told:?}")),
        }
        self.follow(&mine);
        Ok(())
    }

    fn candidate(&self, reload: HotReloadId) -> Option<VersionNumber> {
        let going = self.reload.filter(|going| going.id == reload);
        going.map(|going| going.candidate)
    }

    /// Nothing that widens what the candidate gets without every policy's consent.
    fn is_allowed(&self, decided: &Decided, before: Option<Traffic>) -> Checked {
        let Decided {
            judgement, action, ..
        } = decided;
        let share = before.and_then(|traffic| traffic.split);
        let share = share.map_or(0, |split| split.percent);
        let by_setting = self
            .reload
            .is_some_and(|going| going.inconclusive == OnInconclusive::Promote);
        let fit = *judgement == Judgement::Proceed;
        let allowed = match action {
            Action::Share { percent, .. } => fit || *percent < share,
            Action::Promote => fit || (by_setting && !decided.clamps.is_empty()),
            Action::Complete {
                evidence: Evidence::Insufficient,
            } => !matches!(
                judgement,
                Judgement::Fault { .. } | Judgement::Rollback { .. }
            ),
            Action::Complete { .. } | Action::Disarm => fit,
            Action::RollBack { guard: true, .. } => !fit && *judgement != Judgement::Undecided,
            Action::RollBack {
                blame: Some(blame), ..
            } => {
                matches!(judgement, Judgement::Rollback { blame: said, .. } if said == blame)
            }
            Action::RollBack { blame: None, .. } => {
                matches!(judgement, Judgement::Undecided | Judgement::Hold { .. })
            }
            Action::Stay | Action::Hold { .. } | Action::End { .. } => {
                !matches!(judgement, Judgement::Rollback { .. })
            }
        };
        if allowed {
            Ok(())
        } else {
            broken(format!("{decided:?} is more than was said"))
        }
    }

    /// Keeps up with which answer would be taken.
    fn follow(&mut self, commands: &[&Command]) {
        for command in commands {
            match command {
                Command::Judge { ticket, .. } => self.waits = Some(*ticket),
                Command::HandOver { .. } | Command::Unpin { .. } => self.waits = None,
                Command::Tell(notice) => match &notice.what {
                    Happened::ReloadStarted { to, .. } => {
                        self.reload = notice.reload.map(|id| Going {
                            id,
                            candidate: *to,
                            inconclusive: self.wanted,
                        });
                    }
                    // A way back may wait for its target, and asks no more from here on.
                    Happened::StatusChanged {
                        to: HotReloadStatus::RollingBack,
                        ..
                    }
                    | Happened::Ordered { .. } => self.waits = None,
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// A file may bring a way back that nothing is told of before its target is up.
    pub(crate) fn file_came(&mut self, event: &Event) {
        if let Event::Wanted { settings, .. } = event {
            self.waits = None;
            self.wanted = settings.reload.on_inconclusive;
        }
    }
}

/// What came after a decision in the same step.
struct Follows<'a> {
    reload: HotReloadId,
    commands: &'a [&'a Command],
    before: Option<Traffic>,
}

impl Follows<'_> {
    fn agrees(&self, action: &Action, candidate: Option<VersionNumber>) -> Checked {
        let serving = self.before.map(|traffic| traffic.serving);
        let good = match action {
            Action::Stay | Action::Hold { .. } => {
                !self.commands.iter().any(|command| does_something(command))
            }
            // What gives it more is asked to be written here, and follows with the answer.
            Action::Share { percent, .. } => {
                let waits = self.asked().is_some_and(|memory| {
                    memory
                        .reload
                        .as_ref()
                        .is_some_and(|reload| reload.split == *percent)
                });
                let follows = self.routes().any(|to| {
                    let share = to.split.map_or(0, |split| split.percent);
                    Some(to.serving) == serving && share == *percent
                });
                waits || follows
            }
            Action::Promote | Action::Complete { .. } if self.asked().is_some() => {
                self.is_asked(action, candidate)
            }
            Action::Promote => {
                let hands = |command: &&Command| matches!(command, Command::HandOver { .. });
                self.commands.iter().any(hands)
                    || self.routes().any(|to| Some(to.serving) == candidate)
            }
            Action::Complete { evidence } => {
                self.results().last() == Some((HotReloadStatus::Completed, *evidence))
            }
            Action::Disarm => self.is_told(|what| matches!(what, Happened::Disarmed { .. })),
            Action::RollBack { to, .. } => {
                let begins = self.is_told(|what| {
                    let back = HotReloadStatus::RollingBack;
                    matches!(what, Happened::StatusChanged { to, .. } if *to == back)
                });
                begins
                    && self
                        .routes()
                        .next()
                        .is_none_or(|route| route.serving == *to)
            }
            Action::End { .. } => {
                let ended =
                    |status| matches!(status, HotReloadStatus::Failed | HotReloadStatus::Cancelled);
                self.results().any(|(status, _)| ended(status))
                    || self.is_told(|what| matches!(what, Happened::Disarmed { .. }))
            }
        };
        if good {
            Ok(())
        } else {
            broken(format!(
                "{action:?} was told, and {:?} follows",
                self.commands
            ))
        }
    }

    fn asked(&self) -> Option<&Memory> {
        self.commands.iter().find_map(|command| match command {
            Command::Remember {
                memory,
                ticket: Some(_),
            } => Some(&**memory),
            _ => None,
        })
    }

    fn is_asked(&self, action: &Action, candidate: Option<VersionNumber>) -> bool {
        let Some(memory) = self.asked() else {
            return false;
        };
        let reload = memory.reload.as_ref().filter(|it| it.id == self.reload);
        let result = memory
            .history
            .iter()
            .find(|past| past.result.id == self.reload);
        match action {
            Action::Promote => {
                let moves = reload.is_some_and(|it| it.status == HotReloadStatus::InProgress);
                moves || memory.serving == candidate
            }
            Action::Complete { evidence } => result.is_some_and(|past| {
                past.result.status == HotReloadStatus::Completed
                    && past.result.evidence == *evidence
            }),
            _ => false,
        }
    }

    fn routes(&self) -> impl Iterator<Item = Traffic> {
        self.commands.iter().filter_map(|command| match command {
            Command::Route { traffic, .. } => *traffic,
            _ => None,
        })
    }

    fn results(&self) -> impl Iterator<Item = (HotReloadStatus, Evidence)> {
        self.commands.iter().filter_map(|command| match command {
            Command::Finished { result, .. } if result.id == self.reload => {
                Some((result.status, result.evidence))
            }
            _ => None,
        })
    }

    fn is_told(&self, is: impl Fn(&Happened) -> bool) -> bool {
        self.commands.iter().any(|command| match command {
            Command::Tell(notice) => notice.reload == Some(self.reload) && is(&notice.what),
            _ => false,
        })
    }
}

/// Whether the command carries a decision out.
fn does_something(command: &Command) -> bool {
    match command {
        Command::Route { .. } | Command::HandOver { .. } | Command::Finished { .. } => true,
        Command::Tell(notice) => matches!(notice.what, Happened::StatusChanged { .. }),
        _ => false,
    }
}
