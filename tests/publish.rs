//! A calendar of 1,000 rows over 250 accounts, published by the daemon to an X-shaped server.

#![allow(missing_docs, reason = "a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use fake_x::FakeX;
use postq::core::account::Account;
use postq::core::machine::JobState;
use support::{Home, all_ended, rfc3339};

const ACCOUNTS: usize = 250;
const ROWS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rows_are_out_once_and_in_order() {
    let x = FakeX::start().await.expect("a free port");
    let home =
        Home::with_x(&x.base_url()).env("POSTQ_SEND_TIMEOUT", "20s").env("POSTQ_LEASE", "30s");
    connect(&home).await;

    // Half of them are due in the same second.
    #[allow(clippy::disallowed_methods, reason = "the daemon runs by the host's clock")]
    let start = Utc::now() + TimeDelta::seconds(12);
    let mut csv = String::from("key,at,accounts,text\n");
    for row in 0..ROWS {
        let at = match row {
            0..500 => start,
            _ => start + TimeDelta::milliseconds(1_000 + 10 * row as i64),
        };
        writeln!(csv, "row-{row},{},account-{},row {row}", rfc3339(at), row % ACCOUNTS)
            .expect("text");
    }
    let file = home.file("calendar.csv", &csv);
    home.ok(["import", "--apply", file.to_str().expect("UTF-8")]);
    let daemon = home.serve();

    let store = home.store();
    let jobs = all_ended(&store.backend(), ROWS, Duration::from_secs(60)).await;

    let ledger = x.ledger();
    assert_eq!(ledger.accepted.len(), ROWS, "exactly as many as rows\n{}", home.log());
    let texts: BTreeSet<_> = ledger.accepted.iter().map(|post| post.text.as_str()).collect();
    assert_eq!(texts.len(), ROWS, "each of them once");
    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded));
    assert!(ledger.most_in_flight.values().all(|most| *most == 1), "one at a time per account");
    let mut per_account: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for post in &ledger.accepted {
        let row = post.text[4..].parse().expect("row N");
        per_account.entry(&post.user).or_default().push(row);
    }
    assert_eq!(per_account.len(), ACCOUNTS);
    for (user, rows) in &per_account {
        assert!(rows.is_sorted(), "user {user}: {rows:?}");
    }
    assert!(daemon.stop().success());
}

/// Connects the accounts: the first as a user does, which makes the key; the rest through the library.
async fn connect(home: &Home) {
    home.connect("account-0", "0");
    let store = home.store();
    let backend = store.backend();
    let first = backend.accounts.list(postq::core::id::TenantId::DEFAULT).await.expect("accounts");
    let key = std::fs::read_to_string(home.path().join("data/key")).expect("the key file");
    let vault = postq::core::vault::ChaChaVault::from_text(&key.into()).expect("a key");
    for n in 1..ACCOUNTS {
        use postq::core::vault::Vault;
        let name = format!("account-{n}");
        let mut account = Account::new(name, first[0].platform.clone(), first[0].created_at);
        let token = secrecy::SecretString::from(format!("tok-{n}"));
        account.credentials = Some(vault.seal(account.id, &token).await.expect("sealed"));
        backend.accounts.insert(&account).await.expect("an account");
    }
}
