//! Tokens of X, renewed by several nodes on one store.

#![allow(missing_docs, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use fake_x::{CLIENT_ID, FakeX, GrantFault};
use postq::core::account::Account;
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

/// Two nodes on one store, and an account whose token has ended.
struct Town {
    x: FakeX,
    nodes: [Tokens; 2],
    account: Account,
    backend: postq::core::backend::Backend,
}

impl Town {
    async fn over(backends: [postq::core::backend::Backend; 2]) -> Self {
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
        let nodes = backends.each_ref().map(|backend| {
            let config = Config {
                base_url: x.base_url(),
                client_id: Some(CLIENT_ID.to_owned()),
                send_timeout: Duration::from_secs(1),
                ..Config::default()
            };
            let x: Arc<dyn Platform> = Arc::new(X::new(config).expect("an adapter"));
            let vault = Some(Arc::clone(&vault));
            Tokens::new(backend, vault, Platforms::new([x]), Duration::from_secs(10))
        });
        let [backend, _] = backends;
        Self { x, nodes, account, backend }
    }

    /// So many users of the ended token, on both nodes at once: what each got.
    async fn users(&self, number: usize) -> Vec<Result<String, Unusable>> {
        let mut users = JoinSet::new();
        for node in self.nodes.iter().cycle().take(number).cloned() {
            let seen = self.account.clone();
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
        let stored = self.backend.accounts.load(&[self.account.id]).await.expect("load");
        assert_eq!(stored.len(), 1, "it stays, for a person to connect it again");
    }
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

over_stores! { one_call_for_twenty, trouble_keeps_it_connected, a_refusal_is_one_for_all }
