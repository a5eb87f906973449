//! The server: accepts connections, takes requests apart, answers.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use postq_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use test_shapes::{Sent, Shapes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{Answer, Canned, answer, from_canned, invalid, limited, refuse, with_limits};
use crate::faults::{Fault, GrantFault};
use crate::ledger::{Ledger, Post};
use crate::lexicon;
use crate::sessions::{Refusal, Sessions};
use crate::videos::Videos;

const MOST_OF_BODY: usize = 64 * 1_024 * 1_024;
/// Of a body, so much is remembered: files are kept in the ledger.
const MOST_REMEMBERED: usize = 64 * 1_024;
/// Requests that are remembered.
const MOST_SEEN: usize = 1_000;
/// How long after its request a late one is written.
const LATE: Duration = Duration::from_millis(300);
const COLLECTION: &str = "app.bsky.feed.post";
const TID_DIGITS: &str = "234567abcdefghijklmnopqrstuvwxyz";

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

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    url: String,
    pub(crate) sessions: Sessions,
    pub(crate) ledger: Ledger,
    pub(crate) videos: Videos,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) grant_faults: VecDeque<GrantFault>,
    pub(crate) hang: Duration,
    pub(crate) slow: Vec<String>,
    pub(crate) canned: VecDeque<(String, Canned)>,
    pub(crate) counted: BTreeMap<String, Value>,
    pub(crate) seen: VecDeque<Seen>,
    /// What was sent that no lexicon has.
    pub(crate) unlisted: Vec<String>,
    shapes: Shapes,
}

impl World {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            sessions: Sessions::default(),
            ledger: Ledger::default(),
            videos: Videos::default(),
            faults: VecDeque::new(),
            grant_faults: VecDeque::new(),
            hang: Duration::from_secs(60),
            slow: Vec::new(),
            canned: VecDeque::new(),
            counted: BTreeMap::new(),
            seen: VecDeque::new(),
            unlisted: Vec::new(),
            shapes: Shapes::read(crate::SHAPES),
        }
    }

    fn canned(&mut self, method: &str) -> Option<Canned> {
        let place = self.canned.iter().position(|(own, _)| own == method)?;
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
        return Ok(refuse(413, "PayloadTooLarge", "request entity too large"));
    };
    let query = head.uri.query().unwrap_or_default();
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let refusal = call.remember(&mut shared.lock());
    match refusal {
        Some(refusal) => Ok(refusal),
        None => call.route(shared).await,
    }
}

/// A request with its whole body.
struct Call {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Remembers it; a refusal if it has something that no lexicon has.
    fn remember(&self, world: &mut World) -> Option<Answer> {
        let headers = self.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        if world.seen.len() == MOST_SEEN {
            world.seen.pop_front();
        }
        let body = &self.body[..self.body.len().min(MOST_REMEMBERED)];
        let seen = Seen {
            method: self.method.clone(),
            target: self.target.clone(),
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
            true => invalid(&unlisted),
            false => refuse(404, "XRPCNotSupported", "XRPCNotSupported"),
        };
        if world.unlisted.len() < MOST_SEEN {
            world.unlisted.push(unlisted);
        }
        Some(refusal)
    }

    async fn route(&self, shared: &Shared) -> Result<Answer, Cut> {
        let Some(name) = self.path.strip_prefix("/xrpc/") else {
            return Ok(self.document(&shared.lock()));
        };
        let canned = shared.lock().canned(name);
        if let Some(canned) = canned {
            if name.starts_with("com.atproto.server.") && self.method == "POST" {
                shared.lock().sessions.calls += 1;
            }
            tokio::time::sleep(canned.after).await;
            return Ok(from_canned(&canned));
        }
        let hangs = self.hangs(name, &shared.lock());
        if let Some(hang) = hangs {
            tokio::time::sleep(hang).await;
        }
        match (self.method.as_str(), name) {
            ("POST", "com.atproto.repo.putRecord") => self.put(shared).await,
            ("POST", "com.atproto.server.refreshSession") => self.renew(shared).await,
            _ => {
                let answered = self.simple(name, &mut shared.lock());
                Ok(answered.unwrap_or_else(|(status, error, words)| refuse(status, error, words)))
            }
        }
    }

    /// How long the question hangs whose a handle is, if it does.
    fn hangs(&self, name: &str, world: &World) -> Option<Duration> {
        let handle =
            self.query("handle").filter(|_| name == "com.atproto.identity.resolveHandle")?;
        world.slow.iter().any(|slow| slow == handle).then_some(world.hang)
    }

    /// Calls that meet no faults.
    fn simple(&self, name: &str, world: &mut World) -> Result<Answer, Refusal> {
        match (self.method.as_str(), name) {
            ("GET", "com.atproto.identity.resolveHandle") => {
                let user = self.query("handle").and_then(|handle| world.sessions.user(handle));
                let user = user.ok_or((400, "InvalidRequest", "Unable to resolve handle"))?;
                Ok(answer(200, &json!({ "did": user.did })))
            }
            ("POST", "com.atproto.server.createSession") => {
                world.sessions.calls += 1;
                let body = self.json().ok_or((400, "InvalidRequest", "no JSON"))?;
                let word = |name: &str| body[name].as_str().unwrap_or_default();
                let mut session = world.sessions.sign_in(word("identifier"), word("password"))?;
                session["didDoc"] = document(world, session["did"].as_str().unwrap_or_default());
                Ok(answer(200, &session))
            }
            ("GET", "com.atproto.server.getSession") => {
                let did = world.sessions.user_of(self.bearer())?;
                let handle = world.sessions.user(&did).map(|user| user.handle.clone());
                Ok(answer(200, &json!({ "did": did, "handle": handle })))
            }
            ("GET", "com.atproto.repo.getRecord") => Ok(self.get(world)),
            ("POST", "com.atproto.repo.uploadBlob") => {
                let did = world.sessions.user_of(self.bearer())?;
                let blob = world.ledger.upload(&did, &self.kind(), self.body.to_vec());
                Ok(answer(200, &json!({ "blob": blob })))
            }
            ("GET", "com.atproto.server.getServiceAuth") => {
                let did = world.sessions.user_of(self.bearer())?;
                let is_host = self.query("aud") == Some("did:web:127.0.0.1");
                if !is_host || self.query("lxm") != Some("com.atproto.repo.uploadBlob") {
                    return Err((400, "InvalidRequest", "no such right"));
                }
                Ok(answer(200, &json!({ "token": world.videos.right(&did) })))
            }
            ("POST", "app.bsky.video.uploadVideo") => {
                let did = self.query("did").unwrap_or_default();
                if !world.videos.spend(self.bearer(), did) {
                    return Err((401, "AuthenticationRequired", "no right to upload"));
                }
                let blob = world.ledger.upload(did, &self.kind(), self.body.to_vec());
                let (status, told) = world.videos.begin(did, blob);
                Ok(answer(status, &told))
            }
            ("GET", "app.bsky.video.getJobStatus") => {
                let told = self.query("jobId").and_then(|id| world.videos.status(id));
                Ok(answer(200, &told.ok_or((400, "InvalidRequest", "no such job"))?))
            }
            ("GET", "app.bsky.feed.getPosts") => Ok(self.count(world)),
            _ => Err((404, "XRPCNotSupported", "XRPCNotSupported")),
        }
    }

    fn document(&self, world: &World) -> Answer {
        match self.path.strip_prefix('/').filter(|did| world.sessions.user(did).is_some()) {
            Some(did) => answer(200, &document(world, did)),
            None => answer(404, &json!({ "message": "DID not registered" })),
        }
    }

    async fn renew(&self, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = shared.lock();
            world.sessions.calls += 1;
            (world.grant_faults.pop_front(), world.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(refuse(503, "NotAvailable", "come again")),
            _ => {}
        }
        // As the reference server: a body is refused.
        if !self.body.is_empty() {
            return Ok(invalid("A request body was provided when none was expected"));
        }
        let renewed = shared.lock().sessions.renew(self.bearer());
        match fault {
            Some(GrantFault::CutAfter) => return Err(Cut),
            Some(GrantFault::HangAfter) => tokio::time::sleep(hang).await,
            _ => {}
        }
        Ok(match renewed {
            Ok(session) => answer(200, &session),
            Err((status, error, words)) => refuse(status, error, words),
        })
    }

    async fn put(&self, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = shared.lock();
            world.ledger.writes += 1;
            (world.faults.pop_front(), world.hang)
        };
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::UnavailableBefore) => return Ok(refuse(503, "NotAvailable", "come again")),
            Some(Fault::Limited) => return Ok(limited(SystemClock.now())),
            _ => {}
        }
        let write = match self.write(&shared.lock()) {
            Ok(write) => write,
            Err(refusal) => return Ok(*refusal),
        };
        if fault == Some(Fault::Late) {
            let shared = shared.clone();
            // Outlives the connection, as a request does that a server has already taken in.
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                drop(write.carry_out(&mut shared.lock().ledger));
            });
            return Err(Cut);
        }
        let answered = match write.carry_out(&mut shared.lock().ledger) {
            Ok(post) => {
                let body = json!({ "uri": post.uri, "cid": post.cid, "validationStatus": "valid" });
                with_limits(answer(200, &body), 4_997, SystemClock.now().timestamp() + 3_600)
            }
            Err(cid) => refuse(400, "InvalidSwap", &format!("Record was at {cid}")),
        };
        match fault {
            Some(Fault::CutAfter) => Err(Cut),
            Some(Fault::UnavailableAfter) => Ok(refuse(502, "UpstreamFailure", "Upstream Failure")),
            Some(Fault::SwapAfter) => Ok(refuse(400, "InvalidSwap", "Record was at bafyrei")),
            Some(Fault::NoData) => Ok(answer(200, &json!({}))),
            Some(Fault::HangAfter) => {
                tokio::time::sleep(hang).await;
                Ok(answered)
            }
            _ => Ok(answered),
        }
    }

    /// What is to be written, or why the server would refuse it.
    fn write(&self, world: &World) -> Result<Write, Box<Answer>> {
        let bad = |message: &str| Box::new(invalid(message));
        let did = world.sessions.user_of(self.bearer());
        let did = did.map_err(|(status, error, words)| Box::new(refuse(status, error, words)))?;
        let body = self.json().ok_or_else(|| bad("the body is not JSON"))?;
        let fields = body.as_object().ok_or_else(|| bad("the body is no object"))?;
        let known = ["repo", "collection", "rkey", "record", "swapRecord"];
        if fields.len() != known.len() || known.iter().any(|field| !fields.contains_key(*field)) {
            return Err(bad("the body has other fields"));
        }
        if body["repo"] != *did {
            let words = "Could not find account";
            return Err(Box::new(refuse(403, "AccountNotFound", words)));
        }
        let rkey = body["rkey"].as_str().filter(|rkey| is_tid(rkey));
        let rkey = rkey.ok_or_else(|| bad("Invalid record key: Invalid TID string"))?;
        if body["collection"] != COLLECTION {
            return Err(bad("no such collection"));
        }
        lexicon::check(&body["record"], &did, &world.ledger)
            .map_err(|(error, message)| Box::new(refuse(400, error, &message)))?;
        Ok(Write {
            uri: format!("at://{did}/{COLLECTION}/{rkey}"),
            record: body["record"].clone(),
            only_new: body["swapRecord"].is_null(),
        })
    }

    fn get(&self, world: &World) -> Answer {
        let word = |name: &str| self.query(name).unwrap_or_default();
        let uri = format!("at://{}/{}/{}", word("repo"), word("collection"), word("rkey"));
        match world.ledger.find(&uri) {
            Some(post) => {
                answer(200, &json!({ "uri": uri, "cid": post.cid, "value": post.record }))
            }
            None => refuse(400, "RecordNotFound", &format!("Could not locate record: {uri}")),
        }
    }

    fn count(&self, world: &World) -> Answer {
        let asked: Vec<&str> = self
            .query
            .iter()
            .filter(|(name, _)| name == "uris")
            .map(|(_, uri)| uri.as_str())
            .collect();
        if !(1..=25).contains(&asked.len()) {
            return invalid("uris must have 1 to 25 elements");
        }
        let posts: Vec<Value> = asked
            .into_iter()
            .filter_map(|uri| {
                let mut post = world.counted.get(uri)?.clone();
                post["uri"] = json!(uri);
                post["record"] = json!({ "likeCount": 99 });
                Some(post)
            })
            .collect();
        answer(200, &json!({ "posts": posts }))
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn bearer(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn kind(&self) -> String {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.unwrap_or("application/octet-stream").to_owned()
    }

    fn json(&self) -> Option<Value> {
        let is_json = self.kind() == "application/json";
        serde_json::from_slice(&self.body).ok().filter(|_| is_json)
    }
}

fn document(world: &World, did: &str) -> Value {
    let handle = world.sessions.user(did).map_or("handle.invalid", |user| user.handle.as_str());
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "alsoKnownAs": [format!("at://{handle}")],
        "service": [{
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": world.url,
        }],
    })
}

fn is_tid(rkey: &str) -> bool {
    rkey.len() == 13
        && rkey.chars().all(|c| TID_DIGITS.contains(c))
        && rkey.starts_with(|c| TID_DIGITS[..16].contains(c))
}

/// A record to be written.
struct Write {
    uri: String,
    record: Value,
    only_new: bool,
}

impl Write {
    /// Writes it, unless it is there; else the id of the content that is in its place.
    fn carry_out(self, ledger: &mut Ledger) -> Result<Post, String> {
        match ledger.find(&self.uri) {
            None => Ok(ledger.write(&self.uri, self.record)),
            Some(post) if post.record == self.record => {
                let post = post.clone();
                ledger.repeats += 1;
                Ok(post)
            }
            Some(post) if self.only_new => Err(post.cid.clone()),
            Some(_) => {
                ledger.overwrite(&self.uri, self.record);
                Ok(ledger.find(&self.uri).expect("it was there").clone())
            }
        }
    }
}
