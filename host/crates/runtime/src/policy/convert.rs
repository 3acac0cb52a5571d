//! What a policy answered, as the domain's types. It is untrusted: here it is refused or taken.
//!
//! The rule for answers that break a bound: one that asks for less exposure (hold, rollback, a smaller share) is honoured and
//! what is wrong with it is left out or cut, with a note; any other is nonsense. A text that is only too long is always cut.
//! No other file reads what a guest answered.

use std::time::Duration;

use caxton_rollout as domain;
use caxton_rollout::{Blame, Explanation, Finding, RollbackAnswer, Step, StrategyAnswer, Verdict};

use super::PolicyInfo;
use super::bindings::caxton::policy::types as wit;
use super::bindings::exports::caxton::policy::{rollback, strategy};
use super::refusal::SettingsProblem;
use super::schema::PROBLEMS_MAX;
use super::text;

/// Bytes of an explanation's code: a word or a few, shown in tables.
const CODE_BYTES_MAX: usize = 64;
/// Bytes of a sentence for people: it is shown on a line and kept in the history.
const SENTENCE_BYTES_MAX: usize = 1024;
/// Bytes of a name inside an answer (a metric, a statistic) and of a policy's own name and version.
const NAME_BYTES_MAX: usize = 128;
/// Findings of one answer: the longest list of triggers that anyone reads.
const FINDINGS_MAX: usize = 64;
/// Bytes that a policy may ask to be handed again; they are kept in memory and in the journal for every call.
const STATE_BYTES_MAX: usize = 64 * 1024;
/// Stages of a plan: one per three per cent.
const STAGES_MAX: usize = 32;
/// The longest warm-up and drain: the longest timeout in the configuration.
const SHORT_MAX: Duration = Duration::from_secs(30 * 60);
/// The longest bake, and the longest time for which the old version is kept: a day, over which memory may stay doubled.
const LONG_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that one stage may ask for: a week, in case of traffic that has a rhythm of one.
const STAGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest that a policy may go without being asked: the default time without progress after which a reload ends.
const NEXT_CHECK_MAX: Duration = Duration::from_secs(60 * 60);

/// Why an answer is not taken; ends the sentence "it answered nonsense: ".
pub(super) type Nonsense = String;

/// A domain value, and what was corrected on the way.
pub(super) type Taken<T> = Result<(T, Vec<String>), Nonsense>;

/// What a rollback policy answered. `state` is what it was handed: it stays where the new one is not taken.
pub(super) fn rollback_answer(answer: rollback::Answer, state: &[u8]) -> Taken<RollbackAnswer> {
    let verdict = match answer.verdict {
        rollback::Verdict::Proceed => Verdict::Proceed,
        rollback::Verdict::Undecided => Verdict::Undecided,
        rollback::Verdict::Hold => Verdict::Hold,
        rollback::Verdict::Rollback(rollback::Blame::Candidate) => {
            Verdict::Rollback(Blame::Candidate)
        }
        rollback::Verdict::Rollback(rollback::Blame::Environment) => {
            Verdict::Rollback(Blame::Environment)
        }
        rollback::Verdict::Rollback(rollback::Blame::Unknown) => Verdict::Rollback(Blame::Unknown),
    };
    let mut reader = Reader::new(matches!(verdict, Verdict::Hold | Verdict::Rollback(_)));
    let why = reader.explanation(answer.why)?;
    let state = reader.state(answer.state, state)?;
    let answer = RollbackAnswer {
        verdict,
        why,
        state,
    };
    Ok((answer, reader.notes))
}

/// What a strategy policy answered to `next`, while the candidate has `split` per cent.
pub(super) fn strategy_answer(
    answer: strategy::Answer,
    split: u8,
    state: &[u8],
) -> Taken<StrategyAnswer> {
    let step = match answer.step {
        strategy::Step::Wait => Step::Wait,
        strategy::Step::Advance => Step::Advance,
        strategy::Step::Promote => Step::Promote,
        strategy::Step::Hold(why) => Step::Hold(text::one_line(&why, SENTENCE_BYTES_MAX)),
        strategy::Step::SetSplit(share @ 0..=99) => Step::SetSplit(share),
        strategy::Step::SetSplit(share) => {
            return Err(format!(
                "a split of {share} per cent; 0 to 99 can be set, and all traffic is given with promote"
            ));
        }
    };
    let towards_safety = match &step {
        Step::Hold(_) => true,
        Step::SetSplit(share) => *share < split,
        Step::Wait | Step::Advance | Step::Promote => false,
    };
    let mut reader = Reader::new(towards_safety);
    let why = reader.explanation(answer.why)?;
    let state = reader.state(answer.state, state)?;
    let next_check = answer.next_check_ms.map(Duration::from_millis);
    if next_check.is_some_and(|wait| wait > NEXT_CHECK_MAX) {
        reader.note(format!(
            "it is asked again after {NEXT_CHECK_MAX:?} and not later"
        ));
    }
    let answer = StrategyAnswer {
        step,
        why,
        next_check: next_check.map(|wait| wait.min(NEXT_CHECK_MAX)),
        state,
    };
    Ok((answer, reader.notes))
}

/// The plan that a strategy policy answered to `begin`, for an agent that is `stateful` or not.
pub(super) fn plan(plan: strategy::Plan, stateful: bool) -> Taken<domain::Plan> {
    let strategy = match plan.strategy {
        wit::Strategy::Graceful => domain::Strategy::Graceful,
        wit::Strategy::Immediate => domain::Strategy::Immediate,
        wit::Strategy::Parallel => domain::Strategy::Parallel,
        wit::Strategy::TrafficSplitting => domain::Strategy::TrafficSplitting,
    };
    let splits = strategy == domain::Strategy::TrafficSplitting;
    if splits && stateful && plan.preserve_state {
        return Err(
            "traffic splitting for an agent that keeps state: two versions cannot both have it; graceful and parallel can move it"
                .to_owned(),
        );
    }
    let mut reader = Reader::new(false);
    let plan = domain::Plan {
        strategy,
        warm_up: within("warm-up-ms", plan.warm_up_ms, SHORT_MAX)?,
        drain: within("drain-ms", plan.drain_ms, SHORT_MAX)?,
        stages: stages(&plan.stages, splits)?,
        bake: within("bake-ms", plan.bake_ms, LONG_MAX)?,
        keep_previous: within("keep-previous-ms", plan.keep_previous_ms, LONG_MAX)?,
        preserve_state: plan.preserve_state,
        why: reader.explanation(plan.why)?,
    };
    Ok((plan, reader.notes))
}

fn stages(stages: &[strategy::Stage], splits: bool) -> Result<Vec<domain::Stage>, Nonsense> {
    match (splits, stages.len()) {
        (true, 0) => return Err("traffic splitting without a stage".to_owned()),
        (false, 1..) => {
            return Err(
                "stages for a strategy that has none; only traffic splitting has".to_owned(),
            );
        }
        (_, count) if count > STAGES_MAX => {
            return Err(format!("{count} stages; there may be {STAGES_MAX}"));
        }
        _ => {}
    }
    let mut before = 0;
    let mut taken = Vec::with_capacity(stages.len());
    for (index, stage) in stages.iter().enumerate() {
        if !(1..=99).contains(&stage.split) {
            return Err(format!(
                "stage {index} with a split of {} per cent; 1 to 99 are stages, and all traffic comes after the last",
                stage.split
            ));
        }
        if stage.split <= before {
            return Err(format!(
                "stage {index} with a split of {} per cent after one of {before}; stages rise",
                stage.split
            ));
        }
        before = stage.split;
        taken.push(domain::Stage {
            split: stage.split,
            at_least: within("a stage's at-least-ms", stage.at_least_ms, STAGE_MAX)?,
            at_least_requests: stage.at_least_requests,
            needs_operator: stage.needs_operator,
        });
    }
    Ok(taken)
}

fn within(what: &str, ms: u64, most: Duration) -> Result<Duration, Nonsense> {
    let time = Duration::from_millis(ms);
    if time > most {
        return Err(format!(
            "{what} of {ms}; at most {} ({} minutes)",
            most.as_millis(),
            most.as_secs() / 60
        ));
    }
    Ok(time)
}

/// What a policy says about itself. Its schema is looked at where it is compiled.
pub(super) fn info(info: wit::Info) -> PolicyInfo {
    PolicyInfo {
        name: text::one_line(&info.name, NAME_BYTES_MAX),
        version: text::one_line(&info.version, NAME_BYTES_MAX),
        about: text::one_line(&info.about, SENTENCE_BYTES_MAX),
        settings_schema: info.settings_schema,
    }
}

/// What a policy found wrong with settings; always at least one problem.
pub(super) fn problems(problems: &[wit::Problem]) -> Vec<SettingsProblem> {
    if problems.is_empty() {
        return vec![SettingsProblem {
            path: String::new(),
            message: "the policy refuses them and does not say why".to_owned(),
        }];
    }
    let problem = |problem: &wit::Problem| SettingsProblem {
        path: text::one_line(&problem.path, SENTENCE_BYTES_MAX),
        message: text::one_line(&problem.message, SENTENCE_BYTES_MAX),
    };
    problems.iter().take(PROBLEMS_MAX).map(problem).collect()
}

/// The text with which a policy refused to answer.
pub(super) fn error(error: &str) -> String {
    match text::one_line(error, SENTENCE_BYTES_MAX) {
        empty if empty.is_empty() => "an error without a text".to_owned(),
        error => error,
    }
}

/// Reads the parts that answers have in common, and knows what to do about one that breaks a bound.
struct Reader {
    towards_safety: bool,
    notes: Vec<String>,
}

impl Reader {
    fn new(towards_safety: bool) -> Self {
        Self {
            towards_safety,
            notes: Vec::new(),
        }
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Nonsense, or a note for an answer that is honoured all the same.
    fn tolerate(&mut self, wrong: String, instead: &str) -> Result<(), Nonsense> {
        if !self.towards_safety {
            return Err(wrong);
        }
        self.note(format!("{wrong}: {instead}"));
        Ok(())
    }

    fn explanation(&mut self, why: wit::Explanation) -> Result<Explanation, Nonsense> {
        let code = self.code(why.code)?;
        let summary = text::one_line(&why.summary, SENTENCE_BYTES_MAX);
        if why.summary.len() > SENTENCE_BYTES_MAX {
            self.note(format!("its summary was cut to {SENTENCE_BYTES_MAX} bytes"));
        }
        let count = why.findings.len();
        if count > FINDINGS_MAX {
            let wrong = format!("{count} findings; there may be {FINDINGS_MAX}");
            self.tolerate(wrong, "the rest was left out")?;
        }
        let mut findings = Vec::with_capacity(count.min(FINDINGS_MAX));
        for finding in why.findings.into_iter().take(FINDINGS_MAX) {
            let figures = [finding.observed, finding.limit, finding.value];
            let metric = text::one_line(&finding.metric, NAME_BYTES_MAX);
            if figures.iter().all(|figure| figure.is_finite()) {
                findings.push(Finding {
                    metric,
                    observed: finding.observed,
                    limit: finding.limit,
                    sample: finding.sample,
                    statistic: text::one_line(&finding.statistic, NAME_BYTES_MAX),
                    value: finding.value,
                    breached: finding.breached,
                });
            } else {
                let wrong = format!("a finding about {metric:?} with a figure that is not finite");
                self.tolerate(wrong, "the finding was left out")?;
            }
        }
        Ok(Explanation {
            code,
            summary,
            findings,
        })
    }

    fn code(&mut self, code: String) -> Result<String, Nonsense> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(fits) {
            return Ok(code);
        }
        let shown = text::one_line(&code, CODE_BYTES_MAX);
        let wrong = format!(
            "the code {shown:?}; a code has 1 to {CODE_BYTES_MAX} lower-case letters, digits and hyphens"
        );
        self.tolerate(wrong, "`unnamed` stands for it")?;
        Ok("unnamed".to_owned())
    }

    fn state(&mut self, state: Vec<u8>, before: &[u8]) -> Result<Vec<u8>, Nonsense> {
        if state.len() <= STATE_BYTES_MAX {
            return Ok(state);
        }
        let wrong = format!(
            "a state of {} bytes; at most {STATE_BYTES_MAX}",
            state.len()
        );
        self.tolerate(wrong, "the state stays as it was")?;
        Ok(before.to_vec())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
