//! Operators' orders become facts and moves. They work in every phase, and a refused one changes nothing.

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{Back, By, Progress, Pushed, Reload};
use crate::{Evidence, Happened, Moment, Order, OrderError, VersionNumber};

impl Agent {
    /// Takes an order, and does what follows from it.
    pub(crate) fn order(&mut self, cx: &mut Cx<'_>, order: Order) -> Result<(), OrderError> {
        let moves = match order {
            Order::Pause => self.pause(order),
            Order::Resume => self.resume(order),
            Order::Promote { now } => self.promote(cx.now, order, now),
            Order::Abort { .. } => self.abort(order),
            Order::Rollback { to, .. } => self.rollback(order, to),
            Order::SetSplit { percent } => self.set_split(order, percent),
            Order::Retry => self.retry(order),
        }?;
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
            .filter(|r| matches!(r.progress, Progress::Returning(_)));
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
            Progress::Splitting(_) | Progress::Listening(_) | Progress::Baking => "in progress",
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

    fn pause(&mut self, order: Order) -> Result<Vec<Move>, OrderError> {
        let paused = self.nothing(order, "the reload is paused already");
        let reload = self.steered(order)?;
        if reload.paused {
            return Err(paused);
        }
        reload.paused = true;
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
        if !matches!(reload.progress, Progress::Splitting(_)) {
            return Err(no_shares);
        }
        if !(1..=99).contains(&percent) {
            return Err(bounds);
        }
        let ordered = true;
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
        reload.paused = false;
        reload.held = None;
        Ok(Vec::new())
    }

    fn abort(&mut self, order: Order) -> Result<Vec<Move>, OrderError> {
        self.steered(order)?;
        Ok(vec![cancelled(order)])
    }

    fn rollback(
        &mut self,
        order: Order,
        to: Option<VersionNumber>,
    ) -> Result<Vec<Move>, OrderError> {
        let reload = match self.steered(order) {
            Ok(reload) => Some((reload.number, matches!(reload.progress, Progress::Baking))),
            Err(conflict @ OrderError::AlreadyInProgress { .. }) => return Err(conflict),
            Err(_) => None,
        };
        let Some(permanent) = self.permanent else {
            return Err(self.nothing(order, "no version was ever permanent"));
        };
        let target = match (to, reload) {
            (Some(to), _) if self.can_return_to(to) || (reload.is_some() && to == permanent) => to,
            (Some(to), None) if to == permanent => {
                return Err(self.nothing(order, "that version serves already"));
            }
            (Some(number), _) => {
                let (agent, kept) = (self.name.clone(), self.kept.clone());
                return Err(OrderError::VersionNotFound {
                    agent,
                    number,
                    kept,
                });
            }
            (None, Some(_)) => permanent,
            (None, None) => {
                let earlier = self.kept.iter().filter(|kept| **kept < permanent).max();
                let none = || self.nothing(order, "no version before this one is kept");
                *earlier.ok_or_else(none)?
            }
        };
        let back = |target| {
            let reason = "an operator rolled it back".to_owned();
            Move::GoBack {
                target,
                why: Back {
                    by: By::Operator,
                    reason,
                },
            }
        };
        let mut moves = match reload {
            Some((_, true)) => vec![back(permanent), Move::Arrive],
            Some((_, false)) => vec![cancelled(order)],
            None => Vec::new(),
        };
        if target != permanent {
            moves.push(back(target));
        }
        Ok(moves)
    }

    fn can_return_to(&self, number: VersionNumber) -> bool {
        self.kept.contains(&number) && self.versions.content(number).is_some()
    }

    fn retry(&mut self, order: Order) -> Result<Vec<Move>, OrderError> {
        let going = |reload: &&Reload| !matches!(reload.progress, Progress::Unproven { .. });
        if let Some(reload) = self.reload.as_ref().filter(going) {
            return Err(self.conflict(order, reload));
        }
        let Some(wanted) = &self.wanted else {
            return Err(self.nothing(order, "the agent's file is gone"));
        };
        let identity = wanted.content.identity;
        if !self.endings.iter().any(|(blocked, _)| *blocked == identity) {
            return Err(self.nothing(order, "what the directory asks for was not put aside"));
        }
        self.endings.clear(&identity);
        Ok(Vec::new())
    }
}

impl Reload {
    /// Lets it go on after a pause, a hold and a share that was ordered; where there was none of them, from a stage that
    /// waits for an operator. False if it goes on by itself.
    fn go_on(&mut self) -> bool {
        let stood = self.paused || self.held.is_some();
        self.paused = false;
        self.held = None;
        let needs_operator = self.needs_operator();
        match &mut self.progress {
            Progress::Splitting(split) if split.ordered => {
                split.ordered = false;
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

fn cancelled(order: Order) -> Move {
    let reason = match order {
        Order::Rollback { .. } => "an operator went back before it had traffic",
        _ => "an operator aborted it",
    };
    Move::Cancel {
        why: Ended::Operator,
        reason: reason.to_owned(),
    }
}
