//! Keys are replaced while posts go out, and whatever is killed on the way, everything stays readable.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fake_x::FakeX;
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::id::{TenantId, WebhookId};
use postq_core::vault::{ChaChaVault, KeyRing, Vault};
use postq_core::webhook::{Endpoint, WebhookStore};
use postq_postgres::PgStore;
use postq_sqlite::SqliteStore;
use secrecy::{ExposeSecret, SecretString};
use test_servers::Postgres;

use support::{Ended, Place};

const OLD: &str = "c0ffee0102030405060708090a0b0c0d0e0f101112131415161718191a1bfeed";
const NEW: &str = "ba5eba110102030405060708090a0b0c0d0e0f1011121314151617181919beef";

/// Enough that a process is killed among them: a few batches.
const ACCOUNTS: usize = 450;

fn vault(text: &str) -> ChaChaVault {
    ChaChaVault::from_text(&SecretString::from(text)).unwrap()
}

/// The new key seals and the old one opens.
fn both(set: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let keys = [("POSTQ_ENCRYPTION_KEY", NEW), ("POSTQ_ENCRYPTION_KEYS_OLD", OLD)];
    set.iter().cloned().chain(keys.map(|(name, key)| (name, key.to_owned()))).collect()
}

fn run(place: &Place, set: &[(&'static str, String)], args: &[&str]) -> Ended {
    let mut command = place.command(args);
    Ended::of(command.envs(set.iter().map(|(name, value)| (*name, value))).output().unwrap())
}

fn rotating(place: &Place, set: &[(&'static str, String)]) -> Child {
    let mut command = place.command(&["vault", "rotate"]);
    command.envs(set.iter().map(|(name, value)| (*name, value)));
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn borrowed<'a>(set: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    set.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

struct Opened {
    backend: Backend,
    webhooks: Arc<dyn WebhookStore>,
}

impl Opened {
    async fn fill(&self) {
        let old = vault(OLD);
        for n in 0..ACCOUNTS {
            let name = format!("account-{n:03}");
            let mut account = Account::new(&name, "x".parse().unwrap(), SystemClock.now());
            let secret = SecretString::from(format!("token of {name}"));
            account.credentials = Some(old.seal(account.id, &secret).await.unwrap());
            self.backend.accounts.insert(&account).await.unwrap();
        }
        let id = WebhookId::new();
        let endpoint = Endpoint {
            id,
            tenant_id: TenantId::DEFAULT,
            url: "https://hooks.example.com/a".to_owned(),
            secret: old.seal(Endpoint::seal_of(id), &SecretString::from("signs")).await.unwrap(),
            retiring: None,
            events: Vec::new(),
            paused: None,
            version: 1,
            created_at: SystemClock.now(),
        };
        self.webhooks.insert(&endpoint).await.unwrap();
    }

    /// Opens everything; answers how much of it is sealed with the old key.
    async fn left(&self) -> usize {
        let ring = KeyRing::new(Arc::new(vault(NEW))).opening(Arc::new(vault(OLD)));
        let mut left = 0;
        let accounts = self.backend.accounts.list(TenantId::DEFAULT).await.unwrap();
        assert_eq!(accounts.len(), ACCOUNTS);
        for account in accounts {
            let sealed = account.credentials.unwrap();
            let secret = ring.open(account.id, &sealed).await.unwrap();
            assert_eq!(secret.expose_secret(), format!("token of {}", account.name));
            left += usize::from(sealed.key_id != ring.key_id());
        }
        for endpoint in self.webhooks.list(TenantId::DEFAULT).await.unwrap() {
            let secret = ring.open(Endpoint::seal_of(endpoint.id), &endpoint.secret).await.unwrap();
            assert_eq!(secret.expose_secret(), "signs");
            left += usize::from(endpoint.secret.key_id != ring.key_id());
        }
        left
    }
}

/// Kills `vault rotate` at several points, and lets it come to its end at last.
async fn killed_anywhere(place: &Place, set: &[(&'static str, String)], store: Opened) {
    store.fill().await;
    let set = both(set);
    let all = ACCOUNTS + 1;
    assert_eq!(store.left().await, all);
    let status = run(place, &set, &["vault", "status", "--json"]).exits(0).values();
    let keys = &status[0]["keys"];
    assert_eq!(
        (&keys[0]["does"], &keys[0]["accounts"]),
        (&"seals".into(), &0.into()),
        "{status:?}"
    );
    assert_eq!((&keys[1]["does"], &keys[1]["accounts"]), (&"opens".into(), &ACCOUNTS.into()));
    assert_eq!(keys[1]["webhooks"], 1);
    run(place, &set, &["doctor"]).exits(0).tells("still sealed with");

    let mut between = 0;
    let mut last = all;
    // At a batch's end, where it is told, and then at moments that nothing tells.
    for (n, wait) in [None, Some(3), Some(12), Some(25), Some(40)].into_iter().enumerate() {
        let mut child = rotating(place, &set);
        match wait {
            None => {
                let mut told = String::new();
                BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
                assert!(told.contains("100 sealed with key") && told.contains("left"), "{told}");
            }
            Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let left = store.left().await;
        assert!(left <= last, "kill {n}: {left} of {last}");
        between += usize::from(left > 0 && left < all);
        last = left;
    }
    assert!(between > 0, "none was killed on the way");

    let ended = run(place, &set, &["vault", "rotate", "--json"]).exits(0);
    assert_eq!(ended.values()[0]["left"], 0, "{}", ended.out);
    assert_eq!(store.left().await, 0);
    run(place, &set, &["vault", "rotate"]).exits(0).tells("everything is sealed with key");
    run(place, &set, &["doctor"]).exits(0).tells("nothing is sealed with");
    // Without the old key nothing is missed.
    let alone = &set[..set.len() - 1];
    let status = run(place, alone, &["vault", "status", "--json"]).exits(0).values();
    assert_eq!(status[0]["unopened"].as_array().map(Vec::len), Some(0), "{status:?}");
    assert_eq!(status[0]["keys"].as_array().map(Vec::len), Some(1), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_everything_stays_readable_in_a_file() {
    let place = Place::new();
    run(&place, &[("POSTQ_ENCRYPTION_KEY", OLD.to_owned())], &["account", "list"]).exits(0);
    let store = SqliteStore::open(place.path("postq-data/postq.db")).unwrap();
    let opened = Opened { backend: store.backend(), webhooks: store.webhooks() };
    killed_anywhere(&place, &[], opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_everything_stays_readable_on_postgres() {
    let (place, postgres) = (Place::new(), Postgres::start());
    let set = [("DATABASE_URL", postgres.url())];
    let keyed = [set[0].clone(), ("POSTQ_ENCRYPTION_KEY", OLD.to_owned())];
    run(&place, &keyed, &["account", "list"]).exits(0);
    let store = PgStore::open(postq_postgres::Config::new(postgres.url())).await.unwrap();
    let opened = Opened { backend: store.backend(), webhooks: store.webhooks() };
    killed_anywhere(&place, &set, opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_while_posts_go_out() {
    let (place, x) = (Place::new(), FakeX::start().await.unwrap());
    let base = vec![("X_API_BASE_URL", x.base_url()), ("POSTQ_RATE_LIMIT", "off".to_owned())];
    let with = |keys: &[(&'static str, &str)]| {
        let keys = keys.iter().map(|(name, key)| (*name, (*key).to_owned()));
        base.iter().cloned().chain(keys).collect::<Vec<_>>()
    };
    let only_old = with(&[("POSTQ_ENCRYPTION_KEY", OLD)]);
    let mut add = place.command(&["account", "add", "x", "--name", "acme", "--access-token-stdin"]);
    add.envs(only_old.iter().map(|(name, value)| (*name, value))).stdin(Stdio::piped());
    let mut add = add.spawn().unwrap();
    std::io::Write::write_all(&mut add.stdin.take().unwrap(), b"tok-42\n").unwrap();
    assert!(add.wait_with_output().unwrap().status.success());

    // A node that does not have the new key would not open what is sealed with it.
    let served = place.serve_with(&borrowed(&only_old));
    let refused = run(&place, &both(&base), &["vault", "rotate"]).exits(1);
    refused.tells("is at work without key");
    served.signal("TERM");
    served.wait().exits(0);
    // It opens with the new key and seals with the old one: then others may seal with the new one.
    let prepared = with(&[("POSTQ_ENCRYPTION_KEY", OLD), ("POSTQ_ENCRYPTION_KEYS_OLD", NEW)]);
    let served = place.serve_with(&borrowed(&prepared));

    run(&place, &both(&base), &["vault", "rotate"]).exits(0).tells("1 sealed with key");
    let server = format!("http://{}", served.listen);
    let asked = [("POSTQ_SERVER", server)];
    run(&place, &asked, &["post", "sealed anew", "--account", "acme"]).exits(0);

    let texts: Vec<String> = x.ledger().accepted.into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["sealed anew"]);
    served.signal("TERM");
    served.wait().exits(0);
    let alone = with(&[("POSTQ_ENCRYPTION_KEY", NEW)]);
    run(&place, &alone, &["post", "with the new key", "--account", "acme"]).exits(0);
    assert_eq!(x.ledger().accepted.len(), 2);
}

#[test]
fn what_no_key_opens_is_named_without_its_secret() {
    let place = Place::new();
    let set =
        |key: &str| vec![("POSTQ_ENCRYPTION_KEY", key.to_owned()), ("DRY_RUN", "on".to_owned())];
    let mut add = place.command(&["account", "add", "x", "--name", "acme", "--access-token-stdin"]);
    add.envs(set(OLD).iter().map(|(name, value)| (*name, value))).stdin(Stdio::piped());
    let mut add = add.spawn().unwrap();
    std::io::Write::write_all(&mut add.stdin.take().unwrap(), b"tok-424242\n").unwrap();
    assert!(add.wait_with_output().unwrap().status.success());

    for args in [&["vault", "status"][..], &["vault", "rotate"], &["serve"]] {
        let code = i32::from(args != ["vault", "status"]);
        let ended = run(&place, &set(NEW), args).exits(code);
        ended.tells("acme");
        ended.tells(vault(OLD).key_id());
        ended.tells("POSTQ_ENCRYPTION_KEYS_OLD");
        for secret in [OLD, NEW, "tok-424242"] {
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{}", ended.err);
        }
    }
    let config = run(&place, &both(&[]), &["config"]).exits(0);
    config.tells("POSTQ_ENCRYPTION_KEYS_OLD");
    assert!(!config.out.contains(OLD) && !config.out.contains(NEW), "{}", config.out);
    let wrong = [("POSTQ_ENCRYPTION_KEYS_OLD", format!("{OLD},short"))];
    run(&place, &wrong, &["vault", "status"]).exits(1).tells("KEYS_OLD, number 2");
    run(&place, &[("POSTQ_SERVER", "http://127.0.0.1:9".to_owned())], &["vault", "status"])
        .exits(2);
}

#[test]
fn a_key_file_is_replaced_by_moving_it_away() {
    let place = Place::new();
    let mut add = place.command(&["account", "add", "x", "--name", "acme", "--access-token-stdin"]);
    let mut add = add.env("DRY_RUN", "on").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut add.stdin.take().unwrap(), b"tok-42\n").unwrap();
    assert!(add.wait_with_output().unwrap().status.success());
    let file = place.path("postq-data/key");
    let old = std::fs::read_to_string(&file).unwrap();

    std::fs::remove_file(&file).unwrap();
    place.run(&["vault", "rotate"]).exits(1).tells("the key file");
    let set = [("POSTQ_ENCRYPTION_KEYS_OLD", old.clone())];
    run(&place, &set, &["vault", "rotate"]).exits(0).tells("1 sealed with key");

    let new = std::fs::read_to_string(&file).unwrap();
    assert_ne!(new, old);
    place.run(&["vault", "status"]).exits(0).tells("seals");
    place.run(&["doctor"]).exits(0);
}
