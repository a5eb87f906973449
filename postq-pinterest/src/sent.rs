//! What was sent, and whether a Pin that is shown is it: by what it says, and by what it shows: a video or pictures,
//! how many, and of what shape.
//!
//! No answer of Pinterest's names the file or the upload that a Pin was made of, so this tells a Pin from others
//! and never proves that it is the one. What Pinterest does not tell is no difference.

use postq_core::intent::Intent;
use serde_json::Value;

use crate::client::is_id;
use crate::media::Kept;
use crate::pin::ShownPin;
use crate::text::{Sameness, compare, compare_links};

/// Shapes that differ by more are of other pictures: what is scaled is rounded to whole pixels.
const TOLERANCE: f64 = 0.03;
/// The sizes that Pinterest shows uncropped.
const UNCROPPED: [&str; 5] = ["originals", "orig", "1200x", "600x", "736x"];

/// A Pin as it was sent.
pub(crate) struct Sent<'a> {
    text: &'a str,
    title: &'a str,
    link: &'a str,
    files: Files,
}

impl<'a> Sent<'a> {
    pub(crate) fn of(intent: &'a Intent) -> Self {
        let option = |name| intent.options.text(name).unwrap_or_default();
        let files = Files::of(&intent.media);
        Self { text: &intent.text, title: option("title"), link: option("link"), files }
    }

    /// How alike a Pin that is shown is.
    pub(crate) fn compare(&self, pin: &ShownPin) -> Sameness {
        let says = alike(&[
            (self.text, pin.description(), compare(self.text, pin.description())),
            (self.title, pin.title(), compare(self.title, pin.title())),
            (self.link, pin.link(), compare_links(self.link, pin.link())),
        ]);
        if says != Sameness::Same {
            return says;
        }
        let says_nothing = [self.text, self.title, self.link].iter().all(|it| it.trim().is_empty());
        // What was saved from another Pin says what that one says.
        if pin.parent_pin_id.is_some() || (says_nothing && !self.files.has_shape_of(&pin.media)) {
            return Sameness::Near;
        }
        self.files.compare(&pin.media)
    }
}

/// How alike two Pins are, of what was sent, what is shown, and how alike that is.
///
/// What was not sent and is shown, Pinterest may have taken from where the link leads: that alone does not make
/// another Pin of one of which something else is the same.
fn alike(fields: &[(&str, &str, Sameness)]) -> Sameness {
    let said = |text: &str| !text.trim().is_empty();
    let known = fields.iter().any(|(sent, _, alike)| said(sent) && *alike == Sameness::Same);
    let each = fields.iter().map(|(sent, shown, alike)| match alike {
        Sameness::Different if known && !said(sent) && said(shown) => Sameness::Near,
        alike => *alike,
    });
    each.min().unwrap_or(Sameness::Different)
}

/// The files of a Pin as it was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Files {
    /// The intent does not say.
    Untold,
    Video,
    /// One picture, and its width by its height where that is known.
    Picture(Option<f64>),
    /// More pictures: so many.
    Pictures(usize),
}

impl Files {
    /// Of the ids that an intent has for its media.
    fn of(media: &[String]) -> Self {
        match media {
            [] => Self::Untold,
            ids if ids.iter().any(|id| is_id(id)) => Self::Video,
            [one] => Self::Picture(Kept::read(one).ok().and_then(|picture| picture.shape())),
            ids => Self::Pictures(ids.len()),
        }
    }

    /// How alike a Pin's media are: surely others are near, since nobody documents what Pinterest makes of a file
    /// before it has worked on it.
    fn compare(self, media: &Value) -> Sameness {
        let (kind, items) = (media["media_type"].as_str(), media["items"].as_array());
        let is = |expected: &str| kind.is_none_or(|kind| kind == expected);
        let alike = match self {
            Self::Untold => true,
            Self::Video => is("video"),
            Self::Picture(_) => is("image"),
            Self::Pictures(number) => {
                is("multiple_images") && items.is_none_or(|items| items.len() == number)
            }
        };
        if alike { Sameness::Same } else { Sameness::Near }
    }

    /// Whether a Pin shows a picture of the shape that was sent: all there is where a Pin says nothing.
    fn has_shape_of(self, media: &Value) -> bool {
        let Self::Picture(Some(sent)) = self else { return false };
        let shown = UNCROPPED.iter().find_map(|size| shape(&media["images"][size]));
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < TOLERANCE;
        // Upright or as it was taken.
        shown.is_some_and(|shown| near(shown, sent) || near(shown, 1.0 / sent))
    }
}

fn shape(size: &Value) -> Option<f64> {
    let side = |name: &str| size[name].as_f64().filter(|side| *side >= 1.0);
    Some(side("width")? / side("height")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(ids: &[&str]) -> Files {
        Files::of(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
    }

    fn picture(shape: &str) -> String {
        format!("image/png:{}{shape}", "0".repeat(64))
    }

    #[test]
    fn the_kind_and_number_of_files_tell_pins_apart() {
        let (one, many) = (sent(&[&picture("")]), sent(&[&picture(":2x1"), &picture(":2x1")]));
        let kind = |kind: &str| json!({ "media_type": kind });

        assert_eq!((sent(&[]), sent(&["5001", &picture("")])), (Files::Untold, Files::Video));
        assert_eq!((one, many), (Files::Picture(None), Files::Pictures(2)));
        for (sent, own) in [(Files::Video, "video"), (one, "image"), (many, "multiple_images")] {
            for shown in ["video", "image", "multiple_images", "multiple_mixed"] {
                let expected = if own == shown { Sameness::Same } else { Sameness::Near };
                assert_eq!(sent.compare(&kind(shown)), expected, "{sent:?} {shown}");
                assert_eq!(Files::Untold.compare(&kind(shown)), Sameness::Same);
            }
            for untold in [Value::Null, json!({}), json!({ "media_type": null })] {
                assert_eq!(sent.compare(&untold), Sameness::Same, "{untold}");
            }
        }
        let items = |items: &[u8]| json!({ "media_type": "multiple_images", "items": items });
        assert_eq!(many.compare(&items(&[1, 2])), Sameness::Same);
        assert_eq!(many.compare(&items(&[1, 2, 3])), Sameness::Near);
    }

    #[test]
    fn a_picture_has_its_shape_in_every_uncropped_size() {
        let sent = sent(&[&picture(":1000x1500")]);
        let shown = |size: &str, width: u32, height: u32| {
            let mut images = json!({ "150x150": { "width": 150, "height": 150 } });
            images[size] = json!({ "width": width, "height": height });
            sent.has_shape_of(&json!({ "images": images }))
        };
        assert!(shown("600x", 600, 900) && shown("1200x", 1_200, 1_799));
        assert!(shown("originals", 1_500, 1_000), "it was turned upright");
        assert!(!shown("600x", 600, 600) && !shown("400x300", 400, 600) && !shown("600x", 600, 0));
        assert!(!sent.has_shape_of(&Value::Null));
        assert!(!Files::Picture(None).has_shape_of(&json!({ "images": {} })));
    }
}
