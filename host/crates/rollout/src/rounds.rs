//! One round of judging: answers become facts, the moves that follow are made, and what came of it is told before them.

use crate::agent::Agent;
use crate::answers::{TELL_EVERY, is_told, tell_fault};
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Back, By, Judge, Reload, Round};
use crate::steps::Stepped;
use crate::{
    Command, Decided, Decision, Explanation, Fault, FaultKind, Happened, HotReloadId, Judgement,
    PolicyMode, RollbackAnswer, StrategyAnswer, Ticket, Verdict, combine,
};

/// So many changes of what a policy says are told in one reload, and then one in [`TELL_EVERY`].
const NEWS_TOLD: u32 = 20;

type Answers = Vec<(String, Result<RollbackAnswer, Fault>)>;

/// A round that was taken in.
struct Taken {
    reload: HotReloadId,
    judgement: Judgement,
    stepped: Stepped,
    moves: Vec<Move>,
}

impl Agent {
    /// Takes a round of answers in, does what follows, and tells the decision. Late answers are none.
    pub(crate) fn judged(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        answers: Answers,
        strategy: Option<Result<StrategyAnswer, Fault>>,
    ) {
        // What was done is known only afterwards, and stands before all of it.
        let at = cx.start;
        let Some(mut taken) = self.take_round(cx, ticket, answers, strategy) else {
            return self.advance(cx, Vec::new());
        };
        let wished = self
            .reload
            .as_ref()
            .is_some_and(|reload| reload.wish.is_some());
        self.advance(cx, std::mem::take(&mut taken.moves));
        let decided = self.decided(cx, taken.reload, taken.judgement, taken.stepped, wished);
        cx.out.insert(
            at,
            Command::Decided(Decision {
                agent: self.name.clone(),
                reload: taken.reload,
                ticket,
                outcome: decided,
            }),
        );
    }

    fn decided(
        &self,
        cx: &Cx<'_>,
        id: HotReloadId,
        judgement: Judgement,
        stepped: Stepped,
        wished: bool,
    ) -> Decided {
        let reload = self.reload.as_ref().filter(|reload| reload.id == id);
        let deeds = cx.deeds.iter().filter(|(of, _)| *of == id);
        let deed = crate::deeds::furthest(deeds.map(|(_, deed)| deed));
        let decided = deed.is_some() && self.due.is_some();
        let action = deed
            .or_else(|| reload.map(|reload| reload.stays(cx.now)))
            .unwrap_or(crate::Action::Stay);
        let mut clamps = stepped.clamps;
        let open = reload.and_then(|reload| reload.unfulfilled(cx.now, stepped.step.as_ref()));
        clamps.extend(open.filter(|_| !decided).map(|open| match &self.due {
            // It was decided in an earlier round.
            Some(_) => "it is decided already, and waits until that is recorded".to_owned(),
            None => open,
        }));
        clamps.extend(crate::deeds::beyond_what_was_said(
            &action, &judgement, wished,
        ));
        Decided {
            judgement,
            step: stepped.step,
            action,
            clamps,
        }
    }

    fn take_round(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        mut answers: Answers,
        strategy: Option<Result<StrategyAnswer, Fault>>,
    ) -> Option<Taken> {
        let reload = self.reload.as_mut()?;
        if reload.judging.is_none_or(|(waits, _)| waits != ticket) {
            return None;
        }
        reload.judging = None;
        reload.only_enforcing(&mut answers);
        let judgement = combine(&answers);
        for (policy, answer) in answers {
            reload.take_answer(cx, &policy, answer);
        }
        let moved_on = std::mem::take(&mut reload.moved_on);
        if !judgement.fit() {
            reload.wish = None;
            reload.forget_wished_share();
        }
        let mut stepped = reload.take_step(cx, strategy, &judgement, moved_on);
        // What speaks for it spoke of where it stood before: nothing goes forward by that.
        if !(moved_on && judgement.fit()) {
            reload.end_round(Round {
                at: cx.now,
                since: cx.now,
                judgement: judgement.clone(),
                answered: true,
                strategy_faulty: stepped.faulty,
                lasted: reload.has_lasted(cx.now) && !moved_on,
            });
        }
        let (id, stable) = (reload.id, reload.stable);
        let mut moves: Vec<Move> = stepped.share.take().into_iter().collect();
        if let Judgement::Rollback { policy, blame, why } = &judgement {
            let target = stable.filter(|target| self.versions.content(*target).is_some());
            match target {
                Some(target) => {
                    let (by, reason) = (
                        By::Verdict(*blame),
                        format!("{policy}: {}", why.summary),
                    );
                    let why = Back { by, reason };
                    moves = vec![Move::GoBack { target, why }];
                }
                None => stepped.clamps.push(format!(
                    "the rollback that {policy} demands was refused: there is no version to go back to"
                )),
            }
        }
        Some(Taken {
            reload: id,
            judgement,
            stepped,
            moves,
        })
    }

    /// Notes what those say that only monitor, however late.
    pub(crate) fn monitored(&mut self, cx: &mut Cx<'_>, ticket: Ticket, answers: Answers) {
        let waits = |reload: &&mut Reload| reload.monitoring.is_some_and(|(of, _)| of == ticket);
        let Some(reload) = self.reload.as_mut().filter(waits) else {
            return;
        };
        reload.monitoring = None;
        for (policy, answer) in answers {
            if reload.monitors().any(|name| *name == policy) {
                reload.take_answer(cx, &policy, answer);
            }
        }
    }
}

impl Reload {
    /// Keeps the round; one that says the same kind of thing as the one before it goes on for longer.
    fn end_round(&mut self, round: Round) {
        let kind = |round: &Round| std::mem::discriminant(&round.judgement);
        let before = self
            .round
            .as_ref()
            .filter(|before| kind(before) == kind(&round));
        let since = before.map_or(round.since, |before| before.since);
        self.round = Some(Round { since, ..round });
    }

    fn monitors(&self) -> impl Iterator<Item = &String> {
        let monitors = |judge: &Judge| judge.mode == PolicyMode::Monitor;
        let judges = self.judges.iter();
        judges.filter_map(move |(name, judge)| monitors(judge).then_some(name))
    }

    /// Whether those that monitor can be asked now. Who has not answered for too long is at fault, and is asked again.
    pub(crate) fn may_ask_monitors(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some((_, until)) = self.monitoring else {
            return self.monitors().next().is_some();
        };
        if until > cx.now {
            return false;
        }
        let late: Vec<String> = self.monitors().cloned().collect();
        for policy in late {
            let fault = no_answer(&policy);
            self.take_answer(cx, &policy, Err(fault));
        }
        true
    }

    /// No answer at all is a fault of everyone who was asked to decide. What the strategy policy wished for rested on rounds
    /// that were answered.
    pub(crate) fn unanswered(&mut self, cx: &mut Cx<'_>) {
        self.wish = None;
        self.forget_wished_share();
        let mut answers = Vec::new();
        self.only_enforcing(&mut answers);
        let judgement = combine(&answers);
        for (policy, answer) in answers {
            self.take_answer(cx, &policy, answer);
        }
        self.end_round(Round {
            at: cx.now,
            since: cx.now,
            judgement,
            answered: false,
            strategy_faulty: true,
            lasted: false,
        });
    }

    /// Exactly the policies that enforce: a missing answer is a fault, one of anybody else is nobody's business.
    fn only_enforcing(&self, answers: &mut Answers) {
        answers.retain(|(name, _)| self.enforcing().any(|(policy, _)| policy == name));
        for (policy, _) in self.enforcing() {
            if !answers.iter().any(|(name, _)| name == policy) {
                answers.push((policy.clone(), Err(no_answer(policy))));
            }
        }
    }

    fn take_answer(
        &mut self,
        cx: &mut Cx<'_>,
        policy: &str,
        answer: Result<RollbackAnswer, Fault>,
    ) {
        let id = self.id;
        let Some(judge) = self.judges.get_mut(policy) else {
            return;
        };
        let enforcing = judge.mode == PolicyMode::Enforce;
        judge.at = cx.now;
        match answer {
            Ok(RollbackAnswer {
                verdict,
                why,
                state,
            }) => {
                let is_new = judge.verdict.replace(verdict) != Some(verdict) || judge.faults > 0;
                judge.faults = 0;
                judge.state = state.into();
                judge.why = why.clone();
                // What ends the reload ends its news, too.
                let ends = enforcing && matches!(verdict, Verdict::Rollback(_));
                if is_new && (judge.is_worth_telling() || ends) {
                    let policy = policy.to_owned();
                    cx.tell(
                        Some(id),
                        Happened::Verdict {
                            policy,
                            enforcing,
                            verdict,
                            why,
                        },
                    );
                }
            }
            Err(fault) => judge.fault(cx, id, fault),
        }
    }
}

impl Judge {
    /// What it said before does not hold any more.
    pub(crate) fn fault(&mut self, cx: &mut Cx<'_>, reload: HotReloadId, fault: Fault) {
        if self.faults == 0 {
            self.faulty_since = cx.now;
        }
        self.faults = self.faults.saturating_add(1);
        self.verdict = None;
        self.why = Explanation {
            code: "fault".to_owned(),
            summary: fault.to_string(),
            findings: Vec::new(),
        };
        let enforcing = self.mode == PolicyMode::Enforce;
        if is_told(self.faults) && self.is_worth_telling() {
            tell_fault(cx, reload, fault, enforcing, self.faults);
        }
    }

    /// Counts one more thing that is new, and says whether to tell it. Who changes its mind each second would push what
    /// happens to other agents out of the event stream.
    fn is_worth_telling(&mut self) -> bool {
        self.news = self.news.saturating_add(1);
        self.news <= NEWS_TOLD || self.news.is_multiple_of(TELL_EVERY)
    }
}

fn no_answer(policy: &str) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind: FaultKind::OutOfTime,
        message: "it was asked and did not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests;
