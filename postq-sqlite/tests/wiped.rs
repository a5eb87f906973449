//! What an account's removal leaves behind in the files: nothing of its credentials.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;

use postq_core::account::Account;
use postq_core::conformance::fixtures;
use postq_core::job::Applied;
use postq_core::store::AccountStore;
use postq_core::vault::Sealed;
use postq_sqlite::SqliteStore;

/// How often these bytes are in any file of a folder.
fn found(folder: &Path, needle: &[u8]) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.map(|file| file.windows(needle.len()).filter(|bytes| *bytes == needle).count()).sum()
}

/// An envelope that can be told from all others.
fn sealed(n: u32, length: usize) -> Sealed {
    let mark = format!("<<envelope {n:08}>>");
    Sealed { key_id: "k".to_owned(), bytes: mark.bytes().cycle().take(length).collect() }
}

#[tokio::test]
async fn removed_credentials_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("postq.db")).unwrap();
    let mut accounts = Vec::new();
    for n in 0..40 {
        accounts.push(fixtures::account(&store.backend(), &format!("account {n}")).await);
    }
    // Renewed again and again, with envelopes that fit into a page and that do not.
    for round in 0..5_u32 {
        for (n, account) in (0_u32..).zip(&mut accounts) {
            let length = if n % 2 == 0 { 400 } else { 6_000 };
            account.credentials = Some(sealed(round * 100 + n, length));
            let updated = AccountStore::update(&store, account, None).await.unwrap();
            assert_eq!(updated, Applied::Applied);
        }
    }
    assert!(found(folder.path(), b"<<envelope 00000402>>") > 0, "the test finds what is there");

    for account in accounts.iter().take(20) {
        let removed = AccountStore::remove(&store, account.id, None).await.unwrap();
        assert_eq!(removed, Applied::Applied);
    }

    for n in 0..20_u32 {
        for round in 0..5_u32 {
            let needle = format!("<<envelope {:08}>>", round * 100 + n);
            assert_eq!(found(folder.path(), needle.as_bytes()), 0, "{needle}");
        }
    }
    assert!(found(folder.path(), b"<<envelope 00000420>>") > 0, "the others have theirs");
    let left: Vec<Account> = AccountStore::list(&store, accounts[0].tenant_id).await.unwrap();
    assert_eq!(left.len(), 20);
}
