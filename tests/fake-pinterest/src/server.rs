//! The server: what answers which request.

use std::net::SocketAddr;

use fake_http::{Answer, Call, Canned, Cut, Prepared, Record};
use postq_core::clock::{Clock, SystemClock};
use serde_json::json;

use crate::answers::{answer, from_canned, invalid, limited, not_found, refuse, unavailable};
use crate::boards::Boards;
use crate::faults::{Fault, Faults};
use crate::grants::{GrantFault, Grants};
use crate::pins::{NewPin, Pins};
use crate::storage::Storage;

pub(crate) const MOST_OF_BODY: usize = 96 * 1_024 * 1_024;
/// Of a body, so much is remembered.
const MOST_REMEMBERED: usize = 64 * 1_024;

/// What all connections share.
pub(crate) type Shared = fake_http::Shared<World>;

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

/// All that the server knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pins: Pins,
    pub(crate) boards: Boards,
    pub(crate) storage: Storage,
    pub(crate) grants: Grants,
    pub(crate) faults: Faults,
    pub(crate) canned: Prepared<Target>,
    pub(crate) record: Record,
    pub(crate) creates: u64,
}

impl World {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            pins: Pins::default(),
            boards: Boards::default(),
            storage: Storage::at(address),
            grants: Grants::default(),
            faults: Faults::default(),
            canned: Prepared::default(),
            record: Record::new(crate::SHAPES, MOST_REMEMBERED),
            creates: 0,
        }
    }
}

/// Answers a request, and remembers both.
pub(crate) async fn respond(call: Call, shared: Shared) -> Result<Answer, Cut> {
    let (number, refusal) = {
        let world = &mut *shared.lock();
        (world.record.remember(&call), refusal(&call, &mut world.record))
    };
    let answer = match refusal {
        Some(refusal) => refusal,
        None => Request { call, shared: shared.clone() }.route().await?,
    };
    shared.lock().record.answered(number, &answer);
    Ok(answer)
}

/// Why a call to the API is refused that has something in it that is not documented.
fn refusal(call: &Call, record: &mut Record) -> Option<Answer> {
    if !call.path.starts_with("/v5/") {
        return None;
    }
    let unlisted = record.check(call)?;
    Some(match unlisted.is_known {
        true => invalid(&unlisted.what),
        false => not_found("There is no such path."),
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
            ("GET", ["oauth", ""]) => Ok(self.agree()),
            ("POST", ["storage"]) => {
                let world = &mut *self.shared.lock();
                world.storage.take(&self.call, &mut world.faults)
            }
            ("POST", ["v5", "oauth", "token"]) => self.grant().await,
            (method, ["v5", rest @ ..]) => match self.user() {
                Some(user) => self.of_user(method, rest, &user).await,
                None => Ok(refuse(401, 2, "Authentication failed.")),
            },
            _ => Ok(not_found("There is no such path.")),
        }
    }

    async fn of_user(&self, method: &str, path: &[&str], user: &str) -> Result<Answer, Cut> {
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
            self.shared.lock().creates += 1;
        }
        if let Some(canned) = self.shared.lock().canned.take(&target) {
            return Ok(from_canned(&canned));
        }
        if target == Target::Create {
            return self.create(user).await;
        }
        let world = &mut *self.shared.lock();
        Ok(match path {
            ["pins", id] => world.pins.read(id, &self.call.query, &world.faults),
            ["boards"] => world.boards.list(&self.call.query, user),
            ["boards", id, "sections"] => world.boards.list_sections(id, &self.call.query),
            ["boards", id, "pins"] => self.list((id, None), world),
            ["boards", id, "sections", section, "pins"] => self.list((id, Some(section)), world),
            ["media"] => world.storage.register(user, &self.call.body, &mut world.faults),
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
        world.pins.list((board, section), &self.call.query, &world.faults, SystemClock.now())
    }

    async fn create(&self, user: &str) -> Result<Answer, Cut> {
        let (fault, faults, new) = {
            let world = &mut *self.shared.lock();
            if !self.call.is("application/json") {
                return Ok(invalid("The body is not JSON."));
            }
            let new = NewPin::read(user, &self.call.body, &world.boards, &world.storage);
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
                let shared = self.shared.clone();
                // Outlives the connection, as a request does that a server has already taken in.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.late).await;
                    drop(shared.lock().pins.accept(new, &faults, SystemClock.now()));
                });
                return Err(Cut);
            }
            _ => {}
        }
        let accepted = self.shared.lock().pins.accept(new, &faults, SystemClock.now());
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

    fn agree(&self) -> Answer {
        match self.shared.lock().grants.agree(&self.call.query) {
            Some(back) => from_canned(&Canned::new(302, "").with("location", &back)),
            None => invalid("Invalid request."),
        }
    }

    async fn grant(&self) -> Result<Answer, Cut> {
        let (fault, hang) = {
            let world = &mut *self.shared.lock();
            let fault = world.grants.called();
            if let Some(canned) = world.canned.take(&Target::Token) {
                return Ok(from_canned(&canned));
            }
            (fault, world.faults.hang)
        };
        match fault {
            Some(GrantFault::CutBefore) => return Err(Cut),
            Some(GrantFault::Unavailable) => return Ok(unavailable()),
            _ => {}
        }
        let now = SystemClock.now();
        let (authorization, body) = (self.call.header("authorization"), self.call.form_text());
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

    /// The user behind a token.
    fn user(&self) -> Option<String> {
        let token = self.call.bearer()?.strip_prefix("tok-")?;
        self.shared.lock().grants.user_of(token, SystemClock.now())
    }
}
