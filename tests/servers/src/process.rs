//! Processes: found, signalled, waited for.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A process and all that it has started, the process first.
pub(crate) fn family(pid: i32) -> Vec<i32> {
    let mut family = vec![pid];
    let mut looked_at = 0;
    let parents = parents();
    while let Some(&parent) = family.get(looked_at) {
        looked_at += 1;
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
    }
    family
}

/// Each process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").expect("the list of processes");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|pid: i32| {
            // "pid (name) state parent ...": the name may have spaces and brackets.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let after = &stat[stat.rfind(')')? + 1..];
            Some((pid, after.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

/// Sends a signal to a process; to one that has ended nothing.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // What has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rfind(')').and_then(|end| stat[end + 1..].split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Polls until something is so.
///
/// # Panics
///
/// After the time given, saying what is not so.
pub(crate) fn wait_until(what: &str, at_most: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + at_most;
    while !is_so() {
        assert!(Instant::now() < end, "within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
