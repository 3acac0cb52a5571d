use std::time::Duration;

use caxton_rollout::Strategy;
use caxton_runtime::Instances;
use expect_test::{Expect, expect};

use super::AgentConfig;

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
    assert_eq!(config.env, [("LEVEL".to_owned(), "info".to_owned())]);
    assert_eq!(config.route.host, Some("hello.localhost".parse().unwrap()));
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

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    refused("[reload]\ndrain_timout = \"3s\"\n", expect![[r#""#]]);
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_bounds() {
    refused("[reload]\ndrain_timeout = \"2h\"\n", expect![[r#""#]]);
    refused("[reload]\nbake = 5\n", expect![[r#""#]]);
    refused("[limits]\nmemory = \"lots\"\n", expect![[r#""#]]);
    refused("[limits]\nconcurrency = 0\n", expect![[r#""#]]);
    refused("[reload]\nstrategy = \"bold\"\n", expect![[r#""#]]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    refused(
        "[instances]\nmode = \"fresh\"\nreuse = 3\n",
        expect![[r#""#]],
    );
    refused("[instances]\nreuse = 0\n", expect![[r#""#]]);
    refused(
        "[rollback]\npolicies = [{ name = \"thresholds\", mode = \"monitor\" }]\n",
        expect![[r#""#]],
    );
    refused("[route]\npath = \"hello\"\n", expect![[r#""#]]);
}
