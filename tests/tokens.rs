//! Tokens of X, renewed by several nodes on one store.

#![allow(missing_docs, reason = "a test")]

#[path = "tokens/mortal.rs"]
mod mortal;

use std::sync::Arc;
use std::time::Duration;

use fake_x::{CLIENT_ID, FakeX, GrantFault};
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::clock::{Clock, SystemClock};
use postq::core::connect::Grant;
use postq::core::credentials::Credentials;
use postq::core::platform::Platform;
use postq::core::vault::{ChaChaVault, Vault};
use postq::engine::{Platforms, Tokens, Unusable};
use postq::sqlite::SqliteStore;
use postq::x::{Config, X};
use postq_postgres::{Config as PgConfig, PgStore};
use secrecy::ExposeSecret;
use test_servers::Postgres;
use tokio::task::JoinSet;

use mortal::{Death, Mortal};

/// A mark that somebody left who died is forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Two nodes on one store, and an account whose token has ended.
struct Town {
    x: FakeX,
    adapter: Arc<X>,
    vault: Arc<dyn Vault>,
    backends: [Backend; 2],
    nodes: [Tokens; 2],
    account: Account,
}

impl Town {
    async fn over(backends: [Backend; 2]) -> Self {
        let x = FakeX::start().await.expect("a port");
        let vault: Arc<dyn Vault> = Arc::new(ChaChaVault::new(&[7; 32]));
        let now = SystemClock.now();
        let mut account = Account::new("main", "x".parse().expect("a name"), now);
        let given = x.grant("42");
        let text = |name: &str| given[name].as_str().expect("a token").to_owned();
        let grant = Grant {
            access_token: text("access_token").into(),
            refresh_token: Some(text("refresh_token").into()),
            expires_in: None,
            scopes: Vec::new(),
        };
        let secret = Credentials::granted(grant, now - Duration::from_secs(7_200)).write();
        account.credentials = Some(vault.seal(account.id, &secret).await.expect("sealed"));
        account.token_expires_at = Some(now - Duration::from_secs(1));
        backends[0].accounts.insert(&account).await.expect("an account");
        let config = Config {
            base_url: x.base_url(),
            client_id: Some(CLIENT_ID.to_owned()),
            send_timeout: Duration::from_secs(1),
            ..Config::default()
        };
        let adapter = Arc::new(X::new(config).expect("an adapter"));
        let nodes = backends.each_ref().map(|backend| node(backend, &vault, &adapter));
        Self { x, adapter, vault, backends, nodes, account }
    }

    /// So many users of the ended token, on both nodes at once: what each got.
    async fn users(&self, number: usize) -> Vec<Result<String, Unusable>> {
        let mut users = JoinSet::new();
        for node in self.nodes.iter().cycle().take(number) {
            let (node, seen) = (node.clone(), self.account.clone());
            users.spawn(async move {
                let usable = node.usable(&seen, SystemClock.now()).await?;
                Ok(usable.who.secret.expect("a token").expose_secret().to_owned())
            });
        }
        users.join_all().await
    }

    async fn one_call_for_twenty(&self) {
        let tokens = self.users(20).await;

        let tokens: Vec<_> = tokens.into_iter().map(|token| token.expect("a token")).collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]), "all have one: {tokens:?}");
        assert_eq!(self.x.grant_calls(), 1);
    }

    async fn trouble_keeps_it_connected(&self) {
        self.x.grant_faults([GrantFault::Unavailable, GrantFault::CutBefore]);
        for _ in 0..2 {
            let later = self.users(1).await.pop().expect("one").expect_err("not now");
            assert!(matches!(later, Unusable::Later(_)), "{later:?}");
        }
        self.users(1).await.pop().expect("one").expect("a token");
        assert_eq!(self.x.grant_calls(), 3);
    }

    async fn a_refusal_is_one_for_all(&self) {
        self.x.revoke("42");
        for refused in self.users(6).await {
            let refused = refused.expect_err("refused");
            assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
        }
        assert_eq!(self.x.grant_calls(), 1, "who waited asked no more");
        assert!(
            self.stored().await.credentials.is_some(),
            "it stays, for a person to connect again"
        );
    }

    async fn a_lost_answer_is_no_refusal(&self) {
        self.x.grant_faults([GrantFault::CutAfter]);
        let later = self.users(1).await.pop().expect("one").expect_err("not now");
        assert!(matches!(later, Unusable::Later(_)), "{later:?}");

        // X has spent it all the same: that is what it says when it is asked again.
        let refused = self.users(4).await;
        assert!(
            refused.iter().all(|one| matches!(one, Err(Unusable::Refused { .. }))),
            "{refused:?}"
        );
        assert_eq!(self.x.grant_calls(), 2);
    }

    async fn stored(&self) -> Account {
        let stored = self.backends[0].accounts.load(&[self.account.id]).await.expect("load");
        stored.into_iter().next().expect("the account")
    }

    /// One token after the other ends and is renewed by one node or the other, or by one that dies.
    async fn a_thousand_rotations(&self) {
        let (mut now, mut troubles, mut deaths) = (SystemClock.now(), 0, 0);
        for round in 0..1_000_usize {
            let seen = self.stored().await;
            now = now.max(seen.token_expires_at.expect("it ends") + Duration::from_secs(1));
            let death = match round % 8 {
                1 => Some(Death::BeforeMark),
                4 => Some(Death::AfterMark),
                6 => Some(Death::AfterReceipt),
                _ => None,
            };
            if let Some(death) = death {
                let mortal = Mortal::over(&self.backends[round % 2], death);
                let dying = node(&mortal.backend, &self.vault, &self.adapter);
                mortal.dies_of(dying.usable(&seen, now)).await;
                deaths += 1;
                now += FORGOTTEN;
            }
            if round % 10 == 3 {
                self.x.grant_faults([GrantFault::Unavailable]);
                troubles += 1;
            }

            let mut usable = self.nodes[(round + 1) % 2].usable(&self.stored().await, now).await;
            if matches!(usable, Err(Unusable::Later(_))) {
                usable = self.nodes[round % 2].usable(&self.stored().await, now).await;
            }

            let usable = usable.unwrap_or_else(|why| panic!("round {round}, {death:?}: {why:?}"));
            let token = usable.who.secret.expect("a token");
            let whose = self.adapter.whoami(&token).await;
            assert_eq!(whose.expect("it is in force").id, "42", "round {round}, {death:?}");
        }
        // What a fault was left for whoever came next is counted where it was met.
        let left = self.x.grant_calls() - 1_000;
        assert!(deaths == 375 && left <= troubles && left > troubles / 2, "{left} of {troubles}");
    }
}

fn node(backend: &Backend, vault: &Arc<dyn Vault>, adapter: &Arc<X>) -> Tokens {
    let platforms = Platforms::new([Arc::clone(adapter) as Arc<dyn Platform>]);
    Tokens::new(backend, Some(Arc::clone(vault)), platforms, Duration::from_secs(10))
}

macro_rules! over_stores {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = Postgres::shared();
                let schema = server.fresh_schema();
                let open = async || {
                    let config = PgConfig::new(server.url()).in_schema(&schema);
                    PgStore::open(config).await.expect("Postgres").backend()
                };
                Town::over([open().await, open().await]).await.$name().await;
            })*
        }
        mod sqlite {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                let open = || SqliteStore::open(folder.path().join("postq.db")).expect("a store");
                Town::over([open().backend(), open().backend()]).await.$name().await;
            })*
        }
    };
}

over_stores! {
    one_call_for_twenty,
    trouble_keeps_it_connected,
    a_refusal_is_one_for_all,
    a_lost_answer_is_no_refusal,
    a_thousand_rotations,
}
