//! Nobody knows whether it is out: every trouble that leaves that open, on every platform, with the real engine,
//! stores and adapters, against each platform's test server. In the end each post is out once, or held where the
//! platform cannot tell; never twice.
//!
//! A proxy between the nodes and the server makes the trouble, so that it is the same for all. It also counts the
//! creating calls and notes their times.

#![allow(missing_docs, reason = "a test")]

#[path = "../support/backends.rs"]
mod backends;
mod between;
mod blind;
mod bluesky;
mod cases;
mod facebook;
mod files;
mod instagram;
mod mortal;
mod pinterest;
mod reddit;
mod town;
mod world;
mod x;

use mortal::Death;

/// Writes a test for each case: all posts of the platform meet it, each in a world of its own.
macro_rules! each_post {
    ($town:ty: $($case:ident),* $(,)?) => {
        each_post! { cases of $town:
            the_answer_never_comes,
            the_connection_is_cut,
            a_proxy_gives_up,
            it_is_shown_late,
            it_lands_late,
            it_never_arrives,
            the_look_fails_at_first,
            the_look_tells_nothing,
            the_same_was_published_before,
            the_same_was_published_before_and_this_is_lost,
            killed_before_the_intent,
            killed_before_the_call,
            killed_in_the_call,
            killed_before_the_receipt,
            killed_after_the_receipt,
            the_token_ends_while_it_is_looked_for,
            refused_and_yet_out,
            limited_and_yet_out,
            an_empty_success_and_out,
            an_empty_success_and_nothing_out,
            $($case,)*
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[should_panic(expected = "is out once")]
        async fn what_nobody_looks_for_is_noticed() {
            crate::world::first_post(crate::cases::nobody_looks::<$town>).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn killed_when_it_is_absent() {
            let deaths = [crate::Death::BeforeAbsence, crate::Death::AfterAbsence];
            let killed = crate::cases::killed_when_it_is_absent::<$town>;
            crate::world::each_post_that_is_sent_again(deaths, killed).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn killed_while_it_is_prepared() {
            let killed = crate::cases::killed_while_it_is_prepared::<$town>;
            crate::world::each_prepared_post(killed).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn lost_by_a_second_account() {
            crate::world::first_post(crate::cases::lost_by_a_second_account::<$town>).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn lost_by_a_second_account_on_postgres() {
            let lost = |world, ()| crate::cases::lost_by_a_second_account::<$town>(world);
            crate::world::first_post_on_postgres([()], lost).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn killed_on_postgres() {
            let deaths = [
                crate::Death::BeforeIntent,
                crate::Death::AfterIntent,
                crate::Death::InTheCall,
                crate::Death::BeforeReceipt,
                crate::Death::AfterReceipt,
            ];
            let killed = crate::cases::killed_at::<$town>;
            crate::world::first_post_on_postgres(deaths, killed).await;
        }
    };
    (cases of $town:ty: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::world::each_post(crate::cases::$case::<$town>).await;
        }
    )*};
}

/// Where tokens are renewed: a test for what two posts meet.
macro_rules! two_posts {
    ($town:ty) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn two_need_a_renewal_at_once() {
            let two = crate::cases::two_need_a_renewal_at_once::<$town>;
            crate::world::first_post(two).await;
        }
    };
}

/// The same of posts of which the platform takes no copy.
macro_rules! each_post_taken_once {
    ($town:ty: $($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::world::each_post_taken_once(crate::cases::$case::<$town>).await;
        }
    )*};
}

mod on_x {
    each_post! { crate::x::X:
        the_answer_of_a_renewal_is_lost,
        renewing_fails_for_a_while,
        what_renews_the_token_is_dead,
    }

    two_posts! { crate::x::X }

    each_post_taken_once! { crate::x::X:
        refused_as_its_own_copy,
        refused_as_a_copy_when_sent_again,
    }
}

mod on_reddit {
    each_post! { crate::reddit::Reddit:
        the_answer_of_a_renewal_is_lost,
        renewing_fails_for_a_while,
        what_renews_the_token_is_dead,
    }

    two_posts! { crate::reddit::Reddit }

    each_post_taken_once! { crate::reddit::Reddit:
        refused_as_its_own_copy,
        refused_as_a_copy_when_sent_again,
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn held_and_then_it_lands() {
        let held = crate::cases::held_and_then_it_lands::<crate::reddit::Reddit>;
        crate::world::each_post_that_is_held(held).await;
    }
}

mod on_facebook {
    each_post! { crate::facebook::Facebook: }

    each_post_taken_once! { crate::facebook::Facebook:
        refused_as_its_own_copy,
        refused_as_a_copy_when_sent_again,
    }
}

mod on_instagram {
    each_post! { crate::instagram::Instagram:
        the_answer_of_a_renewal_is_lost,
        renewing_fails_for_a_while,
        what_renews_the_token_is_dead,
    }

    two_posts! { crate::instagram::Instagram }
}

mod on_pinterest {
    each_post! { crate::pinterest::Pinterest:
        the_answer_of_a_renewal_is_lost,
        renewing_fails_for_a_while,
        what_renews_the_token_is_dead,
    }

    two_posts! { crate::pinterest::Pinterest }
}

mod on_bluesky {
    each_post! { crate::bluesky::Bluesky:
        the_answer_of_a_renewal_is_lost,
        renewing_fails_for_a_while,
        what_renews_the_token_is_dead,
    }

    two_posts! { crate::bluesky::Bluesky }

    each_post_taken_once! { crate::bluesky::Bluesky: refused_as_its_own_copy }
}
