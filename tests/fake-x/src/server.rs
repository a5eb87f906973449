//! The server: accepts connections, takes requests apart, answers.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use postq_core::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use test_shapes::{Sent, Shapes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{
    Answer, LimitedBy, answer, from_canned, limited, no_credits, not_found, refuse, unavailable,
    with_limits,
};
use crate::faults::{Fault, Faults};
use crate::grants::{GrantFault, Grants};
use crate::ledger::Book;
use crate::listing::Query;
use crate::media::{self, Uploads};
use crate::reading::{self, Counted};
use crate::shapes;

/// The largest body: a piece of an upload.
const MOST_OF_PIECE: usize = 8 * 1_024 * 1_024;
/// The largest of any other; so much of each is remembered.
const MOST_OF_BODY: usize = 256 * 1_024;
/// Requests that are remembered.
const MOST_SEEN: usize = 1_000;
const MOST_TEXT: usize = 25_000;

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path, and its query as it was sent.
    pub target: String,
    /// Its headers, by name in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, if it is text.
    pub body: String,
}

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

/// An answer of the test's own.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Its status.
    pub status: u16,
    /// Its headers; `content-type` is there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Canned {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) book: Book,
    pub(crate) faults: Faults,
    pub(crate) seen: VecDeque<Seen>,
    pub(crate) uploads: Uploads,
    pub(crate) canned: VecDeque<(Target, Canned)>,
    pub(crate) grants: Grants,
    /// What is counted, by the post's id.
    pub(crate) counted: BTreeMap<String, Counted>,
    /// What was sent that is not documented.
    pub(crate) unlisted: Vec<String>,
    shapes: Shapes,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(book: Book, faults: Faults, seed: u64) -> Self {
        Self {
            book,
            faults,
            seen: VecDeque::new(),
            uploads: Uploads::default(),
            canned: VecDeque::new(),
            grants: Grants::default(),
            counted: BTreeMap::new(),
            unlisted: Vec::new(),
            shapes: Shapes::read(crate::SHAPES),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn canned(&mut self, target: Target) -> Option<Canned> {
        let place = self.canned.iter().position(|(own, _)| *own == target)?;
        self.canned.remove(place).map(|(_, canned)| canned)
    }
}

/// Handed to each connection.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        // A test that failed while it held the lock must not hide why.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection is cut without an answer: hyper drops it when its service fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

pub(crate) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until it is dropped, and its connections with it.
pub(crate) async fn serve(listener: TcpListener, shared: Shared) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, shared.clone()))),
                // Out of file descriptors, say: others may become free.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    let fast = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { respond(request, &shared).await }
    });
    // A connection that was cut, by either side, is what this server is for.
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    drop((fast, served));
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Answer, Cut> {
    let received_at = SystemClock.now();
    let (head, body) = request.into_parts();
    let is_upload = head.uri.path().contains("/media/");
    let most = if is_upload { MOST_OF_PIECE } else { MOST_OF_BODY };
    let Ok(body) = Limited::new(body, most).collect().await else {
        return Ok(refuse(413, "", "Payload Too Large", "The body is too large."));
    };
    let body = body.to_bytes();
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        received_at,
    };
    if !call.path.starts_with("/_")
        && let Some(refusal) = call.remember(&mut shared.lock())
    {
        return Ok(refusal);
    }
    call.route(shared).await
}

/// A request with its whole body.
struct Call {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    received_at: DateTime<Utc>,
}

impl Call {
    async fn route(&self, shared: &Shared) -> Result<Answer, Cut> {
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
        match (self.method.as_str(), path.as_slice()) {
            ("GET", ["_ledger"]) => Ok(answer(200, &json!(shared.lock().book.ledger))),
            ("POST", ["_faults"]) => Ok(self.set_faults(shared)),
            ("GET", ["i", "oauth2", "authorize"]) => Ok(self.agree(shared)),
            ("POST", ["2", "oauth2", "token"]) => self.grant(shared).await,
            ("POST", ["2", "oauth2", "revoke"]) => self.take_back(shared),
            (method, ["2", rest @ ..]) => {
                let Some(user) = self.user(shared) else {
                    return Ok(refuse(401, "", "Unauthorized", "Unauthorized"));
                };
                match (method, rest) {
                    ("POST", ["tweets"]) => self.create(&user, shared).await,
                    ("GET", ["tweets"]) => Ok(self.read(shared)),
                    ("POST", ["media", rest @ ..]) => self.upload(rest, &user, shared),
                    ("GET", ["media", "upload"]) => {
                        let World { uploads, faults, .. } = &mut *shared.lock();
                        Ok(uploads.status(&user, &self.query, faults.dialect, SystemClock.now()))
                    }
                    ("GET", ["users", "me"]) => Ok(self.me(&user, shared)),
                    ("GET", ["users", id, "tweets"]) => Ok(self.list(id, shared)),
                    _ => Ok(not_found()),
                }
            }
            _ => Ok(not_found()),
        }
    }

    /// Remembers it; a refusal if it has something that X does not document.
    fn remember(&self, world: &mut World) -> Option<Answer> {
        let target = match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        let headers = self.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        if world.seen.len() == MOST_SEEN {
            world.seen.pop_front();
        }
        let headers: Vec<(String, String)> = headers.collect();
        let body = String::from_utf8_lossy(&self.body);
        let sent =
            Sent { method: self.method.as_str(), target: &target, headers: &headers, body: &body };
        let unlisted = world.shapes.unlisted(sent).map(|it| (world.shapes.lists(sent), it));
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(MOST_OF_BODY)]);
        world.seen.push_back(Seen {
            method: self.method.to_string(),
            target,
            headers,
            body: body.into_owned(),
        });
        let (is_known, unlisted) = unlisted?;
        let refusal = match is_known {
            true => refuse(400, "invalid-request", "Invalid Request", &unlisted),
            false => not_found(),
        };
        if world.unlisted.len() < MOST_SEEN {
            world.unlisted.push(unlisted);
        }
        Some(refusal)
    }

    fn authorization(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()
    }

    /// The user behind a token.
    fn user(&self, shared: &Shared) -> Option<String> {
        let token = self.authorization()?.strip_prefix("Bearer tok-")?;
        shared.lock().grants.user_of(token, SystemClock.now())
    }

    fn agree(&self, shared: &Shared) -> Answer {
        match shared.lock().grants.agree(&self.query) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => refuse(400, "", "Bad Request", "You weren't able to give access to the App."),
        }
    }

    async fn grant(&self, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = shared.lock();
            world.grants.calls += 1;
            if let Some(canned) = world.canned(Target::Token) {
                return Ok(from_canned(&canned));
            }
            (world.grants.faults.pop_front(), world.faults.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            _ => {}
        }
        let is_form = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        let body = if is_form { String::from_utf8_lossy(&self.body) } else { "".into() };
        let now = SystemClock.now();
        let granted = shared.lock().grants.answer(self.authorization(), &body, now);
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

    fn take_back(&self, shared: &Shared) -> Result<Answer, Cut> {
        let mut world = shared.lock();
        world.grants.calls += 1;
        if let Some(canned) = world.canned(Target::Token) {
            return Ok(from_canned(&canned));
        }
        match world.grants.faults.pop_front() {
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            Some(_) => return Err(Cut),
            None => {}
        }
        let body = String::from_utf8_lossy(&self.body);
        Ok(match world.grants.take_back(self.authorization(), &body) {
            Ok(done) => answer(200, &done),
            Err((status, refusal)) => answer(status, &refusal),
        })
    }

    fn set_faults(&self, shared: &Shared) -> Answer {
        match String::from_utf8_lossy(&self.body).parse::<Faults>() {
            Ok(faults) => {
                shared.lock().faults = faults;
                answer(200, &json!({}))
            }
            Err(error) => refuse(400, "invalid-request", "Invalid Request", &error.to_string()),
        }
    }

    fn upload(&self, path: &[&str], user: &str, shared: &Shared) -> Result<Answer, Cut> {
        let body = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let (mut world, now) = (shared.lock(), SystemClock.now());
        let World { uploads, faults, .. } = &mut *world;
        let answered = match path {
            ["upload", "initialize"] => uploads.initialize(user, &body, faults, now),
            ["upload", id, "append"] => uploads.append((user, id), &body, faults, now),
            ["upload", id, "finalize"] => uploads.finalize((user, id), faults, now),
            ["metadata"] => Ok(uploads.describe(user, &body, now)),
            _ => Ok(not_found()),
        };
        answered.map_err(|media::Cut| Cut)
    }

    fn me(&self, user: &str, shared: &Shared) -> Answer {
        match shared.lock().canned(Target::Me) {
            Some(canned) => from_canned(&canned),
            None => answer(200, &json!({ "data": { "id": user, "name": user, "username": user } })),
        }
    }

    async fn create(&self, user: &str, shared: &Shared) -> Result<Answer, Cut> {
        let _in_flight = InFlight::begin(user, shared);
        let (fault, faults) = {
            let mut world = shared.lock();
            if let Some(canned) = world.canned(Target::Create) {
                return Ok(from_canned(&canned));
            }
            let sample = world.rng.random::<f64>();
            (world.faults.next(sample), world.faults.clone())
        };
        let post = match self.new_post(user, shared) {
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
                let shared = shared.clone();
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
        let Ok(created) = post.accept(shared) else {
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
    fn new_post(&self, user: &str, shared: &Shared) -> Result<NewPost, Box<Answer>> {
        let invalid =
            |detail: &str| Box::new(refuse(400, "invalid-request", "Invalid Request", detail));
        let is_json = self.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let body: Value = serde_json::from_slice(&self.body)
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
        if !shared.lock().uploads.can_be_used(user, &media, SystemClock.now()) {
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
            received_at: self.received_at,
        };
        new.check(&shared.lock())?;
        Ok(new)
    }

    fn read(&self, shared: &Shared) -> Answer {
        let mut world = shared.lock();
        match world.canned(Target::Read) {
            Some(canned) => from_canned(&canned),
            None => reading::read(&self.query, &world, SystemClock.now()),
        }
    }

    fn list(&self, user: &str, shared: &Shared) -> Answer {
        let mut world = shared.lock();
        if let Some(canned) = world.canned(Target::List) {
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
        match Query::read(&self.query, world.faults.dialect) {
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
