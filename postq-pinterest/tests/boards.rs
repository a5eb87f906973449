//! Asking Pinterest whether a Pin's board is there, before it is due.

mod support;

use std::time::{Duration, Instant};

use fake_pinterest::{BOARDS, Canned, SECTION, Target};
use postq_core::content::{Draft, Part};
use postq_core::failure::FailureClass;
use postq_core::platform::{Platform, Violation};

use support::{Bench, SLACK, bench, bench_with, media, options};

async fn check(bench: &Bench, pairs: &[(&str, &str)]) -> Vec<String> {
    let parts = [Part { text: "text".into(), media: vec![media("a.png", None)] }];
    let options = options(pairs);
    let draft = Draft { parts: &parts, options: &options };
    let preflight = bench.pinterest.preflight().expect("it asks");
    let found = preflight.check(&bench.who, draft).await.expect("an answer");
    found.into_iter().map(|Violation { part: _, message }| message).collect()
}

#[tokio::test]
async fn a_board_and_a_section_that_are_there_are_no_violation() {
    let bench = bench().await;
    for board in [BOARDS[0].0, BOARDS[0].1, "summer recipes"] {
        for section in [SECTION.0, SECTION.1] {
            let found = check(&bench, &[("board", board), ("section", section)]).await;
            assert_eq!(found, [""; 0], "{board} {section}");
        }
    }
    assert_eq!(check(&bench, &[]).await, [""; 0], "who asks for the options tells what is missing");
    assert_eq!(bench.server.seen().len(), 2, "both lists are remembered");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let bench = bench().await;

    let no_board = check(&bench, &[("board", "Cats")]).await;
    let no_id = check(&bench, &[("board", "12345")]).await;
    let no_section = check(&bench, &[("board", BOARDS[0].0), ("section", "Soups")]).await;
    let none = check(&bench, &[("board", BOARDS[1].0), ("section", "Soups")]).await;

    let there = "there are \"Summer recipes\" (549755885175), \"Travel\" (549755885176)";
    assert_eq!(no_board, [format!("there is no board \"Cats\"; {there}")]);
    assert_eq!(no_id, [format!("there is no board \"12345\"; {there}")]);
    assert_eq!(no_section, ["there is no section \"Soups\"; there are \"Salads\" (1000000000001)"]);
    assert_eq!(none, ["there is no section \"Soups\", and no other one either"]);
}

#[tokio::test]
async fn a_new_board_is_looked_for_at_once() {
    let bench = bench().await;
    check(&bench, &[("board", "Travel")]).await;
    bench.server.set_boards(&[("7", "Travel"), ("8", "Garden")]);

    assert_eq!(check(&bench, &[("board", "Garden")]).await, [""; 0]);
    assert_eq!(bench.server.seen().len(), 2);
}

#[tokio::test]
async fn long_lists_are_read_page_by_page() {
    let bench = bench().await;
    let boards: Vec<(String, String)> =
        (1..=600).map(|n| (n.to_string(), format!("board {n}"))).collect();
    let boards: Vec<(&str, &str)> =
        boards.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    bench.server.set_boards(&boards);

    assert_eq!(check(&bench, &[("board", "board 600")]).await, [""; 0]);

    let targets: Vec<String> = bench.server.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(
        targets,
        [
            "/v5/boards?page_size=250",
            "/v5/boards?page_size=250&bookmark=250",
            "/v5/boards?page_size=250&bookmark=500"
        ]
    );
}

#[tokio::test]
async fn what_could_not_be_asked_is_a_failure() {
    let bench = bench().await;
    for (status, class) in [
        (401, FailureClass::Auth),
        (429, FailureClass::RateLimit),
        (503, FailureClass::Platform),
        (200, FailureClass::Platform),
    ] {
        bench.server.answer(Target::Boards, Canned::new(status, "{}"));
        let options = options(&[("board", "Travel")]);
        let draft = Draft { parts: &[], options: &options };
        let preflight = bench.pinterest.preflight().expect("it asks");
        let failure = preflight.check(&bench.who, draft).await.expect_err("no answer");
        assert_eq!(failure.class, class, "{status}");
    }
}

#[tokio::test]
async fn asking_ends_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/v5", silent.local_addr().expect("an address"));
    let bench = bench_with(|config| {
        config.base_url = base_url;
        config.send_timeout = Duration::from_millis(300);
    })
    .await;
    let options = options(&[("board", "Travel")]);
    let preflight = bench.pinterest.preflight().expect("it asks");
    let start = Instant::now();

    let failure = preflight.check(&bench.who, Draft { parts: &[], options: &options }).await;

    assert_eq!(failure.expect_err("no answer").class, FailureClass::Network);
    assert!(start.elapsed() < Duration::from_millis(300) + SLACK, "{:?}", start.elapsed());
}
