//! A share of the requests goes to another version: by key, or by chance.

use std::collections::BTreeSet;
use std::sync::Arc;

use caxton::gateway::GatewaySettings;
use caxton::routes::{Affinity, AgentRoute, Serving, Share};
use caxton_runtime::{Limits, Version};

use crate::raw::{Raw, Reply};
use crate::rig::{Rig, routed, served, web, web_as};

const KEYS: u32 = 400;

struct Pair {
    old: Arc<Version>,
    new: Arc<Version>,
}

impl Pair {
    /// Two versions whose answers show which one it was.
    async fn prepare() -> Self {
        Self {
            old: web(1, Limits::default()).await,
            new: web_as("/status/202", 2, Limits::default()).await,
        }
    }

    fn route(&self, percent: u8, affinity: Affinity) -> Vec<AgentRoute> {
        let share = Share {
            served: served(&self.new),
            percent,
            salt: 7,
        };
        let serving = Serving {
            split: Some(share),
            affinity,
            ..Serving::all_to(served(&self.old))
        };
        vec![routed("web", serving)]
    }
}

/// Whether the new version answered, which must be the one that `x-caxton-version` names.
fn by_new(reply: &Reply) -> bool {
    let named = reply.header("x-caxton-version").unwrap();
    match reply.status {
        200 => assert_eq!(named, "1"),
        202 => assert_eq!(named, "2"),
        _ => panic!("{reply:?}"),
    }
    reply.status == 202
}

async fn ask(raw: &mut Raw, headers: &str) -> bool {
    raw.send(format!("GET /web/ HTTP/1.1\r\nhost: t\r\n{headers}\r\n"))
        .await;
    by_new(&raw.reply().await)
}

/// The keys that went to the new version.
async fn keys_of_new(rig: &Rig, header: impl Fn(u32) -> String) -> BTreeSet<u32> {
    let mut raw = rig.connect().await;
    let mut found = BTreeSet::new();
    for key in 0..KEYS {
        if ask(&mut raw, &header(key)).await {
            found.insert(key);
        }
    }
    found
}

#[tokio::test]
async fn a_larger_share_takes_keys_and_gives_none_back() {
    let pair = Pair::prepare().await;
    let by_header = |key| format!("x-caxton-key: user-{key}\r\n");
    let by_cookie = |key| format!("cookie: a=b; id=user-{key}\r\nx-caxton-key: same\r\n");
    let rig = Rig::start(
        GatewaySettings::default(),
        pair.route(10, Affinity::default()),
    )
    .await;
    let mut before = keys_of_new(&rig, by_header).await;
    let again = keys_of_new(&rig, by_header).await;
    assert_eq!(before, again, "a key stays where it is");
    for percent in [25, 50] {
        rig.store(pair.route(percent, Affinity::default()));
        let now = keys_of_new(&rig, by_header).await;
        assert!(before.is_subset(&now), "{percent} per cent");
        let expected = KEYS * u32::from(percent) / 100;
        // The keys and the salt are fixed: this is no matter of chance.
        let off = u32::try_from(now.len()).unwrap().abs_diff(expected);
        assert!(off <= 30, "{percent} per cent: {}", now.len());
        before = now;
    }
    rig.store(pair.route(50, Affinity::Cookie("id".to_owned())));
    assert_eq!(keys_of_new(&rig, by_cookie).await, before);
    let user = "x-user".parse().unwrap();
    rig.store(pair.route(50, Affinity::Header(user)));
    let by_user = |key| format!("x-user: user-{key}\r\n");
    assert_eq!(keys_of_new(&rig, by_user).await, before);
}

#[tokio::test]
async fn without_a_key_every_request_is_drawn_anew() {
    let pair = Pair::prepare().await;
    let rig = Rig::start(
        GatewaySettings::default(),
        pair.route(25, Affinity::default()),
    )
    .await;
    let mut raw = rig.connect().await;
    let mut hits = 0_u32;
    for _ in 0..1_000 {
        hits += u32::from(ask(&mut raw, "").await);
    }
    // Six standard deviations.
    assert!((168..=332).contains(&hits), "{hits} of 1,000");
    assert_eq!(pair.new.take_window().requests, u64::from(hits));
    assert_eq!(pair.old.take_window().requests, u64::from(1_000 - hits));
}
