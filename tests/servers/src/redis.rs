//! A Redis server that a test has for itself.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{is_alive, signal, wait_until};
use crate::user::User;

/// How long starting or stopping a server may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis server of its own, which keeps nothing unless it is told to. It starts in milliseconds, so
/// that each test can have one. Stopped and wiped when it is dropped.
#[derive(Debug)]
pub struct Redis {
    place: Place,
    pid: i32,
    /// Dropped last.
    _folder: TempDir,
}

impl Redis {
    /// Makes and starts one.
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings (`appendonly yes`).
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("postq-redis-").tempdir().expect("a folder");
        let user = User::unprivileged();
        if let Some(user) = user {
            user.owns(folder.path());
        }
        let place = Place { folder: folder.path().to_owned(), user, port: free_port() };
        place.configure(settings);
        let pid = place.start();
        Self { place, pid, _folder: folder }
    }

    /// The server that `POSTQ_TEST_REDIS_URL` names; none if there is no such setting.
    pub fn given() -> Option<String> {
        #[allow(clippy::disallowed_methods, reason = "the tests' own setting")]
        let given = std::env::var("POSTQ_TEST_REDIS_URL");
        given.ok().filter(|url| !url.is_empty())
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.place.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Sends a command, its words between spaces, and tells the answer as it came.
    ///
    /// # Panics
    ///
    /// If the server cannot be asked.
    pub fn tell(&self, command: &str) -> String {
        self.place.tell(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Kills it without notice, as a power loss would.
    pub fn kill(&mut self) {
        signal(self.pid, Signal::KILL);
        wait_until("the server is gone", PATIENCE, || !is_alive(self.pid));
    }

    /// Starts it again after [`kill`](Self::kill), at the same place.
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn restart(&mut self) {
        self.pid = self.place.start();
    }

    /// Freezes it: connections stay open and nobody answers.
    pub fn freeze(&self) {
        signal(self.pid, Signal::STOP);
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn resume(&self) {
        signal(self.pid, Signal::CONT);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        signal(self.pid, Signal::KILL);
    }
}

/// A folder, and where its server listens.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    user: Option<User>,
    port: u16,
}

impl Place {
    fn configure(&self, settings: &[&str]) {
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            format!("dir {}", self.folder.display()),
            "save \"\"".to_owned(),
        ];
        lines.extend(settings.iter().map(|setting| (*setting).to_owned()));
        fs::write(self.config(), lines.join("\n") + "\n").expect("write the server's settings");
        if let Some(user) = self.user {
            user.owns(&self.config());
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("redis.conf")
    }

    /// Starts its server and tells its process id once it answers.
    fn start(&self) -> i32 {
        let log = self.folder.join("server.log");
        let output = File::create(&log).expect("a log file");
        let error = output.try_clone().expect("a second handle");
        // Killed with the test, even if the test is killed.
        let mut server = Command::new("setpriv");
        server.args(["--pdeathsig", "KILL", "redis-server"]).arg(self.config());
        server.current_dir(&self.folder);
        server.stdin(Stdio::null()).stdout(output).stderr(error).process_group(0);
        if let Some(user) = self.user {
            user.runs(&mut server);
        }
        let child = server.spawn().unwrap_or_else(|error| panic!("run setpriv: {error}"));
        let pid = i32::try_from(child.id()).expect("a process id");
        std::thread::spawn(move || {
            let mut child = child;
            // What it ended with is in its log.
            let _ = child.wait();
        });
        let said = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("the server starts", PATIENCE, || !is_alive(pid) || self.answers());
        let said = said();
        let missing = said.contains("No such file");
        assert!(!missing, "\"redis-server\" is missing: apt-get install redis-server");
        let is_in_use = said.contains("Address already in use");
        assert!(is_alive(pid) && !is_in_use, "the server does not start: {said}");
        pid
    }

    fn answers(&self) -> bool {
        self.tell("PING").is_ok_and(|answer| !answer.starts_with("-LOADING"))
    }

    fn tell(&self, command: &str) -> std::io::Result<String> {
        let mut link = TcpStream::connect(("127.0.0.1", self.port))?;
        link.set_read_timeout(Some(Duration::from_secs(10)))?;
        link.write_all(format!("{command}\r\n").as_bytes())?;
        // An answer to a test's command comes in one piece; what follows it is not needed.
        let mut answer = [0; 65_536];
        let read = link.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}
