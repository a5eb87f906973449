//! The dashboard in a real Chromium, as a person uses it: on a real daemon, with the mouse or the keyboard.
//!
//! Each test leaves pictures in `target/screens`. It fails, too, if the browser's console has an error, or if
//! the page asks anybody but its daemon.

#![allow(missing_docs, reason = "a test")]

mod api;
mod attach;
mod browser;
mod compose;
mod connecting;
mod figures;
mod first_post;
mod flood;
mod letters;
mod live;
mod looks;
mod moving;
mod page;
mod past;
mod phone;
mod picture;
mod platforms;
mod signing_in;
mod slots;
#[path = "../support/mod.rs"]
mod support;
mod town;
