//! The server: what answers which request.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fake_http::{Answer, Call, Canned, Cut, Prepared, Record};
use postq_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::answers::{answer, from_canned, limited, page, plain, with_quota};
use crate::communities::{self, Ask};
use crate::faults::{Fault, HANG, LATE, MediaFault, SLOW};
use crate::grants::{GrantFault, Grants};
use crate::ledger::Book;
use crate::listing;
use crate::media::Uploads;
use crate::submit::Asked;

pub(crate) const MOST_OF_BODY: usize = 16 * 1_024 * 1_024;
/// Of a body, so much is remembered: files are kept with their upload.
const MOST_REMEMBERED: usize = 512 * 1_024;

/// What all connections share.
pub(crate) type Shared = fake_http::Shared<World>;

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
    /// `GET /r/{sr}/about/rules`.
    Rules,
}

/// All that the server knows.
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
    pub(crate) canned: Prepared<Target>,
    pub(crate) record: Record,
    pub(crate) uploads: Uploads,
    pub(crate) grants: Grants,
    pub(crate) communities: BTreeMap<String, [Value; 3]>,
    pub(crate) rules: BTreeMap<String, Value>,
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
            canned: Prepared::default(),
            record: Record::new(crate::SHAPES, MOST_REMEMBERED),
            uploads: Uploads::default(),
            grants: Grants::default(),
            communities: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }

    fn canned(&mut self, target: Target) -> Option<Answer> {
        self.canned.take(&target).map(|canned| from_canned(&canned))
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

/// Answers a request, by the server's own clock.
pub(crate) async fn respond(call: Call, shared: Shared) -> Result<Answer, Cut> {
    let refusal = refusal(&call, &mut shared.lock());
    let mut answer = match refusal {
        Some(refusal) => refusal,
        None => Request { call, shared: shared.clone() }.route().await?,
    };
    let world = shared.lock();
    if world.ahead != 0 {
        let date = world.now().format("%a, %d %b %Y %H:%M:%S GMT");
        answer.headers_mut().insert("date", date.to_string().parse().expect("a date"));
    }
    Ok(answer)
}

/// Remembers a request; a refusal if it has something that Reddit does not take.
fn refusal(call: &Call, world: &mut World) -> Option<Answer> {
    world.record.remember(call);
    let unlisted = world.record.check(call)?;
    Some(match unlisted.is_known {
        true => plain(400, &unlisted.what),
        false => plain(404, "Not Found"),
    })
}

/// A request, and all that the server knows.
struct Request {
    call: Call,
    shared: Shared,
}

impl Request {
    async fn route(&self) -> Result<Answer, Cut> {
        if self.header("user-agent").is_empty() {
            return Ok(page(429));
        }
        let path: Vec<&str> = self.call.path.split('/').skip(1).collect();
        match (self.call.method.as_str(), path.as_slice()) {
            ("GET", ["api", "v1", "authorize"]) => Ok(self.agree()),
            ("POST", ["api", "v1", "access_token"]) => self.grant().await,
            ("POST", ["_store", _]) => {
                let is_slow = self.shared.lock().is_slow();
                if is_slow {
                    tokio::time::sleep(SLOW).await;
                }
                self.store()
            }
            (method, path) => {
                let Some(user) = self.user() else { return Ok(plain(401, "Unauthorized")) };
                self.api(method, path, &user).await.map(with_quota)
            }
        }
    }

    async fn api(&self, method: &str, path: &[&str], user: &str) -> Result<Answer, Cut> {
        let query: BTreeMap<String, String> = self.call.fields().into_iter().collect();
        if query.get("raw_json").map(String::as_str) != Some("1") {
            return Ok(plain(400, "raw_json is missing"));
        }
        let only_raw = query.len() == 1;
        match (method, path) {
            ("POST", ["api", "submit" | "submit_gallery_post.json"]) if only_raw => {
                return self.create(user).await;
            }
            _ => {}
        }
        let mut world = self.shared.lock();
        let target = match (method, path) {
            ("GET", ["api", "v1", "me"]) => Target::Me,
            ("GET", ["user", _, "submitted"]) => Target::List,
            ("GET", ["api", "info"]) => Target::Info,
            ("POST", ["api", "media", "asset.json"]) => Target::Lease,
            ("GET", ["r", _, "about"]) => Target::About,
            ("GET", ["api", "v1", _, "post_requirements"]) => Target::Requirements,
            ("GET", ["r", _, "api", "link_flair_v2"]) => Target::Flairs,
            ("GET", ["r", _, "about", "rules"]) => Target::Rules,
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
                uploads.lease(user, &self.call.form(), &host, media_faults)
            }
            (Target::About, [_, name, ..]) => communities::told(&Ask::About, name, &world),
            (Target::Requirements, [_, _, name, _]) => {
                communities::told(&Ask::Requirements, name, &world)
            }
            (Target::Flairs, [_, name, ..]) => communities::told(&Ask::Flairs, name, &world),
            (Target::Rules, [_, name, ..]) => communities::told(&Ask::Rules, name, &world),
            _ => plain(404, "Not Found"),
        })
    }

    fn header(&self, name: &str) -> &str {
        self.call.header(name).unwrap_or_default()
    }

    /// The user behind a token.
    fn user(&self) -> Option<String> {
        let token = self.header("authorization").strip_prefix("bearer tok-")?;
        self.shared.lock().grants.user_of(token)
    }

    fn agree(&self) -> Answer {
        let asked = self.call.fields().into_iter().collect();
        match self.shared.lock().grants.agree(&asked) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => page(400),
        }
    }

    async fn grant(&self) -> Result<Answer, Cut> {
        let fault = {
            let mut world = self.shared.lock();
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
        let authorization = Some(self.header("authorization")).filter(|own| !own.is_empty());
        let form = self.call.form().into_iter().collect();
        let granted = self.shared.lock().grants.answer(authorization, &form);
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

    fn store(&self) -> Result<Answer, Cut> {
        let mut world = self.shared.lock();
        let World { uploads, media_faults, .. } = &mut *world;
        if !self.header("authorization").is_empty() {
            return Ok(plain(400, "a token has no place here"));
        }
        let has_length = !self.header("content-length").is_empty();
        uploads.store((self.header("content-type"), &self.call.body), has_length, media_faults)
    }

    async fn create(&self, user: &str) -> Result<Answer, Cut> {
        let (fault, now) = {
            let mut world = self.shared.lock();
            world.creates += 1;
            if let Some(canned) = world.canned(Target::Submit) {
                return Ok(canned);
            }
            (world.faults.pop_front(), world.now())
        };
        let asked = match self.call.path.as_str() {
            "/api/submit" => Asked::form(user, &self.call.form().into_iter().collect(), now),
            _ => {
                let is_json = self.header("content-type") == "application/json";
                let body = serde_json::from_slice(&self.call.body).ok().filter(|_| is_json);
                Asked::gallery(user, &body.unwrap_or(Value::Null), now)
            }
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => return Ok(*refusal),
        };
        if let Some(refusal) = asked.refusal(&self.shared.lock()) {
            return Ok(refusal);
        }
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::UnavailableBefore) => return Ok(page(503)),
            Some(Fault::Limited) => return Ok(limited()),
            Some(Fault::Late) => {
                let shared = self.shared.clone();
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
        let accepted = asked.accept(&mut self.shared.lock(), now);
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
