//! Reloads that are refused for how they are asked for, each with its own message and before anything of them runs.

use std::collections::BTreeSet;

use caxton_test_artifacts::{STATEFUL, TOOL, WEB};

use crate::harness::{Ask, Caxton, variant};

/// The agent's component, a configuration that goes against it, and what the message says: where, and what to do.
type Row = (&'static str, &'static [u8], &'static str, [&'static str; 2]);

const ROWS: [Row; 8] = [
    (
        "parallel-not-isolated",
        WEB,
        "[limits]\nisolation = false\n[reload]\nstrategy = \"parallel\"\n",
        ["\"parallel\"", "isolation = true"],
    ),
    (
        "splitting-not-isolated",
        WEB,
        "[limits]\nisolation = false\n[reload]\nstrategy = \"traffic-splitting\"\n",
        ["\"traffic-splitting\"", "isolation = true"],
    ),
    (
        "split-0",
        WEB,
        "[reload]\nstrategy = \"traffic-splitting\"\nprogressive = false\nsplit = 0\n",
        ["split", "is 0: it goes from 1 to 99"],
    ),
    (
        "split-100",
        WEB,
        "[reload]\nstrategy = \"traffic-splitting\"\nprogressive = false\nsplit = 100\n",
        ["split", "is 100: it goes from 1 to 99"],
    ),
    (
        "rollback-disabled",
        WEB,
        "[reload]\nstrategy = \"traffic-splitting\"\n[rollback]\nenabled = false\n",
        ["[rollback] enabled", "enable it"],
    ),
    (
        "splits-state",
        STATEFUL,
        "[reload]\nstrategy = \"traffic-splitting\"\n",
        ["\"graceful\" or \"parallel\"", "preserve_state = false"],
    ),
    (
        "nothing-to-mirror",
        TOOL,
        "[reload]\nstrategy = \"parallel\"\nmirror = { requests = \"safe\" }\n",
        ["nothing to copy", "mirror.requests = \"all\""],
    ),
    (
        "health-by-export",
        TOOL,
        "[health]\npath = \"/healthz\"\n",
        [
            "exports caxton:agent/health, and that is what is asked",
            "remove the line `path`",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_each_row_of_the_table_is_refused_with_its_own_message_and_the_old_version_serves() {
    let host = Caxton::start().await;
    let mut messages = BTreeSet::new();
    for (name, component, config, parts) in ROWS {
        let is_web = component == WEB;
        let ask = || match is_web {
            true => Ask::get(format!("/{name}/")),
            false => Ask::post(format!("/{name}"), "echo hi"),
        };
        host.deploy(name, &variant(component, 1), 1).await;
        host.configure(name, config);
        host.drop_agent(name, &variant(component, 2));
        let status = host
            .admin
            .until(name, &format!("an error with {parts:?}"), |status| {
                let error = status["last_error"].as_str().unwrap_or_default();
                parts.iter().all(|part| error.contains(part))
            })
            .await;
        assert!(
            status["candidate"].is_null() && status["serving"] == 1,
            "{name}: {status}"
        );
        messages.insert(status["last_error"].as_str().unwrap().replace(name, "NAME"));
        let reply = host.ask(ask()).await;
        assert!(reply.is_good() && reply.version() == Some(1), "{reply:?}");
        assert_eq!(host.events.count(name, "swapped"), 1, "{name}");
        // The next attempt is free.
        host.configure(name, "[reload]\nbake = \"0s\"\n");
        host.drop_agent(name, &variant(component, 3));
        host.admin
            .until(name, "the next one serves", |s| {
                s["serving"].as_u64() > Some(1) && s["reload"].is_null()
            })
            .await;
    }
    assert_eq!(messages.len(), ROWS.len(), "{messages:#?}");
}
