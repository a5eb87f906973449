//! Notices by webhook, chat and mail, to real servers on this host, those that fail too.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postq_core::clock::{Clock, SystemClock};
use postq_core::error::{ErrorKind, chain};
use postq_core::id::{AccountId, JobId};
use postq_core::notifier::{Notice, NoticeKind, Notifier};
use postq_outbound::notify::{Mail, Place, Slack, Webhook};
use postq_outbound::signing::{Signed, SigningKey};
use postq_outbound::{AllowList, Outbound};
use secrecy::SecretString;
use serde_json::Value;

use support::Server;
use support::smtp::{Fault, MailServer, Tls};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn place() -> Place {
    Place::at("https://postq.example.com").unwrap()
}

fn dead() -> Notice {
    Notice {
        job: Some(JobId::new()),
        account: Some(AccountId::new()),
        account_name: Some("main".to_owned()),
        platform: Some("x".parse().unwrap()),
        text: Some("Grüße <b> & more\n.\n---\nsecond part".to_owned()),
        ..Notice::new(NoticeKind::JobDead, "publish for \"main\" gave up: it is too rude")
    }
}

fn meant() -> Outbound {
    Outbound::new(AllowList::everything()).unwrap()
}

fn secret(text: String) -> SecretString {
    text.into()
}

#[tokio::test]
async fn a_webhook_is_json_that_its_receiver_can_trust() {
    let server = Server::start("").await;
    let key = SigningKey::generate();
    let url = secret(server.url("/hook?token=s3cret"));
    let webhook = Webhook::new(meant(), &url, Some(key.clone()), place(), clock()).unwrap();
    let (id, notice) = (JobId::new(), dead());

    webhook.notify(id, &notice).await.unwrap();
    webhook.notify(id, &notice).await.unwrap();

    let requests = server.requests();
    let (request, again) = (&requests[0], &requests[1]);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?token=s3cret"));
    assert!(request.has("content-type", "application/json"));
    assert!(request.has("webhook-id", &id.to_string()) && again.has("webhook-id", &id.to_string()));
    let signed = Signed {
        id: &request.headers["webhook-id"],
        timestamp: &request.headers["webhook-timestamp"],
        signatures: &request.headers["webhook-signature"],
        body: &request.body,
    };
    let (now, minute) = (SystemClock.now(), Duration::from_secs(60));
    assert!(key.verify(signed, now, minute));
    assert!(!SigningKey::generate().verify(signed, now, minute), "another key");
    assert!(!key.verify(Signed { body: b"{}", ..signed }, now, minute), "another body");
    assert!(!key.verify(Signed { id: "other", ..signed }, now, minute), "another id");
    assert!(!key.verify(signed, now + 2 * minute, minute), "an old one sent again");
    assert!(!key.verify(Signed { timestamp: "soon", ..signed }, now, minute));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let job = notice.job.unwrap();
    assert_eq!(body["type"], "notice.job_dead");
    assert_eq!(body["data"]["text"], notice.text.unwrap());
    assert_eq!(body["data"]["account_name"], "main");
    assert_eq!(body["data"]["link"], format!("https://postq.example.com/jobs/{job}"));
    assert_eq!(body["data"]["command"], format!("postqd dead show {job}"));
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let server = Server::start("").await;
    let webhook = Webhook::new(meant(), &secret(server.url("/")), None, place(), clock()).unwrap();

    webhook.notify(JobId::new(), &dead()).await.unwrap();

    assert!(!server.requests()[0].headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn a_chat_gets_text() {
    let server = Server::start("ok").await;
    let slack =
        Slack::new(meant(), &secret(server.url("/services/T0/B0/s3cret")), place()).unwrap();

    slack.notify(JobId::new(), &dead()).await.unwrap();

    let body: Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("*postq: a job gave up (main on x)*\n"), "{text}");
    assert!(text.contains("```\nGrüße &lt;b&gt; &amp; more\n.\n---\nsecond part\n```"), "{text}");
    assert_eq!(body.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn what_can_be_tried_again_is_told_from_what_cannot() {
    for (status, kind) in [
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
        (429, ErrorKind::Unavailable),
        (400, ErrorKind::Invalid),
        (404, ErrorKind::Invalid),
        (410, ErrorKind::Invalid),
        (302, ErrorKind::Invalid),
    ] {
        let headers = "location: http://127.0.0.1:1/\r\n".to_owned();
        let server =
            Server::answering(move |_| Some((status, headers.clone(), "why".to_owned()))).await;
        let url = secret(server.url("/s3cret"));
        let webhook = Webhook::new(meant(), &url, None, place(), clock()).unwrap();
        let slack = Slack::new(meant(), &url, place()).unwrap();

        for channel in [&webhook as &dyn Notifier, &slack] {
            let error = channel.notify(JobId::new(), &dead()).await.expect_err("no yes");
            assert_eq!(error.kind(), kind, "{status}");
            let told = chain(&error);
            assert!(told.contains(&status.to_string()) && !told.contains("s3cret"), "{told}");
            assert!(!told.contains("Grüße"), "{told}");
        }
        assert_eq!(server.requests().len(), 2, "asked once each, and no redirect followed");
    }
    let gone = secret("http://127.0.0.1:1/s3cret".to_owned());
    let error = Slack::new(meant(), &gone, place()).unwrap().notify(JobId::new(), &dead()).await;
    let error = error.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!chain(&error).contains("s3cret"));
    assert!(!format!("{:?}", Slack::new(meant(), &gone, place())).contains("s3cret"));
}

fn mail(url: String, root: &str) -> Mail {
    let to = ["Ann <ann@example.com>".to_owned(), "bob@example.com".to_owned()];
    let mail = Mail::new(&secret(url), "postq <postq@example.com>", &to, place(), clock());
    mail.unwrap().with_root(root.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_mail_goes_to_everybody_over_tls() {
    let wrapped = MailServer::start(Tls::Wrapped, Fault::None).await;
    let starts = MailServer::start(Tls::Start, Fault::None).await;
    let urls = [
        (&wrapped, format!("smtps://me:pa%3Ass@localhost:{}", wrapped.port())),
        (&starts, format!("smtp://me:pa%3Ass@localhost:{}?tls=required", starts.port())),
    ];

    for (server, url) in urls {
        let (id, notice) = (JobId::new(), dead());
        mail(url, &server.root).notify(id, &notice).await.unwrap();

        let mails = server.mails();
        let mail = &mails[0];
        assert!(mail.secure && mails.len() == 1);
        assert_eq!(mail.from, "postq@example.com");
        assert_eq!(mail.to, ["ann@example.com", "bob@example.com"]);
        let login = STANDARD.decode(mail.login.as_ref().unwrap()).unwrap();
        assert_eq!(login, b"\0me\0pa:ss");
        assert!(!server.said_in_the_clear().contains("AUTH"));
        let (head, body) = mail.data.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Subject: postq: a job gave up (main on x)\r\n"), "{head}");
        assert!(head.contains(&format!("Message-ID: <{id}@example.com>")), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated") && head.contains("\r\nDate: "));
        assert!(head.contains("Content-Type: text/plain; charset=utf-8"), "{head}");
        assert!(body.contains(&format!("postqd dead show {}", notice.job.unwrap())), "{body}");
        assert!(body.contains("Gr=C3=BC=C3=9Fe <b> & more\r\n..\r\n---"), "{body}");
    }
}

#[tokio::test]
async fn a_mail_without_tls_is_for_this_host_or_by_request() {
    let server = MailServer::start(Tls::None, Fault::None).await;

    mail(format!("smtp://127.0.0.1:{}", server.port()), &server.root)
        .notify(JobId::new(), &dead())
        .await
        .unwrap();

    assert!(!server.mails()[0].secure);
}

#[tokio::test]
async fn no_header_can_be_put_in() {
    let server = MailServer::start(Tls::None, Fault::None).await;
    let evil = "main\r\nBcc: evil@example.com\r\n\r\nbody";
    let notice = Notice { account_name: Some(evil.to_owned()), ..dead() };
    let notice =
        Notice { message: "x\r\n.\r\nRCPT TO:<evil@example.com>\r\n".to_owned(), ..notice };

    mail(format!("smtp://127.0.0.1:{}", server.port()), &server.root)
        .notify(JobId::new(), &notice)
        .await
        .unwrap();

    let mails = server.mails();
    assert_eq!((mails.len(), mails[0].to.len()), (1, 2));
    let (head, _) = mails[0].data.split_once("\r\n\r\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
}

#[tokio::test]
async fn a_mail_server_that_fails_is_told_apart() {
    for (tls, fault, kind) in [
        (Tls::Start, Fault::HidesTls, ErrorKind::Unavailable),
        (Tls::Wrapped, Fault::WrongPassword, ErrorKind::Invalid),
        (Tls::Wrapped, Fault::NoSuchUser, ErrorKind::Invalid),
        (Tls::Wrapped, Fault::BusyOnce, ErrorKind::Unavailable),
        (Tls::Start, Fault::CutsOff, ErrorKind::Unavailable),
    ] {
        let server = MailServer::start(tls, fault).await;
        let scheme = if tls == Tls::Wrapped { "smtps" } else { "smtp" };
        let query = if tls == Tls::Start { "?tls=required" } else { "" };
        let url = format!("{scheme}://me:hunter2@localhost:{}{query}", server.port());
        let mail = mail(url, &server.root);

        let error = mail.notify(JobId::new(), &dead()).await.expect_err("it fails");

        let told = chain(&error);
        assert_eq!(error.kind(), kind, "{fault:?}: {told}");
        assert!(told.contains("\"localhost\"") && !told.contains("hunter2"), "{told}");
        assert!(!server.said_in_the_clear().contains("AUTH"), "{fault:?}");
        assert_eq!((server.mails().len(), server.connections()), (0, 1), "{fault:?}");
        if fault == Fault::BusyOnce {
            mail.notify(JobId::new(), &dead()).await.expect("it takes the second");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_mail() {
    let server = MailServer::start(Tls::Wrapped, Fault::None).await;
    let other = MailServer::start(Tls::Wrapped, Fault::None).await;
    let url = format!("smtps://me:hunter2@localhost:{}", server.port());

    let error = mail(url, &other.root).notify(JobId::new(), &dead()).await.expect_err("refused");

    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test]
async fn a_mail_server_that_says_a_line_without_an_end_is_left_soon() {
    for (tls, scheme) in [(Tls::None, "smtp"), (Tls::Wrapped, "smtps")] {
        let server = MailServer::start(tls, Fault::Endless).await;
        let mail = mail(format!("{scheme}://localhost:{}", server.port()), &server.root);

        let error = mail.notify(JobId::new(), &dead()).await.expect_err("it never ends");

        let told = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{told}");
        assert!(told.contains("says more than 256 KiB"), "{told}");
        // What was not read waits in the system's buffers.
        assert!(server.said() < 64 * 1_024 * 1_024, "{} bytes", server.said());
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_server_that_says_nothing_is_left() {
    let server = MailServer::start(Tls::None, Fault::Silent).await;
    let mail = mail(format!("smtp://127.0.0.1:{}", server.port()), &server.root);

    let error = mail.notify(JobId::new(), &dead()).await.expect_err("nothing is said");

    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}
