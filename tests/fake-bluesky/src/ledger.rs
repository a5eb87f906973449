//! What was really accepted: the truth that a test compares with.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A post that is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// Its address.
    pub uri: String,
    /// The id of its content.
    pub cid: String,
    /// What was written.
    pub record: Value,
}

impl Post {
    /// As a receipt names it.
    pub fn remote_id(&self) -> String {
        format!("{}#{}", self.uri, self.cid)
    }

    /// What it answers, as a receipt names that.
    pub fn reply_to(&self) -> Option<String> {
        let parent = self.record["reply"].get("parent")?;
        Some(format!("{}#{}", parent["uri"].as_str()?, parent["cid"].as_str()?))
    }
}

/// A file that was uploaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blob {
    /// Whose it is.
    pub did: String,
    /// As a record names it.
    pub blob: Value,
    /// Its content.
    pub content: Vec<u8>,
}

/// A copy of what the server knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every post that is out, in the order in which it came out.
    pub posts: Vec<Post>,
    /// Every file.
    pub blobs: Vec<Blob>,
    /// Requests to write a record, whatever became of them.
    pub writes: u64,
    /// Writes that changed nothing, since the same record was there.
    pub repeats: u64,
}

impl Ledger {
    /// The post at an address.
    pub fn find(&self, uri: &str) -> Option<&Post> {
        self.posts.iter().find(|post| post.uri == uri)
    }

    pub(crate) fn write(&mut self, uri: &str, record: Value) -> Post {
        let cid = cid("bafyrei", record.to_string().as_bytes());
        let post = Post { uri: uri.to_owned(), cid, record };
        self.posts.push(post.clone());
        post
    }

    pub(crate) fn overwrite(&mut self, uri: &str, record: Value) {
        let cid = cid("bafyrei", record.to_string().as_bytes());
        for post in self.posts.iter_mut().filter(|post| post.uri == uri) {
            (post.cid, post.record) = (cid.clone(), record.clone());
        }
    }

    pub(crate) fn upload(&mut self, did: &str, mime: &str, content: Vec<u8>) -> Value {
        let blob = json!({
            "$type": "blob",
            "ref": { "$link": cid("bafkrei", &content) },
            "mimeType": mime,
            "size": content.len(),
        });
        // The same bytes are the same file.
        if !self.has(did, &blob) {
            self.blobs.push(Blob { did: did.to_owned(), blob: blob.clone(), content });
        }
        blob
    }

    pub(crate) fn has(&self, did: &str, blob: &Value) -> bool {
        self.blobs.iter().any(|known| known.did == did && known.blob == *blob)
    }

    pub(crate) fn forget_blobs(&mut self) {
        let all: String = self.posts.iter().map(|post| post.record.to_string()).collect();
        self.blobs.retain(|known| all.contains(known.blob["ref"]["$link"].as_str().unwrap_or("-")));
    }
}

/// An id of content: not of the real format, and as unlike for unlike content.
fn cid(begin: &str, content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{begin}{hex}")
}
