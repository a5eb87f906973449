//! A Postgres server that a test has for itself.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{family, is_alive, signal, wait_until};
use crate::user::User;

/// How long starting or stopping a server may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user and the database that every server has.
const SUPERUSER: &str = "postgres";

/// A Postgres server of its own, with `fsync` on. Stopped and wiped when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    cluster: Cluster,
    pid: i32,
    /// Dropped last.
    _folder: TempDir,
}

impl Postgres {
    /// Makes and starts one.
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings (`max_connections=20`).
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("postq-pg-").tempdir().expect("a folder");
        let cluster = Cluster::make(folder.path(), settings);
        let pid = cluster.start();
        Self { cluster, pid, _folder: folder }
    }

    /// One that speaks TLS, with this certificate and key (PEM), over TCP.
    ///
    /// # Panics
    ///
    /// If that cannot be done, saying why.
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postq-pg-").tempdir().expect("a folder");
        let cluster = Cluster::make(folder.path(), &["ssl = on"]);
        cluster.keep_secret("server.crt", certificate);
        cluster.keep_secret("server.key", key);
        let pid = cluster.start();
        Self { cluster, pid, _folder: folder }
    }

    /// Where it is, over its socket.
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// Where it is, over TCP, for a user with a password. It asks for one, unlike on its socket.
    pub fn tcp_url(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{SUPERUSER}", self.cluster.port)
    }

    /// Kills it and all its processes without notice, as a power loss would.
    pub fn kill(&mut self) {
        let family = family(self.pid);
        family.iter().for_each(|pid| signal(*pid, Signal::KILL));
        wait_until("the server is gone", PATIENCE, || !family.iter().any(|pid| is_alive(*pid)));
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), at the same place.
    pub fn restart(&mut self) {
        self.pid = self.cluster.start();
    }

    /// Stops it in order, open connections notwithstanding.
    pub fn stop(&mut self) {
        signal(self.pid, Signal::INT);
        wait_until("the server stops", PATIENCE, || !is_alive(self.pid));
    }

    /// Freezes it and all its processes: connections stay open and nobody answers.
    pub fn freeze(&self) {
        family(self.pid).into_iter().for_each(|pid| signal(pid, Signal::STOP));
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn resume(&self) {
        family(self.pid).into_iter().for_each(|pid| signal(pid, Signal::CONT));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let family = family(self.pid);
        for pid in family {
            signal(pid, Signal::KILL);
        }
    }
}

/// A data directory and where its server listens.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    user: Option<User>,
    port: u16,
}

impl Cluster {
    /// Makes one in the folder.
    pub(crate) fn make(folder: &Path, settings: &[&str]) -> Self {
        let user = User::unprivileged();
        if let Some(user) = user {
            user.owns(folder);
        }
        let cluster = Self { folder: folder.to_owned(), user, port: free_port() };
        let data = cluster.data();
        let mut initdb = cluster.command("initdb");
        initdb.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--username", SUPERUSER]);
        initdb.arg("--pgdata").arg(&data);
        let made = initdb.output().unwrap_or_else(|error| panic!("run initdb: {error}"));
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut lines = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {}", cluster.port),
            format!("unix_socket_directories = '{}'", folder.display()),
            "max_connections = 300".to_owned(),
            "shared_buffers = '64MB'".to_owned(),
            "max_wal_size = '256MB'".to_owned(),
            "logging_collector = off".to_owned(),
        ];
        lines.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let config = data.join("postgresql.auto.conf");
        fs::write(config, lines.join("\n") + "\n").expect("write the server's settings");
        cluster
    }

    /// Writes a file that only the server can read.
    fn keep_secret(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap_or_else(|error| panic!("make \"{}\": {error}", path.display()));
        file.write_all(text.as_bytes()).expect("write it");
        if let Some(user) = self.user {
            user.owns(&path);
        }
    }

    /// Starts its server and tells its process id, once it answers.
    pub(crate) fn start(&self) -> i32 {
        let log = self.folder.join("server.log");
        let output = File::create(&log).expect("a log file");
        let error = output.try_clone().expect("a second handle");
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data());
        server.stdin(Stdio::null()).stdout(output).stderr(error).process_group(0);
        // Waited for by whoever kills it: an ended child that nobody waits for counts as ended.
        let child = server.spawn().unwrap_or_else(|error| panic!("run postgres: {error}"));
        let pid = i32::try_from(child.id()).expect("a process id");
        std::thread::spawn(move || {
            let mut child = child;
            // What it ended with is in its log.
            let _ = child.wait();
        });
        let socket = self.socket();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("the server starts", PATIENCE, || {
            assert!(is_alive(pid), "the server does not start: {}", said());
            UnixStream::connect(&socket).is_ok() && said().contains("ready to accept connections")
        });
        pid
    }

    /// The socket on which its server listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Where its server is, over its socket.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{SUPERUSER}@{folder}:{}/{SUPERUSER}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program));
        command.current_dir(&self.folder).env("LC_ALL", "C.UTF-8");
        if let Some(user) = self.user {
            user.runs(&mut command);
        }
        command
    }
}

/// A program of the server: on the path, or where Debian keeps it, the newest version first.
fn find(program: &str) -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "where programs are is the host's affair")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let on_path = folders.into_iter().map(|folder| folder.join(program));
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin").join(program)))
        })
        .collect();
    versions.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    on_path
        .chain(versions.into_iter().map(|(_, path)| path))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("\"{program}\" is missing: apt-get install postgresql"))
}
