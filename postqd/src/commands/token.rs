//! `postqd token`: who may use the API.

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::api::Api;
use crate::api::shown::{MadeToken, Shown, Token as Made};
use crate::cli::Token;
use crate::output::{Output, Usage};

/// The longest name.
const MOST_NAME: usize = 100;

pub(super) async fn run(api: &Api, output: Output, command: Token) -> anyhow::Result<()> {
    match command {
        Token::Create { scope, name } => {
            ensure_name(&name)?;
            let new = json!({ "name": name, "scope": scope });
            let made: Shown<MadeToken> = api.post("/api/tokens", new).await?;
            let Some(text) = &made.token else {
                bail!(
                    "token {0} was made, and what it is was lost on its way here; postqd token \
                     revoke {0}, and make another one",
                    made.id
                );
            };
            output.note(format!(
                "token {} of scope {}, to be set as POSTQ_TOKEN or sent as Authorization: Bearer; it is \
                 shown this once, and postqd keeps only a hash of it:",
                made.id, made.scope
            ));
            output.tell(text, &made);
        }
        Token::List => {
            let all = api.all::<Made>("/api/tokens", &[]).await?;
            let columns = ["id", "name", "scope", "made", "last used", "state"];
            output.list(columns, &all, |token| row(token));
        }
        Token::Revoke { id } => {
            api.delete(&format!("/api/tokens/{id}")).await?;
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

fn row(token: &Made) -> [String; 6] {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%SZ").to_string();
    let state = token.revoked_at.map_or_else(|| "good".to_owned(), |_| "revoked".to_owned());
    [
        token.id.to_string(),
        token.name.clone(),
        token.scope.clone(),
        time(token.created_at),
        token.used_at.map_or_else(|| "never".to_owned(), time),
        state,
    ]
}
