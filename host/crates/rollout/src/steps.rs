//! What the strategy policy wants next: taken as a wish, done at once where it is less, or refused as nonsense.

use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Progress, Reload, Wish};
use crate::stages::Target;
use crate::{Fault, FaultKind, Judgement, Moment, Step, StrategyAnswer};

/// How often the strategy policy may raise a share that it had lowered, in one reload. A version that is doubted twice and
/// trusted twice is one that a person has to look at.
const TURNS: u32 = 2;

/// What came of a strategy policy's answer.
#[derive(Debug, Default)]
pub(crate) struct Stepped {
    pub(crate) faulty: bool,
    /// What it proposed, whatever became of it.
    pub(crate) step: Option<Step>,
    /// A share that is set at once.
    pub(crate) share: Option<Move>,
    /// What was not taken as it was said, one sentence each.
    pub(crate) clamps: Vec<String>,
}

/// How the strategy policy goes back and forth between shares.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Swings {
    /// Its last change of the share made it less.
    lowered: bool,
    /// How often it raised the share after having lowered it.
    turns: u32,
}

impl Swings {
    /// It has gone back and forth too often: the share stays until an operator acts.
    pub(crate) fn are_used_up(self) -> bool {
        self.lowered && self.turns >= TURNS
    }

    /// The policy changes the share.
    pub(crate) fn change(&mut self, from: u8, to: u8) {
        if to < from {
            self.lowered = true;
        } else if to > from && std::mem::take(&mut self.lowered) {
            self.turns = self.turns.saturating_add(1);
        }
    }
}

/// What is done with a step that makes sense: a share is set at once, or a sentence says why it is not.
#[derive(Default)]
struct Heeded {
    share: Option<Move>,
    clamp: Option<String>,
}

impl Heeded {
    fn not_taken(said: &str, why: &str) -> Self {
        Self {
            share: None,
            clamp: Some(format!("{said} was not taken: {why}")),
        }
    }
}

impl Reload {
    /// Takes the strategy policy's step in. `moved_on` says that it was asked about where the reload stood before.
    pub(crate) fn take_step(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Option<Result<StrategyAnswer, Fault>>,
        judgement: &Judgement,
        moved_on: bool,
    ) -> Stepped {
        let proposed = answer.as_ref().and_then(|answer| answer.as_ref().ok());
        let mut stepped = Stepped {
            step: proposed.map(|answer| answer.step.clone()),
            ..Stepped::default()
        };
        let asked = self.progress.is_on_trial() || matches!(self.progress, Progress::Baking);
        let Some(answer) = answer.filter(|_| asked) else {
            return stepped;
        };
        if !judgement.asks_strategy() {
            let said = stepped.step.as_ref().map(named);
            let clamp = |said| format!("{said} was not taken: {}", unfit(judgement));
            stepped.clamps.extend(said.map(clamp));
            return stepped;
        }
        let now = cx.now;
        self.strategy.at = now;
        let heeded = answer.and_then(|answer| {
            if !moved_on {
                self.strategy_again_at = now.after(answer.next_check.unwrap_or_default());
            }
            self.strategy.state = answer.state.into();
            self.strategy.why = answer.why;
            let said = named(&answer.step);
            // Its state is kept like that of any answer; where it was meant to lead is over.
            if moved_on {
                return Ok(Heeded::not_taken(
                    &said,
                    "the reload has moved on since the policy was asked",
                ));
            }
            self.heed(answer.step, judgement, now).map_err(|why| {
                stepped.clamps.push(format!("{said} was refused: {why}"));
                Fault {
                    policy: self.settings.reload.policy.clone(),
                    kind: FaultKind::Nonsense,
                    message: why.to_owned(),
                }
            })
        });
        match heeded {
            Ok(heeded) => {
                self.strategy.faults = 0;
                stepped.share = heeded.share;
                stepped.clamps.extend(heeded.clamp);
            }
            Err(fault) => {
                self.wish = None;
                self.forget_wished_share();
                self.strategy.fault(cx, self.id, fault);
                stepped.faulty = true;
            }
        }
        stepped
    }

    fn heed(
        &mut self,
        step: Step,
        judgement: &Judgement,
        now: Moment,
    ) -> Result<Heeded, &'static str> {
        self.wish = None;
        self.forget_wished_share();
        let fit = judgement.fit();
        match step {
            Step::Wait => {}
            Step::Hold(text) => {
                self.held.get_or_insert((text, now));
            }
            Step::Promote if !fit => return Err("it promotes without enough evidence"),
            Step::Advance if !self.progress.is_on_trial() => {
                return Err("there are no stages in a bake");
            }
            Step::Advance if !fit => {
                return Ok(Heeded::not_taken("advance", &unfit(judgement)));
            }
            Step::Advance | Step::Promote if self.swings.are_used_up() => return Err(SWINGS),
            Step::Advance => self.wish = Some(Wish::Advance),
            Step::Promote => self.wish = Some(Wish::Promote),
            Step::SetSplit(percent) => return self.heed_share(percent, fit, now),
        }
        Ok(Heeded::default())
    }

    fn heed_share(&mut self, percent: u8, fit: bool, now: Moment) -> Result<Heeded, &'static str> {
        let Progress::Splitting(split) = self.progress else {
            return Err("there is no share to set");
        };
        if percent >= 100 {
            return Err("a share is below 100 per cent: promote is the way to all traffic");
        }
        let rises = percent > split.percent;
        if rises && !fit {
            return Err("it raises the share without enough evidence");
        }
        if rises && self.swings.are_used_up() {
            return Err(SWINGS);
        }
        // What an operator said stands even against less.
        let taken = if rises {
            self.may_rise()
        } else {
            !split.ordered
        };
        if percent == split.percent {
            return Ok(Heeded::default());
        }
        let ordered = false;
        if taken
            && rises
            && let Progress::Splitting(split) = &mut self.progress
        {
            // It is given once it is written.
            split.target = Some(Target { percent, ordered });
            return Ok(Heeded::default());
        }
        Ok(if taken {
            Heeded {
                share: Some(Move::Share { percent, ordered }),
                clamp: None,
            }
        } else {
            let said = format!("set-split {percent}");
            Heeded::not_taken(&said, &self.keeps_from(now, None))
        })
    }

    /// Why a step that was wished for in this round is not taken; none where it was, or was said no to already.
    pub(crate) fn unfulfilled(&self, now: Moment, step: Option<&Step>) -> Option<String> {
        let (wish, step) = (self.wish?, step?);
        let this = matches!(
            (wish, step),
            (Wish::Advance, Step::Advance) | (Wish::Promote, Step::Promote)
        );
        let why = self.keeps_from(now, Some(wish));
        this.then(|| format!("{} was not taken yet: {why}", named(step)))
    }

    /// What keeps it from a step forward that policies find good; with a wish for what the plan promises, too.
    fn keeps_from(&self, now: Moment, wish: Option<Wish>) -> String {
        if self.paused {
            return "an operator paused the reload".to_owned();
        }
        if let Some((text, _)) = &self.held {
            return format!("it is held until an operator acts: {text}");
        }
        let splitting = match self.progress {
            Progress::Splitting(split) => Some(split),
            _ => None,
        };
        if let Some(split) = splitting.filter(|split| split.ordered) {
            let percent = split.percent;
            return format!(
                "an operator set the share to {percent} per cent, where it stays until they let it go on"
            );
        }
        let promised = wish.is_some() && !(splitting.is_some() && wish == Some(Wish::Promote));
        if let Some((at_least, needed, requests)) = self.lasts().filter(|_| promised) {
            let left = self.since.after(at_least).since(now);
            if !left.is_zero() {
                let (left, all) = (left.as_millis(), at_least.as_millis());
                return format!("{left} ms are left of the {all} ms that it lasts at least");
            }
            if requests < needed {
                return format!("{requests} of at least {needed} requests are answered");
            }
        }
        if self.needs_operator() {
            return "an operator has to let this stage go on".to_owned();
        }
        "the reload cannot take it where it stands".to_owned()
    }
}

const SWINGS: &str = "it goes back and forth between shares: the share stays low until an operator sets it, promotes or \
    resumes";

/// Why the version is not fit to go on.
fn unfit(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Rollback { policy, .. } => format!("{policy} demands a rollback"),
        Judgement::Hold { policy, .. } => format!("{policy} says hold"),
        Judgement::Fault { policy } => format!("{policy} gave no usable answer"),
        Judgement::Undecided | Judgement::Proceed => {
            "not every policy that enforces said proceed".to_owned()
        }
    }
}

/// The step as policies write it.
fn named(step: &Step) -> String {
    match step {
        Step::Wait => "wait".to_owned(),
        Step::Advance => "advance".to_owned(),
        Step::SetSplit(percent) => format!("set-split {percent}"),
        Step::Promote => "promote".to_owned(),
        Step::Hold(_) => "hold".to_owned(),
    }
}
