//! Laws over all values: the table of statuses, and how judgements combine.

use caxton_rollout::{
    Blame, Explanation, Fault, HotReloadStatus, Judgement, RollbackAnswer, Verdict, combine,
};
use expect_test::expect;

use crate::stage::fault;

#[test]
fn the_table_of_statuses() {
    let mut table = String::new();
    for from in HotReloadStatus::ALL {
        let next = HotReloadStatus::ALL
            .into_iter()
            .filter(|next| from.may_become(*next));
        let next: Vec<String> = next.map(|next| format!("{next:?}")).collect();
        table.push_str(&format!("{from:?}: {}\n", next.join(", ")));
    }
    expect![[r#"
        Pending: Preparing, Failed, Cancelled
        Preparing: Starting, Failed, Cancelled
        Starting: InProgress, Failed, Cancelled
        InProgress: Completed, Failed, Cancelled, RollingBack
        Completed: RollingBack
        Failed: RollingBack
        Cancelled: 
        RollingBack: Failed, RolledBack
        RolledBack: 
    "#]]
    .assert_eq(&table);
}

fn all_answers() -> Vec<Result<RollbackAnswer, Fault>> {
    let verdicts = [
        Verdict::Proceed,
        Verdict::Undecided,
        Verdict::Hold,
        Verdict::Rollback(Blame::Environment),
        Verdict::Rollback(Blame::Unknown),
        Verdict::Rollback(Blame::Candidate),
    ];
    let answer = |verdict| RollbackAnswer {
        verdict,
        why: Explanation::default(),
        state: Vec::new(),
    };
    let mut answers: Vec<_> = verdicts.map(|verdict| Ok(answer(verdict))).into();
    answers.push(Err(fault("any", caxton_rollout::FaultKind::Trap)));
    answers
}

#[test]
fn the_gravest_wins_in_any_order() {
    for one in all_answers() {
        for other in all_answers() {
            let (a, b) = (
                ("a".to_owned(), one.clone()),
                ("b".to_owned(), other.clone()),
            );
            let judged = combine(&[a.clone(), b.clone()]);
            assert_eq!(judged, combine(&[b, a]));
            let worst = [&one, &other].map(|answer| answer.as_ref().map(|answer| answer.verdict));
            let worst = worst.iter().flatten().max();
            let faulty = one.is_err() || other.is_err();
            match judged {
                Judgement::Rollback { blame, .. } => {
                    assert_eq!(worst, Some(&Verdict::Rollback(blame)));
                }
                Judgement::Hold { .. } => assert_eq!(worst, Some(&Verdict::Hold)),
                Judgement::Fault { .. } => assert!(faulty && worst < Some(&Verdict::Hold)),
                Judgement::Undecided => assert!(!faulty && worst == Some(&Verdict::Undecided)),
                Judgement::Proceed => assert!(!faulty && worst == Some(&Verdict::Proceed)),
            }
        }
    }
}
