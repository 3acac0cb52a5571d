//! Operators' orders become facts and moves. They work in every phase, and a refused one changes nothing.

use crate::agent::Agent;
use crate::carry::After;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{Back, By, Progress, Pushed, Reload};
use crate::stages::Target;
use crate::steps::Swings;
use crate::{Evidence, Happened, Moment, Order, OrderError, StateChoice, VersionNumber};

impl Agent {
    /// Takes an order, and does what follows from it.
    pub(crate) fn order(&mut self, cx: &mut Cx<'_>, order: Order) -> Result<(), OrderError> {
        if let Some(conflict) = self.carrying(order) {
            return Err(conflict);
        }
        let moves = match order {
            Order::Pause => self.pause(order),
            Order::Resume => self.resume(order),
            Order::Promote { now } => self.promote(cx.now, order, now),
            Order::Abort { state } => self.abort(order, state),
            Order::Rollback { to, state } => self.rollback(order, to, state),
            Order::SetSplit { percent } => self.set_split(order, percent),
            Order::Retry => self.retry(cx.now, order),
        }?;
        if !matches!(order, Order::Pause | Order::SetSplit { .. }) {
            self.refused = None;
        }
        self.pass_time(cx);
        let id = self.reload.as_ref().map(|reload| reload.id);
        cx.tell(
            id,
            Happened::Ordered {
                order: order.to_string(),
            },
        );
        self.advance(cx, moves);
        Ok(())
    }

    fn nothing(&self, order: Order, why: &'static str) -> OrderError {
        OrderError::NothingToDo {
            agent: self.name.clone(),
            order,
            why,
        }
    }

    /// The reload that can still be steered: one that has neither ended nor is on its way back.
    fn steered(&mut self, order: Order) -> Result<&mut Reload, OrderError> {
        let returning = self
            .reload
            .as_ref()
            .filter(|reload| match &reload.progress {
                Progress::Returning(_) => true,
                Progress::HandingOver(moving) => moving.ended_by.is_some(),
                _ => false,
            });
        if let Some(reload) = returning {
            return Err(self.conflict(order, reload));
        }
        let nothing = self.nothing(order, "no reload is going on");
        self.reload
            .as_mut()
            .filter(|reload| !matches!(reload.progress, Progress::Unproven { .. }))
            .ok_or(nothing)
    }

    fn conflict(&self, order: Order, reload: &Reload) -> OrderError {
        let doing = match reload.progress {
            Progress::Pending { .. } => "pending",
            Progress::Preparing => "preparing",
            Progress::Starting { .. } => "starting",
            Progress::Splitting(_)
            | Progress::Listening(_)
            | Progress::HandingOver(_)
            | Progress::Baking => "in progress",
            Progress::Unproven { .. } | Progress::Settled(_) => "completed",
            Progress::Returning(_) => "rolling back",
        };
        OrderError::AlreadyInProgress {
            agent: self.name.clone(),
            order,
            reload: reload.id,
            doing,
        }
    }

    /// While state is on its way back nothing else is taken.
    fn carrying(&self, order: Order) -> Option<OrderError> {
        self.carry.as_ref()?;
        let serving = self.serving.and_then(|n| self.versions.records.get(&n));
        let going = self.reload.as_ref().map(|reload| reload.id);
        let reload = going.or(serving.map(|record| record.reload))?;
        Some(OrderError::AlreadyInProgress {
            agent: self.name.clone(),
            order,
            reload,
            doing: "going back",
        })
    }

    fn pause(&mut self, order: Order) -> Result<Vec<Move>, OrderError> {
        let paused = self.nothing(order, "the reload is paused already");
        let reload = self.steered(order)?;
        if reload.paused {
            return Err(paused);
        }
        reload.paused = true;
        reload.forget_wished_share();
        Ok(Vec::new())
    }

    fn resume(&mut self, order: Order) -> Result<Vec<Move>, OrderError> {
        let running = self.nothing(order, "the reload neither stands nor waits for an operator");
        let reload = self.steered(order)?;
        if !reload.go_on() {
            return Err(running);
        }
        Ok(Vec::new())
    }

    /// Gives the candidate this share, until an operator says otherwise.
    fn set_split(&mut self, order: Order, percent: u8) -> Result<Vec<Move>, OrderError> {
        let bounds = self.nothing(
            order,
            "a share is 1 to 99 per cent; `promote` gives all traffic, `abort` takes it away",
        );
        let no_shares = self.nothing(order, "no reload splits traffic");
        let reload = self.steered(order)?;
        let Progress::Splitting(split) = &mut reload.progress else {
            return Err(no_shares);
        };
        if !(1..=99).contains(&percent) {
            return Err(bounds);
        }
        reload.swings = Swings::default();
        // Of two orders that wait to be written the later one stands.
        reload.pushed = Pushed::No;
        let ordered = true;
        if percent > split.percent {
            // It stands from now on, and is given once it is written.
            split.ordered = true;
            split.target = Some(Target { percent, ordered });
            return Ok(Vec::new());
        }
        Ok(vec![Move::Share { percent, ordered }])
    }

    fn promote(
        &mut self,
        now: Moment,
        order: Order,
        through: bool,
    ) -> Result<Vec<Move>, OrderError> {
        let armed = |reload: &Reload| matches!(reload.progress, Progress::Unproven { .. });
        if through && self.reload.as_ref().is_some_and(armed) {
            let (evidence, reason) = (
                Some(Evidence::Operator),
                "an operator vouches for it".to_owned(),
            );
            return Ok(vec![Move::Disarm { evidence, reason }]);
        }
        let has_all = self.nothing(
            order,
            "the version has all traffic already, and `promote --now` ends its bake",
        );
        let reload = self.steered(order)?;
        let baking = matches!(reload.progress, Progress::Baking);
        let waits = reload.held.is_some() || reload.bake_end() <= now;
        if baking && !through && !waits {
            return Err(has_all);
        }
        let pushed = if through || baking {
            Pushed::Through
        } else {
            Pushed::Traffic
        };
        reload.pushed = reload.pushed.max(pushed);
        reload.forget_target();
        reload.paused = false;
        reload.held = None;
        reload.swings = Swings::default();
        Ok(Vec::new())
    }

    fn abort(&mut self, order: Order, choice: StateChoice) -> Result<Vec<Move>, OrderError> {
        let reload = self.steered(order)?;
        if let Progress::HandingOver(moving) = &mut reload.progress {
            moving.ended_by = Some(order);
            return Ok(Vec::new());
        }
        let baking = matches!(reload.progress, Progress::Baking);
        let target = self.permanent.filter(|_| baking);
        Ok(match target {
            Some(target) if self.needs_state(target, choice) => {
                let then = After::Cancel(why_cancelled(order).to_owned());
                vec![Move::Carry {
                    target,
                    then,
                    choice,
                }]
            }
            _ => vec![cancelled(order)],
        })
    }

    fn rollback(
        &mut self,
        order: Order,
        to: Option<VersionNumber>,
        choice: StateChoice,
    ) -> Result<Vec<Move>, OrderError> {
        let going = match self.steered(order) {
            Ok(_) => true,
            Err(conflict @ OrderError::AlreadyInProgress { .. }) => return Err(conflict),
            Err(_) => false,
        };
        let (permanent, target) = self.way(order, to, going)?;
        let further = (target != permanent).then_some((target, choice));
        let Some(reload) = self.reload.as_mut().filter(|_| going) else {
            return Ok(vec![self.way_back(target, by_operator(), choice)]);
        };
        let before = reload.progress.is_before_swap();
        if let Progress::HandingOver(moving) = &mut reload.progress {
            moving.ended_by = Some(order);
            self.onward = further;
            return Ok(Vec::new());
        }
        let mut moves = Vec::new();
        if before {
            moves.push(cancelled(order));
        } else {
            moves.push(self.way_back(permanent, by_operator(), choice));
        }
        self.onward = further;
        Ok(moves)
    }

    /// The permanent version, and the one to go to.
    fn way(
        &self,
        order: Order,
        to: Option<VersionNumber>,
        going: bool,
    ) -> Result<(VersionNumber, VersionNumber), OrderError> {
        let Some(permanent) = self.permanent else {
            return Err(self.nothing(order, "no version was ever permanent"));
        };
        let comes = self.reload.as_ref().filter(|_| going);
        let target = match to {
            // To go back from a content puts it out of the way, under each of its numbers.
            Some(to) if comes.is_some_and(|reload| self.versions.is(Some(to), &reload.content)) => {
                return Err(self.nothing(
                    order,
                    "that version has the content which would be taken back: `promote` keeps it",
                ));
            }
            Some(to) if self.can_return_to(to) || (going && to == permanent) => to,
            Some(to) if to == permanent => {
                return Err(self.nothing(order, "that version serves already"));
            }
            Some(number) => {
                let (agent, kept) = (self.name.clone(), self.kept.clone());
                return Err(OrderError::VersionNotFound {
                    agent,
                    number,
                    kept,
                });
            }
            None if going => permanent,
            None => {
                let none = || self.nothing(order, "no version before this one is kept");
                self.kept_before(permanent).ok_or_else(none)?
            }
        };
        Ok((permanent, target))
    }

    /// The newest kept version that was permanent before this one.
    pub(crate) fn kept_before(&self, number: VersionNumber) -> Option<VersionNumber> {
        let earlier = self.kept.iter().filter(|kept| **kept < number);
        earlier.max().copied()
    }

    fn can_return_to(&self, number: VersionNumber) -> bool {
        self.kept.contains(&number) && self.versions.content(number).is_some()
    }

    fn retry(&mut self, now: Moment, order: Order) -> Result<Vec<Move>, OrderError> {
        let going = |reload: &&Reload| !matches!(reload.progress, Progress::Unproven { .. });
        if let Some(reload) = self.reload.as_ref().filter(going) {
            return Err(self.conflict(order, reload));
        }
        let Some(wanted) = &self.wanted else {
            return Err(self.nothing(order, self.unwanted));
        };
        let identity = wanted.content.identity;
        let aside = self
            .endings
            .iter()
            .any(|ending| ending.identity == identity);
        let stopped = self.broken_until(now).is_some();
        let is_permanent = self.versions.is(self.permanent, &wanted.content);
        // To bring up what was permanent says nothing for the file that is there now.
        if self.try_revival(now) && !is_permanent {
            return Ok(Vec::new());
        }
        if !aside && !stopped && !is_permanent {
            return Err(self.nothing(order, "what the directory asks for was not put aside"));
        }
        self.endings.clear(&identity);
        self.rollbacks.clear();
        Ok(Vec::new())
    }
}

impl Reload {
    /// Lets it go on after a pause, a hold, a share that was ordered and a policy that went back and forth; where there was none
    /// of them, from a stage that waits for an operator. False if it goes on by itself.
    fn go_on(&mut self) -> bool {
        let swung = std::mem::take(&mut self.swings).are_used_up();
        let stood = self.paused || self.held.is_some() || swung;
        self.paused = false;
        self.held = None;
        let needs_operator = self.needs_operator();
        match &mut self.progress {
            Progress::Splitting(split) if split.ordered => {
                split.ordered = false;
                split.target = None;
                true
            }
            Progress::Splitting(split) if !stood && needs_operator => {
                split.let_on = true;
                true
            }
            _ => stood,
        }
    }
}

pub(crate) fn cancelled(order: Order) -> Move {
    Move::Cancel {
        why: Ended::Operator,
        reason: why_cancelled(order).to_owned(),
    }
}

pub(crate) fn why_cancelled(order: Order) -> &'static str {
    match order {
        Order::Rollback { .. } => "an operator went back before it had traffic",
        _ => "an operator aborted it",
    }
}

pub(crate) fn by_operator() -> Back {
    Back {
        by: By::Operator,
        reason: "an operator rolled it back".to_owned(),
    }
}
