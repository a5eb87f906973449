//! Pictures over the API: uploaded as they come, named, shown, kept while they are needed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Cursor;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::Site;

fn picture(side: u32) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(side, side, image::Rgb([1, 2, 3]));
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// A form with these fields, in order: name, file name, content.
fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, file, content) in fields {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        form.extend(
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                .bytes(),
        );
        form.extend(*content);
        form.extend(b"\r\n");
    }
    form.extend(b"--edge--\r\n");
    form
}

async fn send(bench: &Site, form: Vec<u8>) -> (StatusCode, Value) {
    let request = bench.request(Method::POST, "/api/media");
    let request = request.header("content-type", "multipart/form-data; boundary=edge").body(form);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_uploaded_listed_shown_and_taken_away() {
    let bench = Site::still().await;
    let content = picture(600);

    let alt = "a cat \u{1f431}".as_bytes();
    let whole = form(&[("alt", None, alt), ("file", Some("../../etc/cat.exe"), &content)]);
    let (status, made) = send(&bench, whole.clone()).await;

    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["kind"], &made["width"], &made["alt"]),
        (&json!("png"), &json!(600), &json!("a cat \u{1f431}"))
    );
    assert_eq!(made["name"], "cat.exe", "the last part of what it was called");
    let id = made["id"].as_str().unwrap();
    assert_eq!(send(&bench, whole).await.1["id"], made["id"], "the same again is the same");
    let list: Value =
        bench.request(Method::GET, "/api/media").send().await.unwrap().json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    let path = format!("/api/media/{id}");
    let shown = bench.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(shown.headers()["content-type"], "image/png");
    assert_eq!(shown.headers()["content-security-policy"], "default-src 'none'; sandbox");
    assert!(shown.bytes().await.unwrap() == content);
    let part = bench.request(Method::GET, &path).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 5-9/{}", content.len()));
    assert_eq!(part.bytes().await.unwrap(), content[5..10]);
    let past = format!("bytes={}-", content.len());
    let past = bench.request(Method::GET, &path).header("range", past).send().await.unwrap();
    assert_eq!(past.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let gone = bench.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        bench.request(Method::GET, &path).send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_or_too_large_is_refused_and_nothing_stays() {
    let bench = Site::still().await;

    let script = form(&[("file", Some("cat.png"), b"<script>alert(1)</script>")]);
    let (status, problem) = send(&bench, script).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("no known type"), "{problem}");
    let (status, problem) = send(&bench, form(&[("file", None, &vec![7; 3_000_000])])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("2097152"), "{problem}");
    let (status, _) = send(&bench, form(&[("other", None, b"x")])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut cut = form(&[("file", None, &picture(500))]);
    cut.truncate(700);
    assert!(send(&bench, cut).await.0.is_client_error());

    assert_eq!(bench.files(), 0);
}
