//! A ChromeDriver that a test has for itself.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{family, signal, wait_until};

/// How long starting one may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it says once it listens.
const STARTED: &str = "was started successfully";

/// A ChromeDriver of its own. It and every browser that it has started are killed when it is dropped.
#[derive(Debug)]
pub struct ChromeDriver {
    child: Child,
    port: u16,
    /// Dropped last.
    folder: TempDir,
}

impl ChromeDriver {
    /// Starts one whose browsers are in this time zone.
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why; if Chromium is missing, too.
    pub fn start(time_zone: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postq-chrome-").tempdir().expect("a folder");
        let log = folder.path().join("driver.log");
        let output = File::create(&log).expect("a log file");
        let port = free_port();
        // Killed with the test, even if the test is killed.
        let mut driver = Command::new("setpriv");
        driver.args(["--pdeathsig", "KILL", "chromedriver"]).arg(format!("--port={port}"));
        driver.env("TZ", time_zone).env("TMPDIR", folder.path()).env("HOME", folder.path());
        driver.stdin(Stdio::null()).stderr(output.try_clone().expect("a second handle"));
        let child = driver.stdout(output).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("run setpriv: {error}"));
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let has_started = || said().contains(STARTED);
        wait_until("ChromeDriver starts", PATIENCE, || {
            has_started() || child.try_wait().expect("a child").is_some()
        });
        assert!(has_started(), "ChromeDriver does not start: {}{INSTALL}", said());
        assert!(has_chromium(), "\"chromium\" is missing{INSTALL}");
        Self { child, port, folder }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A folder that lives as long as it does, for a browser's profile.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

const INSTALL: &str = ": apt-get install chromium chromium-driver";

impl Drop for ChromeDriver {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        for member in family(id) {
            signal(member, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn has_chromium() -> bool {
    let asked = Command::new("chromium")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !asked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
