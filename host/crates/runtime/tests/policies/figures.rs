//! What a call costs. Fuel is asserted; time is printed only, with `--nocapture`, because it is the machine's.

use std::time::Duration;

use crate::fixture::{evaluate, thresholds, window};

/// The most windows that a policy is handed.
const WINDOWS: u64 = 120;

#[tokio::test]
async fn a_call_with_all_windows_stays_far_below_its_fuel() {
    let policy = thresholds().await;
    for count in [1, WINDOWS] {
        let windows: Vec<_> = (0..count).map(|n| window(n, (0, 40), (1, 40))).collect();
        let mut times = Vec::new();
        for _ in 0..100 {
            let call = evaluate(&policy, "{}", &windows).await;
            call.answer.unwrap();
            assert!(call.fuel < 10_000_000, "{} units of fuel", call.fuel);
            times.push((call.duration, call.fuel));
        }
        times.sort();
        let (median, fuel): (Duration, u64) = times.swap_remove(times.len() / 2);
        println!("{count} windows: {median:?} and {fuel} units of fuel a call");
    }
}
