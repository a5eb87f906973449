//! Every request against what Meta documents: nothing else is sent, and all of the table is.

mod support;

use fake_meta::{APP_ID, APP_SECRET, FakeMeta, SHAPES};
use postq_core::connect::{Connect, Nonce, Refresh};
use postq_core::content::MediaRef;
use postq_core::intent::Intent;
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Asked, Platform, PreparedMedia};
use postq_meta::{Facebook, FacebookConfig, Instagram};
use serde_json::json;
use test_shapes::Shapes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, File, insta_with, intent, media, now, option, page, page_with};

const BACK: &str = "http://127.0.0.1:1/back";
const JPG: &str = "https://post.example.com/a.jpg";
const MP4: &str = "https://post.example.com/b.mp4";

async fn fetch<P: Platform>(bench: &Bench<P>, id: &str) {
    let asked = [Asked { remote_id: id.to_owned(), published_at: now() }];
    let metrics = bench.platform.metrics().expect("it counts");
    metrics.fetch(&bench.who, &asked, now()).await.expect("counts");
}

async fn agree(address: &str) -> String {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split("code=").nth(1).and_then(|rest| rest.split('&').next());
    code.expect("a code").to_owned()
}

async fn connect(connect: &dyn Connect, refresh: Option<&dyn Refresh>) {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = connect.authorize(&state, &verifier).expect("an address");
    let code = agree(&address).await.into();
    let grant = connect.exchange(&code, &verifier, None).await.expect("a grant");
    connect.whose(&grant).await.expect("whose it is");
    if let (Some(refresh), Some(token)) = (refresh, &grant.refresh_token) {
        refresh.refresh(token).await.expect("extended");
    }
}

/// Everything that a Page can do.
async fn work_of_a_page(bench: &Bench<Facebook>) {
    let first = bench.publish("text").await.expect("published").receipt.remote_id;
    let link = Intent { options: option("link", "https://a.example/"), ..intent("look") };
    bench.send(&link).await.expect("published");
    let photo = File { alt: Some("a cat"), ..File::new(MediaKind::Jpeg, b"\xff\xd8\xff") };
    let photo = bench.upload(&photo).await.expect("uploaded");
    bench.send_with(&intent("a photo"), &[photo]).await.expect("published");
    let film = bench.upload(&File::new(MediaKind::Mp4, b"film")).await.expect("uploaded");
    let titled = Intent { options: option("title", "A title"), ..intent("a film") };
    let film = bench.send_with(&titled, &[film]).await.expect("published").receipt.remote_id;
    for n in 0..26 {
        bench.publish(&format!("more {n}")).await.expect("published");
    }
    // On the second page.
    bench.look(&intent("none like it")).await.expect("a look");
    fetch(bench, &first).await;
    fetch(bench, &film).await;
}

/// Builds and publishes what an intent says; the id.
async fn post(
    bench: &Bench<Instagram>,
    intent: Intent,
    files: &[(MediaKind, &'static str)],
) -> String {
    let mut prepared: Vec<PreparedMedia> = Vec::new();
    for (kind, url) in files {
        prepared.push(bench.upload(&File::at(*kind, url)).await.expect("it makes no call"));
    }
    let media: Vec<MediaRef> = media(&vec!["a"; files.len()])
        .into_iter()
        .map(|file| MediaRef { alt: Some("a cat".into()), ..file })
        .collect();
    let built = bench.build(&intent, &media, &prepared).await.expect("built").0;
    let ready = Intent { container: Some(built.remote_id), made_at: now(), ..intent };
    bench.send(&ready).await.expect("published").receipt.remote_id
}

/// Everything that an account of Instagram can do.
async fn work_of_an_account(bench: &Bench<Instagram>) {
    let (jpg, mp4) = ((MediaKind::Jpeg, JPG), (MediaKind::Mp4, MP4));
    let reel: PostOptions = serde_json::from_value(json!({
        "share_to_feed": false, "cover_url": "https://a.example/c.jpg", "thumb_offset": 1500,
        "location_id": "7", "collaborators": ["ann", "bob"],
    }))
    .expect("options");
    let story = || Intent { options: option("kind", "story"), ..intent("") };
    let image = post(bench, intent("an image"), &[jpg]).await;
    let reel = post(bench, Intent { options: reel, ..intent("a reel") }, &[mp4]).await;
    let told = post(bench, story(), &[jpg]).await;
    post(bench, story(), &[mp4]).await;
    post(bench, intent("a carousel"), &[jpg, mp4]).await;
    for (id, product) in [(image, "FEED"), (reel, "REELS"), (told, "STORY")] {
        bench.server.change(|world| {
            world.counted.insert(id.clone(), json!({ "media_product_type": product }));
        });
        fetch(bench, &id).await;
    }
    for n in 0..26 {
        post(bench, intent(&format!("more {n}")), &[jpg]).await;
    }
    // Whether it is published its container tells, and then a list, page by page, which post it is.
    for intent in [intent("none like it"), story()] {
        let lost = bench.built(&intent.text, intent.options.clone()).await;
        bench.server.script([fake_meta::Fault::CutAfter]);
        bench.send(&lost).await.expect_err("cut");
        bench.server.change(|world| {
            let out = world.ledger.accepted.last_mut().expect("it is out");
            out.text = "another text".to_owned();
        });
        bench.look(&lost).await.expect("a look");
    }
}

fn pages(config: &mut FacebookConfig) {
    config.app_id = Some(APP_ID.to_owned());
    config.app_secret = Some(APP_SECRET.into());
    config.redirect_uri = Some(BACK.to_owned());
    config.authorize_url = config.base_url.replace("/v25.0", "/dialog/oauth");
    config.send_proof = true;
}

fn sent(server: &FakeMeta) -> Vec<fake_meta::Seen> {
    assert_eq!(server.unlisted(), [""; 0]);
    server.seen()
}

#[tokio::test]
async fn what_is_sent_is_what_meta_documents() {
    let bare = page().await;
    work_of_a_page(&bare).await;
    let proved = page_with(pages).await;
    work_of_a_page(&proved).await;
    connect(&proved.platform, None).await;
    let account = insta_with(|config| {
        config.app_id = Some(APP_ID.to_owned());
        config.app_secret = Some(APP_SECRET.into());
        config.redirect_uri = Some(BACK.to_owned());
    });
    let account = account.await;
    work_of_an_account(&account).await;
    connect(&account.platform, Some(&account.platform)).await;

    let seen = [sent(&bare.server), sent(&proved.server), sent(&account.server)].concat();
    Shapes::read(SHAPES).assert_sent(seen.iter().map(fake_meta::Seen::sent));
}
