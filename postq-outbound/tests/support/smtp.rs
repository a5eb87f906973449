//! A small mail server: speaks SMTP, with and without TLS, and fails as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What it does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Says 451 to the first mail's sender, and takes the next.
    BusyOnce,
    /// Says 550 to every recipient.
    NoSuchUser,
    /// Says 535 to every password.
    WrongPassword,
    /// Says nothing at all.
    Silent,
    /// Begins its greeting, and never ends the line.
    Endless,
    /// Closes the connection in the middle of a mail.
    CutsOff,
    /// Says nothing of STARTTLS, as if somebody between had taken it out.
    HidesTls,
}

/// How it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    None,
    Start,
    Wrapped,
}

/// A mail that it took.
#[derive(Clone, Debug)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// The decoded answer to AUTH.
    pub login: Option<String>,
    pub secure: bool,
    pub data: String,
}

#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    /// Its certificate, which signs itself.
    pub root: String,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    mails: Mutex<Vec<Mail>>,
    /// Everything that was said to it in the clear.
    clear: Mutex<String>,
    connections: Mutex<usize>,
    /// Bytes of a line without an end.
    said: Mutex<usize>,
}

impl MailServer {
    pub async fn start(tls: Tls, fault: Fault) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let _already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (mut task, kept) = (JoinSet::new(), Arc::clone(&state));
        task.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *kept.connections.lock().unwrap() += 1;
                let (state, acceptor) = (Arc::clone(&kept), acceptor.clone());
                sessions.spawn(async move {
                    let _ended = accept(stream, &acceptor, tls, fault, &state).await;
                });
            }
        });
        Self { address, root: made.cert.pem(), state, _task: task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().unwrap().clone()
    }

    pub fn said_in_the_clear(&self) -> String {
        self.state.clear.lock().unwrap().clone()
    }

    /// How much of a line without an end was listened to, or is on its way.
    pub fn said(&self) -> usize {
        *self.state.said.lock().unwrap()
    }

    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }
}

/// Says one line until nobody listens any more.
async fn go_on<S: AsyncWrite + Unpin>(mut stream: S, state: &State) -> std::io::Result<()> {
    stream.write_all(b"220 ").await?;
    loop {
        stream.write_all(&[b'a'; 4_096]).await?;
        *state.said.lock().unwrap() += 4_096;
    }
}

async fn accept(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    tls: Tls,
    fault: Fault,
    state: &State,
) -> std::io::Result<()> {
    if fault == Fault::Silent {
        std::future::pending::<()>().await;
    }
    if tls == Tls::Wrapped {
        let mut secure = BufReader::new(acceptor.accept(stream).await?);
        if fault == Fault::Endless {
            return go_on(secure, state).await;
        }
        secure.write_all(b"220 test ESMTP\r\n").await?;
        return talk(&mut secure, Tls::None, fault, state, true).await.map(|_| ());
    }
    if fault == Fault::Endless {
        return go_on(stream, state).await;
    }
    let mut plain = BufReader::new(stream);
    plain.write_all(b"220 test ESMTP\r\n").await?;
    let offers = if fault == Fault::HidesTls { Tls::None } else { tls };
    if talk(&mut plain, offers, fault, state, false).await? {
        let mut secure = BufReader::new(acceptor.accept(plain.into_inner()).await?);
        talk(&mut secure, Tls::None, fault, state, true).await?;
    }
    Ok(())
}

/// Answers true if TLS is to begin.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    offers: Tls,
    fault: Fault,
    state: &State,
    secure: bool,
) -> std::io::Result<bool> {
    let mut mail = new_mail(secure);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        if !secure {
            state.clear.lock().unwrap().push_str(&line);
        }
        let words = line.trim_end();
        let verb = words.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" if offers == Tls::Start => "250-test\r\n250 STARTTLS",
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN",
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await?;
                return Ok(true);
            }
            "AUTH" if fault == Fault::WrongPassword => "535 5.7.8 not accepted",
            "AUTH" => {
                mail.login = words.rsplit(' ').next().map(str::to_owned);
                "235 welcome"
            }
            "MAIL" if fault == Fault::BusyOnce && *state.connections.lock().unwrap() == 1 => {
                "451 4.3.0 busy, come again"
            }
            "MAIL" => {
                mail.from = address(words);
                "250 ok"
            }
            "RCPT" if fault == Fault::NoSuchUser => "550 5.1.1 no such user",
            "RCPT" => {
                mail.to.push(address(words));
                "250 ok"
            }
            "DATA" if fault == Fault::CutsOff => return Ok(false),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                mail.data = data(stream).await?;
                let login = mail.login.clone();
                let whole = std::mem::replace(&mut mail, Mail { login, ..new_mail(secure) });
                state.mails.lock().unwrap().push(whole);
                "250 taken"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(false);
            }
            _ => "250 ok",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

fn new_mail(secure: bool) -> Mail {
    Mail { from: String::new(), to: Vec::new(), login: None, secure, data: String::new() }
}

fn address(words: &str) -> String {
    let inside = words.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

async fn data<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n.\r\n") {
        all.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&all[..all.len() - 5]).into_owned())
}
