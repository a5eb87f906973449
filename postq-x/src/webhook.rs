//! What X sends by itself: that it is X's, and what happened. Plain functions over bytes.
//!
//! Two products come by the same webhooks: the X Activity API, and the older Account Activity API.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

/// What a proof begins with.
const PREFIX: &str = "sha256=";
/// The longest token of a challenge that is answered.
const MOST_TOKEN: usize = 256;

/// The app's consumer secret, which X signs with and is answered with.
#[derive(Clone)]
pub struct WebhookSecret(SecretString);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// The header in which the signature of a body stands.
    pub const HEADER: &str = "x-twitter-webhooks-signature";

    /// Takes the consumer secret of the app.
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// The answer to a challenge, which proves to X that the secret is known here; none for a token that
    /// is none.
    ///
    /// Anybody may ask, and what is answered is a signature. So only what can be no body of an event is
    /// signed: letters, digits and what base64 has besides.
    pub fn challenge(&self, crc_token: &str) -> Option<String> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._~+/=".contains(&c);
        let is_token = (1..=MOST_TOKEN).contains(&crc_token.len()) && crc_token.bytes().all(fits);
        let signature = || self.mac(crc_token.as_bytes()).finalize().into_bytes();
        is_token.then(|| format!("{PREFIX}{}", STANDARD.encode(signature())))
    }

    /// Whether X has sent this body, byte for byte, by the value of the header [`HEADER`](Self::HEADER).
    pub fn has_signed(&self, header: &str, body: &[u8]) -> bool {
        let bytes = header.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        // In constant time.
        bytes.is_some_and(|bytes| self.mac(body).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let key = self.0.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("keys of every length are taken");
        mac.update(message);
        mac
    }
}

/// Something that happened at X.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// Tells it from all others of its kind: X may send it again.
    pub id: String,
    /// What: `post.create`, `post.delete`, `oauth.revoke`, and what else X knows.
    pub kind: String,
    /// X's id of the user to whom it happened.
    pub user: Option<String>,
    /// X's id of the post that it is about.
    pub post: Option<String>,
    /// When, where the event says so.
    pub at: Option<DateTime<Utc>>,
}

/// What happened, by a body that X has signed; none if it is nothing that X is known to send.
pub fn events(body: &[u8]) -> Option<Vec<Happened>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.as_object()?;
    match body.get("data") {
        Some(data) => Some(vec![activity(Activity::deserialize(data).ok()?)]),
        None => account_activity(body),
    }
}

/// The envelope of the X Activity API.
#[derive(Deserialize)]
struct Activity {
    event_uuid: String,
    event_type: String,
    #[serde(default)]
    filter: Value,
    #[serde(default)]
    payload: Value,
}

fn activity(event: Activity) -> Happened {
    let is_of_post = event.event_type.starts_with("post.");
    let post = ["id", "post_id", "tweet_id"].iter().find_map(|key| id(&event.payload[key]));
    // Only of a new post is this the moment of the event.
    let at = match event.event_type.as_str() {
        "post.create" => rfc3339(&event.payload["created_at"]),
        _ => None,
    };
    Happened {
        id: event.event_uuid,
        kind: event.event_type,
        user: id(&event.filter["user_id"]),
        post: post.filter(|_| is_of_post),
        at,
    }
}

/// The body of the Account Activity API: lists of events by kind, told in the other one's words.
fn account_activity(body: &serde_json::Map<String, Value>) -> Option<Vec<Happened>> {
    let of = body.get("for_user_id").and_then(id);
    let list = |key: &str| body.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let created = list("tweet_create_events").iter().filter_map(|post| {
        let own = id_of(post)?;
        Some(happened(
            own,
            "post.create",
            id_of(&post["user"]),
            true,
            millis(&post["timestamp_ms"]),
        ))
    });
    let deleted = list("tweet_delete_events").iter().filter_map(|event| {
        let status = &event["status"];
        let at = millis(&event["timestamp_ms"]);
        Some(happened(id_of(status)?, "post.delete", id(&status["user_id"]), true, at))
    });
    let revoked = body.get("user_event").map(|event| &event["revoke"]).and_then(|revoke| {
        let user = id(&revoke["source"]["user_id"]);
        let when = revoke["date_time"].as_str().unwrap_or_default();
        let own = format!("{}:{when}", user.as_deref().unwrap_or_default());
        let at = rfc3339(&revoke["date_time"]);
        revoke.is_object().then(|| happened(own, "oauth.revoke", user, false, at))
    });
    let mut found: Vec<Happened> = created.chain(deleted).chain(revoked).collect();
    for event in &mut found {
        event.user = event.user.take().or_else(|| of.clone());
    }
    // Likes, messages and more are X's as well, and nothing that is told here.
    (of.is_some() || !found.is_empty()).then_some(found)
}

fn happened(
    id: String,
    kind: &str,
    user: Option<String>,
    is_of_post: bool,
    at: Option<DateTime<Utc>>,
) -> Happened {
    let post = is_of_post.then(|| id.clone());
    Happened { id, kind: kind.to_owned(), user, post, at }
}

/// The id of a thing that may have it as a number too, which not every reader keeps whole.
fn id_of(thing: &Value) -> Option<String> {
    id(&thing["id_str"]).or_else(|| id(&thing["id"]))
}

fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn rfc3339(value: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.to_utc())
}

fn millis(value: &Value) -> Option<DateTime<Utc>> {
    let millis = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    DateTime::from_timestamp_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> WebhookSecret {
        WebhookSecret::new("consumer-s3cret".to_owned().into())
    }

    const DELETED: &str = concat!(
        r#"{"for_user_id":"2244994945","tweet_delete_events":[{"status":{"id":"1050118621198921728","#,
        r#""user_id":"2244994945"},"timestamp_ms":"1539202764000"}]}"#
    );

    // Both by Python's hmac, with the secret above.
    const OF_TOKEN: &str = "sha256=gQ9N0Qh8jghFDZ+OjCg+BJlGkMZhsYrnqATjn7ptQYE=";
    const OF_DELETED: &str = "sha256=Y2rL10DsuBkJVqbDVBtr0aV6edqMebHK2ml7gG77CqY=";

    #[test]
    fn a_challenge_is_answered_as_x_expects() {
        let answer = secret().challenge("9b4507b3-9040-4669-9ca3-6b94edb50553");

        assert_eq!(answer.as_deref(), Some(OF_TOKEN));
    }

    #[test]
    fn a_challenge_signs_nothing_that_could_be_an_event() {
        let long = "a".repeat(MOST_TOKEN + 1);
        for token in ["", DELETED, "{}", "[1]", "\"a\"", "a b", "a\n", "ä", long.as_str()] {
            assert_eq!(secret().challenge(token), None, "{token}");
        }
        assert!(secret().challenge(&long[1..]).is_some());
    }

    #[test]
    fn only_what_x_has_signed_is_believed() {
        let secret = secret();

        assert!(secret.has_signed(OF_DELETED, DELETED.as_bytes()));
        assert!(!secret.has_signed(OF_DELETED, format!("{DELETED} ").as_bytes()), "another byte");
        assert!(!secret.has_signed(OF_TOKEN, DELETED.as_bytes()));
        for header in ["", "sha256=", "sha256=AAAA", &OF_DELETED[7..], "sha1=AAAA", "sha256=!"] {
            assert!(!secret.has_signed(header, DELETED.as_bytes()), "{header}");
        }
        let other = WebhookSecret::new("another".to_owned().into());
        assert!(!other.has_signed(OF_DELETED, DELETED.as_bytes()));
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    #[test]
    fn both_shapes_are_read() {
        let deleted = events(DELETED.as_bytes()).expect("events");
        assert_eq!(
            deleted,
            [Happened {
                id: "1050118621198921728".to_owned(),
                kind: "post.delete".to_owned(),
                user: Some("2244994945".to_owned()),
                post: Some("1050118621198921728".to_owned()),
                at: DateTime::from_timestamp(1_539_202_764, 0),
            }]
        );
        let created = br#"{"data":{"event_uuid":"u1","filter":{"user_id":"7"},"event_type":"post.create",
            "tag":"t","payload":{"id":"9","created_at":"2026-07-24T21:05:48.000Z"},"includes":{}}}"#;
        let created = &events(created).expect("an event")[0];
        assert_eq!((created.id.as_str(), created.post.as_deref()), ("u1", Some("9")));
        assert_eq!(created.at.map(|at| at.timestamp()), Some(1_784_927_148));
        let gone =
            br#"{"data":{"event_uuid":"u2","filter":{"user_id":"7"},"event_type":"post.delete",
            "payload":{"id":"9","created_at":"2006-07-24T21:05:48.000Z"}}}"#;
        assert_eq!(events(gone).expect("an event")[0].at, None, "that is the post's time");
        let revoked = br#"{"user_event":{"revoke":{"date_time":"2018-05-24T09:48:12+00:00",
            "target":{"app_id":"1"},"source":{"user_id":"63046977"}}}}"#;
        let revoked = &events(revoked).expect("an event")[0];
        assert_eq!(
            (revoked.kind.as_str(), revoked.user.as_deref()),
            ("oauth.revoke", Some("63046977"))
        );
        let both =
            br#"{"for_user_id":"7","tweet_create_events":[{"id":1,"id_str":"1","timestamp_ms":"5",
            "user":{"id_str":"8"}},{"id_str":"2"}]}"#;
        let both = events(both).expect("events");
        assert_eq!(
            both.iter().map(|e| e.user.as_deref()).collect::<Vec<_>>(),
            [Some("8"), Some("7")]
        );
    }

    #[test]
    fn what_is_nothing_of_ours_is_no_error_and_what_is_no_event_is_none() {
        assert_eq!(events(br#"{"for_user_id":"7","favorite_events":[{}]}"#), Some(Vec::new()));
        assert_eq!(
            events(br#"{"for_user_id":"7","tweet_delete_events":[{}, 1]}"#),
            Some(Vec::new())
        );
        for body in
            ["", "{", "[]", "{}", "1", r#"{"data":{}}"#, r#"{"data":[]}"#, r#"{"user_event":1}"#]
        {
            assert_eq!(events(body.as_bytes()), None, "{body}");
        }
    }
}
