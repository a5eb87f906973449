//! Where an account is: its handle leads to its DID, the DID's document to its server.

use postq_core::failure::{Failure, FailureClass};
use postq_http::Hidden;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::client::{Bluesky, Deadline, MOST_OF_ONE, not_published};
use crate::config::is_public_name;
use crate::error::unread;
use crate::session::is_did;

/// A document about an identity, as far as it concerns us.
#[derive(Debug, Deserialize)]
pub(crate) struct DidDocument {
    #[serde(default)]
    id: String,
    #[serde(default)]
    service: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(default)]
    id: String,
    #[serde(default, rename = "serviceEndpoint")]
    endpoint: serde_json::Value,
}

impl DidDocument {
    /// The server of the account, as it is written.
    pub(crate) fn pds(&self) -> Option<&str> {
        let is_pds = |id: &str| id.strip_prefix(&self.id).unwrap_or(id) == "#atproto_pds";
        self.service.iter().find(|service| is_pds(&service.id))?.endpoint.as_str()
    }
}

#[derive(Deserialize)]
struct Resolved {
    did: String,
}

impl Bluesky {
    /// Who has a handle, as `base` tells; none if nobody has it.
    pub(crate) async fn resolve(
        &self,
        base: &str,
        handle: &str,
        deadline: Deadline,
    ) -> Result<Option<String>, Failure> {
        let request = self.get(base, "com.atproto.identity.resolveHandle");
        let answer = deadline
            .ask(request.query(&[("handle", handle)]), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(Hidden::default())))?;
        if let Some(Resolved { did }) = answer.success() {
            return Ok(Some(did).filter(|did| is_did(did)));
        }
        // "Unable to resolve handle", or no handle at all: nobody has it.
        if answer.status == StatusCode::BAD_REQUEST {
            return Ok(None);
        }
        Err(not_published(unread(&answer, Hidden::default(), self.server_now(&answer))))
    }

    /// The server of the account with this DID.
    pub(crate) async fn locate(&self, did: &str, deadline: Deadline) -> Result<String, Failure> {
        let unusable = |why: &str| Failure::not_published(FailureClass::Auth, why.to_owned());
        let url = self
            .document_url(did)
            .ok_or_else(|| unusable("the account's DID is neither a did:plc nor a did:web"))?;
        let answer = deadline
            .ask(self.document(&url), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(Hidden::default())))?;
        if matches!(answer.status.as_u16(), 404 | 410) {
            return Err(unusable("the account's DID is not known any more"));
        }
        let Some(document) = answer.success::<DidDocument>().filter(|found| found.id == did) else {
            return Err(not_published(unread(
                &answer,
                Hidden::default(),
                self.server_now(&answer),
            )));
        };
        let named = document.pds().and_then(|pds| self.places.endpoint(pds));
        named.ok_or_else(|| {
            unusable("the account's DID document names no server that is safe to ask")
        })
    }

    fn document_url(&self, did: &str) -> Option<String> {
        if did.starts_with("did:plc:") {
            return Some(format!("{}/{did}", self.places.plc));
        }
        let host = did.strip_prefix("did:web:")?;
        is_public_name(host).then(|| format!("https://{host}/.well-known/did.json"))
    }

    /// Whom an identifier names and where that account is: a DID, a handle, or an address of mail, which
    /// only the service that is set can tell.
    pub(crate) async fn find(
        &self,
        identifier: &str,
        deadline: Deadline,
    ) -> Result<(Option<String>, String), Failure> {
        if is_did(identifier) {
            return Ok((Some(identifier.to_owned()), self.locate(identifier, deadline).await?));
        }
        let handle = identifier.trim_start_matches('@');
        if handle.contains('@') {
            return Ok((None, self.places.service.url.clone()));
        }
        let resolved = self.resolve(&self.places.service.url, handle, deadline).await?;
        let did = resolved.ok_or_else(|| {
            let message = "nobody has this handle; expected one like alice.bsky.social";
            Failure::not_published(FailureClass::Auth, message)
        })?;
        let pds = self.locate(&did, deadline).await?;
        Ok((Some(did), pds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_document_names_the_server() {
        let read = |json: &str| serde_json::from_str::<DidDocument>(json).expect("a document");
        let short = r##"{"id":"did:plc:a","service":[{"id":"#other","serviceEndpoint":{"a":1}},
            {"id":"#atproto_pds","type":"x","serviceEndpoint":"https://pds.example.com"}]}"##;
        let long = r##"{"id":"did:plc:a","service":[{"id":"did:plc:a#atproto_pds",
            "serviceEndpoint":"https://pds.example.com"}]}"##;

        assert_eq!(read(short).pds(), Some("https://pds.example.com"));
        assert_eq!(read(long).pds(), Some("https://pds.example.com"));
        assert_eq!(read(r#"{"id":"did:plc:a"}"#).pds(), None);
        assert_eq!(read("{}").pds(), None);
    }

    #[test]
    fn a_document_is_asked_for_where_its_method_says() {
        let bluesky = Bluesky::new(Config::default()).expect("an adapter");
        let url = |did: &str| bluesky.document_url(did);

        assert_eq!(url("did:plc:abc").as_deref(), Some("https://plc.directory/did:plc:abc"));
        let web = "https://example.com/.well-known/did.json";
        assert_eq!(url("did:web:example.com").as_deref(), Some(web));
        for bad in [
            "did:web:localhost%3A80",
            "did:web:10.0.0.1",
            "did:web:a:b",
            "did:web:a.b:c",
            "did:key:z6Mk",
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
