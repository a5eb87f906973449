//! [`Platform`] for Bluesky.
//!
//! The one creating call is `putRecord` under the part's own record key, told that there is no record yet: the
//! same again is a success that writes nothing, and anything else under that key is refused. So a part is out
//! once, however often it is sent.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::connect::Refresh;
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass, LimitReading};
use postq_core::intent::Receipt;
use postq_core::limiter::Rate;
use postq_core::options::OptionField;
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Published,
    Reconcile, Stage, Violation,
};
use postq_http::{Answer, Hidden};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;
use unicode_segmentation::UnicodeSegmentation;

use crate::client::{Bluesky, Deadline, MOST_OF_ONE};
use crate::error::{Problem, unpublished};
use crate::facets::handles;
use crate::limits::readings;
use crate::options;
use crate::reconcile::{Place, Sought};
use crate::record::{COLLECTION, Frozen, StrongRef, record, uri};
use crate::session::{Session, is_did};
use crate::stage::MOST_MENTIONS;
use crate::tid;

/// What Bluesky allows one account: 5,000 points an hour and 35,000 a day, of which a new record is 3.
const PER_HOUR: NonZeroU32 = NonZeroU32::new(5_000 / 3).expect("not zero");
const PER_DAY: NonZeroU32 = NonZeroU32::new(35_000 / 3).expect("not zero");
const HOUR: Duration = Duration::from_secs(3_600);
/// The longest text in graphemes; in bytes it is ten times that.
const MOST_OF_TEXT: usize = 300;
/// The longest thread; Bluesky tells no limit of its own.
const MOST_PARTS: usize = 100;
/// A time of making that is further from now than this tells no time.
const SANE: TimeDelta = TimeDelta::hours(1);
const NOT_UPLOADED: &str = "the media of this part was not uploaded first";

#[async_trait]
impl Platform for Bluesky {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        let limited = self.config.rate_limit;
        Pace {
            app: None,
            account: limited.then(|| Rate::per_window(PER_HOUR, HOUR)),
            daily: limited.then_some(PER_DAY),
            send_timeout: self.config.send_timeout,
        }
    }

    fn options(&self) -> &'static [OptionField] {
        options::FIELDS
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let whole = |message: String| Violation { part: 0, message };
        if draft.parts.is_empty() {
            return vec![whole("there is no text".to_owned())];
        }
        let mut violations: Vec<Violation> =
            options::problems(draft.options).into_iter().map(whole).collect();
        let has_card = draft.options.text("card_url").is_some();
        for (number, part) in (0..=u16::MAX).zip(draft.parts) {
            let problems = self.problems(part, has_card && number == 0);
            violations.extend(problems.map(|message| Violation { part: number, message }));
        }
        let parts = draft.parts.len();
        if parts > MOST_PARTS {
            violations.push(whole(format!("the thread has {parts} parts, at most {MOST_PARTS}")));
        }
        violations
    }

    fn most_parts(&self) -> usize {
        MOST_PARTS
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        if part.media.len() != part.prepared.len() {
            return Err(Failure::not_published(FailureClass::Internal, NOT_UPLOADED));
        }
        let deadline = self.deadline();
        let session = Session::read(who.secret.as_ref(), &self.places)?;
        let [title, description, url] = ["card_title", "card_description", "card_url"]
            .map(|name| part.options.text(name).unwrap_or_default());
        let texts = [part.text, title, description, url];
        let hidden = Hidden::secret(session.expose()).with_texts(texts);
        let did = self.did(who, &session, deadline).await?;
        let frozen = match part.container.and_then(Frozen::read) {
            Some(frozen) => frozen,
            None => self.freeze(&session, part.text, self.clock.now()).await?,
        };
        let place = Place { pds: &session.pds, did: &did, rkey: &tid::of_key(part.key) };
        let body = json!({
            "repo": did,
            "collection": COLLECTION,
            "rkey": place.rkey,
            "record": record(&part, &frozen)?,
            "swapRecord": null,
        });
        let request = session
            .sign(self.post(&session.pds, "com.atproto.repo.putRecord"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());

        let answer =
            deadline.ask(request, MOST_OF_ONE).await.map_err(|lost| lost.into_failure(hidden))?;

        let now = self.server_now(&answer);
        let limits = self.readings(&answer, now);
        if let Some(out) = written(&answer, place) {
            let receipt = receipt(part.part, &out, place, frozen.made_at(), now);
            return Ok(Published { receipt, limits });
        }
        let failure = unpublished(&answer, hidden, now).with_limits(limits);
        if Problem::read(&answer).is("InvalidSwap") {
            return self.is_out_already(&part, place, failure, deadline).await;
        }
        Err(failure)
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }

    fn metrics(&self) -> Option<&dyn Metrics> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }

    fn stage(&self) -> Option<&dyn Stage> {
        Some(self)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }
}

impl Measure for Bluesky {
    /// Graphemes, or tenths of the bytes where those are more: Bluesky limits both.
    fn measure(&self, text: &str) -> Length {
        let length = text.graphemes(true).count().max(text.len().div_ceil(10));
        Length { length, limit: MOST_OF_TEXT }
    }
}

impl Bluesky {
    fn problems(&self, part: &Part, has_card: bool) -> impl Iterator<Item = String> + use<> {
        let Length { length, limit: most } = Measure::measure(self, &part.text);
        let files = part.media.len();
        // A text that is far too long is not looked through.
        let mentions = if length > most { 0 } else { handles(&part.text).len() };
        let found = [
            crate::media::limits(&self.config).number_problem(files),
            (part.text.trim().is_empty() && files == 0 && !has_card)
                .then(|| "the text is empty".to_owned()),
            (length > most)
                .then(|| format!("the text is {length} long as Bluesky counts, at most {most}")),
            (mentions > MOST_MENTIONS)
                .then(|| format!("the text mentions {mentions} accounts, at most {MOST_MENTIONS}")),
            (has_card && files > 1)
                .then(|| format!("a card takes one picture as its thumbnail, here are {files}")),
        ];
        found.into_iter().flatten()
    }

    /// Whose repository is written to.
    pub(crate) async fn did(
        &self,
        who: &Identity,
        session: &Session,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let known = who.remote_id.as_deref().filter(|id| is_did(id));
        match (known, session.did.as_deref()) {
            (Some(account), Some(own)) if account != own => {
                let message = "the session is another account's; add the account again";
                Err(Failure::not_published(FailureClass::Auth, message))
            }
            (Some(did), _) | (None, Some(did)) => Ok(did.to_owned()),
            (None, None) => Ok(self.ask_whoami(session, deadline).await?.did),
        }
    }

    /// There is a record under the key already. Where it is this part, an earlier call got through.
    async fn is_out_already(
        &self,
        part: &Outgoing<'_>,
        place: Place<'_>,
        failure: Failure,
        deadline: Deadline,
    ) -> Result<Published, Failure> {
        let sought = Sought { text: part.text, reply_to: part.reply_to };
        match self.stored(place, deadline).await {
            Ok((Some(stored), now)) if stored.is(&sought) => {
                let made_at = stored.made_at();
                let receipt = receipt(part.part, &stored.reference, place, made_at, now);
                Ok(Published { receipt, limits: failure.limits })
            }
            _ => Err(failure),
        }
    }

    fn readings(&self, answer: &Answer, now: DateTime<Utc>) -> Vec<LimitReading> {
        if self.config.rate_limit { readings(&answer.headers, now) } else { Vec::new() }
    }
}

#[derive(Deserialize)]
struct Written {
    uri: String,
    cid: String,
}

/// What an answer says was written, if it is what was asked for.
fn written(answer: &Answer, place: Place<'_>) -> Option<StrongRef> {
    let Written { uri: told, cid } = answer.success()?;
    let read = StrongRef::parse(&format!("{told}#{cid}"))?;
    (read.uri == uri(place.did, place.rkey)).then_some(read)
}

pub(crate) fn receipt(
    part: u16,
    out: &StrongRef,
    place: Place<'_>,
    made_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Receipt {
    Receipt {
        part,
        remote_id: out.remote_id(),
        url: Some(format!("https://bsky.app/profile/{}/post/{}", place.did, place.rkey)),
        published_at: made_at.filter(|at| (*at - now).abs() < SANE).unwrap_or(now),
        dry_run: false,
    }
}
