//! Content that comes in pieces from somewhere, as a reader.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use super::MediaReader;

/// Pieces that wait to be read.
const AHEAD: usize = 4;

/// What gives the pieces of some content. Dropped, the content has ended: who cannot give the rest must
/// give an error.
pub type PieceSender = mpsc::Sender<io::Result<Vec<u8>>>;

/// A reader of pieces that are given one by one; who gives waits for who reads.
pub fn pieces() -> (PieceSender, MediaReader) {
    let (give, pieces) = mpsc::channel(AHEAD);
    (give, Box::new(Pieces { pieces, piece: Vec::new(), read: 0 }))
}

struct Pieces {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    read: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read == self.piece.len() {
            match ready!(self.pieces.poll_recv(cx)) {
                Some(piece) => {
                    self.piece = piece?;
                    self.read = 0;
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let give = buf.remaining().min(self.piece.len() - self.read);
        buf.put_slice(&self.piece[self.read..self.read + give]);
        self.read += give;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_read_in_order_up_to_their_end_or_error() {
        let (give, mut reader) = pieces();
        for piece in [&b"ab"[..], b"", b"cde"] {
            give.send(Ok(piece.to_vec())).await.unwrap();
        }
        drop(give);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"abcde");

        let (give, mut reader) = pieces();
        give.send(Ok(vec![1])).await.unwrap();
        give.send(Err(io::Error::other("cut"))).await.unwrap();
        assert!(reader.read_to_end(&mut read).await.is_err());
    }
}
