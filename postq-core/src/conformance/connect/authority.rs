//! An authority in memory: gives grants, rotates them, takes each refresh token once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::{ConnectHarness, GrantTrouble};
use crate::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Revoke, Whose};
use crate::failure::{Failure, FailureClass};

/// An authority in memory, for tests of what uses one. Cheap to clone: all clones are one.
///
/// A refresh token is good for one call. To use a spent one ends the whole chain, as strict platforms do:
/// a caller that asks twice loses the account, and a test sees it.
#[derive(Clone, Debug, Default)]
pub struct Authority(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Codes and the verifiers that they were asked for with.
    codes: BTreeMap<String, String>,
    /// Who is connected, and the number of the grant in force; none once the chain has ended.
    chains: BTreeMap<String, Option<u64>>,
    given: u64,
    calls: u64,
    in_flight: u64,
    most_in_flight: u64,
    trouble: VecDeque<GrantTrouble>,
    lives: Option<Duration>,
    takes: Duration,
    /// So many times nobody is told whose a grant is.
    silent: u32,
    several: bool,
}

/// How long a call hangs that gets no answer: longer than any time-out of a test.
const HANG: Duration = Duration::from_secs(60);

const TIMEOUT: Duration = Duration::from_millis(300);

impl Authority {
    /// A grant for somebody, as if they had just connected.
    pub fn grant(&self, user: &str) -> Grant {
        self.lock().grant(user)
    }

    /// Ends the chain of somebody: the person took the right back.
    pub fn revoke(&self, user: &str) {
        self.lock().chains.insert(user.to_owned(), None);
    }

    /// Calls for a grant, or to take one back, so far.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The most calls that were in flight at once.
    pub fn most_in_flight(&self) -> u64 {
        self.lock().most_in_flight
    }

    /// What the next calls to refresh, or to take back, meet, one each.
    pub fn meet(&self, trouble: impl IntoIterator<Item = GrantTrouble>) {
        self.lock().trouble.extend(trouble);
    }

    /// The next so many times it cannot be told whose a grant is.
    pub fn be_silent(&self, times: u32) {
        self.lock().silent = times;
    }

    /// From now on a person has as many identities there as they name.
    pub fn have_several(&self) {
        self.lock().several = true;
    }

    /// The next calls meet no trouble.
    pub fn end_trouble(&self) {
        self.lock().trouble.clear();
    }

    /// From now on access tokens live so long, and calls take so long.
    pub fn set_pace(&self, lives: Option<Duration>, takes: Duration) {
        let mut state = self.lock();
        (state.lives, state.takes) = (lives, takes);
    }

    /// Whether an access token is that of the grant in force.
    pub fn takes(&self, access_token: &SecretString) -> bool {
        self.lock().user_of("access", access_token).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grant(&mut self, user: &str) -> Grant {
        self.given += 1;
        let number = self.given;
        self.chains.insert(user.to_owned(), Some(number));
        Grant {
            access_token: format!("access:{number}:{user}").into(),
            refresh_token: Some(format!("refresh:{number}:{user}").into()),
            expires_in: self.lives,
            scopes: vec!["write".to_owned()],
        }
    }

    /// Whose token in force this is.
    fn user_of(&self, kind: &str, token: &SecretString) -> Option<String> {
        let (number, user) = parts(kind, token)?;
        (self.chains.get(user) == Some(&Some(number))).then(|| user.to_owned())
    }
}

fn parts<'a>(kind: &str, token: &'a SecretString) -> Option<(u64, &'a str)> {
    let (number, user) =
        token.expose_secret().strip_prefix(kind)?.strip_prefix(':')?.split_once(':')?;
    Some((number.parse().ok()?, user))
}

fn trouble(class: FailureClass, what: &str) -> Failure {
    Failure::unknown(class, what)
}

#[async_trait]
impl Refresh for Authority {
    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let (met, takes) = {
            let mut state = self.lock();
            state.calls += 1;
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            (state.trouble.pop_front(), state.takes)
        };
        tokio::time::sleep(takes).await;
        let answer = {
            let mut state = self.lock();
            state.in_flight -= 1;
            match met {
                Some(GrantTrouble::Unavailable) => {
                    return Err(trouble(FailureClass::Platform, "the authority answered (503)"));
                }
                Some(GrantTrouble::CutBefore) => {
                    return Err(trouble(FailureClass::Network, "the connection was cut"));
                }
                _ => match state.user_of("refresh", refresh_token) {
                    Some(user) => Renewal::Renewed(state.grant(&user)),
                    None => {
                        if let Some((_, user)) = parts("refresh", refresh_token)
                            && let Some(chain) = state.chains.get_mut(user)
                        {
                            *chain = None;
                        }
                        Renewal::Refused("the authority refuses it: invalid_grant".to_owned())
                    }
                },
            }
        };
        match met {
            Some(GrantTrouble::CutAfter) => {
                Err(trouble(FailureClass::Network, "the connection was cut"))
            }
            Some(GrantTrouble::Hang) => {
                match tokio::time::timeout(TIMEOUT, tokio::time::sleep(HANG)).await {
                    Ok(()) => Ok(answer),
                    Err(_) => Err(trouble(FailureClass::Network, "no answer in time")),
                }
            }
            _ => Ok(answer),
        }
    }
}

#[async_trait]
impl Connect for Authority {
    fn asks(&self) -> &[Asked] {
        &[Asked { scope: "write", why: "to publish" }]
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        Ok("http://127.0.0.1:1/back")
    }

    fn authorize(&self, state: &Nonce, verifier: &Nonce) -> Result<String, String> {
        let code = Nonce::random();
        let address = format!(
            "http://authority.test/?scope=write&state={}&code={}",
            state.expose(),
            code.expose()
        );
        self.lock().codes.insert(code.expose().to_owned(), verifier.expose().to_owned());
        Ok(address)
    }

    async fn exchange(
        &self,
        code: &SecretString,
        verifier: &Nonce,
        which: Option<&str>,
    ) -> Result<Grant, Failure> {
        let mut state = self.lock();
        state.calls += 1;
        match state.codes.get(code.expose_secret()) {
            Some(known) if known == verifier.expose() => {
                state.codes.remove(code.expose_secret());
                let several = state.several;
                Ok(state.grant(which.filter(|_| several).unwrap_or("somebody")))
            }
            _ => Err(Failure::not_published(FailureClass::Auth, "the code is refused")),
        }
    }

    fn several(&self) -> Option<&'static str> {
        self.lock().several.then_some("name")
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let mut state = self.lock();
        if state.silent > 0 {
            state.silent -= 1;
            return Err(trouble(FailureClass::Platform, "the authority answered (503)"));
        }
        match state.user_of("access", &grant.access_token) {
            Some(user) => Ok(Whose { remote_id: user, name: None }),
            None => Err(Failure::not_published(FailureClass::Auth, "the token is refused")),
        }
    }

    fn revoke(&self) -> Option<&dyn Revoke> {
        Some(self)
    }
}

#[async_trait]
impl Revoke for Authority {
    async fn revoke(&self, token: &SecretString) -> Result<(), Failure> {
        let mut state = self.lock();
        state.calls += 1;
        if state.trouble.pop_front().is_some() {
            return Err(trouble(FailureClass::Platform, "the authority answered (503)"));
        }
        if let Some(user) = ["refresh", "access"].iter().find_map(|kind| state.user_of(kind, token))
        {
            state.chains.insert(user, None);
        }
        Ok(())
    }
}

#[async_trait]
impl ConnectHarness for Authority {
    fn connect(&self) -> &dyn Connect {
        self
    }

    fn refresh(&self) -> &dyn Refresh {
        self
    }

    async fn agree(&self, address: &str) -> SecretString {
        address.rsplit("code=").next().unwrap_or_default().into()
    }

    async fn calls(&self) -> Option<u64> {
        Some(Self::calls(self))
    }

    async fn next(&self, trouble: GrantTrouble) -> bool {
        self.meet([trouble]);
        true
    }
}
