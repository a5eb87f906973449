//! A file as `multipart/form-data`: the fields of a lease first, the file last, as it is read.

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

/// What divides the fields: not in any of them, which are texts of Reddit's, and not looked for in the file,
/// where a boundary of this kind comes up by chance about never.
pub(crate) struct Boundary(String);

impl Boundary {
    /// One that is made from what nobody else knows of this upload.
    pub(crate) fn of(key: &str) -> Self {
        let plain: String = key.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        Self(format!("postq-7d1f0c3a9be24e58-{plain}"))
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.0)
    }
}

/// The body of an upload. Its length is told, for the store takes nothing else.
pub(crate) struct Upload {
    head: Bytes,
    /// In a lock because a body is shared between threads; nobody waits for it.
    file: Mutex<MediaReader>,
    /// Of the file, so much has not been read yet.
    left: u64,
    tail: Bytes,
}

impl Upload {
    /// A file of this length, behind the fields in their order.
    pub(crate) fn new(
        boundary: &Boundary,
        fields: &[(String, String)],
        (file, bytes): (MediaReader, u64),
        kind: (&str, &str),
    ) -> Self {
        let (name, mime) = kind;
        let line = &boundary.0;
        let mut head = String::new();
        for (name, value) in fields {
            let name = quoted(name);
            head += &format!(
                "--{line}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        head += &format!(
            "--{line}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {mime}\r\n\r\n"
        );
        let tail = format!("\r\n--{line}--\r\n");
        Self { head: head.into(), file: Mutex::new(file), left: bytes, tail: tail.into() }
    }
}

/// A name between quotes must not end them.
fn quoted(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect()
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if !this.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.head)))));
        }
        if this.left > 0 {
            let most = usize::try_from(this.left).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = vec![0; most];
            let mut buffer = ReadBuf::new(&mut piece);
            let file = this.file.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = ready!(Pin::new(file).poll_read(cx, &mut buffer)) {
                return Poll::Ready(Some(Err(error)));
            }
            let read = buffer.filled().len();
            if read == 0 {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter now");
                return Poll::Ready(Some(Err(error)));
            }
            this.left -= read as u64;
            piece.truncate(read);
            return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
        }
        if this.tail.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.tail)))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.left == 0 && self.tail.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.head.len() as u64 + self.left + self.tail.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Cursor;

    use super::*;

    async fn whole(mut upload: Upload) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut upload).poll_frame(cx)).await {
            body.extend(frame?.into_data().expect("data"));
        }
        assert!(upload.is_end_stream());
        Ok(body)
    }

    fn upload(content: &[u8], bytes: u64) -> Upload {
        let fields =
            [("acl".to_owned(), "private".to_owned()), ("k\"\r\n".to_owned(), "é".to_owned())];
        let file: MediaReader = Box::new(Cursor::new(content.to_vec()));
        Upload::new(&Boundary::of("a/b"), &fields, (file, bytes), ("postq.png", "image/png"))
    }

    #[tokio::test]
    async fn fields_come_first_and_the_length_is_exact() {
        let content: Vec<u8> = (0..200_000).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let upload = upload(&content, 200_000);
        let told = upload.size_hint().exact().expect("exact");

        let body = whole(upload).await.expect("a body");

        assert_eq!(body.len() as u64, told);
        let line = "--postq-7d1f0c3a9be24e58-ab";
        let head = format!(
            "{line}\r\nContent-Disposition: form-data; name=\"acl\"\r\n\r\nprivate\r\n\
             {line}\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\né\r\n\
             {line}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"postq.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        assert!(body.starts_with(head.as_bytes()));
        assert_eq!(body[head.len()..head.len() + content.len()], content);
        assert!(body.ends_with(format!("\r\n{line}--\r\n").as_bytes()));
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_was_said_is_no_body() {
        assert!(whole(upload(b"short", 6)).await.is_err());
        assert!(whole(upload(b"", 0)).await.is_ok());
    }
}
