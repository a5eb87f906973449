//! The rules of [`TokenStore`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::id::{TenantId, TokenId};
use crate::job::Applied;
use crate::token::{Scope, Token, TokenStore};

/// Writes one test per rule of [`TokenStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! token_conformance {
    ($fresh:expr) => {
        mod token_rules {
            $crate::conformance_rules! { $fresh, token {
                a_token_is_kept_once,
                a_revoked_token_stays_revoked,
                the_last_use_moves_forward,
                tokens_are_listed_by_tenant,
            } }
        }
    };
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn token(name: &str) -> Token {
    Token {
        id: TokenId::new(),
        tenant_id: TenantId::DEFAULT,
        name: name.to_owned(),
        scope: Scope::Write,
        hash: std::array::from_fn(|i| u8::try_from(i * 8).expect("below 256")),
        created_at: at(1),
        used_at: None,
        revoked_at: None,
    }
}

async fn found(tokens: &dyn TokenStore, id: TokenId) -> Token {
    tokens.find(id).await.expect("find").expect("it is there")
}

/// A token is kept as it was made; an id that is there already is left as it is.
pub async fn a_token_is_kept_once(tokens: Arc<dyn TokenStore>) {
    let made = token("straße \u{1f511}");
    let other = Token { name: "other".to_owned(), scope: Scope::Admin, ..made.clone() };

    tokens.insert(&made).await.expect("insert");
    tokens.insert(&other).await.expect("insert again");

    assert_eq!(found(&*tokens, made.id).await, made);
    assert_eq!(tokens.find(TokenId::new()).await.expect("find"), None);
}

/// A revoked token stays on the list, and stays revoked.
pub async fn a_revoked_token_stays_revoked(tokens: Arc<dyn TokenStore>) {
    let made = token("ci");
    tokens.insert(&made).await.expect("insert");

    assert_eq!(tokens.revoke(made.id, at(5)).await.expect("revoke"), Applied::Applied);
    assert_eq!(tokens.revoke(made.id, at(9)).await.expect("again"), Applied::Applied);
    assert_eq!(tokens.revoke(TokenId::new(), at(5)).await.expect("none"), Applied::Gone);

    let listed = tokens.list(TenantId::DEFAULT).await.expect("list");
    assert_eq!(listed, [Token { revoked_at: Some(at(5)), ..made.clone() }]);
    tokens.insert(&made).await.expect("insert again");
    tokens.used(made.id, at(6)).await.map(drop).expect("use");
    assert_eq!(found(&*tokens, made.id).await.revoked_at, Some(at(5)));
}

/// The last use moves forward and never back.
pub async fn the_last_use_moves_forward(tokens: Arc<dyn TokenStore>) {
    let (made, other) = (token("ci"), token("other"));
    for token in [&made, &other] {
        tokens.insert(token).await.expect("insert");
    }

    for minutes in [3, 7, 5] {
        assert_eq!(tokens.used(made.id, at(minutes)).await.expect("use"), Applied::Applied);
    }

    assert_eq!(tokens.used(TokenId::new(), at(1)).await.expect("none"), Applied::Gone);
    assert_eq!(found(&*tokens, made.id).await.used_at, Some(at(7)));
    assert_eq!(found(&*tokens, other.id).await.used_at, None);
}

/// The list shows the tokens of one tenant, oldest first.
pub async fn tokens_are_listed_by_tenant(tokens: Arc<dyn TokenStore>) {
    let id = |n| TokenId::from_uuid(Uuid::from_u64_pair(n, 0));
    let theirs = TenantId::new();
    let (first, second) = (Token { id: id(1), ..token("b") }, Token { id: id(2), ..token("a") });
    let foreign = Token { id: id(3), tenant_id: theirs, ..token("c") };

    for token in [&second, &foreign, &first] {
        tokens.insert(token).await.expect("insert");
    }

    assert_eq!(tokens.list(TenantId::DEFAULT).await.expect("list"), [first, second]);
    assert_eq!(tokens.list(theirs).await.expect("list"), [foreign]);
}
