//! Encrypted connections: what each `sslmode` checks.

use postq_core::error::{ErrorKind, chain};
use postq_postgres::{Config, PgStore};
use test_servers::Postgres;
use tokio_postgres::NoTls;

fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned(), "127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_checks_what_it_promises() {
    let (cert, key) = certificate("localhost");
    let server = Postgres::start_with_tls(&cert, &key);
    let (admin, connection) = tokio_postgres::connect(&server.url(), NoTls).await.expect("admin");
    tokio::spawn(connection);
    let role = "CREATE ROLE safe SUPERUSER LOGIN PASSWORD 'opensesame'";
    admin.batch_execute(role).await.expect("a role");
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("ours.pem"), folder.path().join("theirs.pem"));
    std::fs::write(&ours, &cert).expect("write it");
    std::fs::write(&theirs, certificate("localhost").0).expect("write it");
    let url = server.tcp_url("safe", "opensesame");
    let verified = |roots: &std::path::Path| {
        format!("{url}?sslmode=verify-full&sslrootcert={}", roots.display())
    };
    let encrypted = async |url: &str| {
        let store = PgStore::open(Config::new(url)).await?;
        let all = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                   WHERE usename = 'safe'";
        let all: bool = admin.query_one(all, &[]).await.expect("look").get(0);
        store.close();
        Ok::<_, postq_core::error::StoreError>(all)
    };

    assert!(encrypted(&url).await.expect("prefer is the default"));
    assert!(encrypted(&format!("{url}?sslmode=require")).await.expect("any certificate"));
    assert!(encrypted(&verified(&ours)).await.expect("the right certificate"));
    assert!(!encrypted(&format!("{url}?sslmode=disable")).await.expect("in the clear"));
    let wrong = verified(&theirs);
    let missing = verified(&folder.path().join("none.pem"));
    let public = format!("{url}?sslmode=verify-full");
    for (url, kind, told) in [
        (&wrong, ErrorKind::Invalid, "sslrootcert"),
        (&public, ErrorKind::Invalid, "sslrootcert"),
        (&missing, ErrorKind::Invalid, "none.pem"),
    ] {
        let error = encrypted(url).await.expect_err("it is not trusted");
        let text = chain(&error);
        assert_eq!(error.kind(), kind, "{url}: {text}");
        assert!(text.contains(told) && !text.contains("opensesame"), "{url}: {text}");
    }
}
