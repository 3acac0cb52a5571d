//! A small trial of what `caxton-bench kill` does at length: killed in the middle of reloads of all strategies, under load, nothing
//! that was told is forgotten.

use std::path::PathBuf;
use std::time::Duration;

use caxton_bench::kill::{Plan, measure};

use crate::harness::{PATIENCE, Turn, binary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_twelve_kills_in_the_middle_of_reloads_forget_nothing() {
    let _alone = Turn::alone().await;
    let binary = PathBuf::from(binary().get_program());
    let plan = Plan {
        // So few kills hit what they hit; what follows from each is looked at all the same.
        each_at_least: 0,
        // Whether a start is fast is measured elsewhere.
        start_within: PATIENCE,
        longest_life: Duration::from_secs(2),
        ..Plan::of(binary, 12)
    };
    let report = measure(plan).await.unwrap();
    eprintln!("{report}");
    assert!(report.is_good(), "{report}");
    assert!(
        report.interrupted > 0,
        "no reload was interrupted: {report}"
    );
    assert!(report.requests.good > 0, "{report}");
}
