//! [`Platform`] for Facebook Pages: a post of the feed, or the last phase of a video's upload.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::connect::Connect;
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::limiter::Rate;
use postq_core::options::{OptionField, OptionKind};
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Published,
    Reconcile, Violation,
};
use postq_http::{Answer, Hidden, NoAnswer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::media::{Uploaded, limits};
use super::{Facebook, address};
use crate::client::Created;
use crate::error::unpublished;
use crate::limits::readings;

/// The longest text, in characters.
const MOST_TEXT: usize = 63_206;
/// The longest address of a link, and the longest title of a video: bounds of ours, Facebook names none.
const MOST_LINK: usize = 2_000;
const MOST_TITLE: usize = 255;
/// What postq publishes on one Page at most: a bound of ours. Facebook's own limit grows with the Page, and is
/// told in its headers.
const PER_PAGE: NonZeroU32 = NonZeroU32::new(30).expect("not zero");
const WINDOW: Duration = Duration::from_secs(3_600);

const OPTIONS: &[OptionField] = &[
    OptionField::new(
        "link",
        OptionKind::Text { most: MOST_LINK },
        "the address that is shown as a card",
    ),
    OptionField::new("title", OptionKind::Text { most: MOST_TITLE }, "the title of a video"),
];

#[async_trait]
impl Platform for Facebook {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace {
            app: None,
            account: Some(Rate::per_window(PER_PAGE, WINDOW)),
            daily: None,
            send_timeout: self.config.send_timeout,
        }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let found = match draft.parts {
            [] => vec!["there is no text".to_owned()],
            [part] => problems(part, draft),
            more => {
                vec![format!("the post has {} parts, at most 1: Pages have no threads", more.len())]
            }
        };
        found.into_iter().map(|message| Violation { part: 0, message }).collect()
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let until = self.graph.deadline();
        let what = What::of(&part)?;
        let token = self.graph.token(who)?;
        let page = self.page(who, &token, until).await.map_err(crate::error::not_published)?;
        let hidden = Hidden::secret(token.expose()).with_texts([part.text]);

        let sent = match &what {
            What::Feed(body) => {
                self.graph.post(&format!("/{page}/feed"), body, &token, until).await
            }
            What::Video { body, .. } => {
                let body = body.to_string().into_bytes();
                let url = format!("{}/{page}/videos", self.video_base);
                self.graph.upload(url, (JSON.to_owned(), body), &token, until).await
            }
        };

        let answer = sent.map_err(|lost: NoAnswer| lost.into_failure(hidden))?;
        let limits = readings(&answer.headers);
        match what.made(&answer) {
            Some(id) => Ok(Published { receipt: self.receipt(&answer, part.part, id), limits }),
            None => Err(unpublished(&answer, (self.graph.name, hidden)).with_limits(limits)),
        }
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

    fn connect(&self) -> Option<&dyn Connect> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }
}

const JSON: &str = "application/json";

impl Measure for Facebook {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: MOST_TEXT }
    }
}

impl Facebook {
    fn receipt(&self, answer: &Answer, part: u16, remote_id: String) -> Receipt {
        Receipt {
            part,
            url: Some(address(&remote_id)),
            published_at: self.graph.now(answer),
            remote_id,
            dry_run: false,
        }
    }
}

fn problems(part: &Part, draft: Draft<'_>) -> Vec<String> {
    let length = part.text.chars().count();
    let link = draft.options.text("link");
    let is_web = |link: &str| link.starts_with("https://") || link.starts_with("http://");
    let found = [
        limits().number_problem(part.media.len()),
        (part.text.trim().is_empty() && part.media.is_empty() && link.is_none())
            .then(|| "the text is empty, and there is neither a link nor media".to_owned()),
        (length > MOST_TEXT)
            .then(|| format!("the text is {length} characters long, at most {MOST_TEXT}")),
        link.filter(|link| !is_web(link)).map(|_| {
            "the option \"link\" is no address; expected something like https://example.com"
                .to_owned()
        }),
        (link.is_some() && !part.media.is_empty())
            .then(|| "a post has either a link or media; write the link into the text".to_owned()),
        (draft.options.text("title").is_some() && part.media.len() != 1)
            .then(|| "the option \"title\" is for a video, which goes alone".to_owned()),
    ];
    found.into_iter().flatten().collect()
}

/// The one creating call.
enum What {
    Feed(Value),
    Video { body: Value, id: String },
}

impl What {
    fn of(part: &Outgoing<'_>) -> Result<Self, Failure> {
        let ours = |why: &str| Failure::not_published(FailureClass::Internal, why);
        if part.media.len() != part.prepared.len() {
            return Err(ours("the media of this part was not uploaded first"));
        }
        let uploaded = Uploaded::of(part.prepared.iter().map(|media| media.remote_id.as_str()));
        let uploaded =
            uploaded.ok_or_else(|| ours("what was uploaded is not known by its name here"))?;
        match uploaded.as_slice() {
            [Uploaded::Video { session, id }] => {
                Ok(Self::Video { body: video(part, session), id: id.clone() })
            }
            photos => feed(part, photos)
                .map(Self::Feed)
                .ok_or_else(|| ours("a video is published alone, and here are several files")),
        }
    }

    /// The id that a successful answer stands for.
    fn made(&self, answer: &Answer) -> Option<String> {
        match self {
            Self::Feed(_) => Created::of(answer),
            // The id was told when the upload began. Some answers have it again.
            Self::Video { id, .. } => {
                let is_done = answer.status.is_success()
                    && answer.read::<Finished>().is_some_and(|told| told.success);
                is_done.then(|| id.clone()).or_else(|| Created::of(answer))
            }
        }
    }
}

#[derive(Deserialize)]
struct Finished {
    success: bool,
}

/// The body of `POST /{page}/feed`; none if not all of them are photos.
fn feed(part: &Outgoing<'_>, photos: &[Uploaded]) -> Option<Value> {
    let mut body = json!({});
    if !part.text.trim().is_empty() {
        body["message"] = json!(part.text);
    }
    if let Some(link) = part.options.text("link") {
        body["link"] = json!(link);
    }
    if !photos.is_empty() {
        let ids: Option<Vec<Value>> = photos
            .iter()
            .map(|photo| match photo {
                Uploaded::Photo { id } => Some(json!({ "media_fbid": id })),
                Uploaded::Video { .. } => None,
            })
            .collect();
        body["attached_media"] = Value::Array(ids?);
    }
    Some(body)
}

/// The body of `POST /{page}/videos` that publishes what was uploaded.
fn video(part: &Outgoing<'_>, session: &str) -> Value {
    let mut body = json!({ "upload_phase": "finish", "upload_session_id": session });
    if !part.text.trim().is_empty() {
        body["description"] = json!(part.text);
    }
    if let Some(title) = part.options.text("title") {
        body["title"] = json!(title);
    }
    body
}
