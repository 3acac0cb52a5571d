//! Each command in the books, and what must hold of them after every step.

use std::collections::BTreeSet;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Command, Happened, HotReloadStatus, MAX_WINDOWS, Notice, PolicyMode, Ticket,
    VersionNumber,
};

use crate::books::{Broken, Checked, Handing, broken};
use crate::world::{Asks, Question, World};

/// More live versions of one agent than the core lets there be: its own bound for those that come in, and those that
/// may be warm, serving or coming in beside it.
const MAX_LIVE: usize = 10;

/// How long the answer of those that monitor is waited for at least.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn named(agent: &AgentName, checked: Checked) -> Checked {
    checked.map_err(|Broken(what)| Broken(format!("{agent}: {what}")))
}

impl World {
    fn ask(&mut self, agent: AgentName, ticket: Ticket, asks: Asks) -> Checked {
        if self.open.iter().any(|question| question.ticket == ticket) {
            return broken(format!("{ticket:?} is given out twice"));
        }
        self.open.push(Question {
            agent,
            ticket,
            asks,
        });
        Ok(())
    }

    pub(crate) fn carry_out_one(&mut self, command: Command) -> Checked {
        match command {
            Command::Pin { agent, ticket, .. } => self.ask(agent, ticket, Asks::Pin),
            Command::Plan {
                agent,
                ticket,
                configured,
                ..
            } => self.ask(agent, ticket, Asks::Plan(Box::new(configured))),
            Command::Prepare {
                agent,
                ticket,
                number,
                identity,
            } => {
                let books = self.books.entry(agent.clone()).or_default();
                books.prepare(ticket, number, identity)?;
                self.ask(agent, ticket, Asks::Prepare(number, identity))
            }
            Command::CheckHealth {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Health(number))
            }
            Command::Route { agent, traffic } => {
                let granted = self.journal.granted(&agent);
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.was_granted(granted, traffic))?;
                named(&agent, books.route(self.now, traffic))
            }
            Command::HandOver {
                agent,
                ticket,
                to,
                source,
                timeout,
            } => {
                let until = self.now.after(timeout);
                let hand = Handing {
                    ticket,
                    to,
                    source,
                    until,
                };
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.hand_over(self.now, hand))?;
                self.ask(agent, ticket, Asks::HandOver { to, source })
            }
            Command::Drain {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Drain(number))
            }
            Command::Cut {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Cut(number))
            }
            Command::Judge {
                agent,
                ticket,
                reload,
                windows,
                rollback,
                strategy,
                context,
                metrics,
            } => {
                if windows.len() > MAX_WINDOWS || context.history.len() > 16 {
                    return broken(format!(
                        "{agent}: a policy is told more than the contract says"
                    ));
                }
                if windows
                    .iter()
                    .any(|window| window.end_ms <= window.start_ms)
                {
                    return broken(format!("{agent}: a window ends before it starts"));
                }
                if rollback.iter().any(|call| call.mode == PolicyMode::Monitor) {
                    let asked = (reload, ticket, self.now);
                    let before = self.monitoring.insert(agent.clone(), asked);
                    if before
                        .is_some_and(|(of, _, at)| of == reload && self.now < at.after(PATIENCE))
                    {
                        return broken(format!(
                            "{agent}: monitors are asked while they are answering"
                        ));
                    }
                }
                self.windows = windows.to_vec();
                self.context = Some(context);
                self.metrics = metrics;
                self.ask(
                    agent,
                    ticket,
                    Asks::Judge {
                        rollback,
                        strategy: strategy.is_some(),
                    },
                )
            }
            Command::Unload { agent, number } => {
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.unload(number))
            }
            Command::Forget { agent, identity } => {
                let known = self
                    .books
                    .get_mut(&agent)
                    .is_some_and(|b| b.contents.remove(&identity));
                if known {
                    Ok(())
                } else {
                    broken(format!("{agent}: forgets what nobody knows"))
                }
            }
            Command::Tell(notice) => self.hear(notice),
            Command::Finished { agent, result } => {
                if !result.status.is_terminal() {
                    return broken(format!("{agent}: {:?} is no end", result.status));
                }
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.finished(&result))?;
                let granted = self.journal.granted(&agent);
                named(&agent, books.may_complete(granted, &result))?;
                books.results.insert(result.id, result);
                Ok(())
            }
            Command::Remember { memory, ticket } => self.remember(*memory, ticket),
            Command::Unpin { .. } | Command::Decided(_) => Ok(()),
        }
    }

    fn is_up(&self, agent: &AgentName, number: VersionNumber) -> Checked {
        let up = self
            .books
            .get(agent)
            .is_some_and(|books| books.ready.contains(&number));
        if up {
            Ok(())
        } else {
            broken(format!("{agent}: {number} is used and is not ready"))
        }
    }

    fn hear(&mut self, notice: Notice) -> Checked {
        let Notice {
            agent,
            reload,
            what,
        } = notice;
        let books = self.books.entry(agent.clone()).or_default();
        match (what, reload) {
            (Happened::ReloadStarted { to, .. }, Some(id)) => {
                books.begun.insert(to);
                self.reloads += 1;
                if books
                    .statuses
                    .insert(id, HotReloadStatus::Pending)
                    .is_some()
                {
                    return broken(format!("{agent}: reload {id} begins twice"));
                }
            }
            (Happened::StatusChanged { from, to, .. }, Some(id)) => {
                *self.seen.entry(to).or_default() += 1;
                let before = books.statuses.insert(id, to);
                if before != Some(from) || !from.may_become(to) {
                    return broken(format!("{agent}: {before:?}, said {from:?}, to {to:?}"));
                }
            }
            (Happened::CallsCut { number, calls }, _) if books.cut == Some((number, calls)) => {
                books.cut = None;
            }
            (Happened::Quarantined { identity, .. }, _) => {
                books.quarantined.insert(identity);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Checked {
        if self.fleet.next_wakeup().is_some_and(|due| due <= self.now) {
            return broken("a wake-up is due and nothing came of it");
        }
        let mut preparing = 0;
        for (name, books) in &self.books {
            let Some(view) = self.fleet.view(name) else {
                continue;
            };
            named(name, books.check(self.now))?;
            if view.serving != books.serving() {
                return broken(format!("{name}: the core forgot who serves"));
            }
            named(name, books.is_no_older(&view))?;
            let comes_back = books.comes_back && view.permanent.is_some();
            if view.serving.is_some() != view.permanent.is_some() && !comes_back {
                return broken(format!(
                    "{name}: serving {:?}, permanent {:?}",
                    view.serving, view.permanent
                ));
            }
            let live: BTreeSet<_> = self.fleet.live(name).into_iter().collect();
            let loaded = books
                .preparing
                .values()
                .chain(&books.ready)
                .copied()
                .collect();
            if live != loaded {
                return broken(format!("{name}: live is {live:?}, loaded {loaded:?}"));
            }
            if live.len() > MAX_LIVE {
                return broken(format!("{name}: {} versions live at once", live.len()));
            }
            // One that is ready and waits for an operator or a policy has given its slot back.
            let comes = view
                .reload
                .is_some_and(|reload| reload.status == HotReloadStatus::Preparing);
            if comes && view.candidate.map(|candidate| candidate.number) != view.serving {
                preparing += 1;
            }
        }
        if preparing > self.max_reloads {
            return broken(format!("{preparing} versions are prepared at once"));
        }
        Ok(())
    }
}
