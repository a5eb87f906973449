//! What happens to a post, on every platform alike.

use crate::between::{Kind, Reply, Trouble};
use crate::mortal::Death;
use crate::town::{Renews, Town};
use crate::world::{LATE, World};

// Accepted, then silence.

/// The answer takes longer than anybody waits.
pub(crate) async fn the_answer_never_comes<T: Town>(world: World<T>) {
    world.strike(Trouble::HangAfter);

    let _node = world.say().await;

    world.is_out(0).await;
}

/// The connection is reset after the body.
pub(crate) async fn the_connection_is_cut<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);

    let _node = world.say().await;

    world.is_out(0).await;
}

/// What stands before the platform gives up waiting: 504.
pub(crate) async fn a_proxy_gives_up<T: Town>(world: World<T>) {
    world.strike(Trouble::After(Reply::of_a_proxy()));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// What is out is shown only later.
pub(crate) async fn it_is_shown_late<T: Town>(world: World<T>) {
    world.town.hide(LATE);
    world.strike(Trouble::CutAfter);

    let _node = world.say().await;

    world.is_out(0).await;
}

/// What was sent is taken in only later.
pub(crate) async fn it_lands_late<T: Town>(world: World<T>) {
    world.strike(Trouble::Late(LATE));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// What was sent was lost.
pub(crate) async fn it_never_arrives<T: Town>(world: World<T>) {
    world.strike(Trouble::CutBefore);

    let _node = world.say().await;

    world.is_sent_again(1).await;
}

/// The first looks are cut off and refused.
pub(crate) async fn the_look_fails_at_first<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    world.then(Kind::Look, Trouble::CutBefore);
    world.then(Kind::Look, Trouble::Instead(Reply::of_a_proxy()));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// The looks succeed and tell nothing.
pub(crate) async fn the_look_tells_nothing<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    for _ in 0..T::EMPTY_LOOKS {
        world.then(Kind::Look, Trouble::Instead(Reply::new(200, "{}")));
    }

    let _node = world.say().await;

    world.is_out(0).await;
}

/// The account has published the very same a moment ago, and this time the connection is cut: each receipt is of a
/// post of its own.
pub(crate) async fn the_same_was_published_before<T: Town>(world: World<T>) {
    let _node = world.said_before().await;
    world.strike(Trouble::CutAfter);

    world.say_again().await;

    world.are_out(2, 0).await;
}

/// The same, and what was sent was lost: the older post is not taken for it.
pub(crate) async fn the_same_was_published_before_and_this_is_lost<T: Town>(world: World<T>) {
    let _node = world.said_before().await;
    world.strike(Trouble::CutBefore);

    world.say_again().await;

    match world.sent.absence_is_told {
        true => world.are_out(2, 1).await,
        false => world.is_held(1, 1).await,
    }
}

/// The same, and what was lost was said by another account that is the same identity: it finds the older post in the
/// list that both have, and does not take it for its own.
pub(crate) async fn lost_by_a_second_account<T: Town>(mut world: World<T>) {
    let _node = world.said_before().await;
    world.connect_a_second_account().await;
    world.strike(Trouble::CutBefore);

    world.say_again().await;

    match world.sent.absence_is_told {
        true => world.are_out(2, 1).await,
        false => world.is_held(1, 1).await,
    }
}

/// It is held, and lands after all: found when a person lets it be looked for again. Of posts of which a platform
/// cannot tell that they are not there.
pub(crate) async fn held_and_then_it_lands<T: Town>(world: World<T>) {
    world.strike(Trouble::Late(LATE * 3));

    let _node = world.say().await;

    world.is_held(0, 1).await;
    world.is_found_when_replayed().await;
}

/// Nobody looks whether what was sent is out. It must not be so: this has to fail.
pub(crate) async fn nobody_looks<T: Town>(world: World<T>) {
    let world = world.blind();
    world.strike(Trouble::CutAfter);

    let _node = world.say().await;

    world.is_out(0).await;
}

// Killed at every step.

/// All is ready: simply begun again.
pub(crate) async fn killed_before_the_intent<T: Town>(world: World<T>) {
    killed_at(world, Death::BeforeIntent).await;
}

/// Nobody knows whether the call was made: looked for, and sent again after the settle time.
pub(crate) async fn killed_before_the_call<T: Town>(world: World<T>) {
    killed_at(world, Death::AfterIntent).await;
}

/// The platform has it, and its answer reaches nobody.
pub(crate) async fn killed_in_the_call<T: Town>(world: World<T>) {
    killed_at(world, Death::InTheCall).await;
}

/// The answer came, and is not written down.
pub(crate) async fn killed_before_the_receipt<T: Town>(world: World<T>) {
    killed_at(world, Death::BeforeReceipt).await;
}

/// All is written down.
pub(crate) async fn killed_after_the_receipt<T: Town>(world: World<T>) {
    killed_at(world, Death::AfterReceipt).await;
}

pub(crate) async fn killed_at<T: Town>(world: World<T>, death: Death) {
    if death == Death::InTheCall {
        world.strike(Trouble::HangAfter);
        let _node = world.say_and_die_struck().await;
        return world.is_out(0).await;
    }

    let (_node, died) = world.say_and_die(death).await;

    if death == Death::AfterIntent {
        world.is_sent_again(0).await;
        world.waited_since_its_death(died);
    } else {
        world.is_out(0).await;
    }
}

/// What was sent was lost, and that is about to be written down, or just was. Of posts that are sent again.
pub(crate) async fn killed_when_it_is_absent<T: Town>(world: World<T>, death: Death) {
    world.strike(Trouble::CutBefore);

    let _node = world.say_and_die(death).await;

    world.is_sent_again(1).await;
}

/// A file was taken in, or a container built, and nobody wrote it down. Of posts with media alone.
pub(crate) async fn killed_while_it_is_prepared<T: Town>(world: World<T>) {
    world.between.strike(Kind::Build, 0, Trouble::HangAfter);

    let _node = world.say_and_die_struck().await;

    world.is_out(0).await;
}

// The token dies in the middle.

/// The access token ends after the post was sent: renewed once, or a person is told once.
pub(crate) async fn the_token_ends_while_it_is_looked_for<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));

    let _node = world.say().await;

    if T::RENEWS == Renews::Never {
        world.needs_a_person().await;
        world.connect_again().await;
    }
    world.is_out(0).await;
    assert_eq!(world.notices().await, usize::from(T::RENEWS == Renews::Never));
    assert_eq!(world.between.grants(), usize::from(T::RENEWS != Renews::Never));
}

/// The platform has renewed it, and nobody knows. What is good for one call is gone then: a person is told once.
pub(crate) async fn the_answer_of_a_renewal_is_lost<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));
    world.then(Kind::Grant, Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));

    let _node = world.say().await;

    if T::RENEWS == Renews::Once {
        world.needs_a_person().await;
        world.connect_again().await;
    }
    world.is_out(0).await;
    assert_eq!(world.notices().await, usize::from(T::RENEWS == Renews::Once));
    assert_eq!(world.between.grants(), 2);
}

/// Renewing fails for a while: nobody is told, nothing is disconnected.
pub(crate) async fn renewing_fails_for_a_while<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));
    world.then(Kind::Grant, Trouble::Instead(Reply::new(503, "")));
    world.then(Kind::Look, Trouble::Instead(T::ended()));

    let _node = world.say().await;

    world.is_out(0).await;
    assert_eq!(world.notices().await, 0);
    assert_eq!(world.between.grants(), 2);
}

/// The platform says that what renews it is dead: the account waits for a person, who is told once.
pub(crate) async fn what_renews_the_token_is_dead<T: Town>(world: World<T>) {
    world.strike(Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));
    world.then(Kind::Grant, Trouble::Instead(T::dead()));

    let _node = world.say().await;

    world.needs_a_person().await;
    world.connect_again().await;
    world.is_out(0).await;
    assert_eq!(world.notices().await, 1);
    assert_eq!(world.between.grants(), 1);
}

/// Two posts of the account are looked for when its token ends: it is renewed once.
pub(crate) async fn two_need_a_renewal_at_once<T: Town>(world: World<T>) {
    world.between.strike(Kind::Create, 0, Trouble::CutAfter);
    world.then(Kind::Create, Trouble::CutAfter);
    world.then(Kind::Look, Trouble::Instead(T::ended()));
    world.then(Kind::Look, Trouble::Instead(T::ended()));

    let _nodes = world.say_two().await;

    world.are_out(2, 0).await;
    assert_eq!(world.notices().await, 0);
    assert_eq!(world.between.grants(), 1);
}

// Answers that lie.

/// It is refused, and is out.
pub(crate) async fn refused_and_yet_out<T: Town>(world: World<T>) {
    world.strike(Trouble::After(T::refusal()));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// The account shall wait, and it is out.
pub(crate) async fn limited_and_yet_out<T: Town>(world: World<T>) {
    world.strike(Trouble::After(Reply::limited()));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// Success, of which nothing is told, and it is out.
pub(crate) async fn an_empty_success_and_out<T: Town>(world: World<T>) {
    world.strike(Trouble::After(Reply::new(200, "{}")));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// Success, of which nothing is told, and nothing is out.
pub(crate) async fn an_empty_success_and_nothing_out<T: Town>(world: World<T>) {
    world.strike(Trouble::Instead(Reply::new(200, "{}")));

    let _node = world.say().await;

    world.is_sent_again(1).await;
}

/// What it is refused as a copy of is itself. Of posts of which a platform takes no copy.
pub(crate) async fn refused_as_its_own_copy<T: Town>(world: World<T>) {
    let refusal = T::duplicate().expect("it knows copies");
    world.strike(Trouble::After(refusal));

    let _node = world.say().await;

    world.is_out(0).await;
}

/// The first was out although the account was told to wait, and not shown yet when it was sent again. Of the same
/// posts.
pub(crate) async fn refused_as_a_copy_when_sent_again<T: Town>(world: World<T>) {
    let refusal = T::duplicate().expect("it knows copies");
    world.town.hide(LATE * 2);
    world.strike(Trouble::After(Reply::limited()));
    world.then(Kind::Create, Trouble::Instead(refusal));

    let _node = world.say().await;

    world.is_out(1).await;
}
