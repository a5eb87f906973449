//! The rules of the stores.

pub mod accounts;
pub mod blocks;
pub mod control;
pub mod jobs;
pub mod metrics;
pub mod planning;
pub mod posts;
pub mod publications;
pub mod schedules;
pub mod slots;
pub mod spans;
pub mod upkeep;

/// Writes one test per rule of the stores; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        mod store_rules {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "whatever the caller's expression names"
            )]
            use super::*;

            $crate::conformance_rules! { $fresh, store::posts {
                posts_are_inserted_once,
                an_edit_needs_the_current_revision,
                content_is_frozen_by_an_intent,
                removing_a_post_never_publishes_it,
                the_list_tells_where_posts_stand,
                content_survives_as_it_is,
                tenants_are_apart,
            } }
            $crate::conformance_rules! { $fresh, store::accounts {
                account_names_are_unique,
                an_account_is_updated_in_place,
                an_account_in_use_stays,
                an_account_that_was_changed_meanwhile_stays,
                one_of_many_changes_an_account,
            } }
            $crate::conformance_rules! { $fresh, store::blocks {
                a_block_replaces_its_like,
                lifting_wakes_the_lane,
                ended_blocks_are_gone,
            } }
            $crate::conformance_rules! { $fresh, store::schedules {
                schedules_are_inserted_once,
                an_edit_wins_wholly_or_is_refused,
                an_edit_needs_the_seen_revision,
                an_edit_changes_what_it_names,
                a_changed_schedule_plans_its_moment_again,
                a_waiting_retry_is_given_up_by_an_edit,
                a_removed_schedule_never_fires,
            } }
            $crate::conformance_rules! { $fresh, store::planning {
                planning_makes_a_job_per_account,
                media_is_planned_earlier,
                planners_share_the_work,
                a_published_moment_is_never_planned_again,
                a_replayed_moment_is_never_planned_again,
                a_moment_that_had_an_intent_is_never_planned_again,
                missed_occurrences_are_recorded,
                what_follows_from_a_missed_occurrence_is_made_with_it,
                a_broken_schedule_blocks_nobody,
                only_what_is_asked_for_is_planned,
                planning_tells_the_next_moment,
                a_new_schedule_wakes_the_planner,
                a_limit_cuts_planning_into_pieces,
                a_moment_between_microseconds_is_planned,
                planned_jobs_carry_what_asked_for_them,
            } }
            $crate::conformance_rules! { $fresh, store::jobs {
                a_dedupe_key_makes_one_job,
                every_transition_is_recorded,
                pages_are_stable,
                filters_and_counts_agree,
                a_large_unicode_payload_survives,
            } }
            $crate::conformance_rules! { $fresh, store::control {
                a_cancelled_job_never_runs,
                what_may_be_out_cannot_be_cancelled,
                due_now_makes_it_due,
                a_dead_letter_is_replayed_once,
                a_dead_letter_is_resolved_once,
            } }
            $crate::conformance_rules! { $fresh, store::upkeep {
                dispatch_enqueues_what_is_planned,
                an_ended_lease_fails_the_attempt,
                waiting_shows_what_a_queue_should_hold,
                cleaning_spares_what_matters,
                cleaning_keeps_the_youngest,
                each_topic_keeps_its_own,
                a_moment_to_come_is_not_cleaned_up,
                cleaning_keeps_the_evidence_of_a_replay,
                a_cleaned_job_keeps_its_history,
                history_ends,
                an_endless_retention_keeps_everything,
            } }
            $crate::conformance_rules! { $fresh, store::publications {
                claimed_lists_every_part,
                claimed_goes_by_identity,
                publications_stay,
                an_older_publication_has_its_text,
            } }
            $crate::conformance_rules! { $fresh, store::spans {
                publish_jobs_are_found_by_their_time,
                a_publication_without_its_job_is_found_by_its_time,
                what_is_coming_is_found_by_its_time,
                what_an_edit_would_move_is_movable,
            } }
            $crate::conformance_rules! { $fresh, store::slots {
                slot_rules_are_replaced,
                one_of_many_takes_a_slot,
                a_slot_is_taken_over_from_its_holder,
                a_schedule_has_one_slot,
                taken_slots_are_told,
            } }
            $crate::conformance_rules! { $fresh, store::metrics {
                a_snapshot_is_kept_once,
                snapshots_come_oldest_first,
                what_is_out_is_followed,
                one_of_many_reads_a_poll,
                totals_follow_the_snapshots,
                a_late_snapshot_changes_no_total,
                what_is_gone_keeps_its_counts,
                accounts_have_their_own,
                what_is_spent_adds_up,
                a_version_rises_with_what_is_counted,
            } }
        }
    };
}
