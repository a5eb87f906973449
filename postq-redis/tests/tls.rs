//! Over TLS, with a certificate of the user's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use postq_core::error::{ErrorKind, chain};
use postq_core::job::Topic;
use postq_core::queue::{Queue, Reserve};
use postq_redis::{Config, Redis, Server};
use secrecy::SecretString;
use test_servers::{Redis as TestServer, free_port};

/// Makes a certificate for 127.0.0.1 that is its own authority.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in ["key.pem", "cert.pem"] {
        let read = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
        fs::set_permissions(folder.join(file), read).expect("make it readable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_over_tls_and_trusts_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("let the server in");
    certificate(folder.path());
    let (key, cert) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let port = free_port();
    let _server = TestServer::start_with(&[
        &format!("tls-port {port}"),
        &format!("tls-cert-file {}", cert.display()),
        &format!("tls-key-file {}", key.display()),
        "tls-auth-clients no",
        "requirepass s3cret",
    ]);
    let password = Some(SecretString::from("s3cret"));
    let at = Server { port, password, tls: true, ..Server::new("127.0.0.1") };
    let mut config = Config::at(&at);

    let stranger = Redis::new(config.clone()).expect("settings that fit");
    let error = stranger.check().await.expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("ertificate"), "{}", chain(&error));

    config.root_certificates = Some(cert);
    let redis = Redis::new(config.clone()).expect("settings that fit");
    redis.check().await.expect("it is trusted now");
    let wait = Reserve::up_to(1, Topic::publish()).waiting(std::time::Duration::from_millis(50));
    assert!(redis.queue().reserve(&wait).await.expect("reserve").is_empty());

    config.root_certificates = Some(folder.path().join("none.pem"));
    let error = Redis::new(config).expect_err("there is no such file");
    assert!(chain(&error).contains("none.pem"), "{}", chain(&error));
}
