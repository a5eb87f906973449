//! A file on its way to the API, read as it is sent.

use std::io;
use std::path::Path;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

/// Read and sent at once.
const CHUNK: usize = 256 * 1_024;

/// A form with one file and what it shows.
#[derive(Debug)]
pub(super) struct Form {
    file: tokio::fs::File,
    head: String,
    tail: String,
    edge: String,
}

impl Form {
    /// A form with this file; none of it is read yet.
    pub(super) async fn of(path: &Path, alt: Option<&str>) -> io::Result<Self> {
        let file = tokio::fs::File::open(path).await?;
        if file.metadata().await?.is_dir() {
            return Err(io::Error::other("it is a folder; name the files in it"));
        }
        let edge = format!("postq-{}", Uuid::new_v4().simple());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let field =
            |field: &str| format!("--{edge}\r\nContent-Disposition: form-data; name=\"{field}\"");
        let alt = alt.map(|alt| format!("{}\r\n\r\n{alt}\r\n", field("alt"))).unwrap_or_default();
        let head = format!("{alt}{}; filename=\"{}\"\r\n\r\n", field("file"), quoted(&name));
        Ok(Self { file, head, tail: format!("\r\n--{edge}--\r\n"), edge })
    }

    /// The media type of the form.
    pub(super) fn kind(&self) -> String {
        format!("multipart/form-data; boundary={}", self.edge)
    }

    /// What is sent.
    pub(super) fn content(self) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
        let piece = |text: String| stream::iter([Ok(Bytes::from(text))]);
        piece(self.head)
            .chain(ReaderStream::with_capacity(self.file, CHUNK))
            .chain(piece(self.tail))
    }
}

/// A name as it can stand in a header: nothing ends it early.
fn quoted(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_is_what_browsers_send() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a \"cat\"\r\n.png");
        std::fs::write(&path, b"miau").unwrap();

        let form = Form::of(&path, Some("a cat")).await.unwrap();

        let edge = form.edge.clone();
        assert_eq!(form.kind(), format!("multipart/form-data; boundary={edge}"));
        let pieces: Vec<_> = form.content().map(Result::unwrap).collect().await;
        let expected = format!(
            "--{edge}\r\nContent-Disposition: form-data; name=\"alt\"\r\n\r\na cat\r\n\
             --{edge}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a _cat___.png\"\r\n\r\n\
             miau\r\n--{edge}--\r\n"
        );
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), expected);
        assert!(Form::of(folder.path(), None).await.is_err(), "a folder");
    }
}
