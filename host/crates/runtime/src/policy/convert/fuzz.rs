//! Answers that no honest policy gives. What reaches the core is within every bound, whatever was answered.

use proptest::prelude::*;

use super::*;

const TEXT: &str = "[\\x00-\\x{10ffff}]{0,40}";

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9-]{1,20}",
        2 => TEXT,
        1 => any::<String>(),
        1 => ("[ -~\u{e9}\u{1f600}\u{1b}\n]{1,8}", 100..2_000_usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -1e6..1e6, 2 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY)]
}

fn finding() -> impl Strategy<Value = wit::Finding> {
    (
        text(),
        figure(),
        figure(),
        any::<u64>(),
        text(),
        figure(),
        any::<bool>(),
    )
        .prop_map(
            |(metric, observed, limit, sample, statistic, value, breached)| wit::Finding {
                metric,
                observed,
                limit,
                sample,
                statistic,
                value,
                breached,
            },
        )
}

fn why() -> impl Strategy<Value = wit::Explanation> {
    let findings = prop_oneof![4 => prop::collection::vec(finding(), 0..5), 1 => prop::collection::vec(finding(), 60..80)];
    (text(), text(), findings).prop_map(|(code, summary, findings)| wit::Explanation {
        code,
        summary,
        findings,
    })
}

fn state() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..50),
        1 => (0..3_usize).prop_map(|over| vec![7; STATE_BYTES_MAX - 1 + over]),
    ]
}

fn verdict() -> impl Strategy<Value = rollback::Verdict> {
    prop::sample::select(vec![
        rollback::Verdict::Proceed,
        rollback::Verdict::Undecided,
        rollback::Verdict::Hold,
        rollback::Verdict::Rollback(rollback::Blame::Candidate),
        rollback::Verdict::Rollback(rollback::Blame::Environment),
        rollback::Verdict::Rollback(rollback::Blame::Unknown),
    ])
}

fn step() -> impl Strategy<Value = strategy::Step> {
    prop_oneof![
        Just(strategy::Step::Wait),
        Just(strategy::Step::Advance),
        Just(strategy::Step::Promote),
        text().prop_map(strategy::Step::Hold),
        any::<u8>().prop_map(strategy::Step::SetSplit),
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..100_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn stage() -> impl Strategy<Value = strategy::Stage> {
    (
        prop_oneof![0..105_u8, any::<u8>()],
        time(),
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(
            |(split, at_least_ms, at_least_requests, needs_operator)| strategy::Stage {
                split,
                at_least_ms,
                at_least_requests,
                needs_operator,
            },
        )
}

fn stages() -> impl Strategy<Value = Vec<strategy::Stage>> {
    let rising = prop::collection::vec(stage(), 0..6).prop_map(|mut stages| {
        stages.sort_by_key(|stage| stage.split);
        stages
    });
    prop_oneof![3 => rising, 1 => prop::collection::vec(stage(), 0..40), 2 => Just(Vec::new())]
}

fn is_shown(text: &str, most: usize) {
    assert!(text.len() <= most, "{} bytes", text.len());
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\t'),
        "{text:?}"
    );
}

fn is_explained(why: &Explanation) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!(
        !why.code.is_empty() && why.code.bytes().all(plain),
        "{:?}",
        why.code
    );
    is_shown(&why.code, CODE_BYTES_MAX);
    is_shown(&why.summary, SENTENCE_BYTES_MAX);
    assert!(why.findings.len() <= FINDINGS_MAX);
    for finding in &why.findings {
        is_shown(&finding.metric, NAME_BYTES_MAX);
        is_shown(&finding.statistic, NAME_BYTES_MAX);
        assert!(
            [finding.observed, finding.limit, finding.value]
                .iter()
                .all(|figure| figure.is_finite())
        );
    }
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let cases = asked.and_then(|asked| asked.parse().ok()).unwrap_or(600);
    ProptestConfig {
        cases,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// Taken: within bounds, with the verdict that was given. Refused: never one that asks to hold or to go back.
    #[test]
    fn no_verdict_reaches_the_core_beyond_its_bounds(verdict in verdict(), why in why(), state in state()) {
        let before = vec![1, 2, 3];
        let safe = matches!(verdict, rollback::Verdict::Hold | rollback::Verdict::Rollback(_));
        let again = rollback::Answer { verdict, why: why.clone(), state: state.clone() };
        match rollback_answer(rollback::Answer { verdict, why, state }, &before) {
            Ok((answer, notes)) => {
                is_explained(&answer.why);
                prop_assert!(answer.state.len() <= STATE_BYTES_MAX);
                prop_assert_eq!(safe, matches!(answer.verdict, Verdict::Hold | Verdict::Rollback(_)));
                prop_assert!(notes.len() <= FINDINGS_MAX + 4);
                let (once_more, _) = rollback_answer(again, &before).unwrap();
                prop_assert_eq!(once_more.verdict, answer.verdict);
            }
            Err(nonsense) => {
                prop_assert!(!safe, "what asks for less exposure was refused: {}", nonsense);
                is_shown(&nonsense, 1024);
            }
        }
    }

    #[test]
    fn no_step_reaches_the_core_beyond_its_bounds(
        step in step(),
        why in why(),
        state in state(),
        next_check_ms in prop::option::of(time()),
        split in 0..=100_u8,
    ) {
        let lowers = matches!(step, strategy::Step::SetSplit(share) if share < split && share <= 99);
        let safe = lowers || matches!(step, strategy::Step::Hold(_));
        match strategy_answer(strategy::Answer { step, why, next_check_ms, state }, split, &[]) {
            Ok((answer, _)) => {
                is_explained(&answer.why);
                prop_assert!(answer.state.len() <= STATE_BYTES_MAX);
                prop_assert!(answer.next_check.is_none_or(|wait| wait <= NEXT_CHECK_MAX));
                match answer.step {
                    Step::SetSplit(share) => prop_assert!(share <= 99),
                    Step::Hold(why) => is_shown(&why, SENTENCE_BYTES_MAX),
                    Step::Wait | Step::Advance | Step::Promote => {}
                }
            }
            Err(nonsense) => {
                prop_assert!(!safe, "what asks for less exposure was refused: {}", nonsense);
                is_shown(&nonsense, 1024);
            }
        }
    }

    #[test]
    fn no_plan_reaches_the_core_beyond_its_bounds(
        kind in 0..4_u8,
        times in [time(), time(), time(), time()],
        stages in stages(),
        why in why(),
        preserve_state in any::<bool>(),
        stateful in any::<bool>(),
    ) {
        let strategy = match kind {
            0 => wit::Strategy::Graceful,
            1 => wit::Strategy::Immediate,
            2 => wit::Strategy::Parallel,
            _ => wit::Strategy::TrafficSplitting,
        };
        let [warm_up_ms, drain_ms, bake_ms, keep_previous_ms] = times;
        let asked = strategy::Plan {
            strategy,
            warm_up_ms,
            drain_ms,
            stages,
            bake_ms,
            keep_previous_ms,
            preserve_state,
            why,
        };
        match plan(asked, stateful) {
            Ok((plan, _)) => {
                is_explained(&plan.why);
                prop_assert!(plan.warm_up <= SHORT_MAX && plan.drain <= SHORT_MAX);
                prop_assert!(plan.bake <= LONG_MAX && plan.keep_previous <= LONG_MAX);
                prop_assert!(plan.stages.len() <= STAGES_MAX);
                prop_assert!(plan.stages.iter().all(|stage| (1..=99).contains(&stage.split) && stage.at_least <= STAGE_MAX));
                prop_assert!(plan.stages.windows(2).all(|pair| pair[0].split < pair[1].split));
                let splits = plan.strategy == domain::Strategy::TrafficSplitting;
                prop_assert_eq!(splits, !plan.stages.is_empty());
                prop_assert!(!(splits && stateful && plan.preserve_state));
            }
            Err(nonsense) => is_shown(&nonsense, 1024),
        }
    }

    #[test]
    fn what_a_policy_says_of_itself_is_bounded(texts in [text(), text(), text()], count in 0..200_usize) {
        let [name, version, about] = texts;
        let problem = wit::Problem { path: name.clone(), message: about.clone() };
        let told = info(wit::Info { name, version, about, settings_schema: String::new() });
        is_shown(&told.name, NAME_BYTES_MAX);
        is_shown(&told.version, NAME_BYTES_MAX);
        is_shown(&told.about, SENTENCE_BYTES_MAX);
        let problems = problems(&vec![problem; count]);
        prop_assert!((1..=PROBLEMS_MAX).contains(&problems.len()));
        for problem in problems {
            is_shown(&problem.path, SENTENCE_BYTES_MAX);
            is_shown(&problem.message, SENTENCE_BYTES_MAX);
        }
    }
}
