//! The server: accepts connections, takes requests apart, answers.

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
use serde_json::json;
use test_shapes::{Sent, Shapes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{
    Answer, Refusal, answer, from_canned, invalid, limited, missing, no_token, refuse, unavailable,
};
use crate::body::Fields;
use crate::faults::Fault;
use crate::ledger::Accepted;
use crate::world::World;
use crate::{facebook, instagram, nodes};

const MOST_OF_BODY: usize = 16 * 1_024 * 1_024;
/// Of a body, so much is remembered: files are kept with what they are of.
const MOST_REMEMBERED: usize = 64 * 1_024;
/// Requests that are remembered.
const MOST_SEEN: usize = 1_000;

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, as it was sent.
    pub query: String,
    /// Its headers, by name in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, as far as it is text.
    pub body: String,
}

impl Seen {
    /// Its method and the last part of its path: `POST feed`.
    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path.rsplit('/').next().unwrap_or_default())
    }

    /// What of it is not documented.
    fn unlisted(&self, shapes: &Shapes) -> Option<String> {
        let target = self.target();
        let Self { method, headers, body, .. } = self;
        shapes.unlisted(Sent { method, target: &target, headers, body })
    }

    /// Its path and its query.
    pub fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(own, _)| own == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }
}

/// Handed to each connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
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
        return Ok(refuse(1, 1_366_046, "The body is too large."));
    };
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let seen = call.seen();
    let canned = {
        let mut world = shared.lock();
        let what = seen.what();
        if world.seen.len() == MOST_SEEN {
            world.seen.pop_front();
        }
        let unlisted = seen.unlisted(&world.shapes);
        world.seen.push_back(seen);
        if let Some(unlisted) = unlisted {
            let refusal = *invalid(&unlisted);
            if world.unlisted.len() < MOST_SEEN {
                world.unlisted.push(unlisted);
            }
            return Ok(refusal);
        }
        let canned = world.canned(&what);
        let creates = ["POST feed", "POST media_publish"].contains(&what.as_str());
        world.ledger.creates += u64::from(creates && canned.is_some());
        canned
    };
    match canned {
        Some(canned) => Ok(from_canned(&canned)),
        None => call.route(shared).await,
    }
}

/// Where a request leads.
enum Routed {
    Answered(Answer),
    Create(Result<Accepted, Refusal>),
}

/// A request with its whole body.
pub(crate) struct Call {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    async fn route(&self, shared: &Shared) -> Result<Answer, Cut> {
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
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
            return self.login(&path, &fields, shared).await;
        }
        let ["v25.0", rest @ ..] = path.as_slice() else { return Ok(missing(&self.path)) };
        let now = SystemClock.now();
        if let ("GET", ["me", "accounts"]) = (self.method.as_str(), rest) {
            return Ok(shared.lock().grants.pages(self.token()).unwrap_or_else(no_token));
        }
        let user = self.token().and_then(|token| shared.lock().grants.user_of(token, now));
        let Some(user) = user else { return Ok(no_token()) };
        let routed = self.read_or_check(&user, rest, &fields, &mut shared.lock());
        match routed {
            Routed::Answered(answer) => Ok(answer),
            Routed::Create(new) => self.create(new, &user, shared).await,
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
        Routed::Answered(match (self.method.as_str(), path) {
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
            _ => missing(&self.path),
        })
    }

    /// A creating call that was checked, with whatever happens to it.
    async fn create(
        &self,
        new: Result<Accepted, Refusal>,
        account: &str,
        shared: &Shared,
    ) -> Result<Answer, Cut> {
        let (fault, faults) = {
            let mut world = shared.lock();
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
                let shared = shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.late).await;
                    drop(accept(&mut shared.lock(), new));
                });
                return Err(Cut);
            }
            _ => {}
        }
        let accepted = accept(&mut shared.lock(), new);
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

    async fn login(&self, path: &[&str], fields: &Fields, shared: &Shared) -> Result<Answer, Cut> {
        use crate::grants::GrantFault;
        let is_dialog = matches!(path, ["dialog", "oauth"] | ["oauth", "authorize"]);
        let (fault, hang) = {
            let mut world = shared.lock();
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
        let granted = shared.lock().grants.grant(&self.method, path, fields, SystemClock.now());
        match fault {
            Some(GrantFault::CutAfter) => return Err(Cut),
            Some(GrantFault::HangAfter) => tokio::time::sleep(hang).await,
            _ => {}
        }
        Ok(granted)
    }

    fn fields(&self) -> Option<Fields> {
        match self.method.as_str() {
            "GET" => {
                // The proof is no field: every call may have one.
                let fields = self.query.split('&').filter(|it| !it.starts_with("appsecret_proof="));
                Some(Fields::of_form(&fields.collect::<Vec<_>>().join("&")))
            }
            _ => {
                let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                Fields::of_body(kind.unwrap_or_default(), &self.body)
            }
        }
    }

    fn token(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn seen(&self) -> Seen {
        let headers = self.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let body = &self.body[..self.body.len().min(MOST_REMEMBERED)];
        Seen {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(body).into_owned(),
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
