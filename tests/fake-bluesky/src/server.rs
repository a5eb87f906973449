//! The server: what answers which request.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use fake_http::{Answer, Call, Cut, Prepared, Record};
use postq_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::answers::{answer, from_canned, invalid, limited, refuse, with_limits};
use crate::faults::{Fault, GrantFault};
use crate::ledger::{Ledger, Post};
use crate::lexicon;
use crate::sessions::{Refusal, Sessions};
use crate::videos::Videos;

pub(crate) const MOST_OF_BODY: usize = 64 * 1_024 * 1_024;
/// Of a body, so much is remembered: files are kept in the ledger.
const MOST_REMEMBERED: usize = 64 * 1_024;
/// How long after its request a late one is written.
const LATE: Duration = Duration::from_millis(300);
const COLLECTION: &str = "app.bsky.feed.post";
const TID_DIGITS: &str = "234567abcdefghijklmnopqrstuvwxyz";

/// What all connections share.
pub(crate) type Shared = fake_http::Shared<World>;

/// All that the server knows.
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
    /// Answers of the test's own, by the name of the method.
    pub(crate) canned: Prepared<String>,
    pub(crate) counted: BTreeMap<String, Value>,
    pub(crate) record: Record,
}

impl World {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            url: format!("http://{address}"),
            sessions: Sessions::default(),
            ledger: Ledger::default(),
            videos: Videos::default(),
            faults: VecDeque::new(),
            grant_faults: VecDeque::new(),
            hang: Duration::from_secs(60),
            slow: Vec::new(),
            canned: Prepared::default(),
            counted: BTreeMap::new(),
            record: Record::new(crate::SHAPES, MOST_REMEMBERED),
        }
    }
}

/// Answers a request.
pub(crate) async fn respond(call: Call, shared: Shared) -> Result<Answer, Cut> {
    let refusal = refusal(&call, &mut shared.lock().record);
    match refusal {
        Some(refusal) => Ok(refusal),
        None => Request { query: call.fields(), call, shared }.route().await,
    }
}

/// Remembers a request; a refusal if it has something that no lexicon has.
fn refusal(call: &Call, record: &mut Record) -> Option<Answer> {
    record.remember(call);
    let unlisted = record.check(call)?;
    Some(match unlisted.is_known {
        true => invalid(&unlisted.what),
        false => refuse(404, "XRPCNotSupported", "XRPCNotSupported"),
    })
}

/// A request, and all that the server knows.
struct Request {
    query: Vec<(String, String)>,
    call: Call,
    shared: Shared,
}

impl Request {
    async fn route(&self) -> Result<Answer, Cut> {
        let Some(name) = self.call.path.strip_prefix("/xrpc/") else {
            return Ok(self.document(&self.shared.lock()));
        };
        let canned = self.shared.lock().canned.take(name);
        if let Some(canned) = canned {
            if name.starts_with("com.atproto.server.") && self.call.method == "POST" {
                self.shared.lock().sessions.calls += 1;
            }
            tokio::time::sleep(canned.after).await;
            return Ok(from_canned(&canned));
        }
        let hangs = self.hangs(name, &self.shared.lock());
        if let Some(hang) = hangs {
            tokio::time::sleep(hang).await;
        }
        match (self.call.method.as_str(), name) {
            ("POST", "com.atproto.repo.putRecord") => self.put().await,
            ("POST", "com.atproto.server.refreshSession") => self.renew().await,
            _ => {
                let answered = self.simple(name, &mut self.shared.lock());
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
        match (self.call.method.as_str(), name) {
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
                let did = world.sessions.user_of(self.call.bearer())?;
                let handle = world.sessions.user(&did).map(|user| user.handle.clone());
                Ok(answer(200, &json!({ "did": did, "handle": handle })))
            }
            ("GET", "com.atproto.repo.getRecord") => Ok(self.get(world)),
            ("POST", "com.atproto.repo.uploadBlob") => {
                let did = world.sessions.user_of(self.call.bearer())?;
                let blob = world.ledger.upload(&did, &self.kind(), self.call.body.to_vec());
                Ok(answer(200, &json!({ "blob": blob })))
            }
            ("GET", "com.atproto.server.getServiceAuth") => {
                let did = world.sessions.user_of(self.call.bearer())?;
                let is_host = self.query("aud") == Some("did:web:127.0.0.1");
                if !is_host || self.query("lxm") != Some("com.atproto.repo.uploadBlob") {
                    return Err((400, "InvalidRequest", "no such right"));
                }
                Ok(answer(200, &json!({ "token": world.videos.right(&did) })))
            }
            ("POST", "app.bsky.video.uploadVideo") => {
                let did = self.query("did").unwrap_or_default();
                if !world.videos.spend(self.call.bearer(), did) {
                    return Err((401, "AuthenticationRequired", "no right to upload"));
                }
                let blob = world.ledger.upload(did, &self.kind(), self.call.body.to_vec());
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
        match self.call.path.strip_prefix('/').filter(|did| world.sessions.user(did).is_some()) {
            Some(did) => answer(200, &document(world, did)),
            None => answer(404, &json!({ "message": "DID not registered" })),
        }
    }

    async fn renew(&self) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = self.shared.lock();
            world.sessions.calls += 1;
            (world.grant_faults.pop_front(), world.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(refuse(503, "NotAvailable", "come again")),
            _ => {}
        }
        // As the reference server: a body is refused.
        if !self.call.body.is_empty() {
            return Ok(invalid("A request body was provided when none was expected"));
        }
        let renewed = self.shared.lock().sessions.renew(self.call.bearer());
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

    async fn put(&self) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let mut world = self.shared.lock();
            world.ledger.writes += 1;
            (world.faults.pop_front(), world.hang)
        };
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::UnavailableBefore) => return Ok(refuse(503, "NotAvailable", "come again")),
            Some(Fault::Limited) => return Ok(limited(SystemClock.now())),
            _ => {}
        }
        let write = match self.write(&self.shared.lock()) {
            Ok(write) => write,
            Err(refusal) => return Ok(*refusal),
        };
        if fault == Some(Fault::Late) {
            let shared = self.shared.clone();
            // Outlives the connection, as a request does that a server has already taken in.
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                drop(write.carry_out(&mut shared.lock().ledger));
            });
            return Err(Cut);
        }
        let answered = match write.carry_out(&mut self.shared.lock().ledger) {
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
        let did = world.sessions.user_of(self.call.bearer());
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

    fn kind(&self) -> String {
        self.call.header("content-type").unwrap_or("application/octet-stream").to_owned()
    }

    fn json(&self) -> Option<Value> {
        let is_json = self.call.is("application/json");
        serde_json::from_slice(&self.call.body).ok().filter(|_| is_json)
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
