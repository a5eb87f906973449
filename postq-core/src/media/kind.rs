//! What a file is, by its first bytes and never by its name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of file that is told by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaKind {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// GIF, moving or not.
    Gif,
    /// WebP.
    Webp,
    /// MP4.
    Mp4,
    /// QuickTime: `.mov`.
    Quicktime,
}

/// How a platform counts a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaClass {
    /// A still picture.
    Image,
    /// A GIF.
    Animation,
    /// A video.
    Video,
}

impl fmt::Display for MediaClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Animation => "GIF",
            Self::Video => "video",
        })
    }
}

impl MediaKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Jpeg, Self::Png, Self::Gif, Self::Webp, Self::Mp4, Self::Quicktime];

    /// So many first bytes are enough to tell.
    pub const HEAD: usize = 32;

    /// What begins like this; none for what no platform takes.
    pub fn of_content(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
                b"qt  " => Some(Self::Quicktime),
                // Pictures in the same container: no platform here takes them.
                b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" | b"avif" | b"avis" => None,
                _ => Some(Self::Mp4),
            },
            // Older cameras write no brand.
            [_, _, _, _, b'm' | b'w', b'o' | b'i', b'o' | b'd', b'v' | b'e', ..] => {
                Some(Self::Quicktime)
            }
            _ => None,
        }
    }

    /// The media type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Mp4 => "video/mp4",
            Self::Quicktime => "video/quicktime",
        }
    }

    /// What a file of it is named by.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
            Self::Quicktime => "mov",
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
            Self::Quicktime => "quicktime",
        }
    }

    /// How a platform counts it.
    pub const fn class(self) -> MediaClass {
        match self {
            Self::Jpeg | Self::Png | Self::Webp => MediaClass::Image,
            Self::Gif => MediaClass::Animation,
            Self::Mp4 | Self::Quicktime => MediaClass::Video,
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_by_the_content() {
        let kind = |head: &[u8]| MediaKind::of_content(head);

        assert_eq!(kind(b"\xff\xd8\xff\xe1"), Some(MediaKind::Jpeg));
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), Some(MediaKind::Png));
        assert_eq!(kind(b"GIF89a"), Some(MediaKind::Gif));
        assert_eq!(kind(b"RIFF\0\0\0\0WEBPVP8 "), Some(MediaKind::Webp));
        assert_eq!(kind(b"\0\0\0\x18ftypisom"), Some(MediaKind::Mp4));
        assert_eq!(kind(b"\0\0\0\x14ftypqt  "), Some(MediaKind::Quicktime));
        assert_eq!(kind(b"\0\0\0\x08moov"), Some(MediaKind::Quicktime));
        for none in [&b""[..], b"<svg xmlns", b"GIF88a", b"\0\0\0\x18ftypheic", b"#!/bin/sh\n"] {
            assert_eq!(kind(none), None, "{none:?}");
        }
    }
}
