//! I6: credentials are sealed at rest, and in no log line, whatever the level; nor is a post's text.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use backends::{Bench, Running};
use fake_x::{FakeX, Fault, Faults};
use postq::core::account::Account;
use postq::core::machine::JobState;
use postq::core::store::BlockReason;
use postq::core::vault::{ChaChaVault, Vault};
use postq::x::{Config, X};
use postq_postgres::tokio_postgres::{NoTls, connect};
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::fmt::MakeWriter;

// In real time on every backend: there are real connections.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_publish_at_trace_level_tells_no_secret_and_no_text_memory() {
    let bench = Bench::memory_in_real_time();
    a_whole_publish_at_trace_level_tells_no_secret_and_no_text(bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_publish_at_trace_level_tells_no_secret_and_no_text_sqlite() {
    a_whole_publish_at_trace_level_tells_no_secret_and_no_text(Bench::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_publish_at_trace_level_tells_no_secret_and_no_text_postgres() {
    // The log begins before the first statement is sent.
    log();
    let bench = Bench::postgres().await;
    a_whole_publish_at_trace_level_tells_no_secret_and_no_text(bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_publish_at_trace_level_tells_no_secret_and_no_text_postgres_redis() {
    log();
    let bench = Bench::postgres_redis().await;
    a_whole_publish_at_trace_level_tells_no_secret_and_no_text(bench).await;
}

/// Everything that this process has logged.
#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Logs everything of every crate and thread, spans too, from the first call on.
fn log() -> &'static Buffer {
    static LOG: OnceLock<Buffer> = OnceLock::new();
    LOG.get_or_init(|| {
        let buffer = Buffer::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(buffer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only one");
        buffer
    })
}

const TEXTS: [&str; 6] = [
    "utterly private wording",
    "second quiet sentence",
    "third hushed remark",
    "fourth whisper",
    "fifth murmur",
    "sixth undertone",
];
/// The server knows no such user: it refuses the token.
const REFUSED: &str = "xoxb-refused-5f0c1a7e9d";

async fn seal(bench: &Bench, vault: &ChaChaVault, account: &mut Account, token: &str) -> Vec<u8> {
    let sealed = vault.seal(account.id, &SecretString::from(token.to_owned())).await.expect("seal");
    account.credentials = Some(sealed.clone());
    let updated = bench.backend.accounts.update(account, None).await.expect("update");
    assert_eq!(updated, postq::core::job::Applied::Applied);
    sealed.bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn a_whole_publish_at_trace_level_tells_no_secret_and_no_text(bench: Bench) {
    let log = log();
    let x = FakeX::start().await.expect("a free port");
    x.set_faults(Faults::script([
        Fault::Ok,
        Fault::BadRequestAfter,
        Fault::UnavailableAfter,
        Fault::LimitedUser,
    ]));
    let config = Config {
        base_url: x.base_url(),
        rate_limit: false,
        settle_time: Duration::from_millis(500),
        send_timeout: Duration::from_millis(700),
        ..Config::default()
    };
    let platform = X::new(config).expect("it fits");
    let vault = Arc::new(ChaChaVault::new(&[7; 32]));
    let mut good = bench.account("good", "x").await;
    let mut refused = bench.account("refused", "x").await;
    let mut foreign = bench.account("foreign", "x").await;
    let token = "tok-424242424242";
    let mut secrets = vec![
        hex(&seal(&bench, &vault, &mut good, token).await),
        hex(&seal(&bench, &vault, &mut refused, REFUSED).await),
        hex(&seal(&bench, &ChaChaVault::new(&[8; 32]), &mut foreign, token).await),
    ];
    let sealed = [&good, &refused, &foreign].map(|account| {
        let bytes = &account.credentials.as_ref().expect("sealed").bytes[..12];
        bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
    });
    secrets.extend(sealed);
    secrets.extend([token, REFUSED, "424242424242:"].map(str::to_owned));
    secrets.extend([hex(&[7; 32]), hex(&[8; 32])]);
    secrets.extend(TEXTS.map(str::to_owned));
    for text in &TEXTS[..4] {
        bench.say(text, &good, bench.now()).await;
    }
    bench.say(TEXTS[4], &refused, bench.now()).await;
    bench.say(TEXTS[5], &foreign, bench.now()).await;

    let _engine = Running::start(bench.engine().platform(Arc::new(platform)).vault(vault));
    // The limit asks for minutes: a person lifts it.
    let mut tries = 0;
    let jobs = loop {
        let jobs = bench.jobs().await;
        let out = jobs.iter().filter(|job| job.state == JobState::Succeeded).count();
        let blocks = bench.backend.blocks.blocks().await.expect("blocks");
        if out == 4
            && blocks.iter().filter(|b| b.reason == BlockReason::NeedsAttention).count() == 2
        {
            break jobs;
        }
        for block in blocks.iter().filter(|block| block.reason == BlockReason::RateLimit) {
            bench.backend.blocks.lift(&block.scope, block.reason).await.expect("lift");
        }
        tries += 1;
        assert!(tries < 2_000, "four are out, two wait for a person: {jobs:#?} {blocks:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    // What people are shown, and what programs print for a failure.
    let mut told = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    for job in &jobs {
        told += &serde_json::to_string(&job).expect("JSON");
        told += &format!("{:?}", bench.story(job.id()).await.events);
    }
    told += &format!("{:?}", bench.backend.blocks.blocks().await.expect("blocks"));
    told += &format!("{:?}", bench.backend.accounts.list(good.tenant_id).await.expect("accounts"));
    assert!(told.contains("attempt{") && told.contains("TRACE"), "it was logged");
    for secret in &secrets {
        if let Some(at) = told.find(secret.as_str()) {
            let from = told[..at].rfind('\n').map_or(0, |line| line + 1);
            let line = told[from..].lines().next().unwrap_or_default();
            panic!("\"{secret}\" is told: {line}");
        }
    }
    at_rest(&bench, token).await;
}

/// Neither the file and its log nor any table has a token in the clear.
async fn at_rest(bench: &Bench, token: &str) {
    if let Some(config) = bench.schema() {
        in_tables(config, token).await;
    }
    let Some(path) = bench.path() else { return };
    let folder = path.parent().expect("a folder");
    let mut read = 0;
    for file in std::fs::read_dir(folder).expect("the folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("read");
        read += bytes.len();
        for secret in [token, REFUSED] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a token is in the clear");
        }
    }
    assert!(read > 10_000, "the database was read");
}

async fn in_tables(config: &postq_postgres::Config, token: &str) {
    let (client, connection) =
        connect(config.url.expose_secret(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1";
    let tables = client.query(tables, &[&config.schema]).await.expect("tables");
    let mut read = 0;
    for table in &tables {
        let table: &str = table.get(0);
        let rows = format!("SELECT t::text FROM {}.{table} t", config.schema);
        for row in client.query(&rows, &[]).await.expect("rows") {
            let row: &str = row.get(0);
            read += row.len();
            for secret in [token, REFUSED] {
                // Bytes are shown in hex.
                let found = row.contains(secret) || row.contains(&hex(secret.as_bytes()));
                assert!(!found, "a token is in the clear in \"{table}\"");
            }
        }
    }
    assert!(read > 2_000, "the tables were read: {read}");
}
