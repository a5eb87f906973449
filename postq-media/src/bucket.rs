//! [`MediaStore`] in S3 and what speaks its language.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use postq_core::error::{ErrorKind, MediaError};
use postq_core::job::Applied;
use postq_core::media::{MediaId, MediaKind, MediaReader, MediaStore, Stored};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

/// Sent at once: S3 takes no smaller part but the last.
const PART: usize = 8 * 1_024 * 1_024;
/// Parts on their way: with [`PART`], what a put needs of memory.
const AT_ONCE: usize = 2;

/// What a name begins with while its content comes in.
const COMING: &str = "coming";

/// Where a bucket is.
#[derive(Clone, Default)]
pub struct BucketConfig {
    /// Its name.
    pub bucket: String,
    /// Its region. Defaults to `us-east-1`.
    pub region: Option<String>,
    /// The address of a server that is not Amazon's.
    pub endpoint: Option<String>,
    /// What every name begins with; nothing by default.
    pub prefix: String,
    /// The key's id; as the host it runs on says if none.
    pub access_key: Option<String>,
    /// The key.
    pub secret_key: Option<String>,
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketConfig")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the bucket \"{0}\" cannot be used")]
pub struct BucketError(String, #[source] object_store::Error);

/// Keeps content in a bucket, each file under its hash.
///
/// The hash is known when all has been read, so content goes to a name of its own first, and is copied
/// by the server to its place. What a crash leaves there goes when the bucket is looked through; parts of an
/// upload that was never finished are for the bucket's own life cycle rules.
#[derive(Clone)]
pub struct BucketMedia {
    bucket: Arc<AmazonS3>,
    prefix: Path,
}

impl fmt::Debug for BucketMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketMedia").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl BucketMedia {
    /// A store over a bucket that exists; makes no request.
    ///
    /// # Errors
    ///
    /// If the settings make no sense.
    pub fn new(config: &BucketConfig) -> Result<Self, BucketError> {
        // The client panics without one. Whichever was installed first stays.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new().with_bucket_name(&config.bucket);
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &config.endpoint {
            let plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint).with_allow_http(plain);
        }
        if let (Some(id), Some(key)) = (&config.access_key, &config.secret_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(key);
        }
        let bucket = builder.build().map_err(|error| BucketError(config.bucket.clone(), error))?;
        Ok(Self { bucket: Arc::new(bucket), prefix: Path::from(config.prefix.as_str()) })
    }

    fn place(&self, id: MediaId) -> Path {
        let name = id.to_string();
        self.prefix.clone().join(&name[..2]).join(name.as_str())
    }

    async fn send(&self, mut content: MediaReader, coming: &Path, at_most: u64) -> Sent {
        let upload = self.bucket.put_multipart(coming).await.map_err(bucket("begin to write"))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
        let ended = loop {
            let mut chunk = Vec::with_capacity(PART);
            let part = (&mut content).take(PART as u64).read_to_end(&mut chunk).await;
            match part {
                Ok(0) => break Ok(()),
                Ok(read) => bytes += read as u64,
                Err(error) => {
                    let error = MediaError::new(ErrorKind::Unavailable, "read the content")
                        .caused_by(error);
                    break Err(error);
                }
            }
            if bytes > at_most {
                let what = format!("the content has more than {at_most} bytes");
                break Err(MediaError::new(ErrorKind::Invalid, what));
            }
            hash.update(&chunk);
            if let Err(error) = upload.wait_for_capacity(AT_ONCE).await {
                break Err(bucket("write")(error));
            }
            upload.put(Bytes::from(chunk));
        };
        match ended {
            Ok(()) => upload.finish().await.map(drop).map_err(bucket("end writing"))?,
            Err(error) => {
                // What cannot be taken back now, the bucket's rules take back later.
                drop(upload.abort().await);
                return Err(error);
            }
        }
        Ok(Stored { id: MediaId::of_hash(hash.finalize().into()), bytes })
    }
}

type Sent = Result<Stored, MediaError>;

fn bucket(action: &'static str) -> impl Fn(object_store::Error) -> MediaError {
    move |error| {
        MediaError::new(ErrorKind::Unavailable, format!("{action} in the bucket")).caused_by(error)
    }
}

fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

#[async_trait]
impl MediaStore for BucketMedia {
    async fn put(&self, content: MediaReader, at_most: u64) -> Result<Stored, MediaError> {
        let name = MediaId::of_hash(random()).to_string();
        let coming = self.prefix.clone().join(COMING).join(name.as_str());
        let stored = self.send(content, &coming, at_most).await?;
        let moved = self.bucket.copy(&coming, &self.place(stored.id)).await;
        let cleaned = self.bucket.delete(&coming).await;
        moved.map_err(bucket("name a file"))?;
        cleaned.map_err(bucket("tidy up"))?;
        Ok(stored)
    }

    async fn open(
        &self,
        id: MediaId,
        range: Option<Range<u64>>,
    ) -> Result<Option<MediaReader>, MediaError> {
        // A server refuses an empty range, and one that begins past the end.
        if let Some(range) = &range {
            match self.size(id).await? {
                None => return Ok(None),
                Some(size) if range.start >= size.min(range.end) => {
                    return Ok(Some(Box::new(tokio::io::empty())));
                }
                Some(_) => {}
            }
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        match self.bucket.get_opts(&self.place(id), options).await {
            Ok(got) => {
                let stream = got.into_stream().map_err(std::io::Error::other);
                Ok(Some(Box::new(StreamReader::new(stream))))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(bucket("read")(error)),
        }
    }

    async fn size(&self, id: MediaId) -> Result<Option<u64>, MediaError> {
        match self.bucket.head(&self.place(id)).await {
            Ok(head) => Ok(Some(head.size)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(bucket("look")(error)),
        }
    }

    async fn kept(
        &self,
        from: MediaId,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<MediaId>, MediaError> {
        // A server lists what comes after a name: this one comes just before.
        let mut just_before = self.place(from).to_string();
        just_before.pop();
        let mut listed = self.bucket.list_with_offset(Some(&self.prefix), &Path::from(just_before));
        let mut found = Vec::new();
        while found.len() < limit {
            let next = listed.try_next().await.map_err(bucket("look through what is"))?;
            let Some(object) = next else { break };
            if object.last_modified >= before {
                continue;
            }
            let name = object.location.filename().unwrap_or_default();
            if object.location == self.prefix.clone().join(COMING).join(name) {
                // What a crash left of a file that was coming in.
                self.bucket.delete(&object.location).await.map_err(bucket("tidy up"))?;
                continue;
            }
            let id = name.parse::<MediaId>().ok();
            found.extend(id.filter(|id| *id >= from && object.location == self.place(*id)));
        }
        Ok(found)
    }

    async fn remove(&self, id: MediaId) -> Result<Applied, MediaError> {
        if self.size(id).await?.is_none() {
            return Ok(Applied::Gone);
        }
        match self.bucket.delete(&self.place(id)).await {
            Ok(()) => Ok(Applied::Applied),
            Err(error) if is_absent(&error) => Ok(Applied::Gone),
            Err(error) => Err(bucket("remove")(error)),
        }
    }

    async fn link(
        &self,
        id: MediaId,
        _kind: MediaKind,
        within: Duration,
    ) -> Result<Option<String>, MediaError> {
        let method = Method::GET;
        let url = self.bucket.signed_url(method, &self.place(id), within).await;
        url.map(|url| Some(url.to_string())).map_err(bucket("sign a link"))
    }
}

/// A name that nobody else has.
fn random() -> [u8; 32] {
    let (one, other) = (uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes());
    std::array::from_fn(|i| if i < 16 { one[i] } else { other[i - 16] })
}
