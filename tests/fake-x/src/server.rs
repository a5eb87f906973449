//! The server: what answers which request.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fake_http::{Answer, Call, Canned, Cut, Prepared, Record};
use postq_core::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::answers::{
    LimitedBy, answer, from_canned, limited, no_credits, not_found, refuse, unavailable,
    with_limits,
};
use crate::faults::{Fault, Faults};
use crate::grants::{GrantFault, Grants};
use crate::ledger::Book;
use crate::listing::Query;
use crate::media::Uploads;
use crate::reading::{self, Counted};
use crate::shapes;

/// The largest body: a piece of an upload.
pub(crate) const MOST_OF_PIECE: usize = 8 * 1_024 * 1_024;
/// The largest of any other; so much of each is remembered.
const MOST_OF_BODY: usize = 256 * 1_024;
const MOST_TEXT: usize = 25_000;

/// What all connections share.
pub(crate) type Shared = fake_http::Shared<World>;

/// Which requests an answer of the test's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `POST /2/tweets`.
    Create,
    /// `GET /2/users/:id/tweets`.
    List,
    /// `GET /2/users/me`.
    Me,
    /// `POST /2/oauth2/token`.
    Token,
    /// `GET /2/tweets`.
    Read,
}

/// All that the server knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) book: Book,
    pub(crate) faults: Faults,
    pub(crate) uploads: Uploads,
    pub(crate) canned: Prepared<Target>,
    pub(crate) grants: Grants,
    /// What is counted, by the post's id.
    pub(crate) counted: BTreeMap<String, Counted>,
    pub(crate) record: Record,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(book: Book, faults: Faults, seed: u64) -> Self {
        Self {
            book,
            faults,
            uploads: Uploads::default(),
            canned: Prepared::default(),
            grants: Grants::default(),
            counted: BTreeMap::new(),
            record: Record::new(crate::SHAPES, MOST_OF_BODY),
            rng: StdRng::seed_from_u64(seed),
        }
    }
}

/// Answers a request.
pub(crate) async fn respond(call: Call, shared: Shared) -> Result<Answer, Cut> {
    if !call.path.contains("/media/") && call.body.len() > MOST_OF_BODY {
        return Ok(refuse(413, "", "Payload Too Large", "The body is too large."));
    }
    let refusal = refusal(&call, &mut shared.lock().record);
    match refusal {
        Some(refusal) => Ok(refusal),
        None => Request { call, shared }.route().await,
    }
}

/// Remembers a request, but for those of the test; a refusal if it has something that X does not document.
fn refusal(call: &Call, record: &mut Record) -> Option<Answer> {
    if call.path.starts_with("/_") {
        return None;
    }
    record.remember(call);
    let unlisted = record.check(call)?;
    Some(match unlisted.is_known {
        true => refuse(400, "invalid-request", "Invalid Request", &unlisted.what),
        false => not_found(),
    })
}

/// A request, and all that the server knows.
struct Request {
    call: Call,
    shared: Shared,
}

impl Request {
    async fn route(&self) -> Result<Answer, Cut> {
        let path: Vec<&str> = self.call.path.split('/').skip(1).collect();
        match (self.call.method.as_str(), path.as_slice()) {
            ("GET", ["_ledger"]) => Ok(answer(200, &json!(self.shared.lock().book.ledger))),
            ("POST", ["_faults"]) => Ok(self.set_faults()),
            ("GET", ["i", "oauth2", "authorize"]) => Ok(self.agree()),
            ("POST", ["2", "oauth2", "token"]) => self.grant().await,
            ("POST", ["2", "oauth2", "revoke"]) => self.take_back(),
            (method, ["2", rest @ ..]) => {
                let Some(user) = self.user() else {
                    return Ok(refuse(401, "", "Unauthorized", "Unauthorized"));
                };
                match (method, rest) {
                    ("POST", ["tweets"]) => self.create(&user).await,
                    ("GET", ["tweets"]) => Ok(self.read()),
                    ("POST", ["media", rest @ ..]) => self.upload(rest, &user),
                    ("GET", ["media", "upload"]) => {
                        let World { uploads, faults, .. } = &mut *self.shared.lock();
                        let now = SystemClock.now();
                        Ok(uploads.status(&user, &self.call.query, faults.dialect, now))
                    }
                    ("GET", ["users", "me"]) => Ok(self.me(&user)),
                    ("GET", ["users", id, "tweets"]) => Ok(self.list(id)),
                    _ => Ok(not_found()),
                }
            }
            _ => Ok(not_found()),
        }
    }

    /// The user behind a token.
    fn user(&self) -> Option<String> {
        let token = self.call.bearer()?.strip_prefix("tok-")?;
        self.shared.lock().grants.user_of(token, SystemClock.now())
    }

    fn agree(&self) -> Answer {
        match self.shared.lock().grants.agree(&self.call.query) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => refuse(400, "", "Bad Request", "You weren't able to give access to the App."),
        }
    }

    async fn grant(&self) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = self.shared.lock();
            world.grants.calls += 1;
            if let Some(canned) = world.canned.take(&Target::Token) {
                return Ok(from_canned(&canned));
            }
            (world.grants.faults.pop_front(), world.faults.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            _ => {}
        }
        let (authorization, body) = (self.call.header("authorization"), self.call.form_text());
        let now = SystemClock.now();
        let granted = self.shared.lock().grants.answer(authorization, &body, now);
        match fault {
            Some(GrantFault::CutAfter) => return Err(Cut),
            Some(GrantFault::HangAfter) => tokio::time::sleep(hang).await,
            _ => {}
        }
        Ok(match granted {
            Ok(grant) => answer(200, &grant),
            Err((status, refusal)) => answer(status, &refusal),
        })
    }

    fn take_back(&self) -> Result<Answer, Cut> {
        let mut world = self.shared.lock();
        world.grants.calls += 1;
        if let Some(canned) = world.canned.take(&Target::Token) {
            return Ok(from_canned(&canned));
        }
        match world.grants.faults.pop_front() {
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            Some(_) => return Err(Cut),
            None => {}
        }
        let body = String::from_utf8_lossy(&self.call.body);
        Ok(match world.grants.take_back(self.call.header("authorization"), &body) {
            Ok(done) => answer(200, &done),
            Err((status, refusal)) => answer(status, &refusal),
        })
    }

    fn set_faults(&self) -> Answer {
        match String::from_utf8_lossy(&self.call.body).parse::<Faults>() {
            Ok(faults) => {
                self.shared.lock().faults = faults;
                answer(200, &json!({}))
            }
            Err(error) => refuse(400, "invalid-request", "Invalid Request", &error.to_string()),
        }
    }

    fn upload(&self, path: &[&str], user: &str) -> Result<Answer, Cut> {
        let body = serde_json::from_slice::<Value>(&self.call.body).unwrap_or_default();
        let (mut world, now) = (self.shared.lock(), SystemClock.now());
        let World { uploads, faults, .. } = &mut *world;
        match path {
            ["upload", "initialize"] => uploads.initialize(user, &body, faults, now),
            ["upload", id, "append"] => uploads.append((user, id), &body, faults, now),
            ["upload", id, "finalize"] => uploads.finalize((user, id), faults, now),
            ["metadata"] => Ok(uploads.describe(user, &body, now)),
            _ => Ok(not_found()),
        }
    }

    fn me(&self, user: &str) -> Answer {
        match self.shared.lock().canned.take(&Target::Me) {
            Some(canned) => from_canned(&canned),
            None => answer(200, &json!({ "data": { "id": user, "name": user, "username": user } })),
        }
    }

    async fn create(&self, user: &str) -> Result<Answer, Cut> {
        let _in_flight = InFlight::begin(user, &self.shared);
        let (fault, faults) = {
            let mut world = self.shared.lock();
            if let Some(canned) = world.canned.take(&Target::Create) {
                return Ok(from_canned(&canned));
            }
            let sample = world.rng.random::<f64>();
            (world.faults.next(sample), world.faults.clone())
        };
        let post = match self.new_post(user) {
            Ok(post) => post,
            Err(refusal) => return Ok(*refusal),
        };
        let now = || SystemClock.now();
        match fault {
            Fault::CutBefore => return Err(Cut),
            Fault::UnavailableBefore => return Ok(unavailable()),
            Fault::LimitedUser => return Ok(limited(LimitedBy::User, now())),
            Fault::LimitedApp => return Ok(limited(LimitedBy::App, now())),
            Fault::NoCredits => return Ok(no_credits()),
            Fault::Late => {
                let shared = self.shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.late).await;
                    drop(post.accept(&shared));
                });
                return Err(Cut);
            }
            Fault::Slow => tokio::time::sleep(faults.slow).await,
            Fault::Ok
            | Fault::CutAfter
            | Fault::HangAfter
            | Fault::UnavailableAfter
            | Fault::BadRequestAfter
            | Fault::NoData => {}
        }
        let Ok(created) = post.accept(&self.shared) else {
            return Ok(unavailable());
        };
        match fault {
            Fault::CutAfter => Err(Cut),
            Fault::UnavailableAfter => Ok(unavailable()),
            Fault::BadRequestAfter => Ok(refuse(
                400,
                "invalid-request",
                "Invalid Request",
                "One or more parameters was invalid.",
            )),
            Fault::NoData => Ok(answer(200, &json!({}))),
            Fault::HangAfter => {
                tokio::time::sleep(faults.hang).await;
                Ok(with_limits(answer(201, &created), now()))
            }
            _ => Ok(with_limits(answer(201, &created), now())),
        }
    }

    /// The post that is asked for, or why X would refuse it.
    fn new_post(&self, user: &str) -> Result<NewPost, Box<Answer>> {
        let invalid =
            |detail: &str| Box::new(refuse(400, "invalid-request", "Invalid Request", detail));
        let is_json = self.call.is("application/json");
        let body: Value = serde_json::from_slice(&self.call.body)
            .ok()
            .filter(|_| is_json)
            .ok_or_else(|| invalid("The body is not JSON."))?;
        let fields = body.as_object().ok_or_else(|| invalid("The body is no object."))?;
        if let Some(unknown) =
            fields.keys().find(|key| !["text", "reply", "media"].contains(&key.as_str()))
        {
            return Err(invalid(&format!("[{unknown}] is not a known field.")));
        }
        let text = fields.get("text").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let media = match fields.get("media").map(|media| &media["media_ids"]) {
            None => Vec::new(),
            Some(ids) => serde_json::from_value::<Vec<String>>(ids.clone())
                .ok()
                .filter(|ids| (1..=4).contains(&ids.len()))
                .ok_or_else(|| invalid("The media ids are not valid."))?,
        };
        if !self.shared.lock().uploads.can_be_used(user, &media, SystemClock.now()) {
            return Err(invalid("Your media IDs are invalid."));
        }
        if text.is_empty() && (media.is_empty() || fields.contains_key("text"))
            || text.chars().count() > MOST_TEXT
        {
            return Err(invalid("Your Tweet text is missing or too long."));
        }
        let reply_to = match fields.get("reply") {
            None => None,
            Some(reply) => {
                let id = reply.get("in_reply_to_tweet_id").and_then(Value::as_str);
                Some(id.ok_or_else(|| invalid("The reply names no post."))?.to_owned())
            }
        };
        let new = NewPost {
            user: user.to_owned(),
            text: text.to_owned(),
            media,
            reply_to,
            received_at: self.call.received_at,
        };
        new.check(&self.shared.lock())?;
        Ok(new)
    }

    fn read(&self) -> Answer {
        let mut world = self.shared.lock();
        match world.canned.take(&Target::Read) {
            Some(canned) => from_canned(&canned),
            None => reading::read(&self.call.query, &world, SystemClock.now()),
        }
    }

    fn list(&self, user: &str) -> Answer {
        let mut world = self.shared.lock();
        if let Some(canned) = world.canned.take(&Target::List) {
            return from_canned(&canned);
        }
        let sample = world.rng.random::<f64>();
        if sample < world.faults.look_unavailable {
            return unavailable();
        }
        let now = SystemClock.now();
        if sample < world.faults.look_unavailable + world.faults.look_limited {
            return limited(LimitedBy::User, now);
        }
        match Query::read(&self.call.query, world.faults.dialect) {
            Ok(query) => query.answer(user, &world, now),
            Err(parameter) => refuse(
                400,
                "invalid-request",
                "Invalid Request",
                &format!("The query parameter [{parameter}] is not valid."),
            ),
        }
    }
}

/// Counts a request as in flight for as long as it lives, however it ends.
struct InFlight<'a> {
    user: &'a str,
    shared: &'a Shared,
}

impl<'a> InFlight<'a> {
    fn begin(user: &'a str, shared: &'a Shared) -> Self {
        shared.lock().book.begin(user);
        Self { user, shared }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.lock().book.end(self.user);
    }
}

struct NewPost {
    user: String,
    text: String,
    media: Vec<String>,
    reply_to: Option<String>,
    received_at: DateTime<Utc>,
}

impl NewPost {
    fn check(&self, world: &World) -> Result<(), Box<Answer>> {
        let forbid = |detail: &str| Err(Box::new(refuse(403, "", "Forbidden", detail)));
        if self.reply_to.as_ref().is_some_and(|id| !world.book.has(id)) {
            return forbid(
                "You attempted to reply to a Tweet that is deleted or not visible to you.",
            );
        }
        let since = SystemClock.now() - world.faults.duplicates;
        let repeats = !world.faults.duplicates.is_zero()
            && world
                .book
                .of(&self.user)
                .take_while(|post| post.accepted_at > since)
                .any(|post| post.text == self.text);
        if repeats {
            return forbid("You are not allowed to create a Tweet with duplicate content.");
        }
        Ok(())
    }

    fn accept(&self, shared: &Shared) -> std::io::Result<Value> {
        let mut world = shared.lock();
        let now = SystemClock.now();
        let reply_to = self.reply_to.as_deref();
        let what = (self.text.as_str(), self.media.as_slice());
        let post = world.book.accept(&self.user, what, reply_to, self.received_at, now)?;
        Ok(shapes::created(&post, world.faults.dialect))
    }
}
