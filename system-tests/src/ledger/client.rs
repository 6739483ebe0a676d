//! The clients: many at once, each with a source port of its own that it uses again and again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::behaviour::{Behaviour, Gateway, Opening, Port, Then};
use super::connection::Connection;
use super::generator::Generator;
use super::hello::{AFTER_HELLO, Mark, RANDOM_END, SMALL_TEMPLATES, Template};
use super::list::{Family, List, Place};
use super::meetings::{Meeting, Meetings, Stage};
use super::pace::Pace;
use super::table::{BEHAVIOURS, SERVED, all_shares, choose};
use super::{HTTP_REQUEST, Settings, answers};
use crate::raw::End;

/// The source port of the first client.
const FIRST_SOURCE: u16 = 20_000;
/// Connections of a client that both sides may have forgotten within three times the handshake timeout.
const MAX_LOST: usize = 4;
/// Between a connection and one with TCP fast open from the same port. Linux advances initial sequence numbers by 15,625 in
/// a millisecond; without the pause, those of the new connection's SYN may be among the old one's, and nothing in a packet
/// of the old one that is still on the way would show that it is none of the new one's (docs/limits.md).
const FAST_OPEN_PAUSE: Duration = Duration::from_millis(5);
/// How often a connection may be refused.
const MAX_REFUSALS: u32 = 3;
/// Until a source port that the kernel still holds is tried again.
const SOURCE_RETRY: Duration = Duration::from_millis(20);
/// What a silent gateway's client waits beyond the observer's timeout.
const AFTER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may take. Retransmissions are within it.
const PATIENCE: Duration = Duration::from_mins(2);
/// What a client sends that uses a connection: several segments.
const MANY_BYTES: usize = 20_000;
/// How long a client without a hello stays at most, in milliseconds.
const MAX_IDLE: u32 = 200;

/// Runs all clients in the calling thread's namespace, at the pace of the observer's events, and gives their list.
pub(super) fn run(settings: &Settings, meetings: &Arc<Meetings>, events: &Path) -> Result<List> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Rc::new(Shared {
        settings: settings.clone(),
        meetings: Arc::clone(meetings),
        templates: Template::all(),
        list: RefCell::new(List::new()),
        pace: Pace::new(),
    });
    let tasks = LocalSet::new();
    for index in 0..settings.clients {
        let client = LedgerClient::new(Rc::clone(&shared), index);
        tasks.spawn_local(client.run());
    }
    runtime.block_on(async {
        tokio::select! {
            () = tasks => Ok(()),
            result = shared.pace.follow(events) => result,
        }
    })?;
    let shared = Rc::into_inner(shared).context("a client is still there")?;
    Ok(shared.list.into_inner())
}

/// What all clients share.
struct Shared {
    settings: Settings,
    meetings: Arc<Meetings>,
    templates: Vec<Template>,
    list: RefCell<List>,
    pace: Pace,
}

impl Shared {
    fn settle(&self, number: u64, took: Duration) {
        self.list.borrow_mut().settle(number, took);
        self.pace.settle();
    }

    fn is_enough(&self) -> bool {
        self.list.borrow().entries.len() as u64 >= self.settings.handshakes
    }
}

/// A handshake of which the client has forgotten the connection: what becomes of it shows when it connects again.
struct Forgotten {
    number: u64,
    began: Instant,
    place: Place,
    by_both: bool,
}

struct LedgerClient {
    shared: Rc<Shared>,
    source: u16,
    generator: Generator,
    forgotten: Option<Forgotten>,
    /// When the last connections were forgotten by both sides.
    lost: VecDeque<Instant>,
}

/// A hello that is about to be sent.
struct Hello {
    number: u64,
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    meeting: Meeting,
}

impl LedgerClient {
    fn new(shared: Rc<Shared>, index: u16) -> Self {
        let seed = shared.settings.seed.wrapping_add(u64::from(index) << 32);
        Self {
            shared,
            source: FIRST_SOURCE + index,
            generator: Generator::new(seed),
            forgotten: None,
            lost: VecDeque::new(),
        }
    }

    async fn run(mut self) {
        while !self.shared.is_enough() || self.forgotten.is_some() {
            self.shared.pace.wait().await;
            let (line, place) = self.next();
            let behaviour = &BEHAVIOURS[line];
            if behaviour.opening.has_hello() {
                self.handshake(line, place).await;
            } else {
                let result = patiently(self.connection_without_hello(behaviour, place)).await;
                let mut list = self.shared.list.borrow_mut();
                list.others[line] += 1;
                if let Err(error) = result {
                    list.astray.add(behaviour.name, || format!("{place:?}: {error:#}"));
                }
            }
        }
    }

    /// The next behaviour, and where. After a connection that was forgotten before its outcome: there, and
    /// nothing that could become its outcome before the client's RST.
    fn next(&mut self) -> (usize, Place) {
        let family = if self.generator.below(4) == 0 { Family::V6 } else { Family::V4 };
        let may_lose = self.may_lose();
        loop {
            let line = choose(self.generator.below(all_shares()));
            let behaviour = &BEHAVIOURS[line];
            let place = Place { family, source: self.source, port: behaviour.port.number() };
            match &self.forgotten {
                None if behaviour.then == Then::ForgetBoth && !may_lose => {}
                None => return (line, place),
                Some(forgotten) if forgotten.by_both => return (SERVED, forgotten.place),
                Some(Forgotten { place, .. }) => {
                    if place.port == behaviour.port.number() && behaviour.opening != Opening::FastOpen {
                        return (line, *place);
                    }
                }
            }
        }
    }

    /// Whether both sides may forget another connection now. Observers take it for one that is under way, and have room for
    /// a few such connections with the same addresses and ports.
    fn may_lose(&mut self) -> bool {
        let time = 3 * self.shared.settings.handshake_timeout;
        self.lost.retain(|at| at.elapsed() < time);
        self.lost.len() < MAX_LOST
    }

    async fn connection_without_hello(&mut self, behaviour: &Behaviour, place: Place) -> Result<()> {
        let connection = self.connect(place, false).await?;
        let mut received = Vec::new();
        match behaviour.opening {
            Opening::Http => {
                connection.send(HTTP_REQUEST).await?;
                let end = connection.receive(&mut received, usize::MAX).await?;
                ensure!(end == Some(End::Closed), "expected a FIN, got {end:?}");
            }
            Opening::OneByte => {
                connection.send(b"P").await?;
                connection.finish()?;
                let end = connection.receive(&mut received, usize::MAX).await?;
                ensure!(end == Some(End::Closed), "expected a FIN, got {end:?}");
            }
            _ if behaviour.gateway == Gateway::HungUp => {
                let end = connection.receive(&mut received, 1).await?;
                ensure!(end == Some(End::Closed), "expected a FIN, got {end:?}");
            }
            _ => {
                let idle = Duration::from_millis(self.generator.below(MAX_IDLE).into());
                tokio::time::sleep(idle).await;
            }
        }
        self.close(connection).await
    }

    /// A handshake, from its entry in the list to what is known of its outcome.
    async fn handshake(&mut self, line: usize, place: Place) {
        let behaviour = &BEHAVIOURS[line];
        let hello = self.begin(line, place);
        let number = hello.number;
        let began = Instant::now();
        let result = patiently(self.handshake_by(behaviour, place, hello)).await;
        self.shared.meetings.end(number);
        match result {
            Ok(Some(seen)) => self.shared.settle(number, seen.duration_since(began)),
            // It is settled when this client has connected again.
            Ok(None) => {}
            // Linux refuses a SYN with data now and then, with a RST of sequence number 0.
            Err(error) if behaviour.opening == Opening::FastOpen && is_reset(&error) => {
                self.shared.list.borrow_mut().refuse(number, began.elapsed());
                self.shared.pace.settle();
            }
            Err(error) => self
                .shared
                .list
                .borrow_mut()
                .astray
                .add(behaviour.name, || format!("{number} {place:?}: {error:#}")),
        }
    }

    /// Enters the next handshake into the list.
    fn begin(&mut self, line: usize, place: Place) -> Hello {
        let shared = Rc::clone(&self.shared);
        let behaviour = &BEHAVIOURS[line];
        // A gateway that has hung up may reset the connection after the first of several segments.
        let is_small = behaviour.gateway == Gateway::HungUp;
        let template = self.generator.index(if is_small { SMALL_TEMPLATES } else { shared.templates.len() });
        let length = shared.templates[template].len();
        let sent = if behaviour.opening.is_complete() {
            length
        } else {
            RANDOM_END + self.generator.index(length - RANDOM_END)
        };
        let number = shared.list.borrow_mut().begin(line, template, sent, place);
        let mark = Mark {
            number,
            behaviour: u8::try_from(line).expect("a short table"),
            bytes: u16::try_from(sent).expect("a hello has less than 64 KiB"),
        };
        let bytes = shared.templates[template].with(&mark.random(shared.settings.seed));
        Hello { number, bytes, sent, meeting: shared.meetings.begin(number) }
    }

    /// Gives the time when the outcome was seen, unless that is still to come.
    async fn handshake_by(
        &mut self,
        behaviour: &Behaviour,
        place: Place,
        hello: Hello,
    ) -> Result<Option<Instant>> {
        let connection = self.connect(place, behaviour.opening == Opening::FastOpen).await?;
        if matches!(behaviour.opening, Opening::AfterHangUp | Opening::PartAfterHangUp) {
            if behaviour.port == Port::Resetting {
                self.shared.meetings.hang_up(place.client()).notified().await;
            } else {
                let end = connection.receive(&mut Vec::new(), 1).await?;
                ensure!(end == Some(End::Closed), "expected a FIN, got {end:?}");
            }
        }
        let began = Instant::now();
        self.send(&connection, behaviour, &hello).await?;
        let meeting = &hello.meeting;
        match behaviour.then {
            Then::Wait | Then::Use => return self.see(connection, behaviour, &hello).await.map(Some),
            Then::HalfClose => {
                connection.finish()?;
                return self.see(connection, behaviour, &hello).await.map(Some);
            }
            Then::Close => {
                drop(connection);
                meeting.reach(Stage::Acted).await;
            }
            Then::Reset => {
                meeting.reach(Stage::Received).await;
                connection.reset()?;
            }
            Then::ResetAtOnce => connection.reset()?,
            Then::HalfCloseReset => {
                connection.finish()?;
                meeting.reach(Stage::Acted).await;
                connection.reset()?;
            }
            Then::Forget | Then::ForgetBoth => {
                let by_both = behaviour.then == Then::ForgetBoth;
                let stage = if by_both { Stage::Acted } else { Stage::Received };
                meeting.reach(stage).await;
                connection.forget()?;
                if by_both {
                    self.lost.push_back(Instant::now());
                }
                self.forgotten = Some(Forgotten { number: hello.number, began, place, by_both });
                return Ok(None);
            }
        }
        Ok(Some(Instant::now()))
    }

    /// Connects from the client's own port, as often as it takes until the kernel gives it.
    async fn connect(&mut self, place: Place, fast_open: bool) -> Result<Connection> {
        let mut refusals = 0;
        if fast_open {
            tokio::time::sleep(FAST_OPEN_PAUSE).await;
        }
        let stream = loop {
            match try_connect(place.client(), place.gateway(), fast_open).await {
                Ok(stream) => break stream,
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                    tokio::time::sleep(SOURCE_RETRY).await;
                }
                // Seen once in 50,000 connections, though the gateway listens.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && refusals < MAX_REFUSALS => {
                    refusals += 1;
                    tokio::time::sleep(SOURCE_RETRY).await;
                }
                Err(error) => return Err(error).context("connecting"),
            }
        };
        if let Some(forgotten) = self.forgotten.take() {
            self.shared.settle(forgotten.number, forgotten.began.elapsed());
        }
        Connection::new(stream)
    }

    async fn send(&mut self, connection: &Connection, behaviour: &Behaviour, hello: &Hello) -> Result<()> {
        let bytes = &hello.bytes[..hello.sent];
        if behaviour.gateway == Gateway::ResetUnread {
            return connection.send(&[bytes, AFTER_HELLO].concat()).await;
        }
        if behaviour.opening != Opening::Segments {
            return connection.send(bytes).await;
        }
        let mut rest = bytes;
        for _ in 0..=self.generator.below(3) {
            let cut = 1 + self.generator.index(rest.len() - 1);
            connection.send(&rest[..cut]).await?;
            rest = &rest[cut..];
            if rest.len() < 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
        connection.send(rest).await
    }

    /// Sees what the gateway does, ends the connection, and gives the time when there was no more to see.
    async fn see(&mut self, connection: Connection, behaviour: &Behaviour, hello: &Hello) -> Result<Instant> {
        let meeting = &hello.meeting;
        let mut received = Vec::new();
        let answer = answers::answer(behaviour.gateway);
        let end = match behaviour.gateway {
            Gateway::Retry | Gateway::RetryReset => {
                let retry = sni_probe_testkit::answers::hello_retry_request();
                let end = connection.receive(&mut received, retry.len()).await?;
                ensure!(end.is_none() && received == retry, "expected a HelloRetryRequest, got {end:?}");
                connection.send(&hello.bytes).await?;
                received.clear();
                self.see_answer(&connection, behaviour, &answer, &mut received).await?
            }
            Gateway::Silence | Gateway::SilenceAfterEnd => {
                let is_silence = behaviour.gateway == Gateway::Silence;
                let stage = if is_silence { Stage::Received } else { Stage::Acted };
                meeting.reach(stage).await;
                let wait = self.shared.settings.handshake_timeout + AFTER_TIMEOUT;
                let nothing = tokio::time::timeout(wait, connection.receive(&mut received, 1)).await;
                ensure!(nothing.is_err(), "expected nothing, got {nothing:?} and {received:?}");
                None
            }
            Gateway::HungUp => match behaviour.port {
                Port::HalfClosing => {
                    let is_part = behaviour.opening == Opening::PartAfterHangUp;
                    let stage = if is_part { Stage::Acted } else { Stage::Received };
                    meeting.reach(stage).await;
                    None
                }
                Port::Resetting => {
                    connection.forget()?;
                    return Ok(Instant::now());
                }
                _ => {
                    connection.wait_reset().await?;
                    Some(End::Reset)
                }
            },
            _ => self.see_answer(&connection, behaviour, &answer, &mut received).await?,
        };
        let seen = Instant::now();
        meeting.advance(Stage::ClientDone);
        if behaviour.then == Then::Use {
            // The gateway may end the connection meanwhile.
            connection.send(&vec![0x17; MANY_BYTES]).await.ok();
        }
        if end != Some(End::Reset) {
            self.close(connection).await?;
        }
        Ok(seen)
    }

    /// Receives `answer`, and the end that follows it.
    async fn see_answer(
        &self,
        connection: &Connection,
        behaviour: &Behaviour,
        answer: &answers::Answer,
        received: &mut Vec<u8>,
    ) -> Result<Option<End>> {
        let end = match answer.end {
            None => connection.receive(received, answer.bytes.len()).await?,
            Some(_) => connection.receive(received, usize::MAX).await?,
        };
        if end == Some(End::Reset) && end != answer.end {
            return Err(io::Error::from(ErrorKind::ConnectionReset)).context("expected no RST");
        }
        ensure!(end == answer.end, "expected the end {:?}, got {end:?}", answer.end);
        // A RST discards what is on the way.
        let is_expected = end == Some(End::Reset) || *received == answer.bytes;
        ensure!(is_expected, "{:?}: expected {:02x?}, got {received:02x?}", behaviour.gateway, answer.bytes);
        Ok(end)
    }

    /// Ends a connection whose outcome is known: with a FIN, and waits for the gateway's; with a RST; without a packet.
    async fn close(&mut self, connection: Connection) -> Result<()> {
        match self.generator.below(8) {
            0..4 => {
                // Where the client has closed its side before, the connection may be over.
                connection.finish().ok();
                connection.drain().await?;
                Ok(())
            }
            4..7 => connection.reset(),
            _ => connection.forget(),
        }
    }
}

/// Waits for what a client does, but not for ever.
async fn patiently<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(PATIENCE, what).await;
    done.with_context(|| format!("not done within {} s", PATIENCE.as_secs()))?
}

/// Whether the gateway has refused or reset the connection.
fn is_reset(error: &anyhow::Error) -> bool {
    let error = error.root_cause().downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
    })
}

async fn try_connect(client: SocketAddr, gateway: SocketAddr, fast_open: bool) -> io::Result<TcpStream> {
    let socket = if client.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(client)?;
    if fast_open {
        setsockopt(&socket, sockopt::TcpFastOpenConnect, &true)?;
    }
    socket.connect(gateway).await
}
