//! Where each acceptance line of the specification is shown.
//!
//! | line | what must hold | shown by |
//! |---|---|---|
//! | A | graceful loses nothing | `nothing_lost::a_graceful_..`, `reloads_under_load::*`, `state::c_a_counter_keeps_its_count_..`, `demo::the_demo_loses_nothing` |
//! | A | immediate counts what it loses | `nothing_lost::a_immediate_..`, `in_flight::an_immediate_reload_ends_it_at_once_..`, `in_flight::an_immediate_reload_breaks_a_reply_..`, `demo::the_demo_with_immediate_..` |
//! | A | parallel loses nothing | `nothing_lost::a_parallel_..`, `demo::a_the_demo_with_parallel_..` |
//! | A | traffic-splitting loses nothing | `nothing_lost::a_traffic_splitting_..`, `nothing_lost::a_share_that_is_taken_back_..`, `splitting::a_progressive_split_..`, `demo::a_the_demo_with_traffic_splitting_..` |
//! | B | a drain ends with the last call | `in_flight::b_a_drain_ends_with_the_last_call_..` |
//! | B | at the timeout the rest is cut | `in_flight::a_call_that_outlasts_the_drain_timeout_..` |
//! | C | a count outlives reloads | `state::c_a_counter_keeps_its_count_..`, `state::c_a_removed_agent_..` |
//! | C | a refused `load`, a failed `save` | `handed_over::c_a_version_that_refuses_the_state_..`, `handed_over::c_a_version_that_cannot_save_..` |
//! | C | a call that outlasts the drain | `handed_over::c_a_call_that_outlasts_the_drain_..` |
//! | C | automatic rollback | `handed_over::c_an_automatic_rollback_..` |
//! | C | an operator's rollback | `state::c_an_operators_rollback_..`, `state::c_a_rollback_by_choice_..`, `handed_over::c_a_rollback_whose_target_refuses_..` |
//! | C | SIGTERM and start | `state::c_a_count_outlives_sigterm_and_start`, `state::c_damaged_state_..` |
//! | C | a trap | `handed_over::c_after_a_trap_..` |
//! | C2 | live, checkpoint, none | `handed_over::c2_immediate_takes_the_state_live_..`, `handed_over::c2_immediate_takes_the_checkpoint_..`, `handed_over::c2_immediate_says_none_..` |
//! | D | unhealthy after an immediate swap | `triggers::d_immediate_goes_back_..` |
//! | E | both run; copies are no live traffic | `parallel::e_*` |
//! | E | answers that differ reach the policies | `parallel::e_answers_that_differ_..` |
//! | E | copies have no side effect | `side_effects::e_copies_reach_nobody_outside_..` |
//! | F | 0 and 100 are refused | `validation::m_..` |
//! | F | the share holds and is measured | `splitting::f_..`, `operators::i_progress_is_seen_..` |
//! | G | each trigger fires | `triggers::g_error_rate_fires`, `triggers::g_performance_degradation_fires_..`, `triggers::g_memory_fires`, `triggers::g_custom_metric_fires`, `triggers::g_health_check_failure_fires` |
//! | G | thresholds that mean nothing are refused | `triggers::g_thresholds_that_mean_nothing_..` |
//! | H | rollback to each kept version | `operators::h_..`, `command_line::a_rollback_to_a_kept_version_..` |
//! | I | progress from outside | `operators::i_progress_is_seen_..`, `command_line::events_can_be_followed` |
//! | I | an unknown agent | `operators::i_an_agent_that_nobody_knows_..` |
//! | J | cancel in each phase | `operators::j_abort_in_each_phase_..` |
//! | J | timeout | `operators::j_a_reload_without_progress_..` |
//! | K | a newer file supersedes | `supersession::a_newer_file_*`, `supersession::k_of_twenty_versions_*`, `reloads_under_load::two_hundred_reloads_that_supersede_..` |
//! | K | a conflict names the reload | `operators::k_of_two_operators_..`, `supersession::other_agents_reload_meanwhile_..` |
//! | L | the agent runs on, the next attempt is free | `judged::*`, `validation::m_..`, `operators::j_*`, `supersession::rolled_back_bytes_stay_out_until_retry` |
//! | M | each row that a configuration can ask for | `validation::m_..` |
//! | M | empty, too large, the same version | `refusals::each_bad_component_..`, `refusals::a_file_of_200_mib_..`, `watching::the_same_bytes_with_a_new_date_..` |
//! | N | what is no component is refused | `refusals::each_bad_component_..`, `watching::a_file_that_is_written_slowly_..` |
//! | O | policies that trap, loop or are missing | `policies::*` |
//! | P | two policies, two decisions | `triggers::p_the_same_traffic_under_two_policies_..` |
