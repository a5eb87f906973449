//! `postqd token`: who may use the API.

use anyhow::bail;
use chrono::{DateTime, Utc};
use postq_core::id::{TenantId, TokenId};
use postq_core::job::Applied;
use postq_core::token::Token as Stored;
use postq_web::issue;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::cli::Token;
use crate::compose::Node;
use crate::output::{Output, Usage};

/// The longest name.
const MOST_NAME: usize = 100;

pub(super) async fn run(node: &Node, output: Output, command: Token) -> anyhow::Result<()> {
    let tokens = &node.store.tokens;
    match command {
        Token::Create { scope, name } => {
            ensure_name(&name)?;
            let now = node.now().await?;
            let issued = issue(TokenId::new(), TenantId::DEFAULT, name, scope, now);
            tokens.insert(&issued.token).await?;
            output.note(format!(
                "token {} of scope {scope}; it is shown this once, and postqd keeps only a hash of it:",
                issued.token.id
            ));
            let text = issued.text.expose_secret();
            let mut value = shown(&issued.token);
            value["token"] = json!(text);
            output.tell(text, &value);
        }
        Token::List => {
            let all = tokens.list(TenantId::DEFAULT).await?;
            if output.is_json() {
                output.emit(&all.iter().map(shown).collect::<Vec<_>>());
                return Ok(());
            }
            let rows: Vec<[String; 6]> = all.iter().map(row).collect();
            let columns = ["id", "name", "scope", "made", "last used", "state"];
            output.list(columns, &rows, Clone::clone);
        }
        Token::Revoke { id } => {
            if tokens.revoke(id, node.now().await?).await? != Applied::Applied {
                bail!("there is no token {id}; postqd token list shows all");
            }
            let value = json!({ "token": id, "done": "revoked" });
            output.tell(format!("token {id}: revoked, for good"), &value);
        }
    }
    Ok(())
}

fn ensure_name(name: &str) -> anyhow::Result<()> {
    let fits = (1..=MOST_NAME).contains(&name.chars().count());
    if !fits || name.trim() != name || name.chars().any(char::is_control) {
        return Err(Usage(format!(
            "--name: expected 1 to {MOST_NAME} characters, none a control character"
        ))
        .into());
    }
    Ok(())
}

fn shown(token: &Stored) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "created_at": token.created_at,
        "used_at": token.used_at,
        "revoked_at": token.revoked_at,
    })
}

fn row(token: &Stored) -> [String; 6] {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%SZ").to_string();
    let state = token.revoked_at.map_or_else(|| "good".to_owned(), |_| "revoked".to_owned());
    [
        token.id.to_string(),
        token.name.clone(),
        token.scope.to_string(),
        time(token.created_at),
        token.used_at.map_or_else(|| "never".to_owned(), time),
        state,
    ]
}
