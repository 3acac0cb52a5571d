//! What the strategy policy wants next: taken as a wish, done at once where it is less, or refused as nonsense.

use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Progress, Reload, Wish};
use crate::{Fault, FaultKind, Moment, Step, StrategyAnswer};

/// What came of a strategy policy's answer.
#[derive(Debug, Default)]
pub(crate) struct Stepped {
    pub(crate) faulty: bool,
    /// A share that is set at once.
    pub(crate) share: Option<Move>,
}

impl Reload {
    /// Takes the strategy policy's step in.
    pub(crate) fn take_step(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Option<Result<StrategyAnswer, Fault>>,
        fit: bool,
    ) -> Stepped {
        let asked = self.progress.is_on_trial() || matches!(self.progress, Progress::Baking);
        let Some(answer) = answer.filter(|_| asked) else {
            return Stepped::default();
        };
        let now = cx.now;
        self.strategy.at = now;
        let heeded = answer.and_then(|answer| {
            self.strategy_again_at = now.after(answer.next_check.unwrap_or_default());
            self.strategy.state = answer.state.into();
            self.strategy.why = answer.why;
            self.heed(answer.step, fit, now).map_err(|why| Fault {
                policy: self.settings.reload.policy.clone(),
                kind: FaultKind::Nonsense,
                message: why.to_owned(),
            })
        });
        match heeded {
            Ok(share) => {
                self.strategy.faults = 0;
                Stepped {
                    faulty: false,
                    share,
                }
            }
            Err(fault) => {
                self.strategy.fault(cx, self.id, fault);
                Stepped {
                    faulty: true,
                    share: None,
                }
            }
        }
    }

    fn heed(&mut self, step: Step, fit: bool, now: Moment) -> Result<Option<Move>, &'static str> {
        self.wish = None;
        match step {
            Step::Wait => {}
            Step::Hold(text) => {
                self.held.get_or_insert((text, now));
            }
            Step::Promote if fit => self.wish = Some(Wish::Promote),
            Step::Promote => return Err("it promotes without enough evidence"),
            Step::Advance if !self.progress.is_on_trial() => {
                return Err("there are no stages in a bake");
            }
            Step::Advance => self.wish = fit.then_some(Wish::Advance),
            Step::SetSplit(percent) => return self.heed_share(percent, fit),
        }
        Ok(None)
    }

    fn heed_share(&self, percent: u8, fit: bool) -> Result<Option<Move>, &'static str> {
        let Progress::Splitting(split) = self.progress else {
            return Err("there is no share to set");
        };
        if percent >= 100 {
            return Err("a share is below 100 per cent: promote is the way to all traffic");
        }
        if percent > split.percent && !fit {
            return Err("it raises the share without enough evidence");
        }
        let taken = if percent > split.percent {
            self.may_rise()
        } else {
            // What an operator said stands even against less.
            percent < split.percent && !split.ordered
        };
        let ordered = false;
        Ok(taken.then_some(Move::Share { percent, ordered }))
    }
}
