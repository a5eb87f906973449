//! The rules of [`AccountStore`](crate::store::AccountStore).

use crate::account::{Account, OnUnknown};
use crate::backend::Backend;
use crate::conformance::fixtures::{World, account};
use crate::error::ErrorKind;
use crate::feed::Settle;
use crate::id::{AccountId, TenantId};
use crate::job::Applied;
use crate::schedule::{Schedule, Timing};
use crate::store::{Edited, Page, ScheduleEdit};
use crate::vault::Sealed;

fn named(name: &str) -> Account {
    Account::new(name, "test".parse().expect("a name"), chrono::DateTime::UNIX_EPOCH)
}

async fn names(backend: &Backend, tenant: TenantId) -> Vec<String> {
    let accounts = backend.accounts.list(tenant).await.expect("list");
    accounts.into_iter().map(|account| account.name).collect()
}

/// A name that another account of the tenant has is a conflict; the same account again is not.
pub async fn account_names_are_unique(backend: Backend) {
    let insert = async |account: &Account| backend.accounts.insert(account).await;
    let first = named("b");
    insert(&first).await.expect("insert");
    insert(&first).await.expect("the same again");

    let error = insert(&named("b")).await.expect_err("the name is taken");
    assert_eq!(error.kind(), ErrorKind::Conflict);

    insert(&named("a")).await.expect("another name");
    insert(&named("B")).await.expect("another name");
    let elsewhere = Account { tenant_id: TenantId::new(), ..named("b") };
    insert(&elsewhere).await.expect("another tenant");
    let listed = names(&backend, TenantId::DEFAULT).await;
    assert_eq!(listed, ["B", "a", "b"], "by name");
    assert_eq!(names(&backend, elsewhere.tenant_id).await, ["b"]);
    let ids = [first.id, AccountId::new(), elsewhere.id];
    let mut loaded = backend.accounts.load(&ids).await.expect("load");
    loaded.sort_by_key(|account| account.id != first.id);
    assert_eq!(loaded, [first, elsewhere]);
}

/// `update` replaces credentials, remote id and `on_unknown`; name, platform and id stay.
pub async fn an_account_is_updated_in_place(backend: Backend) {
    let before = account(&backend, "main").await;
    let sealed = Sealed { key_id: "k".to_owned(), bytes: vec![0, 1, 255] };
    let changed = Account {
        name: "renamed".to_owned(),
        platform: "other".parse().expect("a name"),
        remote_id: Some("42".to_owned()),
        on_unknown: OnUnknown::Resend,
        credentials: Some(sealed),
        ..before.clone()
    };

    let applied = backend.accounts.update(&changed, None).await.expect("update");
    assert_eq!(applied, Applied::Applied);

    let expected = Account { name: before.name, platform: before.platform, ..changed };
    let loaded = backend.accounts.load(&[before.id]).await.expect("load");
    assert_eq!(loaded, [expected]);
    let gone = backend.accounts.update(&named("none"), None).await.expect("update");
    assert_eq!(gone, Applied::Gone);
}

/// `remove` wipes the credentials and takes the account off the list; while an enabled schedule or a
/// job that has not ended uses it, it is a conflict. What it published stays.
pub async fn an_account_in_use_stays(backend: Backend) {
    let world = World::new(backend).await;
    let accounts = &world.backend.accounts;
    let sealed = Sealed { key_id: "k".to_owned(), bytes: vec![1] };
    let main = Account { credentials: Some(sealed), ..world.account.clone() };
    assert_eq!(accounts.update(&main, None).await.expect("update"), Applied::Applied);
    let in_use = async |why: &str| {
        let error = accounts.remove(main.id, None).await.expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{why}");
    };

    let at = world.at(3_600_000).await;
    let timing = Timing::OneShot { at, local: None };
    let schedule = Schedule::new(world.post.id, vec![main.id], timing, at);
    let schedule = Schedule { next_run_at: Some(at), ..schedule };
    world.backend.schedules.insert(std::slice::from_ref(&schedule)).await.expect("schedule");
    in_use("an enabled schedule").await;
    let off = ScheduleEdit { enabled: Some(false), ..ScheduleEdit::default() };
    let edited = world.backend.schedules.edit(schedule.id, 1, &off).await.expect("edit");
    assert!(matches!(edited, Edited::Applied { .. }));

    world.due_job().await;
    in_use("a waiting job").await;
    let job = world.take().await;
    in_use("a running job").await;
    world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;

    assert_eq!(accounts.remove(main.id, None).await.expect("remove"), Applied::Applied);

    assert_eq!(accounts.remove(main.id, None).await.expect("remove again"), Applied::Gone);
    assert_eq!(accounts.update(&main, None).await.expect("update"), Applied::Gone);
    assert!(names(&world.backend, TenantId::DEFAULT).await.is_empty());
    let left = accounts.load(&[main.id]).await.expect("load");
    assert!(left.iter().all(|account| account.credentials.is_none()), "credentials are wiped");
    let out = world.backend.publications.list(TenantId::DEFAULT, Page::first(10)).await;
    assert_eq!(out.expect("publications")[0].account_id, main.id, "what it published stays");
    account(&world.backend, "main").await;
}

/// With what the caller has seen, a change or a removal is refused if the account is something else by
/// now.
pub async fn an_account_that_was_changed_meanwhile_stays(backend: Backend) {
    let accounts = &backend.accounts;
    let first = account(&backend, "main").await;
    let sealed = |byte| Some(Sealed { key_id: "k".to_owned(), bytes: vec![byte] });
    let changes = [
        Account { credentials: sealed(1), ..first.clone() },
        Account { credentials: sealed(2), ..first.clone() },
        Account { remote_id: Some("42".to_owned()), ..first.clone() },
        Account { on_unknown: OnUnknown::Resend, ..first.clone() },
        Account { token_expires_at: Some(first.created_at), ..first.clone() },
    ];
    let mut known = first.clone();
    for next in changes {
        let applied = accounts.update(&next, Some(&known)).await.expect("update");
        assert_eq!(applied, Applied::Applied);
        let late = accounts.update(&first, Some(&known)).await.expect("update");
        assert_eq!(late, Applied::Stale);
        assert_eq!(accounts.remove(first.id, Some(&known)).await.expect("remove"), Applied::Stale);
        known = next;
        let loaded = accounts.load(&[first.id]).await.expect("load");
        assert_eq!(loaded, std::slice::from_ref(&known), "nothing else was changed");
    }

    // A name is no part of what may change.
    let renamed = Account { name: "seen under another name".to_owned(), ..known.clone() };
    assert_eq!(accounts.remove(first.id, Some(&renamed)).await.expect("remove"), Applied::Applied);
    assert_eq!(accounts.update(&known, Some(&known)).await.expect("update"), Applied::Gone);
    assert_eq!(accounts.remove(first.id, Some(&known)).await.expect("remove"), Applied::Gone);
}

/// However many have seen the same account, one of them changes it.
pub async fn one_of_many_changes_an_account(backend: Backend) {
    let seen = account(&backend, "main").await;
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (backend, seen) = (backend.clone(), seen.clone());
        racers.spawn(async move {
            let changed = Account { remote_id: Some(n.to_string()), ..seen.clone() };
            let applied = match n {
                7 => backend.accounts.remove(seen.id, Some(&seen)).await,
                _ => backend.accounts.update(&changed, Some(&seen)).await,
            };
            applied.expect("an answer")
        });
    }

    let applied = racers.join_all().await;

    let won = applied.iter().filter(|applied| **applied == Applied::Applied).count();
    assert_eq!(won, 1, "{applied:?}");
}
