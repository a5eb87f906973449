//! The server: what answers which request.

use fake_http::{Answer, Call, Cut};
use postq_core::clock::{Clock, SystemClock};
use serde_json::json;

use crate::answers::{
    Refusal, answer, from_canned, invalid, limited, missing, no_token, refuse, unavailable,
};
use crate::body::Fields;
use crate::faults::Fault;
use crate::grants::GrantFault;
use crate::ledger::Accepted;
use crate::world::World;
use crate::{facebook, instagram, nodes};

pub(crate) const MOST_OF_BODY: usize = 16 * 1_024 * 1_024;

/// What all connections share.
pub(crate) type Shared = fake_http::Shared<World>;

/// Answers a request.
pub(crate) async fn respond(call: Call, shared: Shared) -> Result<Answer, Cut> {
    let answered = at_once(&call, &mut shared.lock());
    match answered {
        Some(answer) => Ok(answer),
        None => Request { call, shared }.route().await,
    }
}

/// Remembers a request; its answer if it has something that is not documented, or if the test has one.
fn at_once(call: &Call, world: &mut World) -> Option<Answer> {
    world.record.remember(call);
    if let Some(unlisted) = world.record.check(call) {
        return Some(*invalid(&unlisted.what));
    }
    let what = call.what();
    let canned = world.canned.take(what.as_str())?;
    world.ledger.creates += u64::from(["POST feed", "POST media_publish"].contains(&what.as_str()));
    Some(from_canned(&canned))
}

/// Where a request leads.
enum Routed {
    Answered(Answer),
    Create(Result<Accepted, Refusal>),
}

/// A request, and all that the server knows.
struct Request {
    call: Call,
    shared: Shared,
}

impl Request {
    async fn route(&self) -> Result<Answer, Cut> {
        let path: Vec<&str> = self.call.path.split('/').skip(1).collect();
        let Some(fields) = self.fields() else {
            return Ok(refuse(100, 0, "(#100) The body cannot be read"));
        };
        let is_login = matches!(
            path.as_slice(),
            ["dialog", "oauth"]
                | ["v25.0", "oauth", "access_token"]
                | ["oauth", _]
                | ["access_token" | "refresh_access_token"]
        );
        if is_login {
            return self.login(&path, &fields).await;
        }
        let ["v25.0", rest @ ..] = path.as_slice() else { return Ok(missing(&self.call.path)) };
        let now = SystemClock.now();
        if let ("GET", ["me", "accounts"]) = (self.call.method.as_str(), rest) {
            let pages = self.shared.lock().grants.pages(self.call.bearer());
            return Ok(pages.unwrap_or_else(no_token));
        }
        let user =
            self.call.bearer().and_then(|token| self.shared.lock().grants.user_of(token, now));
        let Some(user) = user else { return Ok(no_token()) };
        let routed = self.read_or_check(&user, rest, &fields, &mut self.shared.lock());
        match routed {
            Routed::Answered(answer) => Ok(answer),
            Routed::Create(new) => self.create(new, &user).await,
        }
    }

    /// What is done at once, and what of a creating call can be checked.
    fn read_or_check(
        &self,
        user: &str,
        path: &[&str],
        fields: &Fields,
        world: &mut World,
    ) -> Routed {
        let now = SystemClock.now();
        let may = |id: &str| id == user;
        Routed::Answered(match (self.call.method.as_str(), path) {
            ("GET", ["me"]) => nodes::me(user, fields),
            ("POST", [id, "photos"]) if may(id) => facebook::photo(world, id, fields),
            ("POST", [id, "videos"])
                if may(id) && fields.text("upload_phase") != Some("finish") =>
            {
                facebook::upload(world, id, fields)
            }
            ("POST", [id, "feed"]) if may(id) => {
                return Routed::Create(facebook::feed(world, id, fields, now));
            }
            ("POST", [id, "videos"]) if may(id) => {
                return Routed::Create(facebook::finish(world, id, fields, now));
            }
            ("POST", [id, "media_publish"]) if may(id) => {
                return Routed::Create(instagram::publish(world, id, fields, now));
            }
            ("POST", [id, "media"]) if may(id) => instagram::container(world, id, fields),
            ("GET", [id, "published_posts"]) if may(id) => facebook::list(world, id, fields, now),
            ("GET", [id, edge @ ("media" | "stories")]) if may(id) => {
                instagram::list(world, id, edge, fields, now)
            }
            ("GET", [id, "content_publishing_limit"]) if may(id) => {
                instagram::quota(world, id, fields)
            }
            ("GET", [id, "insights"]) => nodes::insights(world, id, fields),
            ("GET", [id]) => nodes::node(world, id, fields),
            _ => missing(&self.call.path),
        })
    }

    /// A creating call that was checked, with whatever happens to it.
    async fn create(&self, new: Result<Accepted, Refusal>, account: &str) -> Result<Answer, Cut> {
        let (fault, faults) = {
            let mut world = self.shared.lock();
            world.ledger.creates += 1;
            (world.faults.script.pop_front().unwrap_or(Fault::Ok), world.faults.clone())
        };
        let new = match new {
            Ok(new) => new,
            Err(refusal) => return Ok(*refusal),
        };
        match fault {
            Fault::CutBefore => return Err(Cut),
            Fault::UnavailableBefore => return Ok(unavailable()),
            Fault::LimitedAccount => return Ok(limited(account, false)),
            Fault::LimitedApp => return Ok(limited(account, true)),
            Fault::Duplicate => {
                return Ok(refuse(506, 0, "Duplicate status message"));
            }
            Fault::Late => {
                let shared = self.shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.late).await;
                    drop(accept(&mut shared.lock(), new));
                });
                return Err(Cut);
            }
            _ => {}
        }
        let accepted = accept(&mut self.shared.lock(), new);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(*refusal),
        };
        let told = match accepted.kind {
            "video" => json!({ "success": true }),
            _ => json!({ "id": accepted.id }),
        };
        match fault {
            Fault::CutAfter => Err(Cut),
            Fault::UnavailableAfter => Ok(unavailable()),
            Fault::UnknownErrorAfter => Ok(refuse(1, 0, "An unknown error occurred")),
            Fault::RefusedAfter => Ok(refuse(100, 0, "(#100) Invalid parameter")),
            Fault::NoData => Ok(answer(200, &json!({}))),
            Fault::HangAfter => {
                tokio::time::sleep(faults.hang).await;
                Ok(answer(200, &told))
            }
            _ => Ok(answer(200, &told)),
        }
    }

    async fn login(&self, path: &[&str], fields: &Fields) -> Result<Answer, Cut> {
        let is_dialog = matches!(path, ["dialog", "oauth"] | ["oauth", "authorize"]);
        let (fault, hang) = {
            let mut world = self.shared.lock();
            if is_dialog {
                return Ok(world.grants.agree(fields));
            }
            world.grants.calls += 1;
            (world.grants.faults.pop_front(), world.faults.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            _ => {}
        }
        let granted =
            self.shared.lock().grants.grant(&self.call.method, path, fields, SystemClock.now());
        match fault {
            Some(GrantFault::CutAfter) => return Err(Cut),
            Some(GrantFault::HangAfter) => tokio::time::sleep(hang).await,
            _ => {}
        }
        Ok(granted)
    }

    fn fields(&self) -> Option<Fields> {
        match self.call.method.as_str() {
            "GET" => {
                // The proof is no field: every call may have one.
                let fields =
                    self.call.query.split('&').filter(|it| !it.starts_with("appsecret_proof="));
                Some(Fields::of_form(&fields.collect::<Vec<_>>().join("&")))
            }
            _ => {
                let kind = self.call.header("content-type").unwrap_or_default();
                Fields::of_body(kind, &self.call.body)
            }
        }
    }
}

/// Takes it in, if what it is of can still be published.
fn accept(world: &mut World, new: Accepted) -> Result<Accepted, Refusal> {
    let accepted = Accepted { at: SystemClock.now(), ..new };
    match accepted.kind {
        "feed" => facebook::attach(world, &accepted)?,
        "video" => facebook::finished(world, &accepted)?,
        _ => instagram::published(world, &accepted)?,
    }
    world.ledger.accepted.push(accepted.clone());
    Ok(accepted)
}
