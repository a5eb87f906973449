//! Pins as they are sent and as they are shown.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, Utc};
use postq_core::media::MediaKind;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// The body of `POST /pins`. What is not there is left out.
#[derive(Debug, Serialize)]
pub(crate) struct CreatePin<'a> {
    pub(crate) board_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) board_section_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dominant_color: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alt_text: Option<&'a str>,
    pub(crate) media_source: Source,
}

/// What a Pin shows.
#[derive(Debug, Serialize)]
#[serde(tag = "source_type", rename_all = "snake_case")]
pub(crate) enum Source {
    ImageBase64(Bytes),
    ImageUrl(Address),
    MultipleImageBase64 { items: Vec<Bytes> },
    MultipleImageUrls { items: Vec<Address> },
    VideoId(Video),
}

/// A picture that is sent.
#[derive(Debug, Serialize)]
pub(crate) struct Bytes {
    pub(crate) content_type: &'static str,
    #[serde(serialize_with = "base64")]
    pub(crate) data: Vec<u8>,
}

/// A picture that Pinterest fetches.
#[derive(Debug, Serialize)]
pub(crate) struct Address {
    pub(crate) url: String,
}

/// A video that was uploaded, with its cover.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Video {
    pub(crate) media_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cover_image_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cover_image_content_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64_if_any")]
    pub(crate) cover_image_data: Option<Vec<u8>>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cover_image_key_frame_time: Option<u32>,
}

/// Written as it goes: a picture's text beside its bytes and the body would be a third copy.
fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

fn base64_if_any<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    base64(bytes.as_deref().unwrap_or_default(), serializer)
}

/// The type that Pinterest knows a picture by; none for what it does not take.
pub(crate) fn type_of(kind: MediaKind) -> Option<&'static str> {
    matches!(kind, MediaKind::Jpeg | MediaKind::Png).then(|| kind.mime())
}

/// A Pin as Pinterest shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownPin {
    pub(crate) id: String,
    created_at: Option<String>,
    pub(crate) board_id: Option<String>,
    pub(crate) parent_pin_id: Option<String>,
    pub(crate) is_owner: Option<bool>,
    title: Option<String>,
    description: Option<String>,
    link: Option<String>,
    pub(crate) pin_metrics: Option<Value>,
    /// What it shows.
    #[serde(default)]
    pub(crate) media: Value,
}

impl ShownPin {
    /// When it was created. Without a zone it is UTC.
    pub(crate) fn created_at(&self) -> Option<DateTime<Utc>> {
        let text = self.created_at.as_deref()?.trim();
        let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
        let plain = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
        zoned.or_else(|_| plain().map(|at| at.and_utc())).ok()
    }

    pub(crate) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or_default()
    }

    pub(crate) fn description(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    pub(crate) fn link(&self) -> &str {
        self.link.as_deref().unwrap_or_default()
    }
}

/// Where people see a Pin: no answer of Pinterest has it.
pub(crate) fn pin_url(id: &str) -> String {
    format!("https://www.pinterest.com/pin/{id}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created_at(text: &str) -> Option<String> {
        let json = format!(r#"{{"id":"1","created_at":"{text}"}}"#);
        let pin: ShownPin = serde_json::from_str(&json).expect("a Pin");
        pin.created_at().map(|at| at.to_rfc3339())
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        for (shown, expected) in [
            ("2024-01-31T12:00:00", "2024-01-31T12:00:00+00:00"),
            ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00+00:00"),
            ("2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00+00:00"),
            ("2024-01-31T12:00:00.250", "2024-01-31T12:00:00.250+00:00"),
        ] {
            assert_eq!(created_at(shown).as_deref(), Some(expected), "{shown}");
        }
        assert_eq!(created_at("yesterday"), None);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let pin = CreatePin {
            board_id: "1",
            board_section_id: None,
            title: None,
            description: None,
            link: None,
            dominant_color: None,
            alt_text: None,
            media_source: Source::VideoId(Video { media_id: "2".into(), ..Video::default() }),
        };

        let json = r#"{"board_id":"1","media_source":{"source_type":"video_id","media_id":"2"}}"#;
        assert_eq!(serde_json::to_string(&pin).unwrap(), json);
    }
}
