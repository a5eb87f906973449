//! A folder to run `postqd` in, and what its runs left behind.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]
#![allow(dead_code, reason = "each test binary needs its own part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
pub(crate) use test_servers::free_port;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own to run `postqd` in, with an environment of its own.
pub(crate) struct Place {
    folder: TempDir,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Every line of the output, as JSON.
    pub(crate) fn values(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[track_caller]
    pub(crate) fn tells(&self, expected: &str) {
        let all = format!("{}\n{}", self.out, self.err);
        assert!(all.contains(expected), "{expected:?} is not in {all}");
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postqd"));
        command.args(args).current_dir(self.folder.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with(&self, name: &str, value: &str, args: &[&str]) -> Ended {
        Ended::of(self.command(args).env(name, value).output().unwrap())
    }

    /// Starts `postqd serve` on a free port and waits until it is ready.
    pub(crate) fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// The same with an environment besides.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)]) -> Served {
        self.serve_by(self.command(&["serve"]), environment)
    }

    /// The same, telling all it says to the end of a file: of much, a pipe would be full, and stop it.
    pub(crate) fn serve_into(&self, file: &str, environment: &[(&str, &str)]) -> Served {
        let file = File::options().create(true).append(true).open(self.path(file)).unwrap();
        let mut command = self.command(&["serve"]);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        self.serve_by(command, environment)
    }

    fn serve_by(&self, mut command: Command, environment: &[(&str, &str)]) -> Served {
        let listen = format!("127.0.0.1:{}", free_port());
        command.env("POSTQ_LISTEN", &listen).envs(environment.iter().copied());
        let child = command.spawn().unwrap();
        let served = Served { child: Some(child), listen };
        let deadline = Instant::now() + PATIENCE;
        while served.get("/readyz").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            assert!(Instant::now() < deadline, "postqd serve is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        served
    }
}

/// A running `postqd serve`; killed when it is dropped.
pub(crate) struct Served {
    child: Option<Child>,
    pub(crate) listen: String,
}

impl Served {
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.listen).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Sends a request with a body, and reads the whole answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The same, for the body of an answer of success.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let answer = self.send(method, path, headers, body);
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub(crate) fn wait(mut self) -> Ended {
        Ended::of(self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
