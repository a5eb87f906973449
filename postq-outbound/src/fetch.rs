//! [`MediaSource`] of the web: what a URL holds, read as it comes.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{MediaReader, MediaSource, pieces};
use reqwest::{Response, Url};

use crate::call::{Call, NoAnswer, Outbound};
use crate::guard;

/// The longest wait for an answer to begin.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest that a file may take in all: a gigabyte at 1 MB/s, and some.
const IN_ALL: Duration = Duration::from_secs(20 * 60);

/// Reads media from the web, through the guard: `https` to the open internet, and `http` to what the
/// allow list names.
#[derive(Clone, Debug)]
pub struct WebMedia {
    outbound: Outbound,
    in_all: Duration,
}

impl WebMedia {
    /// One that reads by these rules.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, in_all: IN_ALL }
    }

    /// How long a file may take in all. Defaults to 20 min.
    #[must_use]
    pub fn in_all(mut self, in_all: Duration) -> Self {
        self.in_all = in_all;
        self
    }

    fn read(&self, source: &str) -> Result<Url, Failure> {
        let refuse = |why: String| Failure::not_published(FailureClass::Content, why);
        let url = self.outbound.check(source).map_err(|refused| refuse(refused.to_string()))?;
        if url.scheme() != "https" && !guard::is_named(self.outbound.allowed(), &url) {
            let host = url.host_str().unwrap_or_default();
            return Err(refuse(format!("media at \"{host}\" are read by https:// alone")));
        }
        Ok(url)
    }
}

#[async_trait]
impl MediaSource for WebMedia {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        let url = self.read(source)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let asked = self.outbound.open(Call::get(url).within(WITHIN)).await;
        let response = asked.map_err(|lost| {
            let class = match &lost {
                NoAnswer::Refused(_) => FailureClass::Content,
                _ => FailureClass::Network,
            };
            Failure::not_published(class, lost.to_string())
        })?;
        let status = response.status();
        if !status.is_success() {
            let class = match status.as_u16() {
                408 | 425 | 429 | 500..=599 => FailureClass::Network,
                _ => FailureClass::Content,
            };
            let message = format!("\"{host}\" answered {} for a media file", status.as_u16());
            return Err(Failure::not_published(class, message));
        }
        Ok(body(response, host, self.in_all))
    }
}

/// An answer's body, read by a task that ends when nobody reads on.
fn body(mut response: Response, host: String, in_all: Duration) -> MediaReader {
    let (give, reader) = pieces();
    tokio::spawn(async move {
        let all = async {
            loop {
                let piece = match response.chunk().await {
                    Ok(Some(piece)) => Ok(piece.to_vec()),
                    Ok(None) => return,
                    Err(error) => {
                        let cause = chain(&error.without_url());
                        Err(io::Error::other(format!("\"{host}\" broke off: {cause}")))
                    }
                };
                let ends = piece.is_err();
                // Whoever read it may have had enough.
                if give.send(piece).await.is_err() || ends {
                    return;
                }
            }
        };
        if tokio::time::timeout(in_all, all).await.is_err() {
            let late = format!("\"{host}\" did not give all of it within {in_all:?}");
            drop(give.send(Err(io::Error::other(late))).await);
        }
    });
    reader
}
