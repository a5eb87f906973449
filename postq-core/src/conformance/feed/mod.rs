//! The rules of [`JobFeed`](crate::feed::JobFeed).

pub mod claims;
pub mod evidence;
pub mod lanes;
pub mod races;
pub mod settling;
pub mod time;

/// Writes one test per rule of [`JobFeed`](crate::feed::JobFeed); see
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! feed_conformance {
    ($fresh:expr) => {
        mod feed_rules {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "whatever the caller's expression names"
            )]
            use super::*;

            $crate::conformance_rules! { $fresh, feed::claims {
                a_claim_raises_fence_and_attempt,
                nothing_is_claimed_early,
                claims_are_exclusive,
                only_what_is_asked_for_is_claimed,
                a_claim_tells_the_next_moment,
                topics_are_claimed_apart,
            } }
            $crate::conformance_rules! { $fresh, feed::lanes {
                a_lane_runs_one_at_a_time_in_order,
                a_wider_lane_runs_more,
                lanes_compete_by_priority_then_time,
                a_blocked_lane_waits_alone,
                a_backlog_of_one_lane_holds_back_nobody,
                what_is_proposed_keeps_its_place_in_the_lane,
                a_retry_goes_before_what_was_planned_later,
                one_job_goes_first_when_an_app_may_go_on,
                other_blocks_end_for_all_at_once,
            } }
            $crate::conformance_rules! { $fresh, feed::settling {
                an_older_fence_changes_nothing,
                settling_twice_is_settling_once,
                one_bad_settlement_leaves_the_batch,
                deferring_gives_the_attempt_back,
                giving_up_makes_a_dead_letter,
                follow_ups_come_once,
                success_makes_one_publication,
                a_remote_id_belongs_to_one_publication,
                a_remote_id_belongs_to_one_of_an_identity,
                what_is_missed_is_cancelled,
            } }
            $crate::conformance_rules! { $fresh, feed::evidence {
                an_intent_needs_the_fence_room_and_revision,
                an_open_intent_blocks_the_next,
                an_open_twin_blocks,
                an_open_twin_blocks_its_identity,
                twins_of_an_identity_never_overlook_each_other,
                an_intent_may_be_repeated,
                a_stale_receipt_is_kept_and_blocks,
                a_replay_inherits_the_evidence,
                a_new_key_forgets_what_is_unknown,
                looks_are_counted,
            } }
            $crate::conformance_rules! { $fresh, feed::time {
                renewing_keeps_the_lease,
                waiting_ends_with_a_change,
                a_wait_ends_at_its_time,
            } }
            $crate::conformance_rules! { $fresh, feed::races {
                a_cancel_wins_or_loses_wholly,
                an_edit_wins_or_loses_wholly,
                a_sweep_wins_or_loses_wholly,
                a_removal_never_publishes,
            } }
        }
    };
}
