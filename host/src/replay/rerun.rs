//! One policy over recorded reloads, and where it differs from what was recorded.

use std::sync::Arc;

use caxton_rollout::{AgentName, Digest, HotReloadId};
use caxton_runtime::policy::{Call, PolicyKind};
use serde::Serialize;

use super::differences::{self, Difference};
use super::subject::{ReplayError, Subject};
use crate::records::read::{Happening, Question, Records, Turn};
use crate::records::{Answered, Asked, Began, Called};

/// Differences that are kept for each reload; whoever sees a hundred needs no more.
const DIFFERENCES_MAX: usize = 100;

/// Skipped calls that are kept for each reload.
const SKIPPED_MAX: usize = 100;

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// One after the other, as recorded.
    pub reloads: Vec<ReplayedReload>,
    /// Those of which nothing was compared, as recorded.
    pub skipped: Vec<SkippedReload>,
}

/// What came of it in one reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayedReload {
    /// The reload.
    pub reload: HotReloadId,
    /// The agent.
    pub agent: AgentName,
    /// The recorded policy that it was compared with.
    pub policy: String,
    /// The digest of that one.
    pub recorded_digest: Digest,
    /// Whether component and settings are those that were recorded: then nothing may differ.
    pub same: bool,
    /// Calls that were made again.
    pub calls: u64,
    /// Calls with a difference.
    pub calls_that_differ: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Calls that could not be made again, the first of them.
    pub skipped: Vec<Skipped>,
    /// How many those were.
    pub calls_skipped: u64,
}

/// A call that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The round; none for the plan.
    pub tick: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A reload of which nothing was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedReload {
    /// The reload.
    pub reload: HotReloadId,
    /// The agent.
    pub agent: AgentName,
    /// Why.
    pub reason: String,
    /// Whether the policy did not take the settings.
    pub settings_refused: bool,
}

impl SkippedReload {
    pub(super) fn new(began: &Began, reason: String, settings_refused: bool) -> Self {
        Self {
            reload: began.reload,
            agent: began.agent.clone(),
            reason,
            settings_refused,
        }
    }
}

impl Replayed {
    /// Whether something differs that may not.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.reloads
            .iter()
            .any(|reload| reload.same && reload.calls_that_differ > 0)
    }

    /// Calls that were made again.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.reloads.iter().map(|reload| reload.calls).sum()
    }

    /// Calls that could not be made again, beside those of the reloads that were skipped.
    #[must_use]
    pub fn calls_skipped(&self) -> u64 {
        self.reloads.iter().map(|reload| reload.calls_skipped).sum()
    }
}

/// Asks `subject` everything that the policy in its place was asked.
///
/// With the component and the settings that were recorded, each call gets the state that was recorded, so that one
/// difference stays one; otherwise the state is the policy's own, from its first call on. A reload in which no policy can be
/// compared with it, or whose settings it does not take, is skipped.
///
/// # Errors
/// The records cannot be read.
pub async fn replay(subject: &Subject, records: &mut Records) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let mut rerun: Option<Rerun<'_>> = None;
    while let Some(happening) = records.read()? {
        if let Happening::Began(began) = &happening {
            replayed
                .reloads
                .extend(rerun.take().map(|rerun| rerun.report));
            match Rerun::begin(subject, began).await {
                Ok(begun) => rerun = Some(begun),
                Err(skipped) => replayed.skipped.push(skipped),
            }
        }
        if let Some(rerun) = &mut rerun {
            rerun.take(&happening).await;
        }
    }
    replayed.reloads.extend(rerun.map(|rerun| rerun.report));
    Ok(replayed)
}

/// One reload under way.
struct Rerun<'a> {
    subject: &'a Subject,
    settings: String,
    state: Vec<u8>,
    report: ReplayedReload,
}

impl<'a> Rerun<'a> {
    async fn begin(subject: &'a Subject, began: &Began) -> Result<Self, SkippedReload> {
        let asked = subject
            .counterpart(began)
            .ok_or_else(|| SkippedReload::new(began, subject.no_counterpart(began), false))?;
        let settings = subject
            .settings_for(Some(asked))
            .await
            .map_err(|refused| SkippedReload::new(began, refused.to_string(), true))?;
        let recorded = asked.settings.to_string();
        let same = asked.digest == subject.policy.digest() && settings == recorded;
        Ok(Self {
            subject,
            settings,
            state: Vec::new(),
            report: report(began, asked, same),
        })
    }

    async fn take(&mut self, happening: &Happening) {
        match happening {
            Happening::Planned {
                context,
                configured,
                call,
                ..
            } if !self.subject.is_rollback() && self.is_about(call) => {
                if self.skips(None, call) {
                    return;
                }
                let policy = &self.subject.policy;
                let now = policy.begin(&self.settings, context, configured).await;
                self.compare(None, call, &now, None);
            }
            Happening::Round(round) => match self.subject.policy.kind() {
                PolicyKind::Rollback => self.evaluate(&round.question, &round.rollback).await,
                PolicyKind::Strategy => {
                    if let Some(turn) = &round.strategy {
                        self.next(&round.question, turn).await;
                    }
                }
            },
            Happening::Monitored { question, rollback } if self.subject.is_rollback() => {
                self.evaluate(question, rollback).await;
            }
            _ => {}
        }
    }

    async fn evaluate(
        &mut self,
        question: &Arc<Question>,
        turns: &[Turn<caxton_rollout::RollbackAnswer>],
    ) {
        for turn in turns {
            if !self.is_about(&turn.call) || self.skips(Some(question.tick), &turn.call) {
                continue;
            }
            let state = self.state_for(turn);
            let call = self.subject.policy.evaluate(
                &self.settings,
                &question.context,
                &question.metrics,
                &question.windows,
                &state,
            );
            let now = call.await;
            let next = now.answer.as_ref().map_or(&state, |answer| &answer.state);
            self.answered(question.tick, turn, &now, next);
        }
    }

    async fn next(&mut self, question: &Question, turn: &Turn<caxton_rollout::StrategyAnswer>) {
        if !self.is_about(&turn.call) || self.skips(Some(question.tick), &turn.call) {
            return;
        }
        let state = self.state_for(turn);
        let call = self.subject.policy.next(
            &self.settings,
            &question.context,
            question.fit,
            &question.metrics,
            &question.windows,
            &state,
        );
        let now = call.await;
        let next = now.answer.as_ref().map_or(&state, |answer| &answer.state);
        self.answered(question.tick, turn, &now, next);
    }

    /// It was asked again: what it says now, and the state that its next call gets.
    fn answered<T: Serialize + Clone>(
        &mut self,
        tick: u64,
        turn: &Turn<T>,
        now: &Call<T>,
        next: &[u8],
    ) {
        let states = (turn.next_state.as_slice(), next);
        self.compare(Some(tick), &turn.call, now, Some(states));
        next.clone_into(&mut self.state);
    }

    fn is_about<T>(&self, call: &Called<T>) -> bool {
        call.policy == self.report.policy
    }

    fn state_for<T>(&self, turn: &Turn<T>) -> Vec<u8> {
        if self.report.same {
            turn.state.clone()
        } else {
            self.state.clone()
        }
    }

    /// Whether the recorded call cannot be made again; says so.
    fn skips<T>(&mut self, tick: Option<u64>, call: &Called<T>) -> bool {
        let Answered::Fault(fault) = &call.answer else {
            return false;
        };
        if differences::can_be_replayed(fault) {
            return false;
        }
        self.skip(
            tick,
            format!(
                "recorded as a fault that no replay can repeat: {}",
                fault.message
            ),
        );
        true
    }

    fn skip(&mut self, tick: Option<u64>, reason: String) {
        self.report.calls_skipped += 1;
        if self.report.skipped.len() < SKIPPED_MAX {
            self.report.skipped.push(Skipped { tick, reason });
        }
    }

    fn compare<T: Serialize + Clone>(
        &mut self,
        tick: Option<u64>,
        recorded: &Called<T>,
        now: &Call<T>,
        states: Option<(&[u8], &[u8])>,
    ) {
        if let Err(fault) = &now.answer
            && !differences::can_be_replayed(fault)
        {
            self.skip(
                tick,
                format!("it could not be asked now: {}", fault.message),
            );
            return;
        }
        self.report.calls += 1;
        let mut found = differences::between(tick, recorded, now);
        // Another component takes other fuel, and its state is its own; that is no difference in what it says.
        if !self.report.same {
            found.retain(|difference| difference.field != "fuel");
        } else if let Some((recorded, now)) = states {
            found.extend(differences::between_states(tick, recorded, now));
        }
        if !found.is_empty() {
            self.report.calls_that_differ += 1;
            let room = DIFFERENCES_MAX.saturating_sub(self.report.differences.len());
            self.report.differences.extend(found.into_iter().take(room));
        }
    }
}

fn report(began: &Began, asked: &Asked, same: bool) -> ReplayedReload {
    ReplayedReload {
        reload: began.reload,
        agent: began.agent.clone(),
        policy: asked.policy.clone(),
        recorded_digest: asked.digest,
        same,
        calls: 0,
        calls_that_differ: 0,
        differences: Vec::new(),
        skipped: Vec::new(),
        calls_skipped: 0,
    }
}
