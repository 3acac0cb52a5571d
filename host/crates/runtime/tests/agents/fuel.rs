//! Fuel: what each call has where it is metered, and what is told of it.

use crate::single::ask;
use crate::{PATIENCE, answer, counted, get, version};
use caxton_runtime::{CallError, HealthOutcome, Instances, Version};
use caxton_test_artifacts::{TOOL, WEB, WEB_P3};
use std::sync::Arc;

/// Some dozen times what a short request takes.
const FUEL: u64 = 3_000_000;

const MODES: [Instances; 3] = [
    Instances::Fresh,
    Instances::Reused { reuse: 10_000 },
    Instances::Single,
];

async fn metered(guest: &[u8], instances: Instances) -> Arc<Version> {
    version(guest, |spec| {
        spec.limits.fuel = Some(FUEL);
        spec.instances = Some(instances);
    })
    .await
}

const USED_UP: CallError = CallError::OutOfFuel { fuel: FUEL };

#[tokio::test]
async fn a_loop_ends_with_its_fuel_and_the_next_call_has_all_of_it() {
    let mut kept = Vec::new();
    for (guest, instances) in [WEB, WEB_P3]
        .iter()
        .flat_map(|g| MODES.map(|mode| (g, mode)))
    {
        let version = metered(guest, instances).await;
        for _ in 0..2 {
            assert_eq!(answer(&version, "/").await, (200, "hello\n".into()));
            let error = get(&version, "/loop").await.unwrap_err();
            assert_eq!(error, USED_UP, "{instances:?}");
        }
        assert_eq!(answer(&version, "/").await, (200, "hello\n".into()));
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures, arm.traps), (5, 2, 2));
        kept.push(version);
    }
}

/// An instance that takes many calls has for each what one that takes a single call has.
#[tokio::test]
async fn calls_use_more_together_than_each_may_and_it_is_told() {
    let mut kept = Vec::new();
    for instances in MODES {
        let version = metered(WEB, instances).await;
        let (mut used, mut first) = (0, None);
        while used <= 2 * FUEL {
            assert_eq!(answer(&version, "/").await.0, 200, "{instances:?}, {used}");
            let one = counted(&version).await.fuel.unwrap();
            // Equal requests: what those before it took is not told again.
            let first = *first.get_or_insert(one);
            assert!(one <= first + first / 10, "{instances:?}: {one}, {first}");
            used += one;
        }
        kept.push(version);
    }
    let unmetered = version(WEB, |_| {}).await;
    assert_eq!(answer(&unmetered, "/").await.0, 200);
    assert_eq!(counted(&unmetered).await.fuel, None);
}

#[tokio::test]
async fn messages_and_health_checks_are_metered_as_requests_are() {
    let version = metered(TOOL, Instances::Single).await;
    for _ in 0..2 {
        assert_eq!(ask(&version, "count").await.unwrap(), "1");
        assert_eq!(version.check_health(PATIENCE).await, HealthOutcome::Passed);
        assert_eq!(ask(&version, "loop").await.unwrap_err(), USED_UP);
    }
}
