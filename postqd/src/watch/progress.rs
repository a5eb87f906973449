//! A live line on a terminal; nothing elsewhere.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Left;
use super::ended::Ended;
use crate::output::Output;

/// What a person sees while it runs. Taken away when it is dropped.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A live line, if a person is looking.
    pub(super) fn start(output: Output) -> Self {
        if output.is_json() || !std::io::stderr().is_terminal() {
            return Self::none();
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:30}] {pos}/{len} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(Some(bar))
    }

    /// No live line.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A line that stays, above the live one.
    pub(super) fn line(&self, output: Output, people: &impl Display, programs: &impl Serialize) {
        match &self.0 {
            Some(bar) => bar.suspend(|| output.tell(people, programs)),
            None => output.tell(people, programs),
        }
    }

    pub(super) fn show(&self, ended: &Ended, left: &Left<'_>) {
        let Some(bar) = &self.0 else { return };
        let done = ended.count() as u64;
        bar.set_length(done + left.waiting.len() as u64);
        bar.set_position(done);
        bar.set_message(message(left));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn message(left: &Left<'_>) -> String {
    let to_come = match left.schedules {
        0 => String::new(),
        1 => ", 1 schedule to come".to_owned(),
        n => format!(", {n} schedules to come"),
    };
    let next = match left.next {
        Some(next) if next > left.now => {
            let seconds = (next - left.now).num_milliseconds().div_euclid(1_000) + 1;
            let wait = Duration::from_secs(seconds.unsigned_abs());
            format!("next in {}", postq_calendar::duration::show(wait))
        }
        Some(_) => "publishing".to_owned(),
        None => "done".to_owned(),
    };
    format!("{next}{to_come}")
}
