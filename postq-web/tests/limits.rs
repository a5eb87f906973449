//! How fast may be published, and how much of that is left.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::content::{Content, Draft};
use postq_core::error::{ErrorKind, LimitError};
use postq_core::failure::Failure;
use postq_core::intent::Receipt;
use postq_core::limiter::{Budget, Rate, RateLimiter, Take};
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_engine::desk::{Submission, When};
use postq_engine::dry_run::DryRun;
use postq_engine::{Engine, Settings};
use postq_web::Web;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use support::Site;

/// A platform that takes six posts a minute, and three in a quarter of an hour for each account.
#[derive(Debug)]
struct Paced(PlatformName);

fn app() -> Rate {
    Rate::per_minute(NonZeroU32::new(6).unwrap())
}

fn account() -> Rate {
    Rate::per_window(NonZeroU32::new(3).unwrap(), Duration::from_secs(900))
}

#[async_trait]
impl Platform for Paced {
    fn name(&self) -> &PlatformName {
        &self.0
    }

    fn pace(&self) -> Pace {
        Pace { app: Some(app()), account: Some(account()), ..Pace::default() }
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let receipt = Receipt {
            part: part.part,
            remote_id: "1".to_owned(),
            url: None,
            published_at: SystemClock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

/// A server with that platform, and its engine.
async fn site(change: impl Fn(&mut Settings, &mut Backend)) -> (Site, Engine) {
    let mut site = Site::still().await;
    let (mut settings, mut backend) = (Settings::default(), site.store.backend());
    change(&mut settings, &mut backend);
    let engine = Engine::builder(backend)
        .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
        .platform(Arc::new(Paced("paced".parse().unwrap())))
        .settings(settings)
        .build()
        .unwrap();
    let web = Web::new(engine.clone(), site.store.tokens(), site.store.idempotency());
    site.answer_with(web).await;
    (site, engine)
}

async fn connect(engine: &Engine, platform: &str, name: &str) -> Account {
    let account = Account::new(name, platform.parse().unwrap(), SystemClock.now());
    engine.backend().accounts.insert(&account).await.unwrap();
    account
}

async fn take(engine: &Engine, key: &str, rate: Rate) {
    let take = Take { key: key.to_owned(), rate, not_before: SystemClock.now() };
    engine.backend().limiter.take(&take).await.unwrap();
}

/// What is told of an account; of the app without a name.
fn of<'a>(limits: &'a Value, name: Option<&str>) -> &'a Value {
    let items = limits["items"].as_array().unwrap();
    items.iter().find(|item| item["account_name"].as_str() == name).unwrap()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_told_and_looking_uses_nothing() {
    let (site, engine) = site(|_, _| {}).await;
    let main = connect(&engine, "paced", "main").await;
    let other = connect(&engine, "paced", "other").await;
    connect(&engine, "dry_run", "nothing").await;
    let resets_at = SystemClock.now() + Duration::from_secs(600);
    take(&engine, main.lane().as_str(), account()).await;
    take(&engine, main.lane().as_str(), account()).await;
    engine.backend().limiter.tighten(other.lane().as_str(), 0, resets_at).await.unwrap();

    site.get("/api/limits").await.is(200);
    let limits = site.get("/api/limits").await.is(200).body;

    assert_eq!((&limits["in_force"], &limits["cut"]), (&json!(true), &json!(false)));
    assert_eq!(limits["items"].as_array().unwrap().len(), 3, "{limits:#}");
    assert_eq!(limits["items"][0]["account_id"], Value::Null, "apps come first: {limits:#}");
    let app = of(&limits, None);
    assert_eq!(app["platform"], "paced");
    let rate =
        |item: &Value| [&item["calls"], &item["per_seconds"], &item["at_once"]].map(Value::clone);
    assert_eq!(rate(app), [json!(6), json!(60.0), json!(1)]);
    assert_eq!((&app["left"], &app["told"]), (&json!(1), &Value::Null));
    let shown = of(&limits, Some("main"));
    assert_eq!(shown["account_id"], main.id.to_string());
    assert_eq!(rate(shown), [json!(3), json!(900.0), json!(3)]);
    assert_eq!((&shown["left"], &shown["told"]), (&json!(1), &Value::Null));
    assert!(time(&shown["next_at"]) <= SystemClock.now(), "{shown}");
    let held = of(&limits, Some("other"));
    assert_eq!((&held["left"], &held["told"]["left"]), (&json!(0), &json!(0)));
    let apart = (time(&held["told"]["resets_at"]) - resets_at).abs();
    assert!(apart < chrono::TimeDelta::milliseconds(1), "{held}");
    assert!(time(&held["next_at"]) >= resets_at, "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_uses_up_what_is_told() {
    let (site, engine) = site(|_, _| {}).await;
    connect(&engine, "paced", "main").await;
    let (running, stop) = (engine.clone(), CancellationToken::new());
    let ended = tokio::spawn({
        let stop = stop.clone();
        async move { running.run(stop).await }
    });

    let submission = Submission::new(Content::text("hello"), ["main"], When::Now);
    engine.desk().submit(submission).await.unwrap();
    site.until("/api/publications", |all| !all["items"].as_array().unwrap().is_empty()).await;
    let limits = site.get("/api/limits").await.is(200).body;

    assert_eq!(of(&limits, Some("main"))["left"], 2, "{limits:#}");
    let app = of(&limits, None);
    assert_eq!(app["left"], 0, "{limits:#}");
    let wait = time(&app["next_at"]) - time(&limits["at"]);
    assert!(wait.num_seconds() < 10, "six a minute: {limits:#}");
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_there_are_none_to_tell() {
    let (site, engine) = site(|settings, _| settings.rate_limit = false).await;
    connect(&engine, "paced", "main").await;

    let limits = site.get("/api/limits").await.is(200).body;

    assert_eq!((&limits["in_force"], &limits["items"]), (&json!(false), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_accounts_the_first_are_told() {
    let (site, engine) = site(|_, _| {}).await;
    let accounts = (0..1_000).map(|n| {
        let engine = engine.clone();
        async move { connect(&engine, "paced", &format!("n{n}")).await }
    });
    accounts.collect::<tokio::task::JoinSet<_>>().join_all().await;

    let limits = site.get("/api/limits").await.is(200).body;

    assert_eq!(limits["items"].as_array().unwrap().len(), 1_000);
    assert_eq!((&limits["cut"], &limits["items"][0]["account_id"]), (&json!(true), &Value::Null));
}

/// A limiter that does not answer.
#[derive(Debug)]
struct Away;

fn away<T>() -> Result<T, LimitError> {
    Err(LimitError::new(ErrorKind::Unavailable, "connection refused"))
}

#[async_trait]
impl RateLimiter for Away {
    async fn take(&self, _: &Take) -> Result<DateTime<Utc>, LimitError> {
        away()
    }

    async fn tighten(&self, _: &str, _: u32, _: DateTime<Utc>) -> Result<(), LimitError> {
        away()
    }

    async fn look(&self, _: &[Take]) -> Result<Vec<Budget>, LimitError> {
        away()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limiter_that_is_away_is_told() {
    let (site, _engine) = site(|_, backend| backend.limiter = Arc::new(Away)).await;

    site.get("/api/limits").await.refused(503, "unavailable");
}
