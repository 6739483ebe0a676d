//! A gateway that only resets: it reads what a client sends first and answers with a RST, as Envoy
//! does where no filter chain matches. For tests that are not about gateways.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::libc::linger;
use nix::sys::socket::{self, setsockopt, sockopt};
use sni_probe_testkit::hello::ClientHelloBuilder;

use crate::netns::Namespace;
use crate::raw::{End, RawClient};

/// How long a client may keep silent, and how long it waits for its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Resets each connection to one port of a namespace, IPv4 and IPv6, one after the other.
#[derive(Debug)]
pub struct ResettingGateway {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl ResettingGateway {
    /// Listens on all addresses of `namespace`.
    ///
    /// # Errors
    /// When the port is in use.
    pub fn start(namespace: &Namespace, port: u16) -> Result<Self> {
        namespace.run_in_thread(|| Self::start_here(port))?
    }

    /// The same in the network namespace of this thread.
    ///
    /// # Errors
    /// When the port is in use.
    pub fn start_here(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        let listener = listener.with_context(|| format!("listening on {port}"))?;
        let accepting = listener.try_clone().context("a second descriptor")?;
        let thread = Some(thread::spawn(move || serve(&accepting)));
        Ok(Self { listener, thread })
    }
}

impl Drop for ResettingGateway {
    fn drop(&mut self) {
        // Wakes the accept, on Linux, with EINVAL.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(reset_after_first_bytes(stream)),
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            // The client has gone before the accept.
            Err(_) => {}
        }
    }
}

fn reset_after_first_bytes(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let count = stream.read(&mut [0; 16 * 1024])?;
    if count == 0 {
        return Ok(stream.shutdown(Shutdown::Both)?);
    }
    // Closing then sends a RST.
    Ok(setsockopt(&stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?)
}

/// Sends a hello without SNI from `namespace` and waits for its RST.
///
/// # Errors
/// When nobody listens, or what comes is no RST.
pub fn send_hello(namespace: &Namespace, gateway: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(namespace, gateway)?;
    client.send(&ClientHelloBuilder::new().build())?;
    let reply = client.read_first(PATIENCE)?;
    ensure!(reply.end == End::Reset, "expected a RST, got {reply:?}");
    Ok(())
}
