//! Where platforms that fetch files themselves find them: an address that is signed and ends.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use postq_core::media::{MediaId, MediaKind};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

/// A key that signs.
pub type LinkKey = SecretBox<[u8; 32]>;

/// Makes links to files, and knows its own again.
///
/// Whoever has a link can fetch that one file until the link ends, and nothing else. What signs is made of the
/// vault's key, so that all nodes know each other's links; with a new key the old one's are good until they end.
#[derive(Clone)]
pub struct MediaLinks {
    base: Arc<str>,
    keys: Arc<[LinkKey]>,
}

impl fmt::Debug for MediaLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaLinks").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Why a link opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// It was never made here, or was changed.
    #[error("the link is not signed here")]
    Forged,
    /// It was good once.
    #[error("the link has ended")]
    Ended,
}

impl MediaLinks {
    /// Below the base, what leads to a file.
    pub const PATH: &str = "/media/files";

    /// Links below the address by which this postq is reached. The first key signs, the others are still known;
    /// without one nothing is signed.
    pub fn new(base: &str, keys: impl IntoIterator<Item = LinkKey>) -> Self {
        Self { base: base.trim_end_matches('/').into(), keys: keys.into_iter().collect() }
    }

    /// A link to a file that is good until then; none without a key.
    pub fn sign(&self, id: MediaId, kind: MediaKind, until: DateTime<Utc>) -> Option<String> {
        let until = until.timestamp();
        let signature = signed(self.keys.first()?, id, until).finalize().into_bytes();
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let (base, path, ext) = (&self.base, Self::PATH, kind.extension());
        Some(format!("{base}{path}/{id}.{ext}?until={until}&signature={signature}"))
    }

    /// The file that a link opens: by its name, `until` and `signature`.
    ///
    /// # Errors
    ///
    /// If the link was not made here, or has ended.
    pub fn open(
        &self,
        name: &str,
        until: i64,
        signature: &str,
        now: DateTime<Utc>,
    ) -> Result<MediaId, BadLink> {
        let id = name.split('.').next().unwrap_or_default();
        let id: MediaId = id.parse().map_err(|_| BadLink::Forged)?;
        let signature: MediaId = signature.parse().map_err(|_| BadLink::Forged)?;
        // Compared in constant time: how much of a guess is right, its answer does not tell.
        let known = |key| signed(key, id, until).verify_slice(signature.hash()).is_ok();
        if !self.keys.iter().any(known) {
            return Err(BadLink::Forged);
        }
        if now.timestamp() >= until {
            return Err(BadLink::Ended);
        }
        Ok(id)
    }
}

fn signed(key: &LinkKey, id: MediaId, until: i64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("any length is a key");
    mac.update(b"postq media link 1\n");
    mac.update(id.hash());
    mac.update(&until.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> LinkKey {
        SecretBox::new(Box::new([byte; 32]))
    }

    fn links(keys: &[u8]) -> MediaLinks {
        MediaLinks::new("https://post.example.com/q/", keys.iter().map(|byte| key(*byte)))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// The name, `until` and `signature` of a link.
    fn parts(link: &str) -> (String, i64, String) {
        let rest = link.strip_prefix("https://post.example.com/q/media/files/").unwrap();
        let (name, query) = rest.split_once("?until=").unwrap();
        let (until, signature) = query.split_once("&signature=").unwrap();
        (name.to_owned(), until.parse().unwrap(), signature.to_owned())
    }

    #[test]
    fn a_link_opens_its_file_until_it_ends() {
        let (id, links) = (MediaId::of_hash([7; 32]), links(&[1]));

        let link = links.sign(id, MediaKind::Jpeg, at(1_000)).unwrap();

        let (name, until, signature) = parts(&link);
        assert_eq!(name, format!("{id}.jpg"));
        assert_eq!(links.open(&name, until, &signature, at(999)), Ok(id));
        assert_eq!(links.open(&name, until, &signature, at(1_000)), Err(BadLink::Ended));
        assert!(!format!("{links:?}").contains("1, 1"), "keys are not shown");
    }

    #[test]
    fn nothing_of_a_link_can_be_changed() {
        let (id, links) = (MediaId::of_hash([7; 32]), links(&[1]));
        let link = links.sign(id, MediaKind::Mp4, at(1_000)).unwrap();
        let (name, until, signature) = parts(&link);
        let other = MediaId::of_hash([8; 32]).to_string();
        let flipped =
            signature.replace(&signature[..1], if &signature[..1] == "0" { "1" } else { "0" });

        for (name, until, signature) in [
            (other.as_str(), until, signature.as_str()),
            (&name, until + 1, &signature),
            (&name, until, &flipped),
            (&name, until, ""),
            (&name, until, &signature[..63]),
            ("../../etc/passwd", until, &signature),
            ("", until, &signature),
        ] {
            let refused = links.open(name, until, signature, at(0));
            assert_eq!(refused, Err(BadLink::Forged), "{name} {until} {signature}");
        }
    }

    #[test]
    fn links_of_a_key_that_was_replaced_are_good_until_they_end() {
        let id = MediaId::of_hash([7; 32]);
        let link = links(&[1]).sign(id, MediaKind::Png, at(1_000)).unwrap();
        let (name, until, signature) = parts(&link);

        assert_eq!(links(&[2, 1]).open(&name, until, &signature, at(0)), Ok(id));
        assert_eq!(links(&[2]).open(&name, until, &signature, at(0)), Err(BadLink::Forged));
        assert_eq!(links(&[]).sign(id, MediaKind::Png, at(1_000)), None);
        assert_eq!(links(&[]).open(&name, until, &signature, at(0)), Err(BadLink::Forged));
    }
}
