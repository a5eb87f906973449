//! The server: accepts connections, takes requests apart, answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use postq_core::clock::{Clock, SystemClock};
use serde_json::json;
use test_shapes::{Sent, Shapes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{
    Answer, Canned, Cut, answer, from_canned, invalid, limited, not_found, refuse, unavailable,
};
use crate::boards::Boards;
use crate::faults::{Fault, Faults};
use crate::grants::{GrantFault, Grants};
use crate::pins::{NewPin, Pins};
use crate::storage::Storage;

const MOST_OF_BODY: usize = 96 * 1_024 * 1_024;
/// Of a body, so much is remembered.
const MOST_REMEMBERED: usize = 64 * 1_024;
/// Requests that are remembered.
const MOST_SEEN: usize = 1_000;

/// A request that came in, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place among all requests.
    pub number: u64,
    /// Its method.
    pub method: String,
    /// Its path, and its query as it was sent.
    pub target: String,
    /// Its headers, by name in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, if it is text.
    pub body: String,
    /// Status and body of its answer; none until it is made, and where the connection was cut.
    pub answer: Option<(u16, String)>,
}

/// Which requests an answer of the test's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `POST /v5/pins`.
    Create,
    /// `GET /v5/pins/{id}`.
    Read,
    /// `GET /v5/boards/{id}/pins`, and the same of a section.
    List,
    /// `GET /v5/boards`.
    Boards,
    /// `POST /v5/media`.
    Register,
    /// `GET /v5/media/{id}`.
    Poll,
    /// `GET /v5/user_account`.
    User,
    /// `POST /v5/oauth/token`.
    Token,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pins: Pins,
    pub(crate) boards: Boards,
    pub(crate) storage: Storage,
    pub(crate) grants: Grants,
    pub(crate) faults: Faults,
    pub(crate) canned: VecDeque<(Target, Canned)>,
    pub(crate) seen: VecDeque<Seen>,
    /// What was sent that is not documented.
    pub(crate) unlisted: Vec<String>,
    shapes: Shapes,
    pub(crate) creates: u64,
    requests: u64,
}

/// Handed to each connection.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(World {
            pins: Pins::default(),
            boards: Boards::default(),
            storage: Storage::at(address),
            grants: Grants::default(),
            faults: Faults::default(),
            canned: VecDeque::new(),
            seen: VecDeque::new(),
            unlisted: Vec::new(),
            shapes: Shapes::read(crate::SHAPES),
            creates: 0,
            requests: 0,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

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
        return Ok(refuse(413, 413, "The body is too large."));
    };
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let (number, refusal) = {
        let world = &mut *shared.lock();
        (call.remember(world), call.refusal(world))
    };
    let answer = match refusal {
        Some(refusal) => refusal,
        None => call.route(shared).await?,
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|never| match never {})?.to_bytes();
    let told = (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned());
    if let Some(seen) = shared.lock().seen.iter_mut().find(|seen| seen.number == number) {
        seen.answer = Some(told);
    }
    Ok(Answer::from_parts(head, body.into()))
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
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
        match (self.method.as_str(), path.as_slice()) {
            ("GET", ["oauth", ""]) => Ok(self.agree(shared)),
            ("POST", ["storage"]) => {
                let world = &mut *shared.lock();
                world.storage.take(&self.headers, &self.body, &mut world.faults)
            }
            ("POST", ["v5", "oauth", "token"]) => self.grant(shared).await,
            (method, ["v5", rest @ ..]) => match self.user(shared) {
                Some(user) => self.of_user(method, rest, &user, shared).await,
                None => Ok(refuse(401, 2, "Authentication failed.")),
            },
            _ => Ok(not_found("There is no such path.")),
        }
    }

    async fn of_user(
        &self,
        method: &str,
        path: &[&str],
        user: &str,
        shared: &Shared,
    ) -> Result<Answer, Cut> {
        let target = match (method, path) {
            ("POST", ["pins"]) => Target::Create,
            ("GET", ["pins", _]) => Target::Read,
            ("GET", ["boards", _, "pins"] | ["boards", _, "sections", _, "pins"]) => Target::List,
            ("GET", ["boards"] | ["boards", _, "sections"]) => Target::Boards,
            ("POST", ["media"]) => Target::Register,
            ("GET", ["media", _]) => Target::Poll,
            ("GET", ["user_account"]) => Target::User,
            _ => return Ok(not_found("There is no such path.")),
        };
        if target == Target::Create {
            shared.lock().creates += 1;
        }
        if let Some(canned) = shared.lock().canned(target) {
            return Ok(from_canned(&canned));
        }
        if target == Target::Create {
            return self.create(user, shared).await;
        }
        let world = &mut *shared.lock();
        Ok(match path {
            ["pins", id] => world.pins.read(id, &self.query, &world.faults),
            ["boards"] => world.boards.list(&self.query, user),
            ["boards", id, "sections"] => world.boards.list_sections(id, &self.query),
            ["boards", id, "pins"] => self.list((id, None), world),
            ["boards", id, "sections", section, "pins"] => self.list((id, Some(section)), world),
            ["media"] => world.storage.register(user, &self.body, &mut world.faults),
            ["media", id] => world.storage.read(user, id, &mut world.faults),
            _ => {
                let user = json!({ "id": user, "username": format!("user{user}"),
                                   "account_type": "BUSINESS", "business_name": null });
                answer(200, &user)
            }
        })
    }

    fn list(&self, (board, section): (&str, Option<&str>), world: &World) -> Answer {
        if !world.boards.has(board) {
            return not_found("Board not found.");
        }
        if section.is_some_and(|id| !world.boards.has_section(board, id)) {
            return not_found("Board section not found.");
        }
        world.pins.list((board, section), &self.query, &world.faults, SystemClock.now())
    }

    async fn create(&self, user: &str, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, faults, new) = {
            let world = &mut *shared.lock();
            if self.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
                return Ok(invalid("The body is not JSON."));
            }
            let new = NewPin::read(user, &self.body, &world.boards, &world.storage);
            let new = match new {
                Ok(new) => new,
                Err(refusal) => return Ok(refusal.answer()),
            };
            (world.faults.next(), world.faults.clone(), new)
        };
        match fault {
            Fault::CutBefore => return Err(Cut),
            Fault::UnavailableBefore => return Ok(unavailable()),
            Fault::Limited => return Ok(limited()),
            Fault::Late => {
                let shared = shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.late).await;
                    drop(shared.lock().pins.accept(new, &faults, SystemClock.now()));
                });
                return Err(Cut);
            }
            _ => {}
        }
        let accepted = shared.lock().pins.accept(new, &faults, SystemClock.now());
        let Some(pin) = accepted else { return Ok(unavailable()) };
        let status = if faults.ok_for_created { 200 } else { 201 };
        match fault {
            Fault::CutAfter => Err(Cut),
            Fault::UnavailableAfter => Ok(unavailable()),
            Fault::NoId => Ok(answer(status, &json!({}))),
            Fault::HangAfter => {
                tokio::time::sleep(faults.hang).await;
                Ok(answer(status, &pin))
            }
            _ => Ok(answer(status, &pin)),
        }
    }

    fn agree(&self, shared: &Shared) -> Answer {
        match shared.lock().grants.agree(&self.query) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => invalid("Invalid request."),
        }
    }

    async fn grant(&self, shared: &Shared) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let world = &mut *shared.lock();
            let fault = world.grants.called();
            if let Some(canned) = world.canned(Target::Token) {
                return Ok(from_canned(&canned));
            }
            (fault, world.faults.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            _ => {}
        }
        let kind = self.headers.get(CONTENT_TYPE);
        let is_form = kind.is_some_and(|kind| kind == "application/x-www-form-urlencoded");
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

    fn authorization(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()
    }

    /// The user behind a token.
    fn user(&self, shared: &Shared) -> Option<String> {
        let token = self.authorization()?.strip_prefix("Bearer tok-")?;
        shared.lock().grants.user_of(token, SystemClock.now())
    }

    /// Why a call to the API is refused that has something in it that is not documented.
    fn refusal(&self, world: &mut World) -> Option<Answer> {
        let seen = world.seen.back().filter(|seen| seen.target.starts_with("/v5/"))?;
        // Of what is remembered a part may be missing.
        let body = String::from_utf8_lossy(&self.body);
        let Seen { method, target, headers, .. } = seen;
        let sent = Sent { method, target, headers, body: &body };
        let unlisted = world.shapes.unlisted(sent)?;
        let refusal = match world.shapes.lists(sent) {
            true => invalid(&unlisted),
            false => not_found("There is no such path."),
        };
        if world.unlisted.len() < MOST_SEEN {
            world.unlisted.push(unlisted);
        }
        Some(refusal)
    }

    fn remember(&self, world: &mut World) -> u64 {
        world.requests += 1;
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
        world.seen.push_back(Seen {
            number: world.requests,
            method: self.method.to_string(),
            target,
            headers: headers.collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            answer: None,
        });
        world.requests
    }
}

impl World {
    fn canned(&mut self, target: Target) -> Option<Canned> {
        let place = self.canned.iter().position(|(own, _)| *own == target)?;
        self.canned.remove(place).map(|(_, canned)| canned)
    }
}

/// The fields of a form or a query.
pub(crate) fn fields(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
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
