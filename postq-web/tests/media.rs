//! Pictures over the API: uploaded as they come, named, shown, kept while they are needed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Cursor;

use chrono::TimeDelta;
use postq_core::clock::{Clock, SystemClock};
use postq_core::media::{MediaId, MediaKind};
use postq_core::token::Scope;
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
    assert!(
        problem["detail"].as_str().unwrap().contains("is text (SVG, HTML or XML)"),
        "{problem}"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_its_file_to_anybody_until_it_ends() {
    let bench = Site::still().await;
    let image = picture(40);
    let (_, added) = send(&bench, form(&[("file", Some("cat.png"), &image)])).await;
    bench.token(Scope::Admin).await; // From now on the API is closed to strangers.
    let id: MediaId = added["id"].as_str().unwrap().parse().unwrap();
    let now = SystemClock.now();
    let path = |until| {
        let link = support::links().sign(id, MediaKind::Png, until).unwrap();
        link.strip_prefix("http://localhost").unwrap().to_owned()
    };
    let good = path(now + TimeDelta::minutes(1));
    let ask = |method: Method, path: &str| bench.request(method, path).send();

    let whole = ask(Method::GET, &good).await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header(&whole, "content-type").as_deref(), Some("image/png"));
    assert_eq!(header(&whole, "x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(
        header(&whole, "content-security-policy").as_deref(),
        Some("default-src 'none'; sandbox")
    );
    assert_eq!(whole.bytes().await.unwrap(), image);
    let head = ask(Method::HEAD, &good).await.unwrap();
    assert_eq!(header(&head, "content-length"), Some(image.len().to_string()));
    let part = bench.request(Method::GET, &good).header("range", "bytes=1-3").send().await.unwrap();
    assert_eq!(
        (part.status(), part.bytes().await.unwrap()),
        (StatusCode::PARTIAL_CONTENT, "PNG".into())
    );

    let ended = ask(Method::GET, &path(now - TimeDelta::seconds(1))).await.unwrap();
    assert_eq!(ended.status(), StatusCode::GONE);
    assert_eq!(ended.json::<Value>().await.unwrap()["code"], "link_ended");
    let other = good.replace(&id.to_string(), &MediaId::of_hash([1; 32]).to_string());
    for forged in [
        other.as_str(),
        &good.replace("until=", "until=1"),
        &good[..good.len() - 1],
        &good.replace("&signature=", "&signature=0"),
        "/media/files/..%2f..%2fetc%2fpasswd?until=9999999999&signature=00",
    ] {
        let refused = ask(Method::GET, forged).await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{forged}");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "bad_link");
    }
    for path in ["/media/files", "/media/files/", "/media/"] {
        assert_eq!(ask(Method::GET, path).await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(Method::POST, &good).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let list = ask(Method::GET, "/api/media").await.unwrap();
    assert_eq!(list.status(), StatusCode::UNAUTHORIZED, "a link opens nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_without_paths_and_control_characters() {
    let bench = Site::still().await;
    let named = [("../../etc/passwd.png", "passwd.png"), ("C:\\\\pictures\\\\cat.png", "cat.png")];
    for (n, (sent, shown)) in (10..).zip(named) {
        let (status, added) = send(&bench, form(&[("file", Some(sent), &picture(n))])).await;
        assert_eq!((status, &added["name"]), (StatusCode::CREATED, &json!(shown)));
    }
    let escape = form(&[("file", Some("a\u{1b}[2Jb.png"), &picture(9))]);
    assert_eq!(send(&bench, escape).await.0, StatusCode::BAD_REQUEST, "no header holds that");
    let (_, problem) = send(&bench, form(&[("file", Some("../evil.png"), b"<svg/>")])).await;
    let told = problem["detail"].as_str().unwrap();
    assert!(told.contains("\"evil.png\": its content is text (SVG, HTML or XML)"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_over_http_names_no_path() {
    let bench = Site::still().await;
    let post =
        |source: &str| json!({ "parts": [{ "text": "look", "media": [{ "source": source }] }] });

    for source in ["/etc/passwd", "cat.png", "file:///etc/passwd", "media:123"] {
        let request = bench.request(Method::POST, "/api/posts").json(&post(source));
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{source}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["field"], "media", "{problem}");
    }
    let calendar = json!({ "files": [{
        "name": "a.csv", "text": "at,accounts,text,media\n+1h,dry_run:me,hello,/etc/passwd\n",
    }], "apply": true });
    let request = bench.request(Method::POST, "/api/import").json(&calendar);
    let report: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(report["applied"], false, "{report}");
    let told = report["problems"][0]["message"].as_str().unwrap();
    assert!(told.contains("\"/etc/passwd\" is a path") && told.contains("/api/media"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_brings_its_files_by_their_paths() {
    let bench = Site::still().await;
    let (_, added) = send(&bench, form(&[("file", Some("cat.png"), &picture(10))])).await;
    let import = async |media: Value, apply: bool| {
        let calendar = json!({ "files": [{
            "name": "a.csv",
            "text": "key,at,accounts,text,media\na,+1h,dry_run:me,hello,cat.png\n",
            "media": { "cat.png": media },
        }], "apply": apply });
        let request = bench.request(Method::POST, "/api/import").json(&calendar);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let coming = json!({ "media": MediaId::of_hash([4; 32]).as_source() });

    let planned = import(coming.clone(), false).await;
    assert_eq!(planned["rows"][0]["action"], "load", "{planned}");
    let wrong = import(json!({ "problem": "it cannot be read" }), true).await;
    assert_eq!(wrong["problems"][0]["message"], "\"cat.png\": it cannot be read", "{wrong}");
    assert_eq!(wrong["problems"][0]["field"], "media");
    let never_added = import(coming, true).await;
    assert!(never_added["code"].is_string(), "{never_added}");
    let loaded = import(json!({ "media": added["source"] }), true).await;

    assert_eq!(loaded["applied"], true, "{loaded}");
    let posts = bench.request(Method::GET, "/api/posts").send().await.unwrap();
    let posts: Value = posts.json().await.unwrap();
    assert_eq!(posts["items"].as_array().unwrap().len(), 1, "{posts}");
    assert_eq!(posts["items"][0]["parts"][0]["media"][0]["source"], added["source"]);
}
