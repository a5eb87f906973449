//! One Postgres server for all tests that only need one.
//!
//! The first test process starts it, the others find it. All hold a shared lock on the file `users` for
//! as long as they live; a small shell script, started with the server, stops it and wipes it when
//! nobody has held that lock for a while, and after some hours in any case.

use std::fs::{self, File, TryLockError};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::postgres::{Cluster, Postgres};
use crate::process::is_alive;

/// How long to wait for another process that is starting the server.
const PATIENCE: Duration = Duration::from_secs(120);

/// Looks once a second: stops the server when nobody has used it for 20 s, and after three hours in any
/// case. `flock` takes the same locks as the tests; the one on `lock` keeps them from finding a server
/// that is about to go.
const WATCHDOG: &str = r#"
idle=0 age=0
while kill -0 "$PID" 2>/dev/null; do
    sleep 1
    age=$((age + 1))
    if flock --nonblock --exclusive users true; then idle=$((idle + 1)); else idle=0; fi
    if [ $idle -lt 20 ] && [ $age -lt 10800 ]; then continue; fi
    exec 9>lock
    flock --exclusive 9
    if [ $age -ge 10800 ] || flock --nonblock --exclusive users true; then
        rm -f server
        break
    fi
    exec 9>&-
    idle=0
done
kill -KILL $(ps -o pid= --ppid "$PID") "$PID" 2>/dev/null
rm -rf "$CLUSTER"
"#;

/// The server that test processes share.
#[derive(Debug)]
pub struct SharedPostgres {
    url: String,
    /// Locked, shared, for as long as this process lives.
    _users: Option<File>,
}

impl Postgres {
    /// The server that test processes share, started if it does not run.
    ///
    /// # Panics
    ///
    /// If it cannot be started, saying why.
    pub fn shared() -> &'static SharedPostgres {
        static SHARED: OnceLock<SharedPostgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            #[allow(clippy::disallowed_methods, reason = "the tests' own setting")]
            let given = std::env::var("POSTQ_TEST_DATABASE_URL");
            match given {
                Ok(url) if !url.is_empty() => SharedPostgres { url, _users: None },
                _ => find_or_start(&folder()),
            }
        })
    }
}

impl SharedPostgres {
    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of a schema that nobody has.
    pub fn fresh_schema(&self) -> String {
        format!("test_{}", &Uuid::new_v4().simple().to_string()[..20])
    }
}

/// One folder for each checkout.
fn folder() -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hasher = std::hash::DefaultHasher::new();
    checkout.hash(&mut hasher);
    std::env::temp_dir().join(format!("postq-test-servers-{:016x}", hasher.finish()))
}

fn find_or_start(folder: &Path) -> SharedPostgres {
    fs::create_dir_all(folder).expect("a folder for the shared server");
    // The server's user must reach its own folder inside.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("open the folder");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    let end = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                assert!(Instant::now() < end, "within {PATIENCE:?}: nobody else starts a server");
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::Error(error)) => panic!("lock \"{}\": {error}", folder.display()),
        }
    }
    let users = File::create(folder.join("users")).expect("a file for users");
    users.lock_shared().expect("nobody locks it for long");
    let url = running(folder).unwrap_or_else(|| start(folder));
    SharedPostgres { url, _users: Some(users) }
}

/// Where the server is that runs, if one does.
fn running(folder: &Path) -> Option<String> {
    let known = fs::read_to_string(folder.join("server")).ok()?;
    let mut lines = known.lines();
    let (pid, socket, url) = (lines.next()?, lines.next()?, lines.next()?);
    let is_there = is_alive(pid.parse().ok()?) && UnixStream::connect(socket).is_ok();
    is_there.then(|| url.to_owned())
}

fn start(folder: &Path) -> String {
    let cluster_folder = folder.join(Uuid::new_v4().simple().to_string());
    fs::create_dir(&cluster_folder).expect("a folder for the server");
    let cluster = Cluster::make(&cluster_folder, &[]);
    let pid = cluster.start();
    let url = cluster.url();
    let known = format!("{pid}\n{}\n{url}\n", cluster.socket().display());
    fs::write(folder.join("server"), known).expect("note the server");
    // In the background, so that it is nobody's child.
    let started = Command::new("sh")
        .args(["-c", &format!("( {WATCHDOG} ) &")])
        .current_dir(folder)
        .env("PID", pid.to_string())
        .env("CLUSTER", &cluster_folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status();
    assert!(started.is_ok_and(|status| status.success()), "the watchdog does not start");
    url
}
