//! The server: this program once more, as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use postq::core::clock::SystemClock;
use postq::engine::dry_run::DryRun;
use postq::engine::{Engine, Settings};
use postq::sqlite::SqliteStore;
use postq_web::Web;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fill::{FILE, Filled};

/// What the argument of a server begins with; its folder follows.
pub(crate) const MARK: &str = "serve:";

/// Where it is asked, and as whom.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// What every request has after its first line.
    pub(crate) head: String,
}

/// The process; ended when this is dropped.
pub(crate) struct Server {
    pub(crate) target: Arc<Target>,
    process: Child,
    /// Open, so that the server may write to it.
    _said: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(folder: &Path, filled: &Filled) -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut process = Command::new(this)
            .arg(format!("{MARK}{}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("its address");
        let address = line.trim().parse().expect("an address");
        let token = filled.token.expose_secret();
        let head = format!("host: localhost\r\nauthorization: Bearer {token}\r\n");
        Self { target: Arc::new(Target { address, head }), process, _said: said }
    }

    /// The processor time that it has taken.
    pub(crate) fn used(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("Linux tells it");
        // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th after it.
        let numbers = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
        let ticks: u32 = numbers.map(|ticks| ticks.parse::<u32>().expect("ticks")).sum();
        Duration::from_millis(10) * ticks
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("Linux tells it");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("its memory");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<f64>().expect("a number") / 1_024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input; what is left of it then is none of the figures.
        drop(self.process.stdin.take());
        self.process.wait().expect("it ends");
    }
}

/// Serves the store in this folder until the input ends.
pub(crate) fn run(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = SqliteStore::open(folder.join(FILE)).expect("a store");
        let engine = Engine::builder(store.backend())
            .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
            .settings(Settings::default())
            .build()
            .expect("settings that fit");
        let mut web = Web::new(engine.clone(), store.tokens(), store.idempotency());
        // Everything comes from one caller, who would be limited otherwise.
        web.settings.requests_per_second = NonZeroU32::new(1_000_000).expect("not 0");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));

        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop.cancel();
        });
        let engine = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { engine.run(shutdown).await }
        });
        postq_web::serve(listener, postq_web::router(web), shutdown).await.expect("served");
        engine.await.expect("the engine");
    });
}
