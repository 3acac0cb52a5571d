use super::*;
use crate::Judgement;

/// Goes back at the third failure of all windows, and remembers how often it was asked.
struct Third;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl RollbackPolicy for Third {
    const NAME: &'static str = "third";
    const ABOUT: &'static str = "Goes back at the third failure.";
    type Settings = Settings;
    type State = u64;

    fn evaluate(_settings: &Settings, reload: &crate::Reload<'_>, asked: &mut u64) -> Judgement {
        *asked += 1;
        assert_eq!(*asked, reload.windows.len() as u64);
        if crate::windows::candidate(reload.windows).failures >= 3 {
            return Judgement::rollback(crate::Blame::Unknown, "third", "three");
        }
        if reload.context.stateful {
            return Judgement::hold("stateful", "state");
        }
        Judgement::proceed("fine", "fewer")
    }
}

fn differences(scenario: &str) -> Vec<String> {
    let text = format!(
        r#"{{"format": "caxton-scenarios/1", "tick_ms": 5000, "scenarios": [{{"id": "S", {scenario}}}]}}"#
    );
    let (count, differences) = run::<Third>(&text).unwrap();
    assert_eq!(count, 1);
    differences
        .into_iter()
        .map(|difference| difference.message)
        .collect()
}

#[test]
fn what_comes_as_expected_is_no_difference() {
    for scenario in [
        r#""ticks": [[1,1,0,0],[2,2,0,0]], "expect": {"rollback_between_ticks": [2,2]}"#,
        r#""ticks": [[1,1,0,0]], "expect": {"never": "rollback", "final": {"decision": "continue", "code": "fine"}}"#,
        r#""ticks": [{"candidate": {"requests": 5, "failures": 3}, "expect": {"decision": "rollback", "blame": "unknown"}}]"#,
        r#""context": {"stateful": true}, "ticks": [[0,0,0,0]], "expect": {"final": {"decision": "hold"}}"#,
    ] {
        assert_eq!(differences(scenario), [""; 0], "{scenario}");
    }
}

#[test]
fn every_difference_is_told_with_its_tick() {
    for (scenario, told) in [
        (
            r#""ticks": [[3,3,0,0]], "expect": {"rollback_between_ticks": [2,4]}"#,
            "tick 1: rollback (third), expected in ticks 2 to 4",
        ),
        (
            r#""ticks": [[0,3,0,0]], "expect": {"rollback_between_ticks": [1,4]}"#,
            "never went back; at the end: proceed (fine)",
        ),
        (
            r#""ticks": [[0,3,0,0],[3,3,0,0]], "expect": {"never": "rollback"}"#,
            "tick 2: rollback (third), expected never",
        ),
        (
            r#""ticks": [[3,3,0,0]], "expect": {"final": {"blame": "candidate"}}"#,
            "at the end: rollback (third), expected any decision blaming candidate (any code)",
        ),
        (
            r#""ticks": [[0,3,0,0]], "expect": {"final": {"decision": "proceed", "code": "healthy"}}"#,
            "at the end: proceed (fine), expected proceed (healthy)",
        ),
        (
            r#""ticks": [{"expect": {"decision": "hold", "code": "no-data"}}]"#,
            "tick 1: proceed (fine), expected hold (no-data)",
        ),
    ] {
        assert_eq!(differences(scenario), [told], "{scenario}");
    }
}

#[test]
fn what_is_expected_after_it_went_back_is_looked_at() {
    assert_eq!(
        differences(r#""ticks": [[3,3,0,0], {"expect": {"decision": "rollback"}}, [0,1,0,0]]"#),
        ["tick 2: not asked any more after tick 1: rollback (third), expected rollback (any code)"]
    );
}

/// What [`Third`] does not look at.
struct Split;

impl RollbackPolicy for Split {
    const NAME: &'static str = "split";
    const ABOUT: &'static str = "Tells the shares.";
    type Settings = Settings;
    type State = ();

    fn evaluate(_settings: &Settings, reload: &crate::Reload<'_>, _state: &mut ()) -> Judgement {
        let window = reload.windows.last().unwrap();
        let context = reload.context;
        let code = format!(
            "{}-{}-{}-{}",
            context.split, window.split_wanted, context.elapsed_ms, window.start_ms
        );
        Judgement::proceed(&code, "as it is")
    }
}

#[test]
fn shares_and_times_are_those_of_the_host_where_none_are_written() {
    for (ticks, codes) in [
        (
            "[0,1,0,0], [0,1,0,0]",
            ["100-100-1000-0", "100-100-2000-1000"],
        ),
        ("[0,1,0,0], [0,1,0,1]", ["50-50-1000-0", "50-50-2000-1000"]),
        (
            r#"{"mirrored": {}}, {"split-wanted": 100}"#,
            ["0-0-1000-0", "0-100-2000-1000"],
        ),
        (
            r#"{"end-ms": 300}, {"context": {"split": 7}}"#,
            ["100-100-300-0", "7-7-1300-300"],
        ),
    ] {
        let [first, last] = codes;
        let text = format!(
            r#"{{"format": "caxton-scenarios/1", "scenarios": [
                {{"id": "A", "ticks": [{ticks}], "expect": {{"final": {{"code": "{last}"}}}}}},
                {{"id": "B", "ticks": [{ticks}], "expect": {{"never": "hold"}}}}]}}"#
        );
        let (_, found) = run::<Split>(&text).unwrap();
        assert_eq!(found, [], "{ticks}");
        let other = text.replace(last, first);
        assert!(run::<Split>(&other).unwrap().1[0].message.contains(last));
    }
}

#[test]
fn a_scenario_that_expects_nothing_is_refused() {
    for (scenario, told) in [
        (r#""ticks": [[1,1,0,0]]"#, "S: expect: nothing is expected"),
        (
            r#""ticks": [], "expect": {"never": "hold"}"#,
            "S: ticks: there are none",
        ),
        (
            r#""ticks": [[1,1,0,0]], "expect": {"final": {}}"#,
            "S: expect: final expects nothing",
        ),
        (
            r#""ticks": [{"expect": {}}]"#,
            "S: tick 1: expect: it expects nothing",
        ),
        (
            r#""ticks": [[1,1,0,0]], "expect": {"rollback_between_ticks": [3,2]}"#,
            "S: expect: rollback_between_ticks is [3, 2]",
        ),
    ] {
        let error = refused(scenario);
        assert!(error.starts_with(told), "{error}");
    }
}

fn refused(scenario: &str) -> String {
    let text = format!(
        r#"{{"format": "caxton-scenarios/1", "tick_ms": 5000, "scenarios": [{{"id": "S", {scenario}}}]}}"#
    );
    run::<Third>(&text).unwrap_err()
}

#[test]
fn a_file_that_cannot_be_read_says_where() {
    let expect = r#""expect": {"never": "hold"}"#;
    for (scenario, told) in [
        (r#""ticks": [[1,2,3]]"#, "S: tick 1: invalid length 3"),
        (
            r#""ticks": [{"candidat": {}}]"#,
            "S: tick 1: unknown field `candidat`",
        ),
        (
            r#""ticks": [{"start-ms": 5, "end-ms": 5}]"#,
            "S: tick 1: it goes from 5 to 5 ms",
        ),
        (
            r#""ticks": [[1,1,0,0]], "settings": {"x": 1}"#,
            "S: settings: ",
        ),
        (
            r#""ticks": [[1,1,0,0]], "context": {"statefull": true}"#,
            "S: unknown field `statefull`",
        ),
        (r#""ticks": [], "seting": {}"#, "unknown field `seting`"),
    ] {
        let error = refused(&format!("{scenario}, {expect}"));
        assert!(error.starts_with(told), "{error}");
    }
    let error = refused(r#""ticks": [[1,1,0,0]], "expect": {"never": "rolback"}"#);
    assert!(error.starts_with("unknown variant `rolback`"), "{error}");
    for (file, told) in [
        (
            r#""format": "other", "scenarios": []"#,
            "caxton-scenarios/1",
        ),
        (
            r#""format": "caxton-scenarios/1", "scenarios": []"#,
            "there are none",
        ),
        (
            r#""format": "caxton-scenarios/1", "tick": 1, "scenarios": []"#,
            "unknown field `tick`",
        ),
        (
            r#""format": "caxton-scenarios/1", "ticks_are": ["x"], "scenarios": []"#,
            "ticks_are",
        ),
    ] {
        let error = run::<Third>(&format!("{{{file}}}")).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
