//! The rules of [`Platform`] and [`Reconcile`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::conformance::eventually;
use crate::content::{Draft, Part};
use crate::failure::{Failure, Outcome};
use crate::id::JobId;
use crate::intent::{Intent, PlatformKey};
use crate::job::Fence;
use crate::options::PostOptions;
use crate::platform::{
    Identity, Look, Lookup, Outgoing, Platform, PreparedMedia, Published, Reconcile, Violation,
};

#[cfg(test)]
mod toy;

/// Writes one test per rule of [`Platform`] and of [`Reconcile`]; the argument yields an
/// `Arc<dyn PlatformHarness>`. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! platform_conformance {
    ($fresh:expr) => {
        mod platform_rules {
            $crate::conformance_rules! { $fresh, platform {
                good_content_has_no_violation,
                bad_content_is_named,
                publish_sends_once,
                publish_brings_a_receipt,
                a_refusal_is_not_published,
                a_cut_after_accepting_is_unknown,
                publish_gives_up_in_time,
                a_thread_is_a_chain,
                failures_keep_secrets,
                what_is_too_long_is_refused,
                a_look_changes_nothing,
                a_look_finds_what_is_out,
                a_look_finds_nothing_that_is_not_ours,
            } }
        }
    };
}

/// A platform under test, with the world behind it: fresh for each test, so that nothing is out yet.
///
/// Three methods make a harness; the others have a meaning of their own only where the platform, or
/// the server that the test has for it, can do more.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use postq_core::conformance::platform::{Live, PlatformHarness};
/// # use postq_core::platform::{Identity, Platform};
/// struct Harness {
///     platform: Box<dyn Platform>,
///     who: Identity,
///     out: Arc<Mutex<Vec<Live>>>,
/// }
///
/// #[async_trait::async_trait]
/// impl PlatformHarness for Harness {
///     fn platform(&self) -> &dyn Platform {
///         &*self.platform
///     }
///
///     fn who(&self) -> Identity {
///         self.who.clone()
///     }
///
///     async fn live(&self) -> Option<Vec<Live>> {
///         Some(self.out.lock().expect("no other test has it").clone())
///     }
/// }
/// ```
#[async_trait]
pub trait PlatformHarness: Send + Sync {
    /// The platform.
    fn platform(&self) -> &dyn Platform;

    /// Whom it publishes for.
    fn who(&self) -> Identity;

    /// What is really out, in the order in which it came out; none if nobody can tell, as of a
    /// platform that sends nothing.
    async fn live(&self) -> Option<Vec<Live>>;

    /// A thread that the platform takes. Its first part is also published alone; with one part
    /// alone, the platform has no threads.
    fn good(&self) -> Vec<Part> {
        ["the first part", "the second part", "the third part"]
            .map(|which| Part::text(format!("conformance of postq: {which}")))
            .to_vec()
    }

    /// What else the platform is told of all content.
    fn options(&self) -> PostOptions {
        PostOptions::default()
    }

    /// What the platform knows the media of a part of the good content by, uploaded now.
    async fn prepared(&self, part: usize) -> Vec<PreparedMedia> {
        let _no_media = part;
        Vec::new()
    }

    /// What was built of a part of the good content, now and anew.
    async fn container(&self, part: usize) -> Option<String> {
        let _nothing_is_built = part;
        None
    }

    /// Content that the platform refuses, if there is any.
    fn bad(&self) -> Option<Vec<Part>> {
        None
    }

    /// Makes the next creating call go wrong; no if it cannot.
    async fn next(&self, trouble: Trouble) -> bool {
        let _cannot = trouble;
        false
    }

    /// The time that intents are made at.
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }
}

impl fmt::Debug for dyn PlatformHarness + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlatformHarness").field(&self.platform()).finish()
    }
}

/// Something that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The platform's id of it.
    pub remote_id: String,
    /// What it answers.
    pub reply_to: Option<String>,
}

/// What the next creating call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused, as content is that the platform will not take.
    Refuse,
    /// It is accepted, and the answer is lost.
    CutAfterAccepting,
    /// It is accepted, and the answer does not come.
    Hang,
}

/// More than a scheduler takes from a busy machine.
const SLACK: Duration = Duration::from_millis(250);

/// Content that the platform takes has no violation, however often it is asked.
pub async fn good_content_has_no_violation(harness: Arc<dyn PlatformHarness>) {
    for _ in 0..2 {
        assert_eq!(validate(&*harness, &harness.good()), [], "violations of good content");
    }
    assert_out(&*harness, 0).await;
}

/// Content that the platform refuses has violations, each of a part that exists, in words.
pub async fn bad_content_is_named(harness: Arc<dyn PlatformHarness>) {
    let Some(bad) = harness.bad() else { return };

    let violations = validate(&*harness, &bad);

    assert!(!violations.is_empty(), "bad content has no violation");
    for violation in &violations {
        assert!(usize::from(violation.part) < bad.len().max(1), "of no part: {violation:?}");
        assert!(!violation.message.trim().is_empty(), "without words: {violation:?}");
    }
    assert_eq!(validate(&*harness, &bad), violations, "the same content again");
}

/// Where texts are measured, those that are longer than their limit are refused, and good content has none.
pub async fn what_is_too_long_is_refused(harness: Arc<dyn PlatformHarness>) {
    let platform = harness.platform();
    let Some(measure) = platform.measure() else { return };
    for part in harness.good() {
        let length = measure.measure(&part.text);
        assert!(length.length <= length.limit, "good content is too long: {length:?}");
    }
    // Whatever is counted, characters or words: there are more than the limit.
    let long = Part::text("a ".repeat(measure.measure("").limit + 1));

    let length = measure.measure(&long.text);
    assert!(length.length > length.limit, "{length:?}");
    assert!(!validate(&*harness, &[long]).is_empty(), "{length:?} is taken");
}

/// One call makes one post, with trouble or without.
pub async fn publish_sends_once(harness: Arc<dyn PlatformHarness>) {
    send_first(&*harness).await.expect("publish");
    assert_out(&*harness, 1).await;

    let (mut out, other) = (1, 1.min(harness.good().len() - 1));
    for trouble in [Trouble::CutAfterAccepting, Trouble::Refuse] {
        if harness.next(trouble).await {
            let what = format!("no receipt after {trouble:?}");
            send(&*harness, 0, &intent(&*harness, other).await, &[]).await.expect_err(&what);
            out += usize::from(trouble == Trouble::CutAfterAccepting);
            assert_out(&*harness, out).await;
        }
    }
}

/// Success brings a receipt for the part, with the id of what is out.
pub async fn publish_brings_a_receipt(harness: Arc<dyn PlatformHarness>) {
    let published = send_first(&*harness).await.expect("publish");

    assert_eq!(published.receipt.part, 0);
    assert!(!published.receipt.remote_id.is_empty(), "a receipt without an id");
    if let Some(live) = harness.live().await {
        assert_eq!(live[0].remote_id, published.receipt.remote_id);
        assert!(!published.receipt.dry_run, "it is out");
    }
}

/// A refusal surely published nothing.
pub async fn a_refusal_is_not_published(harness: Arc<dyn PlatformHarness>) {
    if !harness.next(Trouble::Refuse).await {
        return;
    }

    let failure = send_first(&*harness).await.expect_err("a refusal");

    assert_eq!(failure.outcome, Outcome::NotPublished, "{failure}");
    assert_out(&*harness, 0).await;
}

/// When the answer is lost after the platform accepted, nobody can tell.
pub async fn a_cut_after_accepting_is_unknown(harness: Arc<dyn PlatformHarness>) {
    if !harness.next(Trouble::CutAfterAccepting).await {
        return;
    }

    let failure = send_first(&*harness).await.expect_err("no receipt without an answer");

    assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
    assert_out(&*harness, 1).await;
}

/// A call that gets no answer ends within its time-out, and nobody can tell.
pub async fn publish_gives_up_in_time(harness: Arc<dyn PlatformHarness>) {
    if !harness.next(Trouble::Hang).await {
        return;
    }
    let most = harness.platform().pace().send_timeout + SLACK;
    let start = Instant::now();

    let sent = tokio::time::timeout(most, send_first(&*harness)).await;

    let failure = sent.expect("it gives up in time").expect_err("no receipt without an answer");
    assert!(start.elapsed() <= most, "{:?} of {most:?}", start.elapsed());
    assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
}

/// Each part of a thread answers the one before.
pub async fn a_thread_is_a_chain(harness: Arc<dyn PlatformHarness>) {
    let mut ids: Vec<String> = Vec::new();
    for part in 0..harness.good().len() {
        let intent = Intent { reply_to: ids.last().cloned(), ..intent(&*harness, part).await };
        let published = send(&*harness, part, &intent, &ids).await.expect("publish a part");
        assert_eq!(usize::from(published.receipt.part), part);
        ids.push(published.receipt.remote_id);
    }

    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each part has its own id");
    if let Some(live) = harness.live().await {
        let chain: Vec<_> = live.into_iter().map(|post| (post.remote_id, post.reply_to)).collect();
        let parents = std::iter::once(None).chain(ids.iter().cloned().map(Some));
        assert_eq!(chain, ids.iter().cloned().zip(parents).collect::<Vec<_>>());
    }
}

/// Neither the secret nor the text is in a failure, however it is shown.
pub async fn failures_keep_secrets(harness: Arc<dyn PlatformHarness>) {
    let mut hidden = secrets(&harness.who());
    hidden.extend(harness.good().into_iter().map(|part| part.text));
    hidden.retain(|text| !text.is_empty());
    for trouble in [Trouble::Refuse, Trouble::CutAfterAccepting] {
        if harness.next(trouble).await {
            let failure = send_first(&*harness).await.expect_err("a failure");
            let stored = serde_json::to_string(&failure).expect("a failure is JSON");
            let shown = format!("{failure} {failure:?} {stored}");
            for text in &hidden {
                assert!(
                    !shown.contains(text),
                    "a failure after {trouble:?} shows what it must not"
                );
            }
        }
    }
    let who = format!("{:?}", harness.who());
    assert!(secrets(&harness.who()).iter().all(|secret| !who.contains(secret)), "whom it is for");
}

/// Looking publishes nothing and takes nothing away.
pub async fn a_look_changes_nothing(harness: Arc<dyn PlatformHarness>) {
    let Some(reconcile) = harness.platform().reconcile() else { return };
    send_first(&*harness).await.expect("publish");
    let before = harness.live().await;

    for part in [0, harness.good().len() - 1] {
        look(&*harness, reconcile, &intent(&*harness, part).await, &[]).await;
    }

    assert_eq!(harness.live().await, before);
}

/// What is out is found, by what was written down before it was sent.
pub async fn a_look_finds_what_is_out(harness: Arc<dyn PlatformHarness>) {
    let Some(reconcile) = harness.platform().reconcile() else { return };
    let intent = intent(&*harness, 0).await;
    let lost = harness.next(Trouble::CutAfterAccepting).await;
    let sent = send(&*harness, 0, &intent, &[]).await;
    assert_eq!(sent.is_err(), lost, "only without an answer there is no receipt");

    let receipt = eventually("a look finds it", async || {
        match look(&*harness, reconcile, &intent, &[]).await {
            Look::Found(receipt) => Some(receipt),
            Look::Absent | Look::CannotTell(_) | Look::OutSomewhere(_) | Look::OutUnread(_) => None,
        }
    })
    .await;

    assert_eq!(receipt.part, 0);
    if let Ok(published) = sent {
        assert_eq!(receipt.remote_id, published.receipt.remote_id);
    }
    if let Some(live) = harness.live().await {
        assert_eq!(
            live.iter().map(|post| &post.remote_id).collect::<Vec<_>>(),
            [&receipt.remote_id]
        );
    }
}

/// What is not there is not found, nor what another publication has.
pub async fn a_look_finds_nothing_that_is_not_ours(harness: Arc<dyn PlatformHarness>) {
    let Some(reconcile) = harness.platform().reconcile() else { return };
    let first = intent(&*harness, 0).await;
    let theirs = send(&*harness, 0, &first, &[]).await.expect("publish").receipt.remote_id;

    let other_text = match harness.good().len() {
        1 => {
            Intent { text: format!("{} of another kind", first.text), ..intent(&*harness, 0).await }
        }
        _ => Intent { part: 0, ..intent(&*harness, 1).await },
    };
    let found = look(&*harness, reconcile, &other_text, &[]).await;
    assert!(!matches!(found, Look::Found(_)), "another text: {found:?}");

    let same_text = intent(&*harness, 0).await;
    let found = look(&*harness, reconcile, &same_text, &[&theirs]).await;
    assert!(!matches!(found, Look::Found(_)), "claimed by another publication: {found:?}");
}

fn validate(harness: &dyn PlatformHarness, parts: &[Part]) -> Vec<Violation> {
    let options = harness.options();
    assert_eq!(options.problems(harness.platform().options()), [""; 0], "options of the harness");
    harness.platform().validate(Draft { parts, options: &options })
}

async fn send_first(harness: &dyn PlatformHarness) -> Result<Published, Failure> {
    send(harness, 0, &intent(harness, 0).await, &[]).await
}

async fn send(
    harness: &dyn PlatformHarness,
    number: usize,
    intent: &Intent,
    before: &[String],
) -> Result<Published, Failure> {
    let parts = harness.good();
    let known =
        |remote_id: &String| PreparedMedia { remote_id: remote_id.clone(), expires_at: None };
    let prepared: Vec<_> = intent.media.iter().map(known).collect();
    let part = Outgoing {
        part: intent.part,
        of: u16::try_from(parts.len()).expect("a short thread"),
        text: &intent.text,
        options: &intent.options,
        media: &parts[number].media,
        prepared: &prepared,
        container: intent.container.as_deref(),
        reply_to: intent.reply_to.as_deref(),
        thread: before.first().map(String::as_str),
        key: &intent.key,
    };
    harness.platform().publish(&harness.who(), part).await
}

/// What is written down before a part of the good content is sent, for a job of its own.
async fn intent(harness: &dyn PlatformHarness, part: usize) -> Intent {
    let job = JobId::new();
    let number = u16::try_from(part).expect("a short thread");
    let prepared = harness.prepared(part).await;
    Intent {
        job,
        fence: Fence(1),
        part: number,
        key: PlatformKey::derive(job, number),
        text: harness.good()[part].text.clone(),
        options: harness.options(),
        media: prepared.into_iter().map(|file| file.remote_id).collect(),
        reply_to: None,
        container: harness.container(part).await,
        revision: 1,
        made_at: harness.now(),
    }
}

async fn look(
    harness: &dyn PlatformHarness,
    reconcile: &dyn Reconcile,
    intent: &Intent,
    claimed: &[&str],
) -> Look {
    let claimed: BTreeSet<String> = claimed.iter().map(|&id| id.to_owned()).collect();
    let lookup = Lookup { intent, claimed: &claimed, now: harness.now() };
    reconcile.look(&harness.who(), lookup).await.expect("a look")
}

async fn assert_out(harness: &dyn PlatformHarness, expected: usize) {
    if let Some(live) = harness.live().await {
        assert_eq!(live.len(), expected, "posts that are out: {live:?}");
    }
}

/// The secret, and every text in it if it is JSON.
fn secrets(who: &Identity) -> Vec<String> {
    let Some(secret) = who.secret.as_ref().map(ExposeSecret::expose_secret) else {
        return Vec::new();
    };
    let mut secrets = vec![secret.to_owned()];
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(secret) {
        secrets.extend(fields.values().filter_map(|value| value.as_str().map(str::to_owned)));
    }
    secrets
}
