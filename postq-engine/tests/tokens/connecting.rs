use std::sync::Arc;

use postq_core::clock::Clock;
use postq_core::connect::Nonce;
use postq_core::id::TenantId;
use postq_core::job::Applied;
use postq_core::memory::MemoryConnecting;
use postq_engine::tokens::{Begun, Browser, CameBack, ConnectError, Connected, ToConnect};

use crate::world::{World, pass};

/// A person who connects accounts.
struct Person {
    world: World,
    kept: MemoryConnecting,
}

impl Person {
    async fn new() -> Self {
        let world = World::new().await;
        let kept = MemoryConnecting::new(Arc::new(world.clock));
        Self { world, kept }
    }

    async fn begin(&self, what: ToConnect, browser: Option<&Nonce>) -> Begun {
        let node = self.world.node();
        node.begin(&self.kept, what, browser, self.world.clock.now()).await.unwrap()
    }

    fn new_account(&self, name: &str) -> ToConnect {
        let platform = self.world.town.name.clone();
        let (tenant, name) = (TenantId::DEFAULT, name.to_owned());
        ToConnect::New { tenant, name, platform, identity: None }
    }

    /// Agrees, and comes back.
    fn agree(&self, begun: &Begun, browser: Browser) -> CameBack {
        let query = begun.address.split_once("state=").unwrap().1;
        let (state, code) = query.split_once("&code=").unwrap();
        let platform = self.world.town.name.clone();
        CameBack { platform, state: state.into(), code: code.into(), browser }
    }

    async fn finish(&self, back: &CameBack) -> Result<Connected, ConnectError> {
        // On another node than it was begun on.
        self.world.node().finish(&self.kept, back, self.world.clock.now()).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_connected_and_connected_again() {
    let person = Person::new().await;
    let begun = person.begin(person.new_account("second"), None).await;
    assert_eq!(begun.asks.len(), 1);

    let back = person.agree(&begun, Browser::Shows(None));
    let Connected { account, is_new, whose, in_page } = person.finish(&back).await.unwrap();
    assert!(is_new && !in_page && account.id == begun.account);
    assert_eq!(whose.unwrap().remote_id, "somebody");
    assert_eq!(account.remote_id.as_deref(), Some("somebody"));
    let token = person.world.node().usable(&account, person.world.clock.now()).await.unwrap();
    assert!(person.world.authority.takes(token.who.secret.as_ref().unwrap()));
    let again = person.finish(&back).await.unwrap_err();
    assert!(matches!(again, ConnectError::NotBegun), "a code is taken once");

    let begun = person.begin(ToConnect::Again(Box::new(account.clone())), None).await;
    let again = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap();
    let anew = again.account;
    assert!(!again.is_new && anew.id == account.id && anew.credentials != account.credentials);

    let begun = person.begin(person.new_account("second"), None).await;
    let taken = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();
    assert!(matches!(taken, ConnectError::NameTaken(_)), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn only_who_began_in_time_and_in_this_browser_comes_back() {
    let person = Person::new().await;
    let (own, other) = (Nonce::random(), Nonce::random());
    let cases = [
        (Browser::Shows(None), false),
        (Browser::Shows(Some(other.secret().clone())), false),
        (Browser::Shows(Some(own.secret().clone())), true),
    ];
    for (n, (browser, good)) in cases.into_iter().enumerate() {
        let begun = person.begin(person.new_account(&format!("n{n}")), Some(&own)).await;
        let finished = person.finish(&person.agree(&begun, browser.clone())).await;
        assert_eq!(finished.is_ok(), good, "{browser:?}");
    }

    let begun = person.begin(person.new_account("late"), None).await;
    pass(601).await;
    let late = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();
    assert!(matches!(late, ConnectError::NotBegun));

    let begun = person.begin(person.new_account("forged"), None).await;
    let back = CameBack { code: "forged".into(), ..person.agree(&begun, Browser::Any) };
    let forged = person.finish(&back).await.unwrap_err();
    assert!(matches!(forged, ConnectError::Refused(_)), "{forged}");
    assert_eq!(person.world.backend.accounts.list(TenantId::DEFAULT).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn somebody_else_does_not_take_an_account_over() {
    let person = Person::new().await;
    let mut ann = person.world.stored().await;
    ann.remote_id = Some("ann".to_owned());
    assert_eq!(person.world.backend.accounts.update(&ann, None).await.unwrap(), Applied::Applied);

    let begun = person.begin(ToConnect::Again(Box::new(ann.clone())), None).await;
    let refused = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();

    assert!(matches!(refused, ConnectError::SomebodyElse { .. }), "{refused}");
    assert_eq!(person.world.stored().await, ann);
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_identity_is_known_takes_no_grant_of_nobody_knows_whom() {
    let person = Person::new().await;
    let mut ann = person.world.stored().await;
    ann.remote_id = Some("ann".to_owned());
    assert_eq!(person.world.backend.accounts.update(&ann, None).await.unwrap(), Applied::Applied);
    let begun = person.begin(ToConnect::Again(Box::new(ann.clone())), None).await;
    person.world.authority.be_silent(1);

    let refused = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap_err();

    assert!(matches!(refused, ConnectError::Trouble(_)), "{refused}");
    assert!(refused.to_string().contains("nothing was changed"), "{refused}");
    assert_eq!(person.world.stored().await, ann);

    let begun = person.begin(person.new_account("new"), None).await;
    person.world.authority.be_silent(1);
    let new = person.finish(&person.agree(&begun, Browser::Any)).await.unwrap();
    assert!(new.whose.is_none() && new.account.remote_id.is_none(), "nobody's posts are mixed up");
}
