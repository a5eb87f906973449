//! `/api/media`.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, MatchedPath, OriginalUri, Path, Request, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, RANGE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use hyper::body::Bytes;
use postq_core::error::chain;
use postq_core::media::{MediaFile, MediaId, MediaKind, MediaReader, pieces};
use postq_engine::media::{Addition, BadLink, MediaDesk, MediaDeskError};
use serde::Deserialize;
use tokio::io::{AsyncRead, ReadBuf};
use utoipa::IntoParams;

use crate::answer::Created;
use crate::extract::{Id, Query};
use crate::paging::{Listed, Paging};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::media::{MediaView, NewMedia};
use crate::web::{App, Shared};

/// Its bodies are read as they come: no other bound is for them.
pub(crate) const PATH: &str = "/api/media";

/// The longest description that is read, in bytes.
const MOST_ALT: usize = 20_000;

/// Sent at once.
const CHUNK: usize = 64 * 1_024;

/// Whether it brings a file.
pub(crate) fn is_upload(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| route.as_str().ends_with(PATH))
}

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    let mut files = route!(list, upload);
    // A file is bounded by who keeps it, and never in memory.
    files.methods = files.methods.layer(DefaultBodyLimit::disable());
    add(files);
    add(route!(content, remove));
    add(route!(linked));
}

/// Lists pictures and videos.
#[utoipa::path(get, path = "/api/media", tag = "media", params(Paging),
    operation_id = "list_media", security(("token" = ["read"])),
    responses((status = 200, description = "a page", body = Listed<MediaView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<MediaView>>, Problem> {
    let page = paging.page()?;
    let found = desk(&app)?.list(page.and_one()).await?;
    Ok(Json(page.list(found, |file| file.entry, MediaView::from)))
}

/// Adds a picture or video; a post then names it as its `source`.
///
/// The form has the file and, before it, what it shows. What it is, is told by its content and not by its
/// name. The same content again is the same file.
#[utoipa::path(post, path = "/api/media", tag = "media",
    request_body(content = NewMedia, content_type = "multipart/form-data"),
    operation_id = "upload_media", security(("token" = ["write"])),
    responses((status = 201, description = "added, or there already", body = MediaView)))]
async fn upload(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Created<MediaView>, Problem> {
    let desk = desk(&app)?;
    let mut form = form.map_err(|refused| {
        let detail = format!("expected a form (multipart/form-data): {}", refused.body_text());
        Problem::new(Code::UnsupportedMediaType, detail)
    })?;
    let mut addition = Addition::default();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("alt") => addition.alt = Some(text(field).await?),
            Some("file") => {
                addition.name = field.file_name().map(str::to_owned);
                let file = take(&app, &desk, field, addition).await?;
                return Ok(Created::below(&uri, file.id, file.into()));
            }
            _ => return Err(Problem::invalid("file", "expected the fields alt and file")),
        }
    }
    Err(Problem::invalid("file", "is missing; expected a picture or video"))
}

/// Hands the file on as it comes in.
async fn take(
    app: &Shared,
    desk: &MediaDesk,
    mut field: Field<'_>,
    addition: Addition,
) -> Result<MediaFile, Problem> {
    let (give, reader) = pieces();
    let giving = async move {
        loop {
            let piece = match field.chunk().await {
                Ok(Some(piece)) => piece.to_vec(),
                Ok(None) => return None,
                Err(error) => {
                    // What came so far is not the file.
                    drop(give.send(Err(io::Error::other(error.body_text()))).await);
                    return Some(broken(error));
                }
            };
            // Whoever takes it may have had enough.
            if give.send(Ok(piece)).await.is_err() {
                return None;
            }
        }
    };
    let adding = desk.add(reader, addition, app.web.clock.now());
    let (lost, added) = tokio::join!(giving, adding);
    match lost {
        Some(problem) => Err(problem),
        None => Ok(added?),
    }
}

async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if text.len() + piece.len() > MOST_ALT {
            return Err(Problem::invalid("alt", format!("is longer than {MOST_ALT} bytes")));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| Problem::invalid("alt", "is no text (UTF-8)"))
}

fn broken(error: MultipartError) -> Problem {
    Problem::new(Code::Malformed, format!("the form cannot be read: {}", error.body_text()))
}

/// Gives the content of a picture or video, or a range of it.
#[utoipa::path(get, path = "/api/media/{id}", tag = "media", params(("id" = String, Path)),
    operation_id = "media_content", security(("token" = ["read"])),
    responses(
        (status = 200, description = "the content", content_type = "application/octet-stream",
            body = Vec<u8>),
        (status = 206, description = "the range", content_type = "application/octet-stream",
            body = Vec<u8>)))]
async fn content(
    State(app): State<App>,
    Id(id): Id<MediaId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let desk = desk(&app)?;
    let file = desk.find(id).await?;
    shown(&desk, (id, file.facts.kind, file.bytes), &headers).await
}

/// Gives the content of a picture or video, or a range of it, to whoever has a link to it.
///
/// Platforms that fetch files themselves are given such links: signed, and good for an hour. A link opens one file
/// and nothing else.
#[utoipa::path(get, path = "/media/files/{name}", tag = "media",
    params(("name" = String, Path, description = "the file's id and an ending"), Link),
    operation_id = "linked_media", security(()),
    responses(
        (status = 200, description = "the content", content_type = "application/octet-stream",
            body = Vec<u8>),
        (status = 206, description = "the range", content_type = "application/octet-stream",
            body = Vec<u8>)))]
async fn linked(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let desk = desk(&app)?;
    let now = app.web.clock.now();
    let file = desk.linked(&name, link.until, &link.signature, now).await?;
    let mut answer = shown(&desk, file, &headers).await?;
    let anywhere = HeaderValue::from_static("cross-origin");
    answer.headers_mut().insert(HeaderName::from_static("cross-origin-resource-policy"), anywhere);
    Ok(answer)
}

/// What a link has besides the file's name.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Link {
    /// When it ends, in seconds since 1970.
    until: i64,
    /// What proves that it was made here.
    signature: String,
}

/// Takes a picture or video away that no post names.
#[utoipa::path(delete, path = "/api/media/{id}", tag = "media", params(("id" = String, Path)),
    operation_id = "remove_media", security(("token" = ["write"])),
    responses((status = 204, description = "taken away")))]
async fn remove(State(app): State<App>, Id(id): Id<MediaId>) -> Result<StatusCode, Problem> {
    desk(&app)?.remove(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn desk(app: &Shared) -> Result<MediaDesk, Problem> {
    app.web.engine.media().ok_or_else(|| Problem::new(Code::NotFound, "this server keeps no media"))
}

/// The content of a file, or the range of it that is asked for.
async fn shown(
    desk: &MediaDesk,
    (id, kind, bytes): (MediaId, MediaKind, u64),
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let range = match asked.map(|range| read_range(range, bytes)) {
        None | Some(Asked::Whole) => None,
        Some(Asked::Part(range)) => Some(range),
        Some(Asked::Never) => {
            let all = format!("bytes */{bytes}");
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, all)]).into_response());
        }
    };
    let reader = desk.open(id, range.clone()).await?;
    let length = range.as_ref().map_or(bytes, |range| range.end - range.start);
    let mut answer = Body::from_stream(Chunks(reader)).into_response();
    let headers = answer.headers_mut();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    put(CONTENT_TYPE, kind.mime().to_owned());
    put(CONTENT_LENGTH, length.to_string());
    put(ACCEPT_RANGES, "bytes".to_owned());
    // Its name is its content: it never changes.
    put(ETAG, format!("\"{id}\""));
    put(CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned());
    // Somebody else's content, from our own origin: it may do nothing.
    put(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned());
    if let Some(range) = range {
        put(CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, bytes));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All of it: also where the header is none that is understood, or asks for several.
    Whole,
    Part(Range<u64>),
    /// What is not there.
    Never,
}

fn read_range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|it| it.split_once('-'))
    else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let (start, end) = match (number(first), number(last)) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.trim().is_empty() => (start, size),
        (Err(_), Ok(tail)) if first.trim().is_empty() => (size.saturating_sub(tail), size),
        _ => return Asked::Whole,
    };
    if start < end { Asked::Part(start..end) } else { Asked::Never }
}

/// A reader's content, chunk by chunk.
struct Chunks(MediaReader);

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut chunk = vec![0; CHUNK];
        let mut buf = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.0).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len();
                chunk.truncate(read);
                Poll::Ready((read > 0).then(|| Ok(Bytes::from(chunk))))
            }
        }
    }
}

impl From<MediaDeskError> for Problem {
    fn from(error: MediaDeskError) -> Self {
        match error {
            MediaDeskError::Refused(why) => Self::invalid("file", why),
            MediaDeskError::NotFound(id) => Self::not_found(format!("media file {id}")),
            MediaDeskError::InUse(_) => Self::new(Code::InUse, error.to_string()),
            MediaDeskError::Link(BadLink::Ended) => {
                Self::new(Code::LinkEnded, BadLink::Ended.to_string())
            }
            MediaDeskError::Link(forged) => Self::new(Code::BadLink, forged.to_string()),
            MediaDeskError::Store(error) => error.into(),
            other => {
                tracing::warn!(error = %chain(&other), "a request could not be answered");
                Self::new(Code::Unavailable, "the store of media did not answer; nothing is lost")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_browsers_send_it() {
        assert_eq!(read_range("bytes=0-0", 10), Asked::Part(0..1));
        assert_eq!(read_range("bytes=2-", 10), Asked::Part(2..10));
        assert_eq!(read_range("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(read_range("bytes=-30", 10), Asked::Part(0..10));
        assert_eq!(read_range("bytes=5-99", 10), Asked::Part(5..10));
        for never in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(read_range(never, 10), Asked::Never, "{never}");
        }
        for whole in ["bytes=5-2", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2", ""] {
            assert_eq!(read_range(whole, 10), Asked::Whole, "{whole}");
        }
    }
}
