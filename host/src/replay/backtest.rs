//! Two policies side by side over recorded reloads, each as if it alone had judged.

use std::sync::Arc;

use caxton_rollout::{
    Action, AgentName, Blame, Decided, Digest, Evidence, HotReloadId, Judgement, Moment,
    RollbackAnswer, Verdict,
};
use serde::Serialize;
use serde_json::Value;

use super::rerun::SkippedReload;
use super::subject::{ReplayError, Subject};
use crate::records::Began;
use crate::records::read::{Happening, Question, Records, Round};

/// Changes of mind that are kept for each policy and reload: a policy that changes at every round has no more to say.
const SAID_MAX: usize = 500;

/// The status of a reload that had all the traffic that it was to have.
const COMPLETED: &str = "completed";

/// What must be known to read a backtest.
const NOTE: &str = "Each policy is asked as if it alone had judged. What follows the first decision that differs from what was \
                    done is no longer fact: other traffic would have been measured. Rounds that said nothing new were not \
                    recorded, and are not asked.";

/// What came of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// One after the other, as recorded.
    pub reloads: Vec<Course>,
    /// The first and the second policy over all reloads.
    pub sum: [Sum; 2],
    /// Reloads in which one of them could not be asked.
    pub skipped: Vec<SkippedReload>,
    /// What must be known to read it.
    pub note: &'static str,
}

/// One reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Course {
    /// The reload.
    pub reload: HotReloadId,
    /// The agent.
    pub agent: AgentName,
    /// When it began.
    pub at: Moment,
    /// Rounds in which policies were asked.
    pub rounds: u64,
    /// How it ended, as `history` shows it; none where the records end before.
    pub status: Option<String>,
    /// The round in which it was taken back in fact.
    pub rolled_back_at: Option<u64>,
    /// Since when nothing more was kept of it but its end.
    pub full_at: Option<Moment>,
    /// The first and the second policy.
    pub policies: [Run; 2],
    /// The first round in which their verdicts differ.
    pub first_difference: Option<u64>,
}

/// One policy in one reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its name.
    pub policy: String,
    /// Of its component.
    pub digest: Digest,
    /// What it was handed as settings.
    pub settings: Value,
    /// What it said, round after round; the same in a row once.
    pub said: Vec<Said>,
    /// When it would have gone back.
    pub rollback: Option<Point>,
    /// When it first found enough for the version.
    pub proceed: Option<Point>,
    /// The candidate's requests until it went back, or until the records end.
    pub requests: u64,
    /// Of those, the failed ones: what callers were let run into.
    pub failures: u64,
    /// There would have been more of both: it does not go back, and the records end before the version had proved itself,
    /// because the reload was ended or no more was kept of it.
    pub at_least: bool,
    /// Rounds in which it gave no usable answer.
    pub faults: u64,
    /// Where it would surely have led elsewhere: what follows is no longer fact.
    pub departs: Option<Departure>,
    /// Where it would have allowed a step that was not allowed: what follows may no longer be fact.
    pub may_depart: Option<Departure>,
}

/// The same verdict for the same reason, for one or more rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The first round.
    pub from: u64,
    /// The last round.
    pub to: u64,
    /// The verdict, or `fault`.
    pub verdict: String,
    /// Its reason in a word.
    pub code: String,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The round.
    pub tick: u64,
    /// Since the reload began.
    pub elapsed_ms: u64,
    /// The candidate's requests until then.
    pub requests: u64,
    /// Of those, the failed ones.
    pub failures: u64,
    /// Whose fault, for a rollback.
    pub blame: Option<Blame>,
    /// Why.
    pub code: String,
    /// Why, for people.
    pub summary: String,
}

/// Where a policy leads elsewhere than the reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Departure {
    /// The round.
    pub tick: u64,
    /// What it would have done, and what was done.
    pub text: String,
}

/// One policy over all reloads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sum {
    /// Its name.
    pub policy: String,
    /// Reloads in which it was asked.
    pub reloads: u64,
    /// Of those, those that it takes back.
    pub rolled_back: u64,
    /// Of those that it does not take back, those in which it once said to proceed.
    pub proceeded: u64,
    /// Requests of the candidates.
    pub requests: u64,
    /// Failed requests let through.
    pub failures: u64,
    /// Whether it would have been more of both in one of the reloads.
    pub at_least: bool,
    /// Mean time to a rollback.
    pub mean_ms_to_rollback: Option<u64>,
    /// Rounds without a usable answer.
    pub faults: u64,
}

/// Asks both policies in every recorded round.
///
/// # Errors
/// The records cannot be read, or a policy is none that says when to go back.
pub async fn backtest(
    subjects: [&Subject; 2],
    records: &mut Records,
) -> Result<Backtest, ReplayError> {
    if let Some(other) = subjects.iter().find(|subject| !subject.is_rollback()) {
        return Err(ReplayError::OtherKind(format!(
            "{} is a {}; a backtest is about when to go back and wants two rollback policies",
            other.policy.name(),
            other.policy.kind()
        )));
    }
    let mut reloads = Vec::new();
    let mut skipped = Vec::new();
    let mut course: Option<UnderWay<'_>> = None;
    while let Some(happening) = records.read()? {
        if let Happening::Began(began) = &happening {
            reloads.extend(course.take().map(UnderWay::end));
            match UnderWay::begin(subjects, began).await {
                Ok(begun) => course = Some(begun),
                Err(why) => skipped.push(why),
            }
        }
        if let Some(course) = &mut course {
            match happening {
                Happening::Round(round) => course.round(&round).await,
                Happening::Ended(result) => course.ended(&result),
                Happening::Full(at) => course.full_at = course.full_at.or(Some(at)),
                _ => {}
            }
        }
    }
    reloads.extend(course.map(UnderWay::end));
    let [first, second] = subjects;
    Ok(Backtest {
        sum: [
            sum(
                first,
                reloads.iter().map(|course| {
                    let [run, _] = &course.policies;
                    run
                }),
            ),
            sum(
                second,
                reloads.iter().map(|course| {
                    let [_, run] = &course.policies;
                    run
                }),
            ),
        ],
        reloads,
        skipped,
        note: NOTE,
    })
}

struct UnderWay<'a> {
    began: Began,
    rounds: u64,
    status: Option<String>,
    rolled_back_at: Option<u64>,
    full_at: Option<Moment>,
    asked: [Asking<'a>; 2],
    first_difference: Option<u64>,
}

struct Asking<'a> {
    subject: &'a Subject,
    settings: String,
    state: Vec<u8>,
    run: Run,
}

impl<'a> UnderWay<'a> {
    async fn begin(subjects: [&'a Subject; 2], began: &Began) -> Result<Self, SkippedReload> {
        let [first, second] = subjects;
        Ok(Self {
            began: began.clone(),
            rounds: 0,
            status: None,
            rolled_back_at: None,
            full_at: None,
            asked: [
                Asking::begin(first, began).await?,
                Asking::begin(second, began).await?,
            ],
            first_difference: None,
        })
    }

    async fn round(&mut self, round: &Round) {
        self.rounds += 1;
        let tick = round.question.tick;
        let done = round.decided.as_ref();
        let [first, second] = &mut self.asked;
        let said = (
            first.ask(&round.question, done).await,
            second.ask(&round.question, done).await,
        );
        if said.0 != said.1 {
            self.first_difference = self.first_difference.or(Some(tick));
        }
        if let Some(Action::RollBack { .. }) = done.map(|decided| &decided.action) {
            self.rolled_back_at = self.rolled_back_at.or(Some(tick));
        }
    }

    fn ended(&mut self, result: &Value) {
        self.status = result
            .get("status")
            .and_then(Value::as_str)
            .map(str::to_owned);
    }

    fn end(self) -> Course {
        let is_whole = self.status.as_deref() == Some(COMPLETED) && self.full_at.is_none();
        let policies = self.asked.map(|asking| Run {
            at_least: asking.run.rollback.is_none() && !is_whole,
            ..asking.run
        });
        Course {
            reload: self.began.reload,
            agent: self.began.agent,
            at: self.began.at,
            rounds: self.rounds,
            status: self.status,
            rolled_back_at: self.rolled_back_at,
            full_at: self.full_at,
            policies,
            first_difference: self.first_difference,
        }
    }
}

impl<'a> Asking<'a> {
    async fn begin(subject: &'a Subject, began: &Began) -> Result<Self, SkippedReload> {
        let settings = subject.settings_for(subject.counterpart(began)).await;
        let settings =
            settings.map_err(|refused| SkippedReload::new(began, refused.to_string(), true))?;
        Ok(Self {
            run: Run {
                policy: subject.policy.name().to_owned(),
                digest: subject.policy.digest(),
                // It was an object a moment ago.
                settings: serde_json::from_str(&settings).unwrap_or_default(),
                said: Vec::new(),
                rollback: None,
                proceed: None,
                requests: 0,
                failures: 0,
                at_least: false,
                faults: 0,
                departs: None,
                may_depart: None,
            },
            subject,
            settings,
            state: Vec::new(),
        })
    }

    /// Asks in one round; gives the verdict, or none for a fault.
    async fn ask(&mut self, question: &Arc<Question>, done: Option<&Decided>) -> Option<Verdict> {
        let call = self.subject.policy.evaluate(
            &self.settings,
            &question.context,
            &question.metrics,
            &question.windows,
            &self.state,
        );
        let (requests, failures) = answered_by_candidate(question);
        if self.run.rollback.is_none() {
            (self.run.requests, self.run.failures) = (requests, failures);
        }
        let (verdict, word, code) = match call.await.answer {
            Ok(answer) => {
                self.point(question, &answer);
                let word = word(answer.verdict).to_owned();
                self.state = answer.state;
                (Some(answer.verdict), word, answer.why.code)
            }
            Err(fault) => {
                self.run.faults += 1;
                let code = fault_word(&fault);
                (None, "fault".to_owned(), code)
            }
        };
        self.run.say(question.tick, word, code);
        if let Some(done) = done {
            self.run.departs_at(question, verdict, done);
        }
        verdict
    }

    fn point(&mut self, question: &Question, answer: &RollbackAnswer) {
        let place = match answer.verdict {
            Verdict::Rollback(_) => &mut self.run.rollback,
            Verdict::Proceed => &mut self.run.proceed,
            Verdict::Undecided | Verdict::Hold => return,
        };
        if place.is_some() {
            return;
        }
        let (requests, failures) = answered_by_candidate(question);
        *place = Some(Point {
            tick: question.tick,
            elapsed_ms: question.context.elapsed_ms,
            requests,
            failures,
            blame: match answer.verdict {
                Verdict::Rollback(blame) => Some(blame),
                _ => None,
            },
            code: answer.why.code.clone(),
            summary: answer.why.summary.clone(),
        });
    }
}

impl Run {
    fn say(&mut self, tick: u64, verdict: String, code: String) {
        if let Some(last) = self.said.last_mut()
            && (&last.verdict, &last.code) == (&verdict, &code)
        {
            last.to = tick;
        } else if self.said.len() < SAID_MAX {
            self.said.push(Said {
                from: tick,
                to: tick,
                verdict,
                code,
            });
        }
    }

    /// Keeps the first round in which this policy alone would have led elsewhere.
    fn departs_at(&mut self, question: &Question, verdict: Option<Verdict>, done: &Decided) {
        if self.departs.is_some() {
            return;
        }
        let tick = question.tick;
        let goes_back = matches!(verdict, Some(Verdict::Rollback(_)));
        let went_back = matches!(done.action, Action::RollBack { .. });
        // Neither the guard nor the lack of evidence asks a policy.
        let by_verdict = matches!(
            done.action,
            Action::RollBack {
                guard: false,
                blame: Some(_),
                ..
            }
        );
        let text = if goes_back && !went_back {
            Some("it would have gone back, and the reload went on")
        } else if by_verdict && !goes_back {
            Some("it would not have gone back, and the reload did")
        } else if needs_proceed(&done.action, question.context.split)
            && verdict != Some(Verdict::Proceed)
        {
            Some("it would not have allowed the step that was taken")
        } else {
            None
        };
        if let Some(text) = text {
            self.departs = Some(Departure {
                tick,
                text: text.to_owned(),
            });
        } else if verdict == Some(Verdict::Proceed)
            && !matches!(done.judgement, Judgement::Proceed)
            && self.may_depart.is_none()
        {
            self.may_depart = Some(Departure {
                tick,
                text: "it would have allowed a step forward, and none was allowed".to_owned(),
            });
        }
    }
}

/// Whether an action is a step forward that the core takes on `proceed` only.
fn needs_proceed(action: &Action, split: u8) -> bool {
    match action {
        Action::Share { percent, .. } => *percent > split,
        Action::Promote | Action::Disarm => true,
        Action::Complete { evidence } => *evidence == Evidence::Sufficient,
        Action::Stay | Action::Hold { .. } | Action::RollBack { .. } | Action::End { .. } => false,
    }
}

/// Requests of the candidate that callers waited for, and the failed ones among them.
fn answered_by_candidate(question: &Question) -> (u64, u64) {
    let arms = question
        .windows
        .iter()
        .filter_map(|window| window.candidate.as_ref());
    arms.fold((0, 0), |(requests, failures), arm| {
        (
            requests.saturating_add(arm.requests),
            failures.saturating_add(arm.failures),
        )
    })
}

/// The verdict in the contract's word.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proceed => "proceed",
        Verdict::Undecided => "undecided",
        Verdict::Hold => "hold",
        Verdict::Rollback(_) => "rollback",
    }
}

fn fault_word(fault: &caxton_rollout::Fault) -> String {
    let kind = serde_json::to_value(fault.kind).unwrap_or_default();
    kind.as_str().unwrap_or("fault").to_owned()
}

fn sum<'a>(subject: &Subject, runs: impl Iterator<Item = &'a Run>) -> Sum {
    let mut sum = Sum {
        policy: subject.policy.name().to_owned(),
        ..Sum::default()
    };
    let mut taken_ms: u64 = 0;
    for run in runs {
        sum.reloads += 1;
        match (&run.rollback, &run.proceed) {
            (Some(back), _) => {
                sum.rolled_back += 1;
                taken_ms = taken_ms.saturating_add(back.elapsed_ms);
            }
            (None, Some(_)) => sum.proceeded += 1,
            (None, None) => {}
        }
        sum.requests = sum.requests.saturating_add(run.requests);
        sum.failures = sum.failures.saturating_add(run.failures);
        sum.at_least |= run.at_least;
        sum.faults = sum.faults.saturating_add(run.faults);
    }
    sum.mean_ms_to_rollback = taken_ms.checked_div(sum.rolled_back);
    sum
}
