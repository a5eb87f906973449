//! Notices by mail: plain text, over TLS.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, NotifyError, chain};
use postq_core::id::JobId;
use postq_core::notifier::{Notice, Notifier};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::message::{one_line, plain, subject};
use super::smtp::{self, Encryption};
use super::{Place, failed};

/// How long a mail may take, from the connection on.
const WITHIN: Duration = Duration::from_secs(30);
/// Recipients of one mail.
const MOST_RECIPIENTS: usize = 20;

/// The channel `mail`: sends each notice to everybody that is named.
#[derive(Clone)]
pub struct Mail {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    place: Place,
    clock: Arc<dyn Clock>,
    roots: Vec<Certificate>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("host", &self.server.host).finish_non_exhaustive()
    }
}

/// What a URL says of a mail server.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    security: Security,
    login: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    /// From the first byte on.
    Tls,
    /// After a greeting in the clear, or not at all.
    StartTls,
    None,
}

impl Mail {
    /// Sends by the server at `url`:
    ///
    /// - `smtps://user:password@host` with TLS, port 465
    /// - `smtp://user:password@host` with STARTTLS, port 587; without TLS nothing is sent
    /// - `smtp://host:25?tls=none` in the clear; with a password only on loopback
    ///
    /// # Errors
    ///
    /// A URL or an address that cannot be.
    pub fn new(
        url: &SecretString,
        from: &str,
        to: &[String],
        place: Place,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MailError> {
        let server = Server::read(url.expose_secret()).map_err(MailError::Url)?;
        let from = mailbox(from).ok_or_else(|| MailError::From(from.to_owned()))?;
        let each = to.iter().map(|to| mailbox(to).ok_or_else(|| MailError::To(to.clone())));
        let to = each.collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() || to.len() > MOST_RECIPIENTS {
            return Err(MailError::Recipients(to.len()));
        }
        Ok(Self { server, from, to, place, clock, roots: Vec::new() })
    }

    /// Trusts this certificate authority besides the system's, in PEM.
    ///
    /// # Errors
    ///
    /// A text that is no certificate.
    pub fn with_root(mut self, pem: &[u8]) -> Result<Self, MailError> {
        let root = Certificate::from_pem(pem).map_err(|_| MailError::Root)?;
        self.roots.push(root);
        Ok(self)
    }

    /// The addresses that are told.
    pub fn recipients(&self) -> impl Iterator<Item = String> + '_ {
        self.to.iter().map(|to| to.email.to_string())
    }

    fn message(&self, id: JobId, notice: &Notice) -> Result<Message, NotifyError> {
        let wrong = |error: lettre::error::Error| failed(ErrorKind::Invalid, chain(&error));
        let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .subject(subject(notice))
            .date(SystemTime::from(self.clock.now()))
            // The same however often it is tried: a reader shows it once.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(auto, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.body(plain(notice, &self.place)).map_err(wrong)
    }

    fn encryption(&self) -> Result<Encryption, NotifyError> {
        Ok(match self.server.security {
            Security::Tls => Encryption::Tls(self.parameters()?),
            Security::StartTls => Encryption::StartTls(self.parameters()?),
            Security::None => Encryption::None,
        })
    }

    fn parameters(&self) -> Result<TlsParameters, NotifyError> {
        let mut builder = TlsParameters::builder(self.server.host.clone());
        for root in &self.roots {
            builder = builder.add_root_certificate(root.clone());
        }
        builder.build_rustls().map_err(|error| failed(ErrorKind::Unavailable, chain(&error)))
    }
}

#[async_trait]
impl Notifier for Mail {
    fn channel(&self) -> &str {
        "mail"
    }

    async fn notify(&self, id: JobId, notice: &Notice) -> Result<(), NotifyError> {
        let (message, encryption) = (self.message(id, notice)?, self.encryption()?);
        let Server { host, port, login, .. } = &self.server;
        let login = login.as_ref().map(|(user, password)| {
            Credentials::new(user.clone(), password.expose_secret().to_owned())
        });
        // A connection is made for each mail: they are rare.
        let sent = smtp::send(host, *port, encryption, login, &message);
        match tokio::time::timeout(WITHIN, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                // What the server refuses for good is not tried again.
                let kind = match error.is_permanent {
                    true => ErrorKind::Invalid,
                    false => ErrorKind::Unavailable,
                };
                let why = one_line(&error.why, 300);
                Err(failed(kind, format!("send a mail by \"{host}\": {why}")))
            }
            Err(_) => {
                let why = format!("send a mail by \"{host}\": no answer within {WITHIN:?}");
                Err(failed(ErrorKind::Unavailable, why))
            }
        }
    }
}

fn mailbox(text: &str) -> Option<Mailbox> {
    let is_plain = !text.chars().any(char::is_control);
    is_plain.then(|| text.trim().parse().ok()).flatten()
}

impl Server {
    fn read(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "it is no URL")?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("it must end after the host and the port");
        }
        let mut wants = None;
        for (key, value) in url.query_pairs() {
            match (key.as_ref(), value.as_ref()) {
                ("tls", "required") => wants = Some(Security::StartTls),
                ("tls", "none") => wants = Some(Security::None),
                ("tls", _) => return Err("tls is required or none"),
                _ => return Err("only ?tls= may stand behind it"),
            }
        }
        let (security, port) = match (url.scheme(), wants) {
            ("smtps", None) => (Security::Tls, 465),
            ("smtps", Some(_)) => return Err("smtps: always has TLS, so ?tls= says nothing"),
            ("smtp", None) if is_loopback(&host) => (Security::None, 25),
            ("smtp", None | Some(Security::StartTls)) => (Security::StartTls, 587),
            ("smtp", Some(_)) => (Security::None, 25),
            _ => return Err("it must begin with smtps:// or smtp://"),
        };
        let login = login(&url)?;
        if login.is_some() && security == Security::None && !is_loopback(&host) {
            return Err("a password is not sent in the clear; leave ?tls=none out");
        }
        Ok(Self { host, port: url.port().unwrap_or(port), security, login })
    }
}

fn login(url: &Url) -> Result<Option<(String, SecretString)>, &'static str> {
    let decode = |text: &str| {
        let text = percent_decoded(text).ok_or("the user or the password is no UTF-8")?;
        match text.chars().any(char::is_control) {
            true => Err("the user or the password has control characters"),
            false => Ok(text),
        }
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => {
            Ok(Some((decode(user)?, decode(password)?.into())))
        }
        _ => Err("it must name both a user and a password, or neither"),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |c: &u8| char::from(*c).to_digit(16);
                let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
                bytes.push(byte);
                (bytes, tail)
            }
            _ => {
                bytes.push(*first);
                (bytes, tail)
            }
        };
    }
    String::from_utf8(bytes).ok()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Why there can be no mail. Does not show the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The server's URL.
    #[error("{0}; expected smtps://user:password@host, or smtp://user:password@host for STARTTLS")]
    Url(&'static str),
    /// The sender's address.
    #[error("\"{0}\" is no mail address; expected one as postq@example.com")]
    From(String),
    /// A recipient's address.
    #[error("\"{0}\" is no mail address; expected some as ann@example.com, bob@example.com")]
    To(String),
    /// Too many recipients, or none.
    #[error("{0} recipients; expected 1 to {MOST_RECIPIENTS}")]
    Recipients(usize),
    /// A certificate authority.
    #[error("this is no certificate in PEM")]
    Root,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, u16, Security, Option<(String, String)>) {
        let server = Server::read(url).expect(url);
        let login = server.login.map(|(user, pass)| (user, pass.expose_secret().to_owned()));
        (server.host, server.port, server.security, login)
    }

    #[test]
    fn a_url_says_how_the_server_is_spoken_to() {
        let login = Some(("me@a".to_owned(), "p:w/ü".to_owned()));

        assert_eq!(
            read("smtps://me%40a:p%3Aw%2F%C3%BC@mail.example.com"),
            ("mail.example.com".to_owned(), 465, Security::Tls, login)
        );
        assert_eq!(read("smtp://mail:26").2, Security::StartTls, "never in the clear by chance");
        assert_eq!((read("smtp://mail").1, read("smtp://mail:26").1), (587, 26));
        assert_eq!(read("smtp://mail?tls=required").2, Security::StartTls);
        assert_eq!(read("smtp://mail?tls=none").2, Security::None);
        assert_eq!(read("smtp://u:p@127.0.0.1:2525").2, Security::None);
        assert_eq!(read("smtp://[::1]:2525").0, "::1");
        assert_eq!(read("smtp://localhost?tls=required").2, Security::StartTls);
    }

    #[test]
    fn what_cannot_be_is_told_without_the_password() {
        for bad in [
            "",
            "mail.example.com",
            "http://u:hunter2@mail",
            "smtp://u:hunter2@mail?tls=none",
            "smtp://u:hunter2@mail?tls=maybe",
            "smtp://u:hunter2@mail?auth=plain",
            "smtps://u:hunter2@mail?tls=none",
            "smtps://u:hunter2@mail/path",
            "smtps://u@mail",
            "smtps://:hunter2@mail",
            "smtps://u:hunter2%0d%0aRSET@mail",
            "smtps://u:hunter2%ff@mail",
        ] {
            let error = MailError::Url(Server::read(bad).err().expect(bad)).to_string();
            assert!(error.contains("expected smtps://") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_address_is_one_address() {
        assert!(mailbox("Ann <ann@example.com>").is_some() && mailbox(" a@b.example ").is_some());
        for bad in ["", "ann", "a@b\r\nBcc: c@d", "a@b, c@d", "a@b\nx"] {
            assert!(mailbox(bad).is_none(), "{bad}");
        }
    }
}
