//! What a desk says of the pictures and videos that a post names, before it takes the post in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postq_core::content::{Content, Draft, MediaRef};
use postq_core::media::{Attached, MediaFile, MediaId};
use postq_core::platform::{Platform, Transfer, Violation};

use super::{Desk, DeskError, Problem};
use crate::media::{Media, NO_ADDRESS};

/// Files in one query.
const CHUNK: usize = 500;

/// What is known of the files that some contents name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Whether there is a place where files are kept: nothing can be said otherwise.
    is_known: bool,
    files: BTreeMap<MediaId, MediaFile>,
    expected: Arc<BTreeSet<MediaId>>,
    /// Whether a platform that fetches files itself finds them.
    can_be_fetched: bool,
}

impl Desk {
    /// The same, with what is needed to check the files that posts name.
    #[must_use]
    pub fn with_media(mut self, media: Media) -> Self {
        self.media = Some(media);
        self
    }

    /// The same, for posts with files that are added before these posts are stored.
    #[must_use]
    pub(crate) fn expecting(mut self, ids: BTreeSet<MediaId>) -> Self {
        self.expected = Arc::new(ids);
        self
    }

    /// What is known of the files of these contents.
    pub(crate) async fn named(
        &self,
        contents: impl IntoIterator<Item = &Content>,
    ) -> Result<Named, DeskError> {
        let Some(media) = &self.media else { return Ok(Named::default()) };
        let ids: BTreeSet<MediaId> = contents.into_iter().flat_map(Content::media_ids).collect();
        let ids: Vec<MediaId> = ids.into_iter().collect();
        let mut files = BTreeMap::new();
        for ids in ids.chunks(CHUNK) {
            let found = media.catalog.find(self.tenant(), ids).await?;
            files.extend(found.into_iter().map(|file| (file.id, file)));
        }
        let expected = Arc::clone(&self.expected);
        // Nobody is asked for an address where nobody would use it.
        let can_be_fetched = match self.platforms.all().any(|platform| fetches(&**platform)) {
            true => media.can_be_fetched().await,
            false => false,
        };
        Ok(Named { is_known: true, files, expected, can_be_fetched })
    }
}

impl Named {
    /// The files of a content that are not there.
    pub(super) fn missing(&self, content: &Content) -> Vec<Problem> {
        if !self.is_known {
            return Vec::new();
        }
        let ids = content.media_ids().into_iter();
        let missing = ids.filter(|id| !self.files.contains_key(id) && !self.expected.contains(id));
        missing
            .map(|id| {
                let what = format!("\"{}\" is no file that was added", id.as_source());
                Problem::new(
                    "media",
                    format!("{what}; POST /api/media or postqd media add adds one"),
                )
            })
            .collect()
    }

    /// What a platform would refuse of the files of these parts, whatever is done to fit them.
    pub(super) fn violations(&self, platform: &dyn Platform, draft: Draft<'_>) -> Vec<Violation> {
        let Some(rules) = platform.media_rules() else { return Vec::new() };
        let limits = rules.limits();
        let unreachable = self.is_known && !self.can_be_fetched && fetches(platform);
        let mut found = Vec::new();
        for (number, part) in
            draft.parts.iter().enumerate().filter(|(_, part)| !part.media.is_empty())
        {
            let mut add = |message| {
                found.push(Violation { part: u16::try_from(number).unwrap_or(u16::MAX), message })
            };
            if unreachable {
                add(NO_ADDRESS.to_owned());
            }
            let known = part.media.iter().filter_map(|media| self.known(media));
            let fitted: Vec<_> = known
                .map(|(media, file)| (media, file, limits.fitted(file.bytes, &file.facts)))
                .collect();
            let attached: Vec<Attached<'_>> = fitted
                .iter()
                .map(|(media, file, (bytes, facts))| Attached {
                    name: file.name.as_deref().unwrap_or(&media.source),
                    bytes: *bytes,
                    facts,
                    alt: media.alt.as_deref(),
                })
                .collect();
            let too_many = limits.number_problem(part.media.len()).is_some();
            let problems = match attached.len() == part.media.len() && !too_many {
                true => match limits.problems(&attached) {
                    // What they make together, once each is good.
                    none if none.is_empty() => rules.problems(draft.options, &attached),
                    some => some,
                },
                // What comes from the web is looked at when it is fetched, and their number with it.
                false => attached
                    .iter()
                    .flat_map(|one| limits.problems(std::slice::from_ref(one)))
                    .collect(),
            };
            problems.into_iter().for_each(add);
        }
        found
    }

    fn known<'a>(&'a self, media: &'a MediaRef) -> Option<(&'a MediaRef, &'a MediaFile)> {
        Some((media, self.files.get(&MediaId::in_source(&media.source)?)?))
    }
}

/// Whether it fetches the files itself.
fn fetches(platform: &dyn Platform) -> bool {
    platform.media().is_some_and(|media| media.transfer() == Transfer::Fetched)
}

/// What no platform gets: a path of this machine, or what is no address on the web.
pub(super) fn source_problem(media: &MediaRef) -> Option<Problem> {
    let source = media.source.as_str();
    if MediaId::in_source(source).is_some() {
        return None;
    }
    if source.starts_with(MediaId::SCHEME) {
        let why = postq_core::media::BadMediaId;
        return Some(Problem::new("media", format!("\"{source}\": {why}")));
    }
    let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let why = match scheme.as_deref() {
        Some("http" | "https") => return None,
        Some(_) => "is no address that is read; expected https://, or media: and the id of a file",
        None => {
            "is a path, and no post names a path: add the file first (POST /api/media, or postqd media \
             add) and name it by the media: that you get"
        }
    };
    Some(Problem::new("media", format!("\"{source}\" {why}")))
}
