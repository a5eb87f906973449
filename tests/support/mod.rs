//! Real `postqd` processes, as a user runs them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use postq::core::backend::Backend;
use postq::core::id::TenantId;
use postq::core::job::{Job, JobKind};
use postq::core::store::{JobFilter, Page};
use postq::sqlite::SqliteStore;
use tempfile::TempDir;
pub(crate) use test_servers::free_port;

/// No command takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary that `POSTQ_TEST_BINARY` names; else our own, built if it is not there or old.
pub(crate) fn postqd() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        #[allow(clippy::disallowed_methods, reason = "the tests' own setting")]
        if let Some(given) = std::env::var_os("POSTQ_TEST_BINARY") {
            return given.into();
        }
        let target = std::env::current_exe().expect("this test has a path");
        let folder = target.parent().and_then(Path::parent).expect("target/PROFILE/deps/test");
        let mut build = Command::new(env!("CARGO"));
        // As `scripts/test` does: with other features it would be built once more, and take its place.
        build.args(["build", "--quiet", "--workspace", "--all-features", "--bins"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo sets for this test would make it build other crates anew. What its user has set, as
        // CARGO_INCREMENTAL, stays: without it, too, all would be built anew.
        let own = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];
        for (name, _) in std::env::vars_os() {
            if own.iter().any(|own| name.to_string_lossy().starts_with(own)) {
                build.env_remove(name);
            }
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "postqd does not build");
        folder.join("postqd")
    })
}

/// A folder of its own with an environment of its own.
pub(crate) struct Home {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), env: Vec::new() }
    }

    /// A home whose X is this server. No call ends early because the machine is busy.
    pub(crate) fn with_x(base_url: &str) -> Self {
        Self::new()
            .env("X_API_BASE_URL", base_url)
            .env("POSTQ_RATE_LIMIT", "off")
            .env("POSTQ_SETTLE_TIME", "3s")
            .env("POSTQ_SEND_TIMEOUT", "10s")
            .env("POSTQ_LEASE", "15s")
    }

    /// The same where calls hang and nodes die: what waits for that does not wait long.
    pub(crate) fn in_haste(self) -> Self {
        self.env("POSTQ_SEND_TIMEOUT", "2s").env("POSTQ_LEASE", "4s")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of this home; answers its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(postqd());
        command.args(args).current_dir(self.path()).env_clear();
        command.env("POSTQ_DATA_DIR", self.path().join("data"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        finish(self.command(args).spawn().expect("postqd starts"))
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("postqd starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        finish(child)
    }

    /// Runs a command that must succeed; answers what it printed.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Connects an account of X with the fake server's token for this user.
    pub(crate) fn connect(&self, name: &str, user: &str) {
        let add = ["account", "add", "x", "--name", name, "--access-token-stdin"];
        let output = self.run_with(add, &format!("tok-{user}\n"));
        assert!(output.status.success(), "{}", told(&output));
    }

    pub(crate) fn database(&self) -> PathBuf {
        let data = self.path().join("data");
        let mut files = std::fs::read_dir(&data).expect("the data folder");
        let is_db = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "db");
        files
            .find_map(|file| Some(file.ok()?.path()).filter(is_db))
            .expect("a database in the data folder")
    }

    /// The same file through the library.
    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open(self.database()).expect("the database opens")
    }

    /// Starts the daemon on a free port.
    pub(crate) fn serve(&self) -> Daemon {
        self.serve_at(free_port())
    }

    /// Starts the daemon on this port.
    pub(crate) fn serve_at(&self, port: u16) -> Daemon {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("serve.log"))
            .expect("a log");
        let child = self
            .command(["serve"])
            .env("POSTQ_LISTEN", format!("127.0.0.1:{port}"))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("postqd starts");
        Daemon { child, port }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("serve.log")).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("the end of the daemon's log:\n{}", last.join("\n"));
        }
    }
}

/// What a command said, for a failure's message.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn finish(child: Child) -> Output {
    let id = child.id().to_string();
    let (done, ended) = mpsc::channel();
    // It reads while it waits: a full pipe would stop the child.
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("output"),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
            let output = ended.recv().expect("it was killed").expect("output");
            panic!("postqd still ran after {PATIENCE:?}: {}", told(&output));
        }
    }
}

/// A running `postqd serve`; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
}

impl Daemon {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGSTOP: it does nothing more, and keeps everything it holds.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success(), "the daemon had ended before");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.signal("-TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All publish jobs of a store.
pub(crate) async fn publish_jobs(backend: &Backend) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let after = jobs.last().map(|job| job.id().as_uuid());
        let page = Page { after, ..Page::first(1_000) };
        let more = backend.jobs.list(TenantId::DEFAULT, &JobFilter::default(), page).await;
        let more = more.expect("jobs are listed");
        if more.is_empty() {
            jobs.retain(|job| job.made.kind.as_str() == JobKind::PUBLISH);
            return jobs;
        }
        jobs.extend(more);
    }
}

/// Waits until so many publish jobs have ended; answers them.
pub(crate) async fn all_ended(backend: &Backend, expected: usize, patience: Duration) -> Vec<Job> {
    let begun = Instant::now();
    loop {
        let jobs = publish_jobs(backend).await;
        let waiting = jobs.iter().filter(|job| !job.state.is_terminal()).count();
        if jobs.len() >= expected && waiting == 0 {
            return jobs;
        }
        assert!(
            begun.elapsed() < patience,
            "after {patience:?}: {} of {expected} jobs, {waiting} not ended: {:#?}",
            jobs.len(),
            jobs.iter().filter(|job| !job.state.is_terminal()).take(5).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Whether times are asserted: only where the machine is quiet, as `scripts/soak` says.
pub(crate) fn is_timed() -> bool {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var_os("POSTQ_TEST_TIMED").is_some()
}

/// A time as calendar files have it.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
