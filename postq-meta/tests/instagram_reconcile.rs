//! Instagram: what a call without an answer published. The container is the witness.

mod support;

use std::time::Duration;

use fake_meta::{Canned, Fault, Refuses};
use postq_core::failure::Outcome;
use postq_core::intent::Intent;
use postq_core::options::PostOptions;
use postq_core::platform::Look;

use support::{cannot_tell, found, insta, now, option, out_somewhere};

#[tokio::test]
async fn the_container_tells_what_is_out_and_is_never_published_twice() {
    for fault in [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::UnavailableBefore,
        Fault::UnavailableAfter,
        Fault::UnknownErrorAfter,
        Fault::NoData,
        Fault::Late,
    ] {
        let bench = insta().await;
        let sent = bench.built("the same text", PostOptions::default()).await;
        bench.server.script([fault]);
        bench.send(&sent).await.expect_err("no receipt");
        tokio::time::sleep(Duration::from_millis(400)).await;

        let look = bench.look(&sent).await.expect("a look");

        let out = bench.server.ledger().accepted;
        match out.as_slice() {
            [] => assert_eq!(look, Look::Absent, "{fault:?}"),
            [one] => assert_eq!(found(&look), one.id, "{fault:?}"),
            more => panic!("{fault:?}: {more:?}"),
        }
        // Whatever the look said: the same container again makes no second post.
        drop(bench.send(&sent).await);
        assert_eq!(bench.server.ledger().accepted.len(), 1, "{fault:?}: live posts");
    }
}

#[tokio::test]
async fn a_lie_is_seen_through() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    bench.server.script([Fault::RefusedAfter]);
    let failure = bench.send(&sent).await.expect_err("refused, and out");
    assert_eq!(failure.outcome, Outcome::NotPublished);

    let look = bench.look(&sent).await.expect("a look");

    assert_eq!(found(&look), bench.server.ledger().accepted[0].id);
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    let container = sent.container.clone().expect("built");
    let set = |code: &'static str| {
        bench
            .server
            .change(|world| world.containers.get_mut(&container).unwrap().status_code = code);
    };

    assert_eq!(bench.look(&sent).await.expect("a look"), Look::Absent, "FINISHED");
    set("EXPIRED");
    assert_eq!(bench.look(&sent).await.expect("a look"), Look::Absent, "the list shows nothing");
    set("ERROR");
    assert!(cannot_tell(&bench.look(&sent).await.expect("a look")).contains("failed"));
    set("PUBLISHED");
    assert!(out_somewhere(&bench.look(&sent).await.expect("a look")).contains("was published"));
    set("IN_PROGRESS");
    assert_eq!(bench.look(&sent).await.expect_err("not yet").outcome, Outcome::Unknown);
    set("SOMETHING_NEW");
    assert_eq!(bench.look(&sent).await.expect_err("not known").outcome, Outcome::Unknown);

    set("FINISHED");
    bench.send(&sent).await.expect("published");
    for code in ["EXPIRED", "ERROR", "PUBLISHED"] {
        set(code);
        let look = bench.look(&sent).await.expect("a look");
        assert_eq!(found(&look), bench.server.ledger().accepted[0].id, "{code}, and in the list");
    }
    let unknown = Intent { container: None, ..sent };
    cannot_tell(&bench.look(&unknown).await.expect("a look"));
}

#[tokio::test]
async fn a_post_without_a_caption_is_found_if_it_is_the_only_one() {
    for kind in ["story", "image"] {
        let bench = insta().await;
        let options = option("kind", kind);
        let sent = bench.built("", options.clone()).await;
        bench.server.script([Fault::CutAfter]);
        bench.send(&sent).await.expect_err("cut");
        let first = bench.server.ledger().accepted[0].id.clone();
        assert_eq!(found(&bench.look(&sent).await.expect("a look")), first, "{kind}");
        out_somewhere(&bench.look_besides(&sent, &[&first]).await.expect("a look"));

        let other = bench.built("", options).await;
        let second = bench.send(&other).await.expect("published").receipt.remote_id;

        out_somewhere(&bench.look(&sent).await.expect("two of them"));
        let look = bench.look_besides(&sent, &[&second]).await.expect("one is claimed");
        assert_eq!(found(&look), first, "{kind}");
    }
}

#[tokio::test]
async fn a_published_container_that_the_list_does_not_show_yet_is_not_told() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    bench.server.change(|world| world.faults.hide = Duration::from_secs(60));
    bench.server.script([Fault::CutAfter]);
    bench.send(&sent).await.expect_err("cut");

    out_somewhere(&bench.look(&sent).await.expect("a look"));
    bench.server.change(|world| world.faults.hide = Duration::ZERO);
    found(&bench.look(&sent).await.expect("a look"));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_tells_nothing_but_of_a_published_container() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    let container = sent.container.clone().expect("built");
    for (status, is_out) in [("PUBLISHED", true), ("EXPIRED", false), ("ERROR", false)] {
        let set = |world: &mut fake_meta::World| {
            world.containers.get_mut(&container).expect("built").status_code = status;
        };
        bench.server.change(set);
        for canned in [Canned::new(503, ""), Canned::refusal(190, 0, "no"), Canned::new(200, "[]")]
        {
            bench.server.answer("GET media", canned);
            match bench.look(&sent).await {
                Ok(Look::OutUnread(failed)) if is_out => {
                    assert_eq!(failed.outcome, Outcome::Unknown)
                }
                Err(failed) if !is_out => assert_eq!(failed.outcome, Outcome::Unknown),
                other => panic!("{status}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_expired_container_is_not_absent_while_something_may_be_it() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    let container = sent.container.clone().expect("built");
    let expire = |world: &mut fake_meta::World| {
        world.containers.get_mut(&container).expect("built").status_code = "EXPIRED";
    };
    bench.server.change(expire);
    let written = |seconds: i64, format: &str| {
        (now() + chrono::TimeDelta::seconds(seconds)).format(format).to_string()
    };
    let shown = |id: &str, at: &str| {
        format!(r#"{{"data":[{{"id":"{id}","caption":"text","timestamp":"{at}"}}]}}"#)
    };
    let (early, late) =
        (written(0, "%Y-%m-%dT%H:%M:%S+0000"), written(600, "%Y-%m-%dT%H:%M:%S+0000"));
    let ahead = written(600, "%a, %d %b %Y %H:%M:%S GMT");
    for (body, is_found) in [
        (shown("9", &late), true),
        // In the window by the other of two clocks.
        (shown("9", &early), false),
        (shown("9", "once"), false),
        (shown("../me", &late), false),
    ] {
        bench.server.answer("GET media", Canned::new(200, &*body).with("date", &ahead));

        let look = bench.look(&sent).await.expect("a look");

        assert_eq!(matches!(look, Look::Found(_)), is_found, "{body}: {look:?}");
        assert_ne!(look, Look::Absent, "{body}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_not_shown_to_people() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    bench.server.answer("POST media_publish", Canned::new(200, r#"{"id":"77"}"#));
    let odd = r#"{"permalink":"javascript:alert(1)","timestamp":"2026-11-22T03:00:00+0000"}"#;
    bench.server.answer("GET 77", Canned::new(200, odd));
    assert_eq!(bench.send(&sent).await.expect("published").receipt.url, None);

    bench.send(&sent).await.expect("published");
    let at = now().format("%Y-%m-%dT%H:%M:%S+0000");
    let body = format!(
        r#"{{"data":[{{"id":"77","caption":"text","timestamp":"{at}","permalink":"http://a.b/ c"}}]}}"#
    );
    bench.server.answer("GET media", Canned::new(200, body));
    let Look::Found(receipt) = bench.look(&sent).await.expect("a look") else {
        panic!("not found")
    };
    assert_eq!((receipt.remote_id.as_str(), receipt.url), ("77", None));
}
