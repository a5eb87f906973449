//! What was sent, and whether a post that is shown is it.

use postq_core::intent::Intent;
use postq_core::witness::Likeness;

use crate::listing::ShownPost;
use crate::media::Taken;
use crate::options::{Kind, Wanted};
use crate::text::{Sameness, compare, is_blotted_out};

/// A post as it was sent.
pub(crate) struct Sent<'a> {
    wanted: Wanted<'a>,
    pub(crate) text: &'a str,
    /// Its files; none where what is written down of them cannot be read.
    files: Option<Vec<Taken>>,
    /// What kind it was; none where that cannot be told.
    kind: Option<Kind>,
}

impl<'a> Sent<'a> {
    pub(crate) fn of(intent: &'a Intent) -> Self {
        let wanted = Wanted::read(&intent.options);
        let files: Option<Vec<Taken>> =
            intent.media.iter().map(|file| Taken::named(file)).collect();
        let told = files.as_ref().and_then(|files| wanted.kind_of(files).ok());
        let kind = told.or(wanted.kind);
        Self { wanted, text: &intent.text, files, kind }
    }

    pub(crate) fn title(&self) -> &str {
        &self.wanted.title
    }

    pub(crate) fn community(&self) -> &str {
        &self.wanted.community
    }

    /// Whether it may come out long after it was taken: a video, or what may be one.
    pub(crate) fn may_come_late(&self) -> bool {
        self.kind.is_none_or(|kind| kind == Kind::Video)
    }

    pub(crate) fn likeness(&self, post: &ShownPost) -> Likeness {
        let elsewhere = |name: &String| !name.eq_ignore_ascii_case(self.community());
        if post.subreddit.as_ref().is_some_and(elsewhere) || post.crosspost_parent.is_some() {
            return Likeness::Other;
        }
        if self.shows_its_files(post) {
            return Likeness::Exact;
        }
        let Some(title) = post.title.as_deref().filter(|title| !is_blotted_out(title)) else {
            return Likeness::Near;
        };
        match compare(self.title(), title) {
            Sameness::Different => Likeness::Other,
            Sameness::Same if post.subreddit.is_some() && self.is_ours_within(post) => {
                Likeness::Same
            }
            _ => Likeness::Near,
        }
    }

    /// Whether the post shows files that only this one has: Reddit names each by its asset.
    fn shows_its_files(&self, post: &ShownPost) -> bool {
        let shown = post.gallery();
        let files = self.files.as_deref().unwrap_or_default();
        match self.kind {
            Some(Kind::Gallery) => {
                let shows = |file: &Taken| shown.contains(&file.asset.as_str());
                !files.is_empty() && files.iter().all(shows)
            }
            Some(Kind::Image | Kind::Video) => {
                let video = self.kind == Some(Kind::Video);
                let own = files.iter().filter(|file| file.poster.is_some() == video);
                own.into_iter().any(|file| post.targets().any(|target| file.is_at(target)))
            }
            _ => false,
        }
    }

    /// Whether what is under the title is the same.
    fn is_ours_within(&self, post: &ShownPost) -> bool {
        let text = post.selftext.as_deref().unwrap_or_default();
        let same_text = is_blotted_out(text)
            || compare(self.text, text) == Sameness::Same
            // Under a link or picture, the text may not be shown.
            || (post.is_self == Some(false) && text.trim().is_empty());
        same_text && self.is_same_kind(post)
    }

    fn is_same_kind(&self, post: &ShownPost) -> bool {
        match (self.wanted.url, self.kind) {
            (Some(_), _) if post.is_self == Some(true) => false,
            (Some(url), _) => {
                let ours = with_path(url);
                let same = |target: &str| compare(&ours, &with_path(target)) == Sameness::Same;
                post.targets().any(same)
            }
            (None, Some(Kind::Own)) => post.is_self != Some(false),
            // The files that it shows are others: `shows_its_files` was asked before.
            (None, Some(Kind::Gallery)) if !post.gallery().is_empty() => false,
            (None, Some(kind)) => post.kind().is_none_or(|shown| shown == kind),
            // Nothing tells which of the two it was.
            (None, None) => true,
        }
    }
}

/// An address as it is compared: a host without a path has the path `/`.
fn with_path(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(|_| url.to_owned(), String::from)
}
