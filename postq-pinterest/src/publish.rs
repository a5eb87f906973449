//! [`Platform`] for Pinterest.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::connect::{Connect, Refresh};
use postq_core::content::{Draft, MediaRef, Part};
use postq_core::failure::{Failure, FailureClass};
use postq_core::intent::Receipt;
use postq_core::options::{OptionField, PostOptions};
use postq_core::platform::{
    Identity, Length, Measure, Media, Metrics, Outgoing, Pace, Platform, PlatformName, Preflight,
    PreparedMedia, Published, Reconcile, Violation,
};
use postq_http::Answer;
use reqwest::StatusCode;

use crate::boards::{Place, Unplaced};
use crate::client::{Pinterest, is_id};
use crate::error::{not_published, unpublished};
use crate::limits::readings;
use crate::media::{Kept, MOST_FILES, limits};
use crate::options;
use crate::pin::{CreatePin, ShownPin, Source, Video, pin_url};

/// The longest description, in characters.
const MOST_TEXT: usize = 800;
/// The longest description for those who cannot see it, in characters: a Pin has one for all its pictures.
pub(crate) const MOST_ALT: usize = 500;
/// What stands between the descriptions of several pictures.
const BETWEEN_ALTS: &str = " / ";
/// The time of a Pin that is further from now than this is not believed.
const SANE: TimeDelta = TimeDelta::minutes(10);

const NO_MEDIA: &str = "a Pin needs a picture or a video";
pub(crate) const ONE_VIDEO: &str = "one video in a Pin, with one picture at most: its cover";
const NOT_UPLOADED: &str = "the media of this part was not uploaded first";

#[async_trait]
impl Platform for Pinterest {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        let (app, account) = self.config.access.publishing();
        let limited = self.config.rate_limit;
        Pace {
            daily: None,
            app: app.filter(|_| limited),
            account: account.filter(|_| limited),
            send_timeout: self.config.send_timeout,
        }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let Some(part) = draft.parts.first() else {
            return vec![Violation { part: 0, message: NO_MEDIA.to_owned() }];
        };
        let several = draft.parts.len();
        let found = problems(part).into_iter().chain(options::problems(draft.options));
        let found = found.chain(
            (several > 1).then(|| format!("{several} parts, and a Pin has one: no threads")),
        );
        found.map(|message| Violation { part: 0, message }).collect()
    }

    fn options(&self) -> &'static [OptionField] {
        options::FIELDS
    }

    async fn publish<'a>(&self, who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let alt = alt(part.media);
        let option = |name| part.options.text(name);
        let [title, link] = ["title", "link"].map(|name| option(name).unwrap_or_default());
        let caller = self.caller(who, [part.text, title, link, &alt])?;
        if part.media.len() != part.prepared.len() {
            return Err(Failure::not_published(FailureClass::Internal, NOT_UPLOADED));
        }
        let place = self.place(&caller, who.account, part.options).await;
        let Place { board, section } = place.map_err(|unplaced| match unplaced {
            Unplaced::Wrong(problem) => Failure::not_published(FailureClass::Content, problem),
            Unplaced::Failed(failure) => not_published(failure),
        })?;
        let media_source = self.source(part.prepared, part.options);
        let media_source = caller.bounded("read the pictures", media_source).await?;
        let body = serde_json::to_vec(&CreatePin {
            board_id: &board,
            board_section_id: section.as_deref(),
            title: option("title"),
            description: Some(part.text).filter(|text| !text.trim().is_empty()),
            link: option("link"),
            dominant_color: option("dominant_color"),
            alt_text: Some(alt.as_str()).filter(|alt| !alt.is_empty()),
            media_source,
        })
        .expect("texts and bytes are JSON");

        let sent = caller.post("/pins", body).await;

        let answer = sent.map_err(|lost| lost.into_failure(caller.hidden()))?;
        let (now, access) = (self.server_now(&answer), self.config.access);
        let told = self.config.rate_limit.then(|| readings(&answer.headers, access, now));
        let limits = told.unwrap_or_default();
        if answer.status == StatusCode::NOT_FOUND {
            // The board may be another one by now, under the same name.
            self.known.forget(who.account);
        }
        match receipt(&answer, part.part, now) {
            Some(receipt) => Ok(Published { receipt, limits }),
            None => Err(unpublished(&answer, caller.hidden(), access, now).with_limits(limits)),
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

    fn refresh(&self) -> Option<&dyn Refresh> {
        // Without an app there is nobody to renew in the name of.
        self.config.client_id.is_some().then_some(self as &dyn Refresh)
    }

    fn preflight(&self) -> Option<&dyn Preflight> {
        Some(self)
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }
}

impl Measure for Pinterest {
    /// In characters, as the API's own schema counts.
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: MOST_TEXT }
    }
}

impl Pinterest {
    /// What the Pin shows, of what was prepared.
    async fn source(
        &self,
        prepared: &[PreparedMedia],
        options: &PostOptions,
    ) -> Result<Source, Failure> {
        let (videos, pictures): (Vec<_>, Vec<_>) =
            prepared.iter().partition(|media| is_id(&media.remote_id));
        let mut pictures: Vec<Kept> = pictures
            .into_iter()
            .map(|media| Kept::read(&media.remote_id))
            .collect::<Result<_, Failure>>()?;
        match (videos.as_slice(), pictures.len()) {
            ([], 0) => Err(Failure::not_published(FailureClass::Content, NO_MEDIA)),
            ([], 1) => self.one(pictures.remove(0)).await,
            ([], 2..=MOST_FILES) => self.several(&pictures).await,
            ([video], 0 | 1) => {
                let video = Video { media_id: video.remote_id.clone(), ..Video::default() };
                let video = self.covered(video, pictures.pop(), options).await?;
                Ok(Source::VideoId(video))
            }
            ([_, ..], _) => Err(Failure::not_published(FailureClass::Content, ONE_VIDEO)),
            ([], more) => {
                let message = format!("{more} pictures, at most {MOST_FILES}");
                Err(Failure::not_published(FailureClass::Content, message))
            }
        }
    }

    async fn one(&self, picture: Kept) -> Result<Source, Failure> {
        Ok(match self.address(&picture).await? {
            Some(address) => Source::ImageUrl(address),
            None => Source::ImageBase64(self.bytes(&picture).await?),
        })
    }

    /// All fetched or all sent: Pinterest knows no mixture.
    async fn several(&self, pictures: &[Kept]) -> Result<Source, Failure> {
        let mut addresses = Vec::with_capacity(pictures.len());
        for picture in pictures {
            addresses.extend(self.address(picture).await?);
        }
        if addresses.len() == pictures.len() {
            return Ok(Source::MultipleImageUrls { items: addresses });
        }
        let mut items = Vec::with_capacity(pictures.len());
        for picture in pictures {
            items.push(self.bytes(picture).await?);
        }
        Ok(Source::MultipleImageBase64 { items })
    }

    async fn covered(
        &self,
        video: Video,
        picture: Option<Kept>,
        options: &PostOptions,
    ) -> Result<Video, Failure> {
        let Some(picture) = picture else {
            let at = options.number("cover_at").and_then(|at| u32::try_from(at).ok());
            return Ok(Video { cover_image_key_frame_time: Some(at.unwrap_or(0)), ..video });
        };
        if let Some(address) = self.address(&picture).await? {
            return Ok(Video { cover_image_url: Some(address.url), ..video });
        }
        let cover = self.bytes(&picture).await?;
        Ok(Video {
            cover_image_content_type: Some(cover.content_type),
            cover_image_data: Some(cover.data),
            ..video
        })
    }
}

fn problems(part: &Part) -> Vec<String> {
    let length = part.text.chars().count();
    let alt = alt(&part.media).chars().count();
    let alts = part.media.iter().filter(|media| described(media).is_some()).count();
    let found = [
        part.media.is_empty().then(|| NO_MEDIA.to_owned()),
        limits().number_problem(part.media.len()),
        (length > MOST_TEXT)
            .then(|| format!("the text is {length} characters long, at most {MOST_TEXT}")),
        // One alone is told of with its file's name.
        (alts > 1 && alt > MOST_ALT).then(|| {
            format!("the descriptions of the pictures are {alt} characters long together, at most {MOST_ALT}")
        }),
    ];
    found.into_iter().flatten().collect()
}

fn described(media: &MediaRef) -> Option<&str> {
    media.alt.as_deref().map(str::trim).filter(|alt| !alt.is_empty())
}

/// What all files show, for those who cannot see them: a Pin has one text for it.
fn alt(media: &[MediaRef]) -> String {
    media.iter().filter_map(described).collect::<Vec<_>>().join(BETWEEN_ALTS)
}

fn receipt(answer: &Answer, part: u16, now: DateTime<Utc>) -> Option<Receipt> {
    let pin: ShownPin = answer.read().filter(|_| answer.status.is_success())?;
    let created_at = pin.created_at().filter(|at| (*at - now).abs() < SANE);
    is_id(&pin.id).then(|| Receipt {
        part,
        url: Some(pin_url(&pin.id)),
        published_at: created_at.unwrap_or(now),
        remote_id: pin.id,
        dry_run: false,
    })
}
