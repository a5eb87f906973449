//! `/api/accounts`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use postq_calendar::near;
use postq_core::account::Account;
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, chain};
use postq_core::failure::FailureClass;
use postq_core::id::AccountId;
use postq_core::job::Applied;
use postq_core::platform::PlatformName;
use postq_core::store::{Block, BlockReason};
use postq_engine::dry_run::DryRun;
use postq_engine::tokens::troubles;
use secrecy::{ExposeSecret, SecretString};

use crate::answer::{Created, Tagged};
use crate::extract::{Body, Fresh, Id, OptionalBody, Query, Seen};
use crate::paging::{Listed, Paging};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::account::{AccountChange, AccountView, NewAccount, Pause, Secret, Standing, tag};
use crate::web::{App, Shared};

/// A change that meets another one is tried again so often.
const TRIES: u32 = 5;

/// The longest access token, in bytes.
const MOST_TOKEN: usize = 16 * 1_024;

/// The longest handle or address of mail, and the longest password for an app, in bytes.
const MOST_HANDLE: usize = 253;
const MOST_PASSWORD: usize = 1_024;

/// The longest name, in characters.
const MOST_NAME: usize = 100;

/// The longest note, in characters.
const MOST_NOTE: usize = 500;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, connect));
    add(route!(show, change, remove));
    add(route!(pause));
    add(route!(resume));
}

/// Lists accounts and what holds them back; never their credentials.
#[utoipa::path(get, path = "/api/accounts", tag = "accounts", params(Paging),
    operation_id = "list_accounts", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<AccountView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<AccountView>>, Problem> {
    let page = paging.page()?;
    let backend = app.web.engine.backend();
    let accounts = backend.accounts.list(app.desk.tenant()).await?;
    let standing = standing(&app, &accounts).await?;
    let show = |account: Account| AccountView::new(&account, &standing);
    Ok(Json(page.of_all(accounts, |account| account.id.as_uuid(), show)))
}

/// Connects an account with its access token, which is sealed before it is stored.
#[utoipa::path(post, path = "/api/accounts", tag = "accounts", request_body = NewAccount,
    operation_id = "connect_account", security(("token" = ["admin"])),
    responses((status = 201, description = "connected", body = AccountView)))]
async fn connect(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Fresh(id): Fresh,
    Body(new): Body<NewAccount>,
) -> Result<Created<AccountView>, Problem> {
    let platform = platform(&app, &new.platform)?;
    ensure_name(&new.name)?;
    let backend = app.web.engine.backend();
    let now = backend.jobs.now().await?;
    let mut account = Account::new(new.name, platform, now);
    account.id = AccountId::from_uuid(id);
    account.tenant_id = app.desk.tenant();
    account.on_unknown = new.on_unknown.map(Into::into).unwrap_or_default();
    account.token_expires_at = new.token_expires_at;
    match Proof::of(&new.access_token, &new.handle, &new.app_password)? {
        Some(proof) => proof.accepted(&app, &mut account).await?,
        None if account.platform.as_str() == DryRun::NAME => {}
        None => {
            let detail = format!("is missing; an account on {} needs one", account.platform);
            return Err(Problem::invalid("access_token", detail));
        }
    }
    if let Err(error) = backend.accounts.insert(&account).await {
        return Err(match error.kind() {
            ErrorKind::Conflict => Problem::new(
                Code::Conflict,
                format!("the name \"{}\" belongs to another account", account.name),
            )
            .in_field("name")
            .with_remedy("choose another name, or change that account"),
            _ => error.into(),
        });
    }
    let tag = tag(&account);
    let standing = standing(&app, std::slice::from_ref(&account)).await?;
    Ok(Created::below(&uri, account.id, AccountView::new(&account, &standing)).tagged(tag))
}

/// Shows an account and what holds it back; never its credentials.
#[utoipa::path(get, path = "/api/accounts/{id}", tag = "accounts", params(("id" = Uuid, Path)),
    operation_id = "show_account", security(("token" = ["read"])),
    responses((status = 200, description = "the account", body = AccountView)))]
async fn show(
    State(app): State<App>,
    Id(id): Id<AccountId>,
) -> Result<Tagged<AccountView>, Problem> {
    tagged(&app, id).await
}

/// Gives an account other credentials, or another rule for unknown outcomes.
#[utoipa::path(patch, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = Uuid, Path)), operation_id = "change_account", request_body = AccountChange,
    security(("token" = ["admin"])),
    responses((status = 200, description = "changed", body = AccountView)))]
async fn change(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    seen: Seen,
    Body(change): Body<AccountChange>,
) -> Result<Tagged<AccountView>, Problem> {
    let expires = change.token_expires_at;
    let proof = Proof::of(&change.access_token, &change.handle, &change.app_password)?;
    if proof.is_none() && expires.is_none() && change.on_unknown.is_none() {
        let detail = "nothing to change; expected access_token, app_password, token_expires_at or on_unknown";
        return Err(Problem::invalid("access_token", detail));
    }
    for _ in 0..TRIES {
        let old = as_seen(&app, id, &seen).await?;
        let mut account = old.clone();
        if let Some(policy) = change.on_unknown {
            account.on_unknown = policy.into();
        }
        if let Some(proof) = &proof {
            account.token_expires_at = None;
            proof.accepted(&app, &mut account).await?;
        }
        account.token_expires_at = expires.or(account.token_expires_at);
        let updated = app.web.engine.backend().accounts.update(&account, Some(&old)).await?;
        if is_done(id, updated)? {
            if proof.is_some() {
                app.desk.reconnected(&account).await?;
            }
            return tagged(&app, id).await;
        }
    }
    Err(contended(id))
}

/// Takes an account and its credentials away.
///
/// What it published stays. Refused while an enabled schedule or a job that has not ended uses it. Its tokens
/// are taken back at the platform afterwards, if that offers it and answers within five seconds.
#[utoipa::path(delete, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = Uuid, Path)), operation_id = "remove_account", security(("token" = ["admin"])),
    responses((status = 204, description = "taken away")))]
async fn remove(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    seen: Seen,
) -> Result<StatusCode, Problem> {
    for _ in 0..TRIES {
        let old = as_seen(&app, id, &seen).await?;
        match app.web.engine.backend().accounts.remove(id, Some(&old)).await {
            Ok(removed) if is_done(id, removed)? => {
                app.web.engine.tokens().revoke(&old).await;
                return Ok(StatusCode::NO_CONTENT);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let detail = format!("account {id} is used by a schedule or a job");
                return Err(Problem::new(Code::InUse, detail));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(contended(id))
}

/// An account, if it is as the caller has seen it. The store changes it only if it still is so then: what
/// meets somebody else's change is done again to what is there now, where nobody said what was seen.
async fn as_seen(app: &Shared, id: AccountId, seen: &Seen) -> Result<Account, Problem> {
    let account = find(app, id).await?;
    seen.ensure(&tag(&account), format_args!("account {id}"))?;
    Ok(account)
}

/// Whether it took effect; not if somebody else was faster.
fn is_done(id: AccountId, applied: Applied) -> Result<bool, Problem> {
    match applied {
        Applied::Applied => Ok(true),
        Applied::Stale => Ok(false),
        Applied::Gone => Err(Problem::not_found(format_args!("account {id}"))),
    }
}

fn contended(id: AccountId) -> Problem {
    Problem::new(Code::Changed, format!("account {id} is being changed by others all the time"))
}

/// Holds back the posts of an account: what is due waits.
#[utoipa::path(post, path = "/api/accounts/{id}/pause", tag = "accounts",
    params(("id" = Uuid, Path)), operation_id = "pause_account",
    request_body(content = Option<Pause>), security(("token" = ["write"])),
    responses((status = 200, description = "paused", body = AccountView)))]
async fn pause(
    State(app): State<App>,
    Id(id): Id<AccountId>,
    OptionalBody(pause): OptionalBody<Pause>,
) -> Result<Tagged<AccountView>, Problem> {
    let account = find(&app, id).await?;
    if pause.note.chars().count() > MOST_NOTE {
        let detail = format!("is too long, at most {MOST_NOTE} characters");
        return Err(Problem::invalid("note", detail));
    }
    let scope = String::from(&account.lane());
    let block = Block { scope, reason: BlockReason::Paused, until: pause.until, note: pause.note };
    app.web.engine.backend().blocks.block(&block).await?;
    tagged(&app, id).await
}

/// Lets an account go on, whatever holds it back.
#[utoipa::path(post, path = "/api/accounts/{id}/resume", tag = "accounts",
    params(("id" = Uuid, Path)), operation_id = "resume_account", security(("token" = ["write"])),
    responses((status = 200, description = "it goes on", body = AccountView)))]
async fn resume(
    State(app): State<App>,
    Id(id): Id<AccountId>,
) -> Result<Tagged<AccountView>, Problem> {
    let account = find(&app, id).await?;
    app.desk.resume(&account).await?;
    tagged(&app, id).await
}

async fn tagged(app: &Shared, id: AccountId) -> Result<Tagged<AccountView>, Problem> {
    shown(app, &find(app, id).await?).await
}

/// An account as it is shown.
pub(super) async fn shown(app: &Shared, account: &Account) -> Result<Tagged<AccountView>, Problem> {
    let standing = standing(app, std::slice::from_ref(account)).await?;
    Ok(Tagged { tag: tag(account), body: AccountView::new(account, &standing) })
}

/// How accounts stand.
async fn standing(app: &Shared, accounts: &[Account]) -> Result<Standing, Problem> {
    let backend = app.web.engine.backend();
    let blocks = backend.blocks.blocks().await?;
    // Only tokens that end are renewed.
    let troubles = match accounts.iter().any(|account| account.token_expires_at.is_some()) {
        true => troubles(backend, app.desk.tenant()).await?,
        false => BTreeMap::new(),
    };
    let (tokens, mut renews) = (app.web.engine.tokens(), BTreeMap::new());
    for account in accounts {
        renews.extend(tokens.renews(account).await.map(|is_so| (account.id, is_so)));
    }
    Ok(Standing { blocks, renews, troubles })
}

async fn find(app: &Shared, id: AccountId) -> Result<Account, Problem> {
    let found = app.web.engine.backend().accounts.load(&[id]).await?;
    let own = found.into_iter().find(|account| account.tenant_id == app.desk.tenant());
    own.ok_or_else(|| Problem::not_found(format_args!("account {id}")))
}

/// The account of this name or id.
pub(super) async fn named(app: &Shared, name: &str) -> Result<Account, Problem> {
    let accounts = app.web.engine.backend().accounts.list(app.desk.tenant()).await?;
    let hint = near::hint(name, accounts.iter().map(|account| account.name.as_str()));
    let is_it = |account: &Account| account.name == name || account.id.to_string() == name;
    let found = accounts.into_iter().find(is_it);
    found
        .ok_or_else(|| Problem::invalid("account", format!("there is no account \"{name}\"{hint}")))
}

pub(super) fn platform(app: &Shared, name: &str) -> Result<PlatformName, Problem> {
    let known: Vec<&PlatformName> = app.web.engine.platforms().names().collect();
    if let Some(platform) = known.iter().find(|platform| platform.as_str() == name) {
        return Ok((*platform).clone());
    }
    let words: Vec<&str> = known.iter().map(|platform| platform.as_str()).collect();
    let hint = near::hint(name, words.iter().copied());
    let detail = format!("unknown platform \"{name}\"{hint}; there is {}", words.join(", "));
    Err(Problem::invalid("platform", detail))
}

pub(super) fn ensure_name(name: &str) -> Result<(), Problem> {
    if name.trim() != name || name.is_empty() || name.chars().count() > MOST_NAME {
        return Err(Problem::invalid("name", format!("expected 1 to {MOST_NAME} characters")));
    }
    if name.chars().any(|c| c.is_control() || c == ';') {
        return Err(Problem::invalid("name", "expected no ; and no control character"));
    }
    Ok(())
}

/// What somebody shows to be let in at a platform.
enum Proof<'a> {
    Token(&'a SecretString),
    Password { handle: &'a str, password: &'a SecretString },
}

impl<'a> Proof<'a> {
    /// What was sent; none if nothing was.
    fn of(
        token: &'a Option<Secret>,
        handle: &'a Option<String>,
        password: &'a Option<Secret>,
    ) -> Result<Option<Self>, Problem> {
        match (token, handle, password) {
            (None, None, None) => Ok(None),
            (Some(Secret(token)), None, None) => Ok(Some(Self::Token(token))),
            (None, Some(handle), Some(Secret(password))) => {
                Ok(Some(Self::Password { handle, password }))
            }
            (Some(_), ..) => Err(Problem::invalid(
                "access_token",
                "is there beside handle or app_password; expected one of the two",
            )),
            (None, Some(_), None) => {
                Err(Problem::invalid("app_password", "is missing; handle needs it"))
            }
            (None, None, Some(_)) => {
                Err(Problem::invalid("handle", "is missing; app_password needs it"))
            }
        }
    }

    /// Has it accepted by the platform, and seals what the account publishes with.
    async fn accepted(&self, app: &Shared, account: &mut Account) -> Result<(), Problem> {
        match self {
            Self::Token(token) => identified(app, account, token).await,
            Self::Password { handle, password } => signed_in(app, account, handle, password).await,
        }
    }
}

/// Signs in with a password that was made for an app, and seals the grant.
async fn signed_in(
    app: &Shared,
    account: &mut Account,
    handle: &str,
    password: &SecretString,
) -> Result<(), Problem> {
    let is_short = |text: &str, most| (1..=most).contains(&text.trim().len());
    if !is_short(handle, MOST_HANDLE) {
        return Err(Problem::invalid("handle", "is empty or too long"));
    }
    if !is_short(password.expose_secret(), MOST_PASSWORD) {
        return Err(Problem::invalid("app_password", "is empty or too long"));
    }
    let platform = account.platform.clone();
    let Some(sign_in) = app.web.sign_in.as_ref().filter(|by| by.takes(&platform)) else {
        let detail = format!("{platform} has no app passwords here; give an access token");
        return Err(Problem::invalid("app_password", detail));
    };
    let (grant, whose) = match sign_in.sign_in(&platform, handle.trim(), password).await {
        Ok(granted) => granted,
        Err(failure) if failure.class == FailureClass::Auth => {
            let detail = format!("{platform} does not let this in: {}", failure.message);
            return Err(Problem::new(Code::CredentialsRefused, detail).in_field("app_password"));
        }
        Err(failure) => {
            tracing::warn!(
                %failure, account = %account.id, "nobody could sign in at the platform"
            );
            let detail = format!("nobody could sign in at {platform}: {}", failure.message);
            return Err(Problem::new(Code::PlatformUnavailable, detail).in_field("app_password"));
        }
    };
    if let Some(known) = account.remote_id.as_ref().filter(|known| **known != whose.remote_id) {
        let detail = format!(
            "this is {}, and the account is {known}; give it a name of its own",
            whose.remote_id
        );
        return Err(Problem::invalid("handle", detail));
    }
    let now = app.web.engine.backend().jobs.now().await?;
    account.remote_id = Some(whose.remote_id);
    account.token_expires_at = grant.expires_in.map(|lives| now + lives);
    seal(app, account, &Credentials::granted(grant, now).write()).await
}

/// Asks the platform whose the token is, if it can be asked, and seals it.
async fn identified(
    app: &Shared,
    account: &mut Account,
    token: &SecretString,
) -> Result<(), Problem> {
    let length = token.expose_secret().trim().len();
    if !(1..=MOST_TOKEN).contains(&length) {
        return Err(Problem::invalid("access_token", "is empty or too long"));
    }
    let token = SecretString::from(token.expose_secret().trim());
    if let Some(identify) = &app.web.identify {
        match identify.identify(&account.platform, &token).await {
            Ok(who) => account.remote_id = who.or(account.remote_id.take()),
            Err(failure) if failure.class == FailureClass::Auth => {
                let detail = format!("{} refuses this token", account.platform);
                return Err(Problem::new(Code::CredentialsRefused, detail).in_field("access_token"));
            }
            Err(failure) => tracing::warn!(
                %failure, account = %account.id, "the platform could not be asked whose a token is"
            ),
        }
    }
    seal(app, account, &token).await
}

async fn seal(app: &Shared, account: &mut Account, secret: &SecretString) -> Result<(), Problem> {
    let Some(vault) = app.web.engine.vault() else {
        let detail = "this server has no vault to seal it with";
        return Err(Problem::invalid("access_token", detail));
    };
    let sealed = vault.seal(account.id, secret).await.map_err(|error| {
        tracing::error!(error = %chain(&error), "credentials could not be sealed");
        Problem::new(Code::Internal, "the credentials could not be sealed")
    })?;
    account.credentials = Some(sealed);
    Ok(())
}
