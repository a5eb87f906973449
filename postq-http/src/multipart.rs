//! Forms with a file in them: `multipart/form-data`, the fields in their order, the file last.

use bytes::Bytes;
use postq_core::connect::Nonce;
use postq_core::media::MediaReader;

use crate::body::FileBody;

/// What the file is called in a form.
#[derive(Clone, Copy, Debug)]
pub struct FilePart<'a> {
    /// The field.
    pub name: &'a str,
    /// The file's own name.
    pub filename: &'a str,
    /// What it is.
    pub mime: &'a str,
}

/// A form that is ready to be sent.
#[derive(Debug)]
pub struct FileForm<B> {
    /// The header `Content-Type`, with the boundary.
    pub content_type: String,
    /// All of it.
    pub body: B,
}

impl FileForm<FileBody> {
    /// A form whose file is read as it is sent: so many bytes of it.
    pub fn streamed(
        fields: &[(impl AsRef<str>, impl AsRef<str>)],
        part: FilePart<'_>,
        file: (MediaReader, u64),
    ) -> Self {
        let Frame { content_type, head, tail } = Frame::new(fields, part);
        Self { content_type, body: FileBody::between(head, file, tail) }
    }
}

impl FileForm<Vec<u8>> {
    /// A form that is put together in memory: for files, or pieces of them, that are there already.
    pub fn whole(
        fields: &[(impl AsRef<str>, impl AsRef<str>)],
        part: FilePart<'_>,
        content: &[u8],
    ) -> Self {
        let Frame { content_type, head, tail } = Frame::new(fields, part);
        Self { content_type, body: [&head[..], content, &tail[..]].concat() }
    }
}

/// What stands around the file.
struct Frame {
    content_type: String,
    head: Bytes,
    tail: Bytes,
}

impl Frame {
    fn new(fields: &[(impl AsRef<str>, impl AsRef<str>)], part: FilePart<'_>) -> Self {
        // Random, so that it is in none of the parts: nobody who wrote them could know it.
        let boundary = format!("postq-{}", &Nonce::random().expose()[..32]);
        let mut head = String::new();
        for (name, value) in fields {
            let (name, value) = (plain(name.as_ref()), value.as_ref());
            head += &format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        let (name, filename) = (plain(part.name), plain(part.filename));
        head += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
             filename=\"{filename}\"\r\nContent-Type: {}\r\n\r\n",
            plain(part.mime)
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let content_type = format!("multipart/form-data; boundary={boundary}");
        Self { content_type, head: head.into(), tail: tail.into() }
    }
}

/// A name must end neither its quotes nor its line.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::body::sent;

    const PART: FilePart<'_> = FilePart { name: "file", filename: "postq.png", mime: "image/png" };

    /// The form with `B` as its boundary, which has to be in its content type.
    fn told(content_type: &str, body: &[u8]) -> String {
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
        let boundary = boundary.expect("a boundary");
        assert_eq!(boundary.len(), "postq-".len() + 32);
        String::from_utf8_lossy(body).replace(boundary, "B")
    }

    fn expected(content: &str) -> String {
        format!(
            "--B\r\nContent-Disposition: form-data; name=\"x-b\"\r\n\r\n2\r\n\
             --B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\né\r\n\
             --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"postq.png\"\r\n\
             Content-Type: image/png\r\n\r\n{content}\r\n--B--\r\n"
        )
    }

    #[tokio::test]
    async fn fields_keep_their_order_and_the_file_is_the_last() {
        let fields = [("x-b", "2"), ("a", "é")];
        let whole = FileForm::whole(&fields, PART, b"abc");
        assert_eq!(told(&whole.content_type, &whole.body), expected("abc"));

        let content: Vec<u8> = (0..200_000).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
        let file: MediaReader = Box::new(Cursor::new(content.clone()));
        let streamed = FileForm::streamed(&fields, PART, (file, 200_000));
        let length = streamed.body.length();
        let body = sent(streamed.body).await.expect("a body");

        assert_eq!(body.len() as u64, length);
        let content = String::from_utf8(content).expect("letters");
        assert_eq!(told(&streamed.content_type, &body), expected(&content));
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_not_sent_as_whole() {
        let file: MediaReader = Box::new(Cursor::new(b"abc".to_vec()));

        assert!(sent(FileForm::streamed(&[("a", "b")], PART, (file, 4)).body).await.is_err());
    }

    #[test]
    fn a_name_ends_neither_its_quotes_nor_its_line() {
        let form = FileForm::whole(&[("k\"\r\n\\", "v")], PART, b"");

        assert!(told(&form.content_type, &form.body).contains("; name=\"k\"\r\n\r\nv\r\n"));
    }

    #[test]
    fn a_boundary_is_in_none_of_the_parts() {
        let first = FileForm::whole(&[("a", "b")], PART, b"abc");
        let boundary = first.content_type.split('=').nth(1).expect("a boundary");

        let second = FileForm::whole(&[("a", boundary)], PART, boundary.as_bytes());

        assert!(!second.content_type.contains(boundary), "nobody can know it before");
    }
}
