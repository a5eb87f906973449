//! The form that a video is sent in: all that Pinterest gave with the address, in its order, then the file.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use postq_core::connect::Nonce;
use postq_core::media::{MediaKind, MediaReader};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, ReadBuf};

/// So much of the file is held in memory at once.
const PIECE: usize = 64 * 1_024;
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
    fields: Vec<(String, String)>,
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

/// A form on its way.
pub(crate) struct Form {
    pub(crate) content_type: String,
    /// Its whole length: the storage takes no form without it.
    pub(crate) length: u64,
    pub(crate) body: FormBody,
}

impl Form {
    /// The form with this ticket's fields and a file of so many bytes.
    pub(crate) fn new(ticket: &Ticket, kind: MediaKind, bytes: u64, file: MediaReader) -> Self {
        let boundary = format!("postq-{}", &Nonce::random().expose()[..32]);
        let mut head = String::new();
        for (name, value) in &ticket.fields {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        let mime = kind.mime();
        // Whatever stands behind the file is not looked at by the storage.
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"video\"\r\n\
             Content-Type: {mime}\r\n\r\n"
        ));
        let tail = format!("\r\n--{boundary}--\r\n");
        let body = FormBody {
            left: bytes,
            length: head.len() as u64 + bytes + tail.len() as u64,
            head: Some(head.into()),
            file: Mutex::new(file),
            tail: Some(tail.into()),
            piece: vec![0; PIECE],
        };
        let content_type = format!("multipart/form-data; boundary={boundary}");
        Self { content_type, length: body.length, body }
    }
}

/// The bytes of a form, read as they are sent.
pub(crate) struct FormBody {
    head: Option<Bytes>,
    /// Never locked: a body must be shareable between threads, and a reader alone is not.
    file: Mutex<MediaReader>,
    /// Of the file.
    left: u64,
    tail: Option<Bytes>,
    /// Of all that has not been given.
    length: u64,
    piece: Vec<u8>,
}

impl FormBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        if self.left == 0 {
            return Poll::Ready(self.tail.take().map(Ok));
        }
        let most = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let mut piece = ReadBuf::new(&mut self.piece[..most]);
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = ready!(Pin::new(file).poll_read(cx, &mut piece)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = piece.filled();
        if read.is_empty() {
            let error =
                io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was");
            return Poll::Ready(Some(Err(error)));
        }
        self.left -= read.len() as u64;
        Poll::Ready(Some(Ok(Bytes::copy_from_slice(read))))
    }
}

impl Body for FormBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.poll_piece(cx));
        if let Some(Ok(bytes)) = &piece {
            self.length -= bytes.len() as u64;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Cursor;

    use super::*;

    fn ticket(parameters: &str) -> Option<Ticket> {
        let json = format!(
            r#"{{"media_id":"1","upload_url":"https://e.com/","upload_parameters":{parameters}}}"#
        );
        serde_json::from_str::<Registered>(&json).ok()?.ticket()
    }

    async fn sent(form: Form) -> Result<String, String> {
        let (mut body, mut sent) = (form.body, Vec::new());
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| error.to_string())?;
            sent.extend_from_slice(&frame.into_data().expect("data"));
            assert_eq!(body.size_hint().exact(), Some(form.length - sent.len() as u64));
        }
        assert!(body.is_end_stream());
        Ok(String::from_utf8(sent).expect("text"))
    }

    #[tokio::test]
    async fn the_fields_keep_their_order_and_the_file_is_the_last() {
        let ticket = ticket(r#"{"x-b":"2","key":"a/b","Content-Type":"multipart/form-data"}"#);
        let file = Box::new(Cursor::new(b"abc".to_vec()));
        let form = Form::new(&ticket.expect("a ticket"), MediaKind::Mp4, 3, file);
        let boundary = form.content_type.rsplit('=').next().expect("a boundary").to_owned();

        let sent = sent(form).await.expect("sent");

        let field = |name: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields = field("x-b", "2")
            + &field("key", "a/b")
            + &field("Content-Type", "multipart/form-data");
        let file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"video\"\r\n\
                    Content-Type: video/mp4\r\n\r\nabc\r\n--B--\r\n";
        assert_eq!(sent.replace(&boundary, "B"), fields + file);
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_not_sent_as_whole() {
        let ticket = ticket("{}").expect("a ticket");
        let form = Form::new(&ticket, MediaKind::Mp4, 4, Box::new(Cursor::new(b"abc".to_vec())));

        assert_eq!(sent(form).await, Err("the file is shorter than it was".to_owned()));
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
