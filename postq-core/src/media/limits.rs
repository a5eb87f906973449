//! What a platform takes, as data, and the one function that checks it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{MediaClass, MediaFacts, MediaKind};

/// What a platform takes of one class of files.
#[derive(Clone, Debug, PartialEq)]
pub struct KindLimits {
    /// Which kinds.
    pub kinds: Vec<MediaKind>,
    /// The largest file.
    pub bytes: u64,
    /// The widest, in pixels.
    pub width: Option<u32>,
    /// The highest, in pixels.
    pub height: Option<u32>,
    /// How long it may play.
    pub duration: Option<RangeInclusive<Duration>>,
    /// Of how many pictures an animation may be made.
    pub frames: Option<u32>,
    /// What pictures may be coded in; anything if empty.
    pub video: Vec<&'static str>,
    /// What sound may be coded in; anything if empty.
    pub audio: Vec<&'static str>,
    /// How many of this class a part may have, where it has no others.
    pub most: usize,
}

impl KindLimits {
    /// These kinds up to a size; one of them, nothing else is limited.
    pub fn new(kinds: impl Into<Vec<MediaKind>>, bytes: u64) -> Self {
        Self {
            kinds: kinds.into(),
            bytes,
            width: None,
            height: None,
            duration: None,
            frames: None,
            video: Vec::new(),
            audio: Vec::new(),
            most: 1,
        }
    }
}

/// What a platform takes.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaLimits {
    /// Still pictures; none are taken if none.
    pub image: Option<KindLimits>,
    /// GIFs.
    pub animation: Option<KindLimits>,
    /// Videos.
    pub video: Option<KindLimits>,
    /// How many files a part may have in all.
    pub most: usize,
    /// Whether one part may have files of several classes.
    pub mixed: bool,
    /// The longest description, in characters; none are taken if 0.
    pub alt: usize,
}

/// A file of a part, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'a> {
    /// What its author calls it: a path, a URL, an id.
    pub name: &'a str,
    /// How large it is.
    pub bytes: u64,
    /// What it is.
    pub facts: &'a MediaFacts,
    /// What is said of it.
    pub alt: Option<&'a str>,
}

impl MediaLimits {
    /// What is taken of a class.
    pub fn of(&self, class: MediaClass) -> Option<&KindLimits> {
        match class {
            MediaClass::Image => self.image.as_ref(),
            MediaClass::Animation => self.animation.as_ref(),
            MediaClass::Video => self.video.as_ref(),
        }
    }

    /// Why one part's files are not taken; each names the file, the limit and the actual value.
    pub fn problems(&self, files: &[Attached<'_>]) -> Vec<String> {
        let mut problems = Vec::new();
        let classes: Vec<MediaClass> = files.iter().map(|file| file.facts.kind.class()).collect();
        problems.extend(self.count_problem(&classes));
        for file in files {
            problems.extend(self.file_problems(*file));
        }
        problems
    }

    /// Why a part may not have so many files, whatever they are: what can be told before they are read.
    pub fn number_problem(&self, files: usize) -> Option<String> {
        (files > self.most).then(|| format!("{files} media files, at most {}", self.most))
    }

    /// What a file is at most once it was fitted: pictures are made smaller and converted, other files go as they
    /// are. What is still wrong then, nothing mends.
    pub fn fitted(&self, bytes: u64, facts: &MediaFacts) -> (u64, MediaFacts) {
        let mut facts = facts.clone();
        let class = facts.kind.class();
        let Some(limits) = self.of(class).filter(|_| class == MediaClass::Image) else {
            return (bytes, facts);
        };
        if let Some(kind) = limits.kinds.first().filter(|_| !limits.kinds.contains(&facts.kind)) {
            facts.kind = *kind;
        }
        if let Some((width, height)) = limits.scaled(facts.width, facts.height) {
            (facts.width, facts.height) = (width, height);
        }
        (bytes.min(limits.bytes), facts)
    }

    fn count_problem(&self, classes: &[MediaClass]) -> Option<String> {
        if let Some(problem) = self.number_problem(classes.len()) {
            return Some(problem);
        }
        let mut kinds = classes.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        if let ([first, second, ..], false) = (kinds.as_slice(), self.mixed) {
            return Some(format!("{first} and {second} in one part, expected files of one kind"));
        }
        kinds.into_iter().find_map(|class| {
            let have = classes.iter().filter(|other| **other == class).count();
            let most = self.of(class)?.most;
            (have > most).then(|| format!("{have} files of kind {class}, at most {most}"))
        })
    }

    fn file_problems(&self, file: Attached<'_>) -> Vec<String> {
        let (name, facts) = (file.name, file.facts);
        let Some(limits) = self.of(facts.kind.class()).filter(|of| of.kinds.contains(&facts.kind))
        else {
            let taken = [&self.image, &self.animation, &self.video];
            let taken = taken.into_iter().flatten().flat_map(|of| &of.kinds);
            let taken: Vec<&str> = taken.map(|kind| kind.as_str()).collect();
            return vec![format!(
                "\"{name}\" is of type {}, expected {}",
                facts.kind,
                taken.join(", ")
            )];
        };
        let side = |what: &str, actual: u32, most: Option<u32>| {
            most.filter(|most| actual > *most)
                .map(|most| format!("\"{name}\" is {actual} pixels {what}, at most {most}"))
        };
        let coded = |what: &str, actual: &Option<String>, taken: &[&str]| {
            let actual = actual.as_deref().filter(|_| !taken.is_empty())?;
            (!taken.contains(&actual)).then(|| {
                format!(
                    "the {what} of \"{name}\" is coded in {actual}, expected {}",
                    taken.join(", ")
                )
            })
        };
        let alt = file.alt.map_or(0, |alt| alt.chars().count());
        let found = [
            (file.bytes > limits.bytes)
                .then(|| format!("\"{name}\" has {} bytes, at most {}", file.bytes, limits.bytes)),
            side("wide", facts.width, limits.width),
            side("high", facts.height, limits.height),
            duration_problem(name, facts.duration, limits.duration.as_ref()),
            facts
                .frames
                .zip(limits.frames)
                .filter(|(actual, most)| actual > most)
                .map(|(actual, most)| format!("\"{name}\" has {actual} frames, at most {most}")),
            coded("video", &facts.video, &limits.video),
            coded("sound", &facts.audio, &limits.audio),
            (alt > self.alt).then(|| {
                let most = self.alt;
                format!("the description of \"{name}\" is {alt} characters long, at most {most}")
            }),
        ];
        found.into_iter().flatten().collect()
    }
}

fn duration_problem(
    name: &str,
    actual: Option<Duration>,
    limit: Option<&RangeInclusive<Duration>>,
) -> Option<String> {
    let (actual, limit) = (actual?, limit?);
    let seconds = |of: &Duration| of.as_secs_f64();
    (!limit.contains(&actual)).then(|| {
        format!(
            "\"{name}\" plays {:.1} s, expected {} to {} s",
            seconds(&actual),
            seconds(limit.start()),
            seconds(limit.end())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> MediaLimits {
        let seconds = Duration::from_secs;
        MediaLimits {
            image: Some(KindLimits {
                most: 4,
                width: Some(4_096),
                height: Some(4_096),
                ..KindLimits::new([MediaKind::Jpeg, MediaKind::Png], 1_000)
            }),
            animation: Some(KindLimits {
                frames: Some(350),
                ..KindLimits::new([MediaKind::Gif], 2_000)
            }),
            video: Some(KindLimits {
                duration: Some(seconds(1)..=seconds(140)),
                video: vec!["avc1"],
                ..KindLimits::new([MediaKind::Mp4], 5_000)
            }),
            most: 4,
            mixed: false,
            alt: 5,
        }
    }

    fn problems(files: &[(&str, u64, MediaFacts, Option<&str>)]) -> Vec<String> {
        let attached: Vec<Attached<'_>> = files
            .iter()
            .map(|(name, bytes, facts, alt)| Attached { name, bytes: *bytes, facts, alt: *alt })
            .collect();
        limits().problems(&attached)
    }

    fn picture() -> MediaFacts {
        MediaFacts::picture(MediaKind::Jpeg, 800, 600)
    }

    #[test]
    fn good_files_have_no_problem() {
        let one = |name| (name, 1_000, picture(), Some("a cat"));
        assert_eq!(problems(&[one("a"), one("b"), one("c"), one("d")]), [""; 0]);
    }

    #[test]
    fn every_problem_names_the_file_the_limit_and_the_value() {
        let video = MediaFacts {
            duration: Some(Duration::from_millis(140_500)),
            video: Some("hvc1".to_owned()),
            ..MediaFacts::picture(MediaKind::Mp4, 10, 10)
        };
        let found = problems(&[("long.mp4", 5_001, video, None)]);
        assert_eq!(
            found,
            [
                "\"long.mp4\" has 5001 bytes, at most 5000",
                "\"long.mp4\" plays 140.5 s, expected 1 to 140 s",
                "the video of \"long.mp4\" is coded in hvc1, expected avc1",
            ]
        );
        let wide = MediaFacts::picture(MediaKind::Png, 5_000, 4_097);
        assert_eq!(
            problems(&[("a.png", 1, wide, Some("a long cat"))]),
            [
                "\"a.png\" is 5000 pixels wide, at most 4096",
                "\"a.png\" is 4097 pixels high, at most 4096",
                "the description of \"a.png\" is 10 characters long, at most 5",
            ]
        );
        let gif = MediaFacts { frames: Some(351), ..MediaFacts::picture(MediaKind::Gif, 1, 1) };
        assert_eq!(problems(&[("a.gif", 1, gif, None)]), ["\"a.gif\" has 351 frames, at most 350"]);
        let webp = MediaFacts::picture(MediaKind::Webp, 1, 1);
        assert_eq!(
            problems(&[("a.jpg", 1, webp, None)]),
            ["\"a.jpg\" is of type webp, expected jpeg, png, gif, mp4"]
        );
    }

    #[test]
    fn counts_and_mixtures_are_checked() {
        let one = ("a.jpg", 1, picture(), None);
        let gif = ("b.gif", 1, MediaFacts::picture(MediaKind::Gif, 1, 1), None);

        assert_eq!(
            problems(&[one.clone(), one.clone(), one.clone(), one.clone(), one.clone()]),
            ["5 media files, at most 4"]
        );
        assert_eq!(
            problems(&[one, gif.clone()]),
            ["image and GIF in one part, expected files of one kind"]
        );
        assert_eq!(problems(&[gif.clone(), gif]), ["2 files of kind GIF, at most 1"]);
    }

    #[test]
    fn what_fitting_mends_is_no_problem_and_the_rest_is() {
        let webp = MediaFacts::picture(MediaKind::Webp, 9_000, 10);
        let (bytes, fitted) = limits().fitted(1 << 40, &webp);
        assert_eq!(problems(&[("a", bytes, fitted, None)]), [""; 0]);

        let gif = MediaFacts { frames: Some(351), ..MediaFacts::picture(MediaKind::Gif, 1, 1) };
        let (bytes, fitted) = limits().fitted(2_001, &gif);
        assert_eq!(
            problems(&[("a", bytes, fitted, None)]),
            ["\"a\" has 2001 bytes, at most 2000", "\"a\" has 351 frames, at most 350"]
        );
    }

    #[test]
    fn what_is_too_large_is_scaled_in_proportion() {
        let limits = limits().image.unwrap();

        assert_eq!(limits.scaled(4_096, 10), None);
        assert_eq!(limits.scaled(8_192, 4_096), Some((4_096, 2_048)));
        assert_eq!(limits.scaled(1, 40_960), Some((1, 4_096)));
    }
}
