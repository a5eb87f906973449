//! A file as the body of a request, read as it is sent.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use postq_core::media::MediaReader;
use tokio::io::{AsyncRead, ReadBuf};

/// So much of a file is in memory at once.
const PIECE: usize = 64 * 1_024;

/// So many bytes of a reader, with what stands before and behind them. Its length is told, for stores of files
/// take nothing else; a file that is shorter than was said is an error, and what has left of it no whole request.
pub struct FileBody {
    head: Bytes,
    /// Never locked: a body must be shareable between threads, and a reader alone is not.
    file: Mutex<MediaReader>,
    /// Of the file, so much has not been read yet.
    left: u64,
    tail: Bytes,
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("left", &self.length()).finish_non_exhaustive()
    }
}

impl FileBody {
    /// The first bytes of a reader, and nothing else.
    pub fn new(file: MediaReader, bytes: u64) -> Self {
        Self::between(Bytes::new(), (file, bytes), Bytes::new())
    }

    /// The same between two texts.
    pub(crate) fn between(head: Bytes, (file, bytes): (MediaReader, u64), tail: Bytes) -> Self {
        Self { head, file: Mutex::new(file), left: bytes, tail }
    }

    /// How many bytes have not been given yet.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.left + self.tail.len() as u64
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let most = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; most];
        let mut buffer = ReadBuf::new(&mut piece);
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        ready!(Pin::new(file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter now");
            return Poll::Ready(Err(error));
        }
        self.left -= read as u64;
        piece.truncate(read);
        Poll::Ready(Ok(piece.into()))
    }
}

impl From<FileBody> for reqwest::Body {
    fn from(body: FileBody) -> Self {
        Self::wrap(body)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let given = if !self.head.is_empty() {
            Ok(std::mem::take(&mut self.head))
        } else if self.left > 0 {
            ready!(self.poll_file(cx))
        } else if !self.tail.is_empty() {
            Ok(std::mem::take(&mut self.tail))
        } else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(given.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// Reads a body to its end, and checks at every piece that what is left is told.
#[cfg(test)]
pub(crate) async fn sent(mut body: FileBody) -> io::Result<Vec<u8>> {
    let (mut sent, told) = (Vec::new(), body.length());
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        sent.extend_from_slice(&frame?.into_data().expect("data"));
        assert_eq!(body.size_hint().exact(), Some(told - sent.len() as u64));
    }
    assert!(body.is_end_stream());
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn body(content: &[u8], bytes: u64) -> FileBody {
        FileBody::new(Box::new(Cursor::new(content.to_vec())), bytes)
    }

    #[tokio::test]
    async fn a_file_is_sent_in_pieces_and_to_the_length_that_was_told() {
        let content: Vec<u8> = (0..200_000).map(|i| u8::try_from(i % 251).unwrap()).collect();

        assert_eq!(sent(body(&content, 200_000)).await.expect("a body"), content);
        assert_eq!(sent(body(&content, 7)).await.expect("a body"), content[..7]);
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_was_said_is_no_body() {
        let error = sent(body(b"short", 6)).await.expect_err("one byte is missing");
        assert_eq!(error.to_string(), "the file is shorter now");
        assert!(sent(body(b"", 0)).await.is_ok());
    }

    #[test]
    fn a_body_shows_its_length_alone() {
        assert_eq!(format!("{:?}", body(b"abc", 3)), "FileBody { left: 3, .. }");
    }
}
