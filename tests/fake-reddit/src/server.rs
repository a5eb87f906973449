//! The server: accepts connections, takes requests apart, answers.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use postq_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use test_shapes::{Sent, Shapes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{Answer, Canned, answer, from_canned, limited, page, plain, with_quota};
use crate::communities::{self, Ask};
use crate::faults::{Fault, HANG, LATE, MediaFault, SLOW};
use crate::grants::{GrantFault, Grants};
use crate::ledger::Book;
use crate::listing;
use crate::media::Uploads;
use crate::submit::Asked;

const MOST_OF_BODY: usize = 16 * 1_024 * 1_024;
/// Of a body, so much is remembered: files are kept with their upload.
const MOST_REMEMBERED: usize = 512 * 1_024;
/// Requests that are remembered.
const MOST_SEEN: usize = 1_000;

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

impl Seen {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let own = self.headers.iter().filter(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).collect()
    }

    /// The fields of its form, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        fields(&self.body)
    }
}

/// Which requests an answer of the test's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `POST /api/submit` and `/api/submit_gallery_post.json`.
    Submit,
    /// `GET /user/{name}/submitted`.
    List,
    /// `GET /api/info`.
    Info,
    /// `GET /api/v1/me`.
    Me,
    /// `POST /api/v1/access_token`.
    Token,
    /// `POST /api/media/asset.json`.
    Lease,
    /// `GET /r/{sr}/about`.
    About,
    /// `GET /api/v1/{sr}/post_requirements`.
    Requirements,
    /// `GET /r/{sr}/api/link_flair_v2`.
    Flairs,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    host: String,
    pub(crate) book: Book,
    pub(crate) creates: usize,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) media_faults: VecDeque<MediaFault>,
    pub(crate) hide: Duration,
    pub(crate) work: Duration,
    pub(crate) has_websockets: bool,
    pub(crate) tells_files: bool,
    pub(crate) ahead: i64,
    pub(crate) canned: VecDeque<(Target, Canned)>,
    pub(crate) seen: VecDeque<Seen>,
    /// What was sent that Reddit does not take.
    pub(crate) unlisted: Vec<String>,
    shapes: Shapes,
    pub(crate) uploads: Uploads,
    pub(crate) grants: Grants,
    pub(crate) communities: BTreeMap<String, [Value; 3]>,
}

impl World {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            host: address.to_string(),
            book: Book::default(),
            creates: 0,
            faults: VecDeque::new(),
            media_faults: VecDeque::new(),
            hide: Duration::ZERO,
            work: Duration::ZERO,
            has_websockets: true,
            tells_files: true,
            ahead: 0,
            canned: VecDeque::new(),
            seen: VecDeque::new(),
            unlisted: Vec::new(),
            shapes: Shapes::read(crate::SHAPES),
            uploads: Uploads::default(),
            grants: Grants::default(),
            communities: BTreeMap::new(),
        }
    }

    fn canned(&mut self, target: Target) -> Option<Answer> {
        let place = self.canned.iter().position(|(own, _)| *own == target)?;
        self.canned.remove(place).map(|(_, canned)| from_canned(&canned))
    }

    fn is_slow(&mut self) -> bool {
        let next = self.media_faults.front() == Some(&MediaFault::SlowStore);
        next.then(|| self.media_faults.pop_front());
        next
    }

    /// The time by the server's own clock.
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::seconds(self.ahead)
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
pub(crate) struct Cut;

pub(crate) async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
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
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_OF_BODY).collect().await else {
        return Ok(plain(413, "Payload Too Large"));
    };
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let refusal = call.remember(&mut shared.lock());
    let mut answer = match refusal {
        Some(refusal) => refusal,
        None => call.route(shared).await?,
    };
    let ahead = shared.lock().ahead;
    if ahead != 0 {
        let date =
            (SystemClock.now() + TimeDelta::seconds(ahead)).format("%a, %d %b %Y %H:%M:%S GMT");
        let date = date.to_string().parse().expect("a date");
        answer.headers_mut().insert(DATE, date);
    }
    Ok(answer)
}

/// A request with its whole body.
struct Call {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    async fn route(&self, shared: &Shared) -> Result<Answer, Cut> {
        if self.header(USER_AGENT.as_str()).is_empty() {
            return Ok(page(429));
        }
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
        match (self.method.as_str(), path.as_slice()) {
            ("GET", ["api", "v1", "authorize"]) => Ok(self.agree(shared)),
            ("POST", ["api", "v1", "access_token"]) => self.grant(shared).await,
            ("POST", ["_store", _]) => {
                let is_slow = shared.lock().is_slow();
                if is_slow {
                    tokio::time::sleep(SLOW).await;
                }
                self.store(shared)
            }
            (method, path) => {
                let Some(user) = self.user(shared) else { return Ok(plain(401, "Unauthorized")) };
                self.api(method, path, &user, shared).await.map(with_quota)
            }
        }
    }

    async fn api(
        &self,
        method: &str,
        path: &[&str],
        user: &str,
        shared: &Shared,
    ) -> Result<Answer, Cut> {
        let query: BTreeMap<String, String> = fields(&self.query).into_iter().collect();
        if query.get("raw_json").map(String::as_str) != Some("1") {
            return Ok(plain(400, "raw_json is missing"));
        }
        let only_raw = query.len() == 1;
        match (method, path) {
            ("POST", ["api", "submit" | "submit_gallery_post.json"]) if only_raw => {
                return self.create(user, shared).await;
            }
            _ => {}
        }
        let mut world = shared.lock();
        let target = match (method, path) {
            ("GET", ["api", "v1", "me"]) => Target::Me,
            ("GET", ["user", _, "submitted"]) => Target::List,
            ("GET", ["api", "info"]) => Target::Info,
            ("POST", ["api", "media", "asset.json"]) => Target::Lease,
            ("GET", ["r", _, "about"]) => Target::About,
            ("GET", ["api", "v1", _, "post_requirements"]) => Target::Requirements,
            ("GET", ["r", _, "api", "link_flair_v2"]) => Target::Flairs,
            _ => return Ok(plain(404, "Not Found")),
        };
        if let Some(canned) = world.canned(target) {
            return Ok(canned);
        }
        let now = world.now();
        Ok(match (target, path) {
            (Target::Me, _) => answer(
                200,
                &json!({ "id": format!("id{user}"), "name": user, "is_suspended": false }),
            ),
            (Target::List, [_, name, _]) => listing::submitted(name, &query, &world, now),
            (Target::Info, _) => listing::info(&query, &world),
            (Target::Lease, _) => {
                let host = world.host.clone();
                let World { uploads, media_faults, .. } = &mut *world;
                uploads.lease(user, &self.form(), &host, media_faults)
            }
            (Target::About, [_, name, ..]) => communities::told(&Ask::About, name, &world),
            (Target::Requirements, [_, _, name, _]) => {
                communities::told(&Ask::Requirements, name, &world)
            }
            (Target::Flairs, [_, name, ..]) => communities::told(&Ask::Flairs, name, &world),
            _ => plain(404, "Not Found"),
        })
    }

    /// Remembers it; a refusal if it has something that Reddit does not take.
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
        let body = &self.body[..self.body.len().min(MOST_REMEMBERED)];
        let seen = Seen {
            method: self.method.to_string(),
            target,
            headers: headers.collect(),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let sent = Sent {
            method: &seen.method,
            target: &seen.target,
            headers: &seen.headers,
            body: &seen.body,
        };
        let unlisted = world.shapes.unlisted(sent).map(|it| (world.shapes.lists(sent), it));
        world.seen.push_back(seen);
        let (is_known, unlisted) = unlisted?;
        let refusal = match is_known {
            true => plain(400, &unlisted),
            false => plain(404, "Not Found"),
        };
        if world.unlisted.len() < MOST_SEEN {
            world.unlisted.push(unlisted);
        }
        Some(refusal)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The fields of a form; none if it is no form.
    fn form(&self) -> Vec<(String, String)> {
        match self.header(CONTENT_TYPE.as_str()) {
            "application/x-www-form-urlencoded" => fields(&String::from_utf8_lossy(&self.body)),
            _ => Vec::new(),
        }
    }

    /// The user behind a token.
    fn user(&self, shared: &Shared) -> Option<String> {
        let token = self.header(AUTHORIZATION.as_str()).strip_prefix("bearer tok-")?;
        shared.lock().grants.user_of(token)
    }

    fn agree(&self, shared: &Shared) -> Answer {
        let asked = fields(&self.query).into_iter().collect();
        match shared.lock().grants.agree(&asked) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => page(400),
        }
    }

    async fn grant(&self, shared: &Shared) -> Result<Answer, Cut> {
        let fault = {
            let mut world = shared.lock();
            world.grants.calls += 1;
            if let Some(canned) = world.canned(Target::Token) {
                return Ok(canned);
            }
            world.grants.faults.pop_front()
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(page(503)),
            _ => {}
        }
        let authorization = Some(self.header(AUTHORIZATION.as_str())).filter(|own| !own.is_empty());
        let form = self.form().into_iter().collect();
        let granted = shared.lock().grants.answer(authorization, &form);
        match fault {
            Some(GrantFault::CutAfter) => return Err(Cut),
            Some(GrantFault::HangAfter) => tokio::time::sleep(HANG).await,
            _ => {}
        }
        Ok(match granted {
            Ok(grant) => answer(200, &grant),
            Err((status, refusal)) => answer(status, &refusal),
        })
    }

    fn store(&self, shared: &Shared) -> Result<Answer, Cut> {
        let mut world = shared.lock();
        let World { uploads, media_faults, .. } = &mut *world;
        if !self.header(AUTHORIZATION.as_str()).is_empty() {
            return Ok(plain(400, "a token has no place here"));
        }
        let has_length = !self.header(CONTENT_LENGTH.as_str()).is_empty();
        uploads.store((self.header(CONTENT_TYPE.as_str()), &self.body), has_length, media_faults)
    }

    async fn create(&self, user: &str, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, now) = {
            let mut world = shared.lock();
            world.creates += 1;
            if let Some(canned) = world.canned(Target::Submit) {
                return Ok(canned);
            }
            (world.faults.pop_front(), world.now())
        };
        let asked = match self.path.as_str() {
            "/api/submit" => Asked::form(user, &self.form().into_iter().collect(), now),
            _ => {
                let is_json = self.header(CONTENT_TYPE.as_str()) == "application/json";
                let body = serde_json::from_slice(&self.body).ok().filter(|_| is_json);
                Asked::gallery(user, &body.unwrap_or(Value::Null), now)
            }
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => return Ok(*refusal),
        };
        if let Some(refusal) = asked.refusal(&shared.lock()) {
            return Ok(refusal);
        }
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::UnavailableBefore) => return Ok(page(503)),
            Some(Fault::Limited) => return Ok(limited()),
            Some(Fault::Late) => {
                let shared = shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    let mut world = shared.lock();
                    let now = world.now();
                    drop(asked.accept(&mut world, now));
                });
                return Err(Cut);
            }
            _ => {}
        }
        let accepted = asked.accept(&mut shared.lock(), now);
        match fault {
            Some(Fault::CutAfter) => Err(Cut),
            Some(Fault::UnavailableAfter) => Ok(page(503)),
            Some(Fault::NoData) => Ok(answer(200, &json!({ "json": { "errors": [] } }))),
            Some(Fault::PageAfter) => Ok(page(200)),
            Some(Fault::HangAfter) => {
                tokio::time::sleep(HANG).await;
                Ok(accepted)
            }
            _ => Ok(accepted),
        }
    }
}

/// The fields of a form or a query, in order.
fn fields(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|field| field.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
