//! Slots on real stores: two nodes at once never put two posts into one.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq::calendar::Calendar;
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::clock::{Clock, SystemClock};
use postq::core::content::Content;
use postq::core::id::PostId;
use postq::core::schedule::Timing;
use postq::engine::Platforms;
use postq::engine::desk::{Desk, Submission, When, read_slots};
use postq::engine::dry_run::DryRun;

use crate::backends::Bench;

/// Posts that each of two nodes puts into slots at once.
const POSTS: usize = 12;

fn desk(backend: Backend) -> Desk {
    let platforms = Platforms::new([Arc::new(DryRun::new(Arc::new(SystemClock))) as Arc<_>]);
    Desk::new(backend, platforms, Arc::new(Calendar::new()))
}

/// Each node hands in so many posts at once; answers when they go out, as the store has it.
async fn placed(nodes: [Backend; 2]) -> Vec<DateTime<Utc>> {
    let account = Account::new("main", "dry_run".parse().expect("a name"), SystemClock.now());
    nodes[0].accounts.insert(&account).await.expect("an account");
    let slots = read_slots("daily 09:00 and 17:30 America/Santiago").expect("slots");
    desk(nodes[0].clone()).set_slots(account.id, slots).await.expect("set");
    let posts = (0..POSTS * nodes.len()).map(|n| {
        let (desk, id) = (desk(nodes[n % 2].clone()), PostId::new());
        tokio::spawn(async move {
            let content = Content::text(format!("post {n}"));
            let submission = Submission::new(content, ["main"], When::NextSlot);
            desk.submit_as(id, submission).await.expect("there are slots enough").post
        })
    });
    let mut ids = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        ids.push(post.await.expect("it runs"));
    }
    let schedules = nodes[1].schedules.of_posts(&ids).await.expect("schedules");
    let at = |timing: &Timing| match timing {
        Timing::OneShot { at, .. } => *at,
        other => panic!("{other:?}"),
    };
    let mut times: Vec<DateTime<Utc>> = schedules.iter().map(|one| at(&one.timing)).collect();
    times.sort_unstable();
    let left = desk(nodes[1].clone()).free_slots(account.id, 1).await.expect("free");
    assert!(times.iter().all(|taken| *taken < left[0]), "none was left out: {times:?}, {left:?}");
    times
}

async fn two_nodes_never_share_a_slot(bench: Bench) {
    let nodes = [bench.backend.clone(), bench.another().await];

    let times = placed(nodes).await;

    assert_eq!(times.len(), 2 * POSTS);
    let apart: BTreeSet<_> = times.iter().collect();
    assert_eq!(apart.len(), times.len(), "two posts in one slot: {times:?}");
}

backends::over_backends!(two_nodes_never_share_a_slot);
