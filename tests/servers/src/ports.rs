//! Ports that no two tests have at once.

use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Below those that Linux gives out by itself (32,768 and up), so that none is taken between being chosen and
/// being used; the bus of a Redis cluster, 10,000 above its port, is so, too.
const PORTS: Range<u16> = 10_000..20_000;

/// A port that nobody listens on, and that no other test chooses while this process lives: it can be used
/// later, left, and used again.
///
/// # Panics
///
/// If none is left.
pub fn free_port() -> u16 {
    let count = usize::from(PORTS.end - PORTS.start);
    // Processes that begin together look in different places.
    let begin = std::process::id() as usize * 37 % count;
    let mut ports = PORTS.cycle().skip(begin).take(count);
    ports.find(|port| reserve(*port)).expect("a free port")
}

/// Whether it is ours from now on. The mark is a socket without a file: the kernel takes it away with the
/// process, however that ends.
fn reserve(port: u16) -> bool {
    static MARKS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

    let name =
        SocketAddr::from_abstract_name(format!("postq-test-port-{port}")).expect("a short name");
    let Ok(mark) = UnixListener::bind_addr(&name) else { return false };
    // A server may outlive the test that has started it.
    let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok();
    if is_free {
        MARKS.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    }
    is_free
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| [(); 25].map(|()| free_port()))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("ports")).collect()
        });

        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()));
    }

    #[test]
    fn a_port_in_use_is_left_alone() {
        let port = free_port();
        let next = port + 1;
        // If that fails, somebody else does.
        let _server = TcpListener::bind(("127.0.0.1", next));

        assert!(!reserve(port), "it has been given");
        assert!(!reserve(next), "somebody listens there");
    }
}
