//! What a command meets on its way to a daemon: servers that are none, and connections that are cut.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::PATIENCE;

/// A server that answers every request with the same bytes.
pub(crate) fn answers(bytes: impl Into<Vec<u8>>, for_ever: bool) -> (String, Arc<AtomicUsize>) {
    let (listener, bytes) = (TcpListener::bind("127.0.0.1:0").unwrap(), bytes.into());
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = request(&mut stream);
            let _ = stream.write_all(&bytes);
            while for_ever && stream.write_all(&[b' '; 65_536]).is_ok() {}
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    (address, asked)
}

/// Reads a whole request.
fn request(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        read.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&read).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    read.extend(body);
    read
}

pub(crate) fn http(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: \
         close\r\n\r\n{body}"
    )
}

/// Stands before a daemon, and cuts the first connection when the daemon has answered.
pub(crate) fn cuts_the_first(listen: &str) -> (String, Arc<AtomicUsize>) {
    let (listener, listen) = (TcpListener::bind("127.0.0.1:0").unwrap(), listen.to_owned());
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            let asked = String::from_utf8(request(&mut client)).unwrap();
            // Without it, the daemon would keep the connection open.
            let asked = asked.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            let mut daemon = TcpStream::connect(&listen).unwrap();
            daemon.write_all(asked.as_bytes()).unwrap();
            let mut answer = Vec::new();
            daemon.read_to_end(&mut answer).unwrap();
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                client.write_all(&answer).unwrap();
            }
        }
    });
    (address, asked)
}
