//! Where each thing that is promised of policies is shown. `NAME::TEST` is a test in `tests/e2e/NAME.rs`, `PATH.rs::TEST` one in
//! another file of this repository.
//!
//! | of policies | what must hold | shown by |
//! |---|---|---|
//! | files | dropped in like agents, and taken from the next reload on | `policy_folder::a_policy_that_is_dropped_counts_from_the_next_reload_and_is_found_compiled_after_a_restart`, `host/src/policies/tests.rs::a_file_comes_is_refused_is_mended_and_goes` |
//! | files | each stage refuses with its name and a reason | `policy_folder::each_bad_policy_has_its_own_message`, `host/src/policies/tests.rs::each_stage_refuses_with_its_name_and_a_reason`, `host/tests/cli/policy.rs::check_names_the_stage_and_the_reason` |
//! | files | one that fails its trial is refused | `host/crates/runtime/tests/policies/contract.rs::a_trial_shows_the_fault_that_the_first_reload_would`, `host/src/policies/tests.rs::each_stage_refuses_with_its_name_and_a_reason` |
//! | files | names of those in the binary are theirs | `policy_folder::each_bad_policy_has_its_own_message`, `host/src/policies/tests.rs::names_of_policies_in_the_binary_are_theirs` |
//! | files | a refused one leaves the last good one in force | `policies::a_policy_that_cannot_be_taken_decides_nothing_and_the_last_good_one_still_does` |
//! | files | the agent's settings lie over those of the file | `policy_folder::an_agents_settings_lie_over_those_of_the_policy`, `host/src/policies/tests.rs::settings_are_those_of_the_file_under_those_of_the_agent` |
//! | files | a reload keeps the policy that it began with, the next uses the new one | `policy_folder::a_policy_that_is_dropped_counts_from_the_next_reload_and_is_found_compiled_after_a_restart`, `policy_lists::the_same_traffic_is_decided_otherwise_once_the_policys_file_is_another` |
//! | files | the same over a restart, whatever stands under the name by then | `restarts::q_a_reload_keeps_the_policy_it_began_with_over_a_restart_too` |
//! | asked with | at most 120 windows since the reload began, older neighbours of equal split merged | `host/crates/rollout/src/series.rs::a_long_series_keeps_every_count_and_the_newest_windows`, `host/crates/rollout/src/series.rs::sparse_traffic_is_merged_from_the_oldest_on` |
//! | asked with | the state that it answered last; one that is corrupt is the beginning | `host/crates/runtime/tests/policies/answers.rs::state_comes_back_as_it_was_given`, `policies/sdk/src/component.rs::a_state_comes_back_and_a_corrupt_one_is_the_beginning` |
//! | lists | off, monitor and enforce, per agent and policy | `policy_lists::each_agent_says_of_each_policy_whether_it_decides_watches_or_is_left_out` |
//! | lists | the gravest word counts, in any order | `policy_lists::of_several_policies_the_gravest_word_counts_in_any_order`, `host/crates/rollout/tests/it/laws.rs::the_gravest_wins_in_any_order` |
//! | lists | one in which nothing enforces is refused | `policy_lists::each_agent_says_of_each_policy_whether_it_decides_watches_or_is_left_out` |
//! | lists | a policy that is missing keeps the reload pending | `policies::a_reload_waits_for_a_policy_that_is_missing_and_goes_on_when_it_is_there`, `policy_folder::a_reload_waits_for_a_policy_that_never_was_or_is_gone` |
//! | faults | trap, endless loop, memory bomb, `err`, NaN, state too large: in `evaluate` | `policy_faults::a_rollback_policy_at_fault_keeps_the_stage_as_it_is`, `policies::a_faulty_rollback_policy_holds_the_reload_and_the_guard_still_goes_back` |
//! | faults | the same in `next` | `policy_faults::a_strategy_policy_at_fault_keeps_the_stage_as_it_is`, `policies::a_strategy_policy_at_fault_after_the_swap_does_not_end_the_bake` |
//! | faults | the same in `begin`, and plans beyond all bounds | `policies::a_strategy_policy_that_cannot_plan_keeps_the_new_version_without_traffic`, `policies::a_plan_that_no_agent_can_follow_harms_nothing` |
//! | faults | slow: sleep takes no time, waiting for the clock is an endless loop | `policy_faults::sleep_takes_no_time_and_a_flood_of_lines_is_cut_and_counted`, `policy_faults::a_rollback_policy_at_fault_keeps_the_stage_as_it_is`, `host/crates/runtime/tests/policies/faults.rs::fuel_that_lasts_for_ever_ends_at_the_deadline` |
//! | faults | settings that the schema refuses | `policy_folder::each_bad_policy_has_its_own_message`, `policy_folder::an_agent_that_a_policy_refused_is_looked_at_again_when_the_policy_changes` |
//! | faults | settings that `check-settings` refuses or fails on | `policies::settings_that_a_policy_refuses_are_told_in_its_words` |
//! | faults | forbidden import, another version of the contract | `policies::a_policy_that_cannot_be_taken_decides_nothing_and_the_last_good_one_still_does`, `policy_folder::each_bad_policy_has_its_own_message`, `host/crates/runtime/tests/policies/loading.rs::another_version_of_the_contract_is_named` |
//! | faults | a split out of bounds, promotion without evidence | `policy_faults::a_strategy_policy_at_fault_keeps_the_stage_as_it_is`, `policies::a_strategy_policy_at_fault_after_the_swap_does_not_end_the_bake` |
//! | faults | a rollback to nowhere | `policies::a_demand_to_go_back_takes_away_nothing_where_there_is_nowhere_to_go`, `host/crates/rollout/src/rounds/tests.rs::a_rollback_to_nowhere_is_refused_told_and_shown` |
//! | faults | flip-flop between splits | `policy_faults::a_strategy_policy_that_flips_between_shares_ends_at_the_lower_one`, `host/crates/rollout/tests/it/policies.rs::a_strategy_that_goes_back_and_forth_is_refused_from_the_third_turn_on` |
//! | faults | a flood of log lines | `policy_faults::sleep_takes_no_time_and_a_flood_of_lines_is_cut_and_counted` |
//! | faults | a missing file | `policies::a_reload_waits_for_a_policy_that_is_missing_and_goes_on_when_it_is_there`, `policy_folder::a_reload_waits_for_a_policy_that_never_was_or_is_gone` |
//! | faults | none of a monitor changes anything, and each is told | `policy_faults::whatever_a_monitor_does_the_reload_goes_as_without_it`, `host/crates/rollout/tests/it/policies.rs::what_monitors_changes_nothing_whatever_it_does`, `host/crates/rollout/src/rounds/tests.rs::a_monitor_is_asked_again_once_it_has_answered_and_is_heard_however_late` |
//! | faults | each is recorded | `records::a_fault_is_recorded_and_a_kill_leaves_what_there_is`, `policy_faults::a_rollback_policy_at_fault_keeps_the_stage_as_it_is` |
//! | shown | two policies, two decisions, by a swapped file alone | `policy_lists::the_same_traffic_is_decided_otherwise_once_the_policys_file_is_another`, `triggers::p_the_same_traffic_under_two_policies_ends_otherwise` |
//! | shown | two policies over one recorded reload | `explained::a_reload_that_was_rolled_back_is_explained_and_asked_again`, `host/src/replay/tests.rs::two_settings_of_one_policy_decide_differently` |
//! | shown | equal bytes from two processes, compiled anew and from the cache | `equal_answers::standard`, `equal_answers::evidence`, `equal_answers::thresholds`, `equal_answers::manual`, `tests/languages/same.rs::two_processes_get_the_same_bytes` |
//! | shown | 30 % failures go back after some tens of requests | `evidence::a_candidate_that_fails_thirty_per_cent_goes_after_some_tens_of_its_requests` |
//! | shown | 1 % completes | `evidence::a_candidate_that_fails_one_per_cent_completes` |
//! | shown | an outage of both holds, then completes | `evidence::an_outage_of_both_versions_holds_and_then_completes` |
//! | shown | a candidate that mends a broken stable version gets through | `evidence::a_candidate_that_mends_a_broken_stable_version_gets_through` |
//! | shown | no traffic moves no traffic | `tests/sim/tests/evidence/main.rs::without_traffic_no_traffic_moves_and_the_deadline_decides` |
//! | shown | all traffic and no requests: unproven, and back when the first three fail an hour later | `tests/sim/tests/evidence/main.rs::a_version_with_all_traffic_and_no_requests_completes_as_unproven_and_is_watched_on` |
//! | shown | what a call with 120 windows costs: `caxton policy bench evidence --windows 120` | `host/tests/cli/policy.rs::bench_gives_the_same_answers_in_two_processes_compiled_or_not`, `host/crates/runtime/tests/policies/figures.rs::a_call_with_all_windows_stays_far_below_its_fuel` |
//! | shown | the guide, followed | `tests/languages/guide.rs::in_rust_up_to_a_policy_in_charge`, `tests/languages/guide.rs::in_python` |

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = include_str!("policy_contract.rs");
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .collect();
    let mut named = 0;
    for row in &rows[1..] {
        let references = row.split('`').filter_map(|text| text.split_once("::"));
        let mut in_row = 0;
        for (place, test) in references {
            in_row += 1;
            let file = match place.strip_suffix(".rs") {
                Some(_) => root.join(place),
                None => root.join(format!("tests/e2e/{place}.rs")),
            };
            let source =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{place}: {error}"));
            let (_, from_it) = source
                .split_once(&format!("fn {test}("))
                .unwrap_or_else(|| panic!("{place} has no {test}"));
            assert!(from_it.starts_with(')'), "{place}: {test} is no test");
        }
        assert!(in_row > 0, "no test is named: {row}");
        named += in_row;
    }
    assert!(named > rows.len(), "{named} in {} rows", rows.len());
}
