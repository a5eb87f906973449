//! Where a video is sent, and what with: all that Pinterest gave with the address, in its order.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The most fields that a form may have besides the file: Pinterest gives eight.
const MOST_FIELDS: usize = 64;

/// What `POST /media` answers.
#[derive(Deserialize)]
pub(crate) struct Registered {
    pub(crate) media_id: String,
    upload_url: Option<String>,
    upload_parameters: Option<Fields>,
}

impl Registered {
    /// Where the file goes and what is sent with it; none if that is missing or cannot be sent.
    pub(crate) fn ticket(self) -> Option<Ticket> {
        let (url, Fields(fields)) = (self.upload_url?, self.upload_parameters?);
        let plain = |name: &str| !name.chars().any(|c| c.is_control() || c == '"');
        let good = fields.len() <= MOST_FIELDS && fields.iter().all(|(name, _)| plain(name));
        good.then_some(Ticket { url, fields })
    }
}

/// A signed right to send one file. It is a secret for as long as it is good.
pub(crate) struct Ticket {
    pub(crate) url: String,
    /// In the order in which they are sent, before the file.
    pub(crate) fields: Vec<(String, String)>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// Texts by name, in the order in which they come.
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(parameters: &str) -> Option<Ticket> {
        let json = format!(
            r#"{{"media_id":"1","upload_url":"https://e.com/","upload_parameters":{parameters}}}"#
        );
        serde_json::from_str::<Registered>(&json).ok()?.ticket()
    }

    #[test]
    fn the_fields_keep_their_order() {
        let ticket = ticket(r#"{"x-b":"2","key":"a/b","Content-Type":"multipart/form-data"}"#);

        let fields = ticket.expect("a ticket").fields;
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-b", "key", "Content-Type"]);
    }

    #[test]
    fn a_ticket_that_cannot_be_sent_is_none_and_is_not_shown() {
        for bad in [r#"{"a\"b":"1"}"#, r#"{"a\r\nb":"1"}"#, r#"{"a":1}"#, "null", "[]"] {
            assert!(ticket(bad).is_none(), "{bad}");
        }
        let shown = format!("{:?}", ticket(r#"{"policy":"hunter2"}"#).expect("a ticket"));
        assert!(!shown.contains("hunter2") && !shown.contains("e.com"), "{shown}");
    }
}
