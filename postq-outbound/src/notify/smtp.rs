//! One mail, brought to its server. What the server says is bounded: the library reads a line for as long
//! as it goes on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
#[allow(deprecated, reason = "there is no other way to begin TLS before the first word")]
use lettre::transport::smtp::client::AsyncNetworkStream;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use postq_core::error::chain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// What a server may say in all, its certificates included: many times what one says.
const MOST_SAID: usize = 256 * 1_024;

/// Leave is taken within this.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the connection is encrypted.
pub(super) enum Encryption {
    /// From the first byte on.
    Tls(TlsParameters),
    /// After a greeting in the clear, or nothing is sent.
    StartTls(TlsParameters),
    None,
}

/// Why a mail was not taken.
pub(super) struct NotSent {
    /// The server will not take it later either.
    pub(super) is_permanent: bool,
    pub(super) why: String,
}

impl From<lettre::transport::smtp::Error> for NotSent {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Self { is_permanent: error.is_permanent(), why: chain(&error) }
    }
}

impl From<io::Error> for NotSent {
    fn from(error: io::Error) -> Self {
        Self { is_permanent: false, why: error.to_string() }
    }
}

/// Connects, says who it is, hands the mail over, and takes leave.
pub(super) async fn send(
    host: &str,
    port: u16,
    encryption: Encryption,
    login: Option<Credentials>,
    message: &Message,
) -> Result<(), NotSent> {
    let stream = TcpStream::connect((host, port)).await?;
    let stream = Box::new(Bounded { stream, left: MOST_SAID });
    let name = ClientId::default();
    let mut connection = match encryption {
        Encryption::None => AsyncSmtpConnection::connect_with_transport(stream, &name).await?,
        Encryption::StartTls(tls) => {
            let mut plain = AsyncSmtpConnection::connect_with_transport(stream, &name).await?;
            plain.starttls(tls, &name).await?;
            plain
        }
        Encryption::Tls(tls) => {
            let stream = Box::new(Encrypted::over(stream, tls).await?);
            AsyncSmtpConnection::connect_with_transport(stream, &name).await?
        }
    };
    if let Some(login) = &login {
        connection.auth(DEFAULT_MECHANISMS, login).await?;
    }
    connection.send(message.envelope(), &message.formatted()).await?;
    // It is taken: how the server takes leave, and whether it does, changes nothing.
    let _ = tokio::time::timeout(FAREWELL, connection.abort()).await;
    Ok(())
}

/// A connection on which the other side may say so much.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let said = buf.filled().len() - before;
        let Some(left) = self.left.checked_sub(said) else {
            let what = format!("the server says more than {} KiB", MOST_SAID / 1_024);
            return Poll::Ready(Err(io::Error::other(what)));
        };
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// The same, encrypted.
#[allow(deprecated, reason = "there is no other way to begin TLS before the first word")]
struct Encrypted {
    stream: Compat<AsyncNetworkStream>,
}

#[allow(deprecated, reason = "there is no other way to begin TLS before the first word")]
impl Encrypted {
    async fn over(
        stream: Box<Bounded>,
        tls: TlsParameters,
    ) -> Result<Self, lettre::transport::smtp::Error> {
        let mut stream = AsyncNetworkStream::use_existing_tokio1(stream);
        stream.upgrade_tls(tls).await?;
        Ok(Self { stream: stream.compat() })
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().peer_addr()
    }
}

macro_rules! writes_to_its_stream {
    ($($type:ty),+) => {$(
        impl AsyncWrite for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(cx, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(cx)
            }
        }
    )+};
}

writes_to_its_stream!(Bounded, Encrypted);
