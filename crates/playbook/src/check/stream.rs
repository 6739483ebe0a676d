//! A TCP connection that ends at a deadline, and whose first bytes are kept.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes that are kept to tell what was answered: the head of a record, a line of HTTP.
const MAX_FIRST_BYTES: usize = 64;
/// Bytes of an answer. A chain of certificates has 64 KiB at most in rustls; whoever sends more is no gateway.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long the gateway gets for its end of a session that was good, so that its log has no reset of ours.
const FAREWELL: Duration = Duration::from_millis(200);

/// A connection to a gateway.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    deadline: Instant,
    first: Vec<u8>,
    bytes: usize,
}

impl Stream {
    /// Connects, and ends all that is done with it `timeout` after now.
    ///
    /// # Errors
    /// As [`TcpStream::connect_timeout`].
    pub(super) fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let tcp = TcpStream::connect_timeout(&address, timeout)?;
        // A hello is one write; what follows it should not wait for the acknowledgement.
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, deadline, first: Vec::new(), bytes: 0 })
    }

    /// The first bytes of the answer.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    /// Reads what comes within this time.
    ///
    /// # Errors
    /// As [`Read::read`]; nothing within the time is `WouldBlock` or `TimedOut`.
    pub(super) fn read_within(&mut self, time: Duration, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = std::mem::replace(&mut self.deadline, Instant::now() + time);
        self.deadline = self.deadline.min(deadline);
        let read = self.read(buffer);
        self.deadline = deadline;
        read
    }

    /// Ends the connection in good order, within a short time.
    pub(super) fn close(mut self) {
        self.deadline = Instant::now() + FAREWELL;
        // If it is gone already, all the better.
        let _ = self.tcp.shutdown(Shutdown::Write);
        while matches!(self.read(&mut [0; 4096]), Ok(1..)) {}
    }

    fn remaining(&self) -> io::Result<Option<Duration>> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(remaining)) }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes >= MAX_ANSWER_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer has no end"));
        }
        self.tcp.set_read_timeout(self.remaining()?)?;
        let count = self.tcp.read(buffer)?;
        let kept = count.min(MAX_FIRST_BYTES.saturating_sub(self.first.len()));
        self.first.extend_from_slice(&buffer[..kept]);
        self.bytes += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(self.remaining()?)?;
        self.tcp.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_answer_without_an_end_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(&[b'x'; 16 << 10]).is_ok() {}
        });
        let mut stream = Stream::connect(address, Duration::from_secs(30)).unwrap();
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(answer.len() < 2 * MAX_ANSWER_BYTES, "{}", answer.len());
        assert_eq!(stream.first().len(), MAX_FIRST_BYTES);
        drop(stream);
        server.join().unwrap();
    }

    #[test]
    fn drops_that_come_slowly_do_not_move_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let mut stream = Stream::connect(address, Duration::from_millis(100)).unwrap();
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        drop(stream);
        server.join().unwrap();
    }
}
