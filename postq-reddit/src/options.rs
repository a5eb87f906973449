//! What a post is told besides its text: the community, the title, what kind of post it is.

use postq_core::options::{OptionField, OptionKind, OptionValue, PostOptions};
use reqwest::Url;

use crate::client::is_name;
use crate::media::Taken;

/// The fewest and the most pictures of a gallery.
pub(crate) const GALLERY: std::ops::RangeInclusive<usize> = 2..=20;

/// The options of a post.
pub(crate) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "subreddit",
        OptionKind::Text { most: 32 },
        "the community: rust, or u_NAME for the own profile",
    )
    .required(),
    OptionField::new("title", OptionKind::Text { most: 300 }, "the title, which stays").required(),
    OptionField::new(
        "kind",
        OptionKind::Choice { of: &["self", "link", "image", "gallery", "video"] },
        "what kind of post; told from what is there if missing",
    ),
    OptionField::new("url", OptionKind::Text { most: 2_000 }, "what a link post leads to"),
    OptionField::new("flair_id", OptionKind::Text { most: 64 }, "the id of a flair"),
    OptionField::new(
        "flair_text",
        OptionKind::Text { most: 64 },
        "the flair's text, where it can be changed",
    ),
    OptionField::new("nsfw", OptionKind::Flag, "not for everybody"),
    OptionField::new("spoiler", OptionKind::Flag, "hidden until somebody wants to see it"),
    OptionField::new(
        "send_replies",
        OptionKind::Flag,
        "whether comments come to the inbox; yes if missing",
    ),
    OptionField::new(
        "resubmit",
        OptionKind::Flag,
        "send a link even if the community has it already; no if missing",
    ),
];

/// What kind of post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Own,
    Link,
    Image,
    Gallery,
    Video,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Own, Self::Link, Self::Image, Self::Gallery, Self::Video];

    /// Reddit's word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Link => "link",
            Self::Image => "image",
            Self::Gallery => "gallery",
            Self::Video => "video",
        }
    }
}

/// The options, read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Without `r/`; `u_NAME` for a profile.
    pub(crate) community: String,
    /// With single spaces, as Reddit keeps it.
    pub(crate) title: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) url: Option<&'a str>,
    pub(crate) flair_id: Option<&'a str>,
    pub(crate) flair_text: Option<&'a str>,
    pub(crate) nsfw: bool,
    pub(crate) spoiler: bool,
    pub(crate) send_replies: bool,
    pub(crate) resubmit: bool,
}

impl<'a> Wanted<'a> {
    /// Reads options; what is missing is empty, for that is told by whoever asks.
    pub(crate) fn read(options: &'a PostOptions) -> Self {
        let kind = options.text("kind");
        let off = OptionValue::Flag(false);
        Self {
            community: community(options.text("subreddit").unwrap_or_default()),
            title: single_spaced(options.text("title").unwrap_or_default()),
            kind: kind.and_then(|word| Kind::ALL.into_iter().find(|kind| kind.as_str() == word)),
            url: options.text("url").map(str::trim),
            flair_id: options.text("flair_id").map(str::trim),
            flair_text: options.text("flair_text").map(str::trim),
            nsfw: options.flag("nsfw"),
            spoiler: options.flag("spoiler"),
            send_replies: !options
                .iter()
                .any(|(name, value)| name == "send_replies" && *value == off),
            resubmit: options.flag("resubmit"),
        }
    }

    /// What Reddit would refuse, as far as it can be told from how many files there are.
    pub(crate) fn problems(&self, files: usize) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.community.is_empty() && !is_name(&self.community) {
            problems.push(format!(
                "the option \"subreddit\" is \"{}\", expected a name like rust or u_NAME",
                self.community
            ));
        }
        if let Some(url) = self.url
            && !is_web(url)
        {
            problems.push("the option \"url\" is no web address, expected https://…".to_owned());
        }
        problems.extend(self.kind_problem(files));
        problems
    }

    fn kind_problem(&self, files: usize) -> Option<String> {
        let (least, most) = (*GALLERY.start(), *GALLERY.end());
        let wrong = match (self.kind, self.url) {
            (None | Some(Kind::Own | Kind::Image | Kind::Gallery | Kind::Video), Some(_))
                if files > 0 =>
            {
                format!("a link and {files} media files, expected one of the two")
            }
            (Some(Kind::Own | Kind::Image | Kind::Gallery | Kind::Video), Some(_)) => {
                "a link, which only a post of the kind link has".to_owned()
            }
            (Some(Kind::Link), None) => "a post of the kind link without the option \"url\"".into(),
            (Some(Kind::Own | Kind::Link), _) if files > 0 => {
                format!("{files} media files, but the kind has none")
            }
            (Some(Kind::Image), _) if files != 1 => {
                format!("{files} media files, but a post of the kind image has 1")
            }
            (Some(Kind::Gallery), _) if !GALLERY.contains(&files) => {
                format!("{files} media files, but a gallery has {least} to {most}")
            }
            (Some(Kind::Video), _) if !(1..=2).contains(&files) => {
                format!("{files} media files, but a video goes alone or with one picture")
            }
            _ => return None,
        };
        Some(wrong)
    }

    /// What kind of post these files make, or why none.
    pub(crate) fn kind_of(&self, files: &[Taken]) -> Result<Kind, String> {
        self.kind_of_these(files.len(), files.iter().filter(|file| file.poster.is_some()).count())
    }

    /// The same of so many files, so many of them videos.
    pub(crate) fn kind_of_these(&self, files: usize, videos: usize) -> Result<Kind, String> {
        let told = match (files, videos) {
            (0, _) if self.url.is_some() => Kind::Link,
            (0, _) => Kind::Own,
            (1, 0) => Kind::Image,
            (1, 1) | (2, 1) => Kind::Video,
            (_, 0) => Kind::Gallery,
            _ => {
                return Err("a video goes alone, or with one picture that is shown before it \
                            plays"
                    .to_owned());
            }
        };
        match self.kind {
            Some(kind) if kind != told => Err(format!(
                "the option \"kind\" is {}, but what is there makes a post of the kind {}",
                kind.as_str(),
                told.as_str()
            )),
            _ => Ok(told),
        }
    }
}

/// The community's name as Reddit wants it, however people write it.
fn community(written: &str) -> String {
    let name = written.trim().trim_matches('/');
    let lower = name.to_ascii_lowercase();
    for profile in ["user/", "u/"] {
        if lower.starts_with(profile) {
            return format!("u_{}", &name[profile.len()..]);
        }
    }
    name[if lower.starts_with("r/") { 2 } else { 0 }..].to_owned()
}

fn single_spaced(title: &str) -> String {
    title.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_web(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> PostOptions {
        serde_json::from_str(json).expect("options")
    }

    #[test]
    fn a_community_is_named_as_people_write_it() {
        for (written, name) in [
            ("rust", "rust"),
            ("r/rust", "rust"),
            ("/r/Rust/", "Rust"),
            ("u/Some-One_", "u_Some-One_"),
            ("/user/me", "u_me"),
            ("u_me", "u_me"),
            (" rust ", "rust"),
        ] {
            let options = options(&format!(r#"{{"subreddit":"{written}"}}"#));
            let wanted = Wanted::read(&options);
            assert_eq!(wanted.community, name);
            assert!(wanted.problems(0).is_empty());
        }
        let bad = options(r#"{"subreddit":"r/../api"}"#);
        assert!(Wanted::read(&bad).problems(0)[0].contains("expected a name"), "{bad:?}");
    }

    #[test]
    fn what_is_missing_has_its_default() {
        let options = options(r#"{"subreddit":"rust","title":" two  words\n"}"#);

        let wanted = Wanted::read(&options);

        assert_eq!((wanted.title.as_str(), wanted.kind, wanted.url), ("two words", None, None));
        assert!(wanted.send_replies && !wanted.nsfw && !wanted.spoiler && !wanted.resubmit);
        let off = self::options(r#"{"send_replies":false,"nsfw":true}"#);
        assert!(!Wanted::read(&off).send_replies && Wanted::read(&off).nsfw);
    }

    #[test]
    fn a_kind_must_fit_what_is_there() {
        let problem = |json: &str, files: usize| {
            let options = options(json);
            Wanted::read(&options).problems(files).pop()
        };
        let url = r#""url":"https://example.com/a""#;

        for (json, files) in [
            ("{}".to_owned(), 0),
            ("{}".to_owned(), 20),
            (format!("{{{url}}}"), 0),
            (format!(r#"{{"kind":"link",{url}}}"#), 0),
            (r#"{"kind":"self"}"#.to_owned(), 0),
            (r#"{"kind":"image"}"#.to_owned(), 1),
            (r#"{"kind":"gallery"}"#.to_owned(), 20),
            (r#"{"kind":"video"}"#.to_owned(), 2),
        ] {
            assert_eq!(problem(&json, files), None, "{json} {files}");
        }
        for (json, files, told) in [
            (format!("{{{url}}}"), 1, "a link and 1 media files"),
            (format!(r#"{{"kind":"self",{url}}}"#), 0, "only a post of the kind link"),
            (format!(r#"{{"kind":"link",{url}}}"#), 1, "but the kind has none"),
            (r#"{"kind":"link"}"#.to_owned(), 0, "without the option"),
            (r#"{"kind":"self"}"#.to_owned(), 1, "but the kind has none"),
            (r#"{"kind":"image"}"#.to_owned(), 2, "2 media files, but a post of the kind image"),
            (r#"{"kind":"gallery"}"#.to_owned(), 1, "1 media files, but a gallery has 2 to 20"),
            (r#"{"kind":"gallery"}"#.to_owned(), 21, "21 media files"),
            (r#"{"kind":"video"}"#.to_owned(), 0, "0 media files, but a video"),
            (r#"{"url":"ftp://example.com"}"#.to_owned(), 0, "no web address"),
            (r#"{"url":"example.com"}"#.to_owned(), 0, "no web address"),
        ] {
            let found = problem(&json, files).unwrap_or_default();
            assert!(found.contains(told), "{json} {files}: {found}");
        }
    }
}
