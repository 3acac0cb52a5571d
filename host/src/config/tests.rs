use std::time::Duration;

use caxton_rollout::{MirrorRequests, OnCrashLoop, Strategy};
use caxton_runtime::Instances;
use expect_test::{Expect, expect};

use super::AgentConfig;
use crate::routes::Affinity;

fn read(text: &str) -> AgentConfig {
    AgentConfig::read("hello.toml", text, &toml::Table::new()).unwrap()
}

fn refused(text: &str, expected: Expect) {
    let error = AgentConfig::read("hello.toml", text, &toml::Table::new()).unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = read("");
    assert_eq!(config.reload.strategy, Strategy::Graceful);
    assert_eq!(config.reload.bake, Duration::from_secs(300));
    assert_eq!(config.rollback.policies.len(), 1);
    assert_eq!(config.limits.memory, 64 * 1024 * 1024);
    assert_eq!(config.instances, None);
}

#[test]
fn what_is_written_has_its_effect() {
    let config = read(
        r#"
        [reload]
        strategy = "immediate"
        bake = "0s"
        [rollback]
        preserve_versions = 1
        policies = [{ name = "thresholds", settings = { error_rate = 10.0 } }]
        [health]
        interval = "250ms"
        [instances]
        reuse = 7
        [limits]
        memory = "128MiB"
        concurrency = 3
        [grants]
        env = { LEVEL = "info" }
        [route]
        host = "Hello.localhost"
        "#,
    );
    assert_eq!(config.reload.strategy, Strategy::Immediate);
    assert_eq!(config.reload.bake, Duration::ZERO);
    assert_eq!(config.rollback.preserve_versions, 1);
    assert_eq!(
        config.rollback.policies.first().unwrap().settings,
        r#"{"error_rate":10.0}"#
    );
    assert_eq!(config.health.interval, Duration::from_millis(250));
    assert_eq!(config.instances, Some(Instances::Reused { reuse: 7 }));
    assert_eq!(config.limits.memory, 128 * 1024 * 1024);
    assert_eq!(config.limits.concurrency, 3);
    let env = config.env.values(|_| None).unwrap();
    assert_eq!(env, [("LEVEL".to_owned(), "info".to_owned())]);
    assert_eq!(config.route.host, Some("hello.localhost".parse().unwrap()));
}

#[test]
fn what_is_written_of_strategies_and_state_has_its_effect() {
    let config = read(
        r#"
        [reload]
        strategy = "traffic-splitting"
        split = 25
        progressive = false
        stages = [{ split = 5 }, { split = 50, at_least = "1m", at_least_requests = 9, needs_operator = true }]
        affinity = { cookie = "sid" }
        gate_timeout = "4s"
        immediate_grace = "2s"
        [reload.mirror]
        requests = "all"
        at_least = "3s"
        at_least_requests = 7
        grants = true
        ignore_headers = ["x-request-id"]
        [state]
        checkpoint = "off"
        max_size = "2MiB"
        [instances]
        mode = "single"
        [limits]
        isolation = false
        [grants]
        dirs = [{ host = "files", guest = "/files", write = true }]
        outbound = ["https://api.example.com"]
        "#,
    );
    let reload = &config.reload;
    assert_eq!(reload.strategy, Strategy::TrafficSplitting);
    assert_eq!((reload.split, reload.progressive), (25, false));
    let shares: Vec<_> = reload
        .stages
        .iter()
        .map(|s| (s.split, s.at_least.as_secs()))
        .collect();
    assert_eq!(shares, [(5, 30), (50, 60)]);
    let last = reload.stages.last().unwrap();
    assert_eq!((last.at_least_requests, last.needs_operator), (9, true));
    assert_eq!(reload.gate_timeout, Duration::from_secs(4));
    assert_eq!(reload.immediate_grace, Duration::from_secs(2));
    assert_eq!(reload.mirror.requests, MirrorRequests::All);
    assert_eq!(reload.mirror.at_least, Duration::from_secs(3));
    assert_eq!(reload.mirror.at_least_requests, 7);
    assert_eq!(config.traffic.affinity, Affinity::Cookie("sid".to_owned()));
    assert_eq!(config.traffic.ignore_headers, ["x-request-id"]);
    assert!(config.traffic.grants_to_listener);
    assert_eq!(config.state.checkpoint, None);
    assert_eq!(config.state.max_size, 2 << 20);
    assert_eq!(config.instances, Some(Instances::Single));
    assert!(!config.isolation);
    assert!(
        config
            .dirs
            .iter()
            .all(|dir| dir.write && dir.guest == "/files")
    );
    assert_eq!(config.outbound.len(), 1);
}

#[test]
fn wrong_values_of_strategies_and_state_are_refused_with_what_is_right() {
    for (text, told) in [
        ("[reload]\nsplit = 0", "it goes from 1 to 99"),
        ("[reload]\nsplit = 100", "it goes from 1 to 99"),
        ("[reload]\nstages = []", "write 1 to 32"),
        (
            "[reload]\nstages = [{ split = 50 }, { split = 50 }]",
            "shares go from 1 to 99 and rise",
        ),
        (
            "[reload]\nstages = [{ split = 5, wait = '1s' }]",
            "unknown field `wait`",
        ),
        ("[reload]\naffinity = 'header'", "{ header = \"NAME\" }"),
        (
            "[reload]\naffinity = { cookie = 'a b' }",
            "no cookie's name",
        ),
        (
            "[reload]\naffinity = { header = 'a b' }",
            "no header's name",
        ),
        (
            "[reload]\nmirror = { requests = 'some' }",
            "`safe` or `all`",
        ),
        (
            "[reload]\nmirror = { ignore_headers = ['a b'] }",
            "no header's name",
        ),
        ("[state]\ncheckpoint = 'never'", "\"off\" for never"),
        (
            "[instances]\nmode = 'single'\nreuse = 3",
            "a single instance takes all requests",
        ),
        (
            "[grants]\ndirs = [{ host = '/x', guest = 'x' }]",
            "begins with a slash",
        ),
        ("[grants]\noutbound = ['example.com']", "grants.outbound"),
    ] {
        let error = AgentConfig::read("hello.toml", text, &toml::Table::new()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(told) && error.starts_with("hello.toml: "),
            "{text}: {error}"
        );
    }
}

#[test]
fn an_agents_own_keys_lie_over_the_defaults() {
    let defaults = toml::from_str("[limits]\nmemory = '32MiB'\nconcurrency = 5").unwrap();
    let config = AgentConfig::read("hello.toml", "[limits]\nconcurrency = 9", &defaults).unwrap();
    assert_eq!(config.limits.memory, 32 * 1024 * 1024);
    assert_eq!(config.limits.concurrency, 9);
}

#[test]
fn only_what_a_version_runs_with_changes_its_digest() {
    let plain = read("").digest;
    assert_eq!(
        plain,
        read("[reload]\nbake = '1s'\n[health]\ninterval = '1s'").digest
    );
    assert_eq!(plain, read("[limits]").digest);
    assert_ne!(plain, read("[limits]\nmemory = '64MiB'").digest);
    assert_ne!(plain, read("[grants]\nenv = { A = 'b' }").digest);
    let minute = read("[limits]\nrequest_timeout = '1m'").digest;
    assert_eq!(minute, read("[limits]\nrequest_timeout = '60s'").digest);
}

/// Each key that a version runs with is another version, and none of the others is.
#[test]
fn each_key_that_a_version_runs_with_makes_one_and_no_other_does() {
    let plain = read("").digest;
    for makes in [
        "[grants]\nenv = { A = \"b\" }",
        "[grants]\nenv = { A = { from_env = \"B\" } }",
        "[grants]\ndirs = [{ host = \"/srv\", guest = \"/x\" }]",
        "[grants]\noutbound = [\"https://example.com\"]",
        "[instances]\nmode = \"fresh\"",
        "[instances]\nreuse = 7",
        "[limits]\nmemory = \"64MiB\"",
        "[limits]\nrequest_timeout = \"30s\"",
        "[limits]\nidle_timeout = \"30s\"",
        "[limits]\nconcurrency = 100",
        "[limits]\nisolation = true",
        "[limits]\nrequest_body = \"8MiB\"",
        "[limits]\nreply_body = \"64MiB\"",
        "[limits]\nfuel = 1_000",
        "[state]\ncheckpoint = \"10s\"",
        "[state]\nmax_size = \"64MiB\"",
        "[reload]\npreserve_state = true",
        "[route]\nhost = \"hello.localhost\"",
        "[route]\npath = \"/\"",
    ] {
        assert_ne!(read(makes).digest, plain, "{makes}");
    }
    let digest = "ab".repeat(32);
    for makes_none in [
        "enabled = true",
        "enabled = false",
        &format!("component = \"sha256:{digest}\""),
        "[reload]\nstrategy = \"immediate\"\npolicy = \"mine\"\npolicy_settings = { a = 1 }\nsplit = 20\nprogressive = false",
        "[reload]\nstages = [{ split = 5 }]\naffinity = { cookie = \"sid\" }\ndrain_timeout = \"1s\"\nwarm_up = \"1s\"\nbake = \"1s\"",
        "[reload]\nkeep_previous = \"1s\"\ngate_timeout = \"1s\"\nimmediate_grace = \"2s\"\ndeadline = \"2h\"",
        "[reload]\non_inconclusive = \"hold\"\non_unproven = \"hold\"",
        "[reload.mirror]\nrequests = \"all\"\nat_least = \"1s\"\nat_least_requests = 1\ngrants = true\nignore_headers = [\"date\"]",
        "[rollback]\npreserve_versions = 1\ntimeout = \"1s\"\npolicies = [{ name = \"manual\" }]\nbreaker = { count = 1, window = \"1m\" }",
        "[rollback]\nenabled = false\non_crash_loop = \"rollback\"",
        "[health]\ninterval = \"1s\"\ntimeout = \"2s\"\npath = \"/healthz\"",
    ] {
        assert_eq!(read(makes_none).digest, plain, "{makes_none}");
    }
}

#[test]
fn what_judges_is_as_written_and_makes_no_version() {
    let config = read("[rollback]\ntimeout = \"7s\"\n[health]\ntimeout = \"3s\"\n");
    assert_eq!(config.rollback.timeout, Duration::from_secs(7));
    assert_eq!(config.health.timeout, Duration::from_secs(3));
    assert!(config.enabled && !read("enabled = false\n").enabled);
}

#[test]
fn an_affinity_of_its_own_replaces_the_one_below() {
    let defaults =
        toml::from_str("[reload]\naffinity = { header = 'x-user' }\nbake = '1s'").unwrap();
    let config = AgentConfig::read(
        "hello.toml",
        "[reload]\naffinity = { cookie = 'sid' }",
        &defaults,
    )
    .unwrap();
    assert_eq!(config.traffic.affinity, Affinity::Cookie("sid".to_owned()));
    assert_eq!(config.reload.bake, Duration::from_secs(1));
}

#[test]
fn what_stands_below_an_agents_own_file_is_told_where_it_stands() {
    let defaults = toml::from_str("[instances]\nreuse = 3").unwrap();
    let error =
        AgentConfig::read("hello.toml", "[instances]\nmode = \"fresh\"\n", &defaults).unwrap_err();
    expect![[r#"hello.toml: `instances.reuse` goes with mode = "reused": remove it, or change the mode; it stands in [defaults] of the host's configuration"#]].assert_eq(&error.to_string());
}

/// An upgrade of the host makes no new version: what the first release hashed is hashed the same for ever.
#[test]
fn keys_that_a_file_does_not_mention_are_not_in_its_digest() {
    let digest = |text| read(text).digest.to_string();
    assert_eq!(
        digest(""),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert_eq!(
        digest("[limits]\nmemory = '64MiB'"),
        "3b0dca1392d1a8675cfc72e3796b2d039090238ec313a6cf480b7faa983e2f95"
    );
    assert_ne!(digest(""), digest("[reload]\npreserve_state = false"));
    assert_ne!(digest(""), digest("[state]\ncheckpoint = 'off'"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    refused(
        "[reload]\ndrain_timout = \"3s\"\n",
        expect![[
            r#"hello.toml: line 2, `drain_timout`: unknown field `drain_timout`, expected one of `strategy`, `policy`, `policy_settings`, `split`, `progressive`, `stages`, `affinity`, `mirror`, `drain_timeout`, `warm_up`, `bake`, `keep_previous`, `gate_timeout`, `immediate_grace`, `preserve_state`, `deadline`, `on_inconclusive`, `on_unproven`; did you mean `drain_timeout`?"#
        ]],
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_bounds() {
    refused(
        "[reload]\ndrain_timeout = \"2h\"\n",
        expect![[
            r#"hello.toml: line 2, `drain_timeout = "2h"`: `2h` is out of bounds: from 0s to 30m"#
        ]],
    );
    refused(
        "[reload]\nbake = 5\n",
        expect![[
            r#"hello.toml: line 2, `bake = 5`: expected a duration in quotes, such as 30s, 5m or 1h, and found a number without quotes; did you mean "5s"?"#
        ]],
    );
    refused(
        "[limits]\nmemory = \"lots\"\n",
        expect![[
            r#"hello.toml: line 2, `memory = "lots"`: `lots` is no size (couldn't parse "lots" into a ByteSize, cannot parse float from empty string); write for example "64MiB" or "512KiB""#
        ]],
    );
    refused(
        "[limits]\nconcurrency = 0\n",
        expect!["hello.toml: line 2: `limits.concurrency` is 0: it goes from 1 to 10000"],
    );
    refused(
        "[reload]\nstrategy = \"bold\"\n",
        expect![[
            r#"hello.toml: line 2, `strategy = "bold"`: unknown variant `bold`, expected one of `graceful`, `immediate`, `parallel`, `traffic-splitting`"#
        ]],
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    refused(
        "[instances]\nmode = \"fresh\"\nreuse = 3\n",
        expect![[
            r#"hello.toml: line 3: `instances.reuse` goes with mode = "reused": remove it, or change the mode"#
        ]],
    );
    refused(
        "[instances]\nreuse = 0\n",
        expect![[
            r#"hello.toml: line 2: `instances.reuse` is 0: an instance takes at least one request; write mode = "fresh" for a new instance each time"#
        ]],
    );
    refused(
        "[rollback]\npolicies = [{ name = \"thresholds\", mode = \"monitor\" }]\n",
        expect![[
            r#"hello.toml: line 2: `rollback.policies` has no policy with mode = "enforce", so nothing would judge a new version: add one, or say `enabled = false` under [rollback]"#
        ]],
    );
    refused(
        "[route]\npath = \"hello\"\n",
        expect![[
            r#"hello.toml: line 2: `route.path`: "hello" cannot be a route's path: it does not begin with a slash; write for example "/" or "/shop/api""#
        ]],
    );
}

#[test]
fn a_breaker_and_a_crash_loop_are_as_written_and_make_no_version() {
    let default = read("").rollback;
    assert_eq!(default.breaker.count, 3);
    assert_eq!(default.breaker.window, Duration::from_secs(3600));
    assert_eq!(default.on_crash_loop, OnCrashLoop::Tell);
    let text =
        "[rollback]\nbreaker = { count = 5, window = \"2h\" }\non_crash_loop = \"rollback\"\n";
    let written = read(text);
    assert_eq!(written.rollback.breaker.count, 5);
    assert_eq!(written.rollback.breaker.window, Duration::from_secs(7200));
    assert_eq!(written.rollback.on_crash_loop, OnCrashLoop::Rollback);
    assert_eq!(written.digest, read("").digest);
    // What is left out is as it was: never, and in an hour.
    let never = read("[rollback]\nbreaker = { count = 0 }\n")
        .rollback
        .breaker;
    assert_eq!((never.count, never.window), (0, default.breaker.window));
}

#[test]
fn wrong_values_of_a_breaker_are_refused() {
    for (text, told) in [
        (
            "[rollback]\nbreaker = { count = 3, windw = \"1h\" }\n",
            expect![
                "hello.toml: line 2, `breaker`: unknown field `windw`, expected `count` or `window`; did you mean `window`?"
            ],
        ),
        (
            "[rollback]\nbreaker = { window = \"0s\" }\n",
            expect![[
                r#"hello.toml: line 2, `breaker = { window = "0s" }`: `0s` is out of bounds: from 1s to 7days"#
            ]],
        ),
        (
            "[rollback]\nbreaker = { window = 3600 }\n",
            expect![[
                r#"hello.toml: line 2, `breaker = { window = 3600 }`: expected a duration in quotes, such as 30s, 5m or 1h, and found a number without quotes; did you mean "3600s"?"#
            ]],
        ),
        (
            "[rollback]\nbreaker = { count = 101 }\n",
            expect![
                "hello.toml: line 2: `rollback.breaker.count` is 101: it goes from 1 to 100, and 0 means that it never holds a version back"
            ],
        ),
        (
            "[rollback]\nbreaker = { count = -1 }\n",
            expect![
                "hello.toml: line 2, `breaker = { count = -1 }`: expected a whole number from 0 to 4294967295, and found integer `-1`"
            ],
        ),
        (
            "[rollback]\nbreaker = false\n",
            expect![
                "hello.toml: line 2, `breaker = false`: expected a table: [NAME] on a line of its own and its keys below it, or NAME = { KEY = VALUE }, and found boolean `false`"
            ],
        ),
        (
            "[rollback]\non_crash_loop = \"restart\"\n",
            expect![[
                r#"hello.toml: line 2, `on_crash_loop = "restart"`: unknown variant `restart`, expected `tell` or `rollback`"#
            ]],
        ),
    ] {
        refused(text, told);
    }
}

#[test]
fn what_is_granted_is_not_quoted() {
    for text in [
        "[grants]\nenv = { KEY = \"s3cret\", LEVEL = }\n",
        "[grants.env]\nKEY = 53637265\n",
        "[grants]\nenv = { KEY = 53637265 }\n",
        "grants = { env = { KEY = \"s3cret\" } \n",
    ] {
        let error = AgentConfig::read("hello.toml", text, &toml::Table::new()).unwrap_err();
        let told = error.to_string();
        assert!(
            !told.contains("s3cret") && !told.contains("53637265"),
            "{told}"
        );
        assert!(told.contains("line "), "{told}");
    }
}

#[test]
fn a_bound_component_is_read_and_makes_no_version() {
    let digest = "ab".repeat(32);
    let bound = read(&format!("component = \"sha256:{digest}\"\n"));
    assert_eq!(bound.component.unwrap().to_string(), digest);
    assert_eq!(bound.digest, read("").digest);
    refused(
        "component = \"sha256:12\"\n",
        expect![[
            r#"hello.toml: line 1, `component = "sha256:12"`: `sha256:12` is no digest: write "sha256:" and 64 hexadecimal digits, as sha256sum prints them"#
        ]],
    );
}
