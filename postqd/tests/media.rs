//! Pictures on the command line: added here and to a daemon, named by posts and calendars by their paths, and never
//! stored as a path.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Cursor, Read, Write};

use serde_json::Value;
use support::Place;

fn picture(side: u32) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(side, side, image::Rgb([1, 2, 3]));
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// A folder with `pictures/cat.png`, `pictures/dog.png`, and what only looks like a picture.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("pictures")).unwrap();
    place.write("pictures/cat.png", picture(20));
    place.write("pictures/dog.png", picture(21));
    place.write("fake.png", "#!/bin/sh\n");
    place
}

/// What posts name, by their first picture.
fn sources(place: &Place, server: &[&str]) -> Vec<String> {
    let listed = place.run(&[server, &["post", "list", "--json"]].concat()).exits(0);
    let source = |post: &Value| post["parts"][0]["media"][0]["source"].as_str().unwrap().to_owned();
    let listed = listed.values().remove(0);
    let mut sources: Vec<String> = listed.as_array().unwrap().iter().map(source).collect();
    sources.sort_unstable();
    sources
}

/// What is kept of media, as `media list` shows it.
fn kept(place: &Place, server: &[&str]) -> Vec<Value> {
    let listed = place.run(&[server, &["media", "list", "--json"]].concat()).exits(0).values();
    listed[0].as_array().unwrap().clone()
}

#[test]
fn files_are_added_listed_and_removed_here_and_at_a_daemon() {
    let (here, there) = (place(), Place::new());
    let served = there.serve();
    let address = format!("http://{}", served.listen);
    for server in [&[][..], &["--server", &address]] {
        let run = |args: &[&str]| here.run(&[server, args].concat());

        let added = run(&["media", "add", "pictures/cat.png", "--alt", "a cat", "--json"]).exits(0);
        let source = added.values()[0]["source"].as_str().unwrap().to_owned();
        assert!(source.starts_with("media:"), "{source}");
        run(&["media", "add", "fake.png", "pictures/dog.png", "pictures", "no.png"])
            .exits(1)
            .tells("3 of the files could not be added");
        run(&["media", "add", "fake.png"])
            .tells("warning: fake.png: \"fake.png\": its content is of no known type");
        let files = kept(&here, server);
        assert_eq!(files.len(), 2, "{files:?}");
        assert_eq!((&files[0]["name"], &files[0]["alt"]), (&"cat.png".into(), &"a cat".into()));

        run(&["media", "remove", &source]).exits(0).tells("taken away");
        run(&["media", "remove", &source]).exits(1).tells("there is no media file");
        run(&["media", "remove", "cat.png"]).exits(2).tells("expected media:");
        assert_eq!(kept(&here, server).len(), 1);
    }
    assert_eq!(kept(&there, &[]).len(), 1, "the daemon has its own");
}

#[test]
fn a_post_with_a_path_names_the_file_that_was_added() {
    let (here, there) = (place(), Place::new());
    let served = there.serve();
    let address = format!("http://{}", served.listen);
    for server in [&[][..], &["--server", &address]] {
        let post = |media: &[&str]| {
            let new = ["post", "look", "--account", "dry_run:me", "--at", "+1h"];
            here.run(&[server, &new, media].concat())
        };

        post(&["--media", "pictures/cat.png", "--alt", "a cat"]).exits(0);
        post(&["--media", "pictures/cat.png", "--alt", "a cat", "--preview"]).tells(": a cat");
        post(&["--media", "pictures/cat.png", "--preview"]).tells("nothing says what it shows");
        post(&["--media", "fake.png"]).exits(1).tells("of no known type");
        post(&["--media", "no.png"]).exits(1).tells("it cannot be read");
        post(&["--media", "pictures/cat.png", "--alt", "a", "--alt", "b"]).exits(2).tells("--alt");
        let unknown = format!("media:{}", "0".repeat(64));
        post(&["--media", &unknown]).exits(1).tells("is no file that was added");

        let files = kept(&here, server);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(sources(&here, server), [files[0]["source"].as_str().unwrap()]);
        let source = files[0]["source"].as_str().unwrap();
        here.run(&[server, &["media", "remove", source]].concat())
            .exits(1)
            .tells("is named by a post");
    }
}

/// A video of this size, most of it zeros that take no room on the disk.
fn video(place: &Place, name: &str, bytes: u64) {
    let atom = |name: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length[..], name, content].concat()
    };
    let (mut mvhd, mut tkhd, mut hdlr) = (vec![0; 100], vec![0; 84], vec![0; 25]);
    mvhd[12..16].copy_from_slice(&600_u32.to_be_bytes());
    mvhd[16..20].copy_from_slice(&6_000_u32.to_be_bytes());
    tkhd[3] = 3;
    tkhd[76..78].copy_from_slice(&640_u16.to_be_bytes());
    tkhd[80..82].copy_from_slice(&480_u16.to_be_bytes());
    hdlr[8..12].copy_from_slice(b"vide");
    let mdia = atom(b"mdia", &atom(b"hdlr", &hdlr));
    let trak = atom(b"trak", &[atom(b"tkhd", &tkhd), mdia].concat());
    let moov = atom(b"moov", &[atom(b"mvhd", &mvhd), trak].concat());
    let head = [atom(b"ftyp", b"isom\0\0\0\0isom"), moov].concat();
    let pictures = u32::try_from(bytes - head.len() as u64).unwrap().to_be_bytes();
    place.write(name, [&head[..], &pictures, b"mdat"].concat());
    std::fs::File::options().write(true).open(place.path(name)).unwrap().set_len(bytes).unwrap();
}

/// `scripts/bench media` does the same with a gigabyte.
#[test]
fn a_large_video_needs_little_memory() {
    const BYTES: u64 = 128 * 1_024 * 1_024;
    let (here, there) = (Place::new(), Place::new());
    video(&here, "large.mp4", BYTES);
    let served = there.serve();
    let address = format!("http://{}", served.listen);
    let before = served.peak_memory();

    here.run(&["--server", &address, "media", "add", "large.mp4"]).exits(0).tells("media:");

    let more = served.peak_memory() - before;
    assert!(more < BYTES / 4, "{more} bytes more for a file of {BYTES}");
    assert_eq!(kept(&there, &[])[0]["bytes"], BYTES);
}

/// Two rows with pictures, by paths that are meant from the calendar's folder.
const CALENDAR: &str = "key,at,accounts,text,media,alt\n\
    a,+1h,dry_run:me,a cat,cat.png,a cat\n\
    b,+2h,dry_run:me,a dog,../pictures/dog.png,\n";

#[test]
fn a_calendar_names_files_beside_it() {
    let (here, there) = (place(), Place::new());
    here.write("pictures/march.csv", CALENDAR);
    let served = there.serve();
    let address = format!("http://{}", served.listen);
    for server in [&[][..], &["--server", &address]] {
        let import =
            |args: &[&str]| here.run(&[server, &["import", "pictures/march.csv"], args].concat());

        import(&[]).exits(0).tells("nothing was loaded");
        assert_eq!(kept(&here, server), [""; 0], "a look adds nothing");
        import(&["--apply"]).exits(0).tells("2 rows loaded");
        import(&["--apply"]).exits(0).tells("all 2 rows are known");

        let mut named: Vec<String> = kept(&here, server)
            .iter()
            .map(|file| file["source"].as_str().unwrap().to_owned())
            .collect();
        named.sort_unstable();
        assert_eq!(sources(&here, server), named);
    }
}

#[test]
fn a_calendar_with_a_bad_file_says_where() {
    let here = place();
    let calendar = "at,accounts,text,media\n\
        +1h,dry_run:me,one,fake.png\n\
        +1h,dry_run:me,two,pictures/no.png\n\
        +1h,dry_run:me,three,pictures/cat.png\n";
    here.write("bad.csv", calendar);

    let refused = here.run(&["import", "bad.csv", "--apply"]).exits(1);
    refused.tells("bad.csv:2:20: media: \"fake.png\": ");
    refused.tells("bad.csv:3:20: media: \"pictures/no.png\": it cannot be read");
    here.run(&["run", "bad.csv"]).exits(1).tells("2 problems; nothing was loaded");
    here.run(&["import", "bad.csv", "--apply", "--skip-bad"]).exits(1).tells("1 row loaded");
    assert_eq!(sources(&here, &[]).len(), 1);
}

#[test]
fn a_run_brings_its_files() {
    let here = place();
    here.write("now.csv", "at,accounts,text,media\n+0s,dry_run:me,look,pictures/cat.png\n");

    here.run(&["run", "now.csv"]).exits(0);

    assert_eq!(sources(&here, &[]), [kept(&here, &[])[0]["source"].as_str().unwrap()]);
}

#[test]
fn the_doctor_tells_where_media_are() {
    let here = place();
    here.run(&["media", "add", "pictures/cat.png"]).exits(0);

    here.run(&["doctor"]).tells("no account here is on a platform that fetches them itself");
    let public = ("POSTQ_PUBLIC_URL", "https://post.example.com");
    here.run_with(public.0, public.1, &["doctor"])
        .tells("find them below https://post.example.com");
    let nowhere = here
        .command(&["doctor"])
        .env("POSTQ_MEDIA_BUCKET", "pictures")
        .env("POSTQ_MEDIA_BUCKET_ENDPOINT", "http://127.0.0.1:1")
        .env("POSTQ_MEDIA_BUCKET_KEY_ID", "k")
        .env("POSTQ_MEDIA_BUCKET_KEY", "s")
        .output();
    support::Ended::of(nowhere.unwrap()).exits(1).tells("the bucket \"pictures\" cannot be used");
}

#[test]
fn platforms_may_ask_by_the_public_address() {
    let there = Place::new();
    let served = there.serve_with(&[("POSTQ_PUBLIC_URL", "https://post.example.com")]);
    let path = format!("/media/files/{}.jpg?until=1&signature={}", "0".repeat(64), "0".repeat(64));
    let by = |host: &str| {
        let mut stream = std::net::TcpStream::connect(&served.listen).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };

    let known = by("post.example.com");
    assert!(known.starts_with("HTTP/1.1 403") && known.contains("bad_link"), "{known}");
    assert!(by("evil.example.com").contains("host_not_allowed"));
}
