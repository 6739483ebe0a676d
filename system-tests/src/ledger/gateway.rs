//! The gateway: what it does with a connection says the random of the hello, or the port.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sni_probe_testkit::answers::hello_retry_request;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::HTTP_REQUEST;
use super::answers::{BABBLE, BABBLE_SEGMENTS, BAD_REQUEST, WARNING, answer};
use super::behaviour::{Behaviour, Gateway, Port};
use super::connection::Connection;
use super::hello::{Mark, RANDOM_END, Random, random_of};
use super::meetings::{Meeting, Meetings, Stage};
use super::table::BEHAVIOURS;

/// Connections that may wait for their acceptance.
const BACKLOG: u32 = 4096;
/// What is late is at least so late.
const MIN_LATE: Duration = Duration::from_millis(50);

/// Serves all ports in the calling thread's namespace until `stop` is notified. Says by `ready` when it
/// listens.
pub(super) fn run(meetings: &Arc<Meetings>, ready: &Sender<()>, stop: &Notify) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        for port in Port::ALL {
            let socket = TcpSocket::new_v6()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.number())))?;
            let listener = socket.listen(BACKLOG).with_context(|| format!("listening on {port:?}"))?;
            tokio::task::spawn_local(accept(listener, port, Arc::clone(meetings)));
        }
        ready.send(()).context("the clients are gone")?;
        stop.notified().await;
        Ok(())
    }))
}

async fn accept(listener: TcpListener, port: Port, meetings: Arc<Meetings>) {
    loop {
        // A client may be gone before it is accepted.
        let Ok((stream, client)) = listener.accept().await else { continue };
        match port {
            Port::Closing => drop(stream),
            Port::Resetting => {
                let client = SocketAddr::new(client.ip().to_canonical(), client.port());
                let is_reset = Connection::new(stream).and_then(Connection::reset);
                if is_reset.is_ok() {
                    meetings.hang_up(client).notify_one();
                }
            }
            Port::Lossy | Port::Lossless | Port::HalfClosing => {
                let meetings = Arc::clone(&meetings);
                tokio::task::spawn_local(async move {
                    // What goes wrong here, the client sees.
                    serve(stream, port, &meetings).await.ok();
                });
            }
        }
    }
}

async fn serve(stream: TcpStream, port: Port, meetings: &Meetings) -> Result<()> {
    let connection = Connection::new(stream)?;
    if port == Port::HalfClosing {
        connection.finish()?;
    }
    let mut received = Vec::new();
    if connection.receive(&mut received, RANDOM_END).await?.is_some() {
        return Ok(());
    }
    let Some(random) = random_of(&received) else {
        connection.receive(&mut received, HTTP_REQUEST.len()).await?;
        return connection.send(BAD_REQUEST).await;
    };
    let mark = Mark::of(&random);
    if connection.receive(&mut received, mark.bytes.into()).await?.is_some() {
        return Ok(());
    }
    let behaviour = &BEHAVIOURS[usize::from(mark.behaviour)];
    let Some(meeting) = meetings.find(mark.number) else { return leave_to(&connection, behaviour).await };
    let gateway = behaviour.gateway;
    if matches!(gateway, Gateway::SilenceUntilReset | Gateway::Forget) {
        // No packet comes after the client has forgotten the connection.
        connection.acknowledge()?;
    }
    meeting.advance(Stage::Received);
    act(connection, behaviour, &random, &meeting).await
}

async fn act(
    connection: Connection,
    behaviour: &Behaviour,
    random: &Random,
    meeting: &Meeting,
) -> Result<()> {
    let gateway = behaviour.gateway;
    let bytes = answer(gateway).bytes;
    match gateway {
        Gateway::ServerHello => connection.send(&bytes).await?,
        Gateway::Retry | Gateway::RetryReset => {
            connection.send(&hello_retry_request()).await?;
            let mut second = Vec::new();
            if connection.receive(&mut second, Mark::of(random).bytes.into()).await?.is_some() {
                return Ok(());
            }
            if gateway == Gateway::RetryReset {
                return connection.reset();
            }
            connection.send(&bytes).await?;
        }
        Gateway::ServerHelloLate => {
            tokio::time::sleep(lateness(random)).await;
            connection.send(&bytes).await?;
        }
        Gateway::ServerHelloUntilReset => {
            connection.send(&bytes).await?;
            connection.wait_reset().await?;
            meeting.advance(Stage::Acted);
            return Ok(());
        }
        Gateway::Warning => {
            connection.send(WARNING).await?;
            connection.send(&bytes[WARNING.len()..]).await?;
        }
        Gateway::ServerHelloClose | Gateway::Alert => return connection.send(&bytes).await,
        Gateway::Reset => return connection.reset(),
        Gateway::ResetUnread => return connection.wait_unread().await,
        Gateway::ResetLate => {
            tokio::time::sleep(lateness(random)).await;
            return connection.reset();
        }
        Gateway::Babble => {
            for _ in 0..BABBLE_SEGMENTS {
                connection.send(BABBLE).await?;
            }
            return connection.reset();
        }
        Gateway::Close => return Ok(()),
        Gateway::Silence => {}
        Gateway::SilenceUntilReset => return connection.wait_reset().await,
        Gateway::SilenceAfterEnd => {
            connection.drain().await?;
            meeting.advance(Stage::Acted);
        }
        Gateway::ResetAfterEnd => {
            connection.drain().await?;
            return connection.reset();
        }
        Gateway::CloseAfterEnd => {
            connection.drain().await?;
            return Ok(());
        }
        Gateway::Forget => {
            connection.forget()?;
            meeting.advance(Stage::Acted);
            return Ok(());
        }
        Gateway::HungUp => {
            connection.drain().await?;
            meeting.advance(Stage::Acted);
            return Ok(());
        }
    }
    meeting.reach(Stage::ClientDone).await;
    if behaviour.ends_by_reset() {
        return leave_to(&connection, behaviour).await;
    }
    leave(connection, random).await
}

/// Leaves the end of a connection to its client, which has nothing more to do. Another processor may still have the
/// client's RST in its queue: what is sent before that comes would be the end.
async fn leave_to(connection: &Connection, behaviour: &Behaviour) -> Result<()> {
    if behaviour.ends_by_reset() { connection.wait_reset().await } else { Ok(()) }
}

/// Ends a connection whose outcome is known: when the client does, or without waiting for it. A client that has forgotten
/// the connection ends it when it uses its port again, and may get what this sends between its SYN and its next hello.
async fn leave(connection: Connection, random: &Random) -> Result<()> {
    match random[30] {
        0..128 => {
            connection.drain().await?;
            Ok(())
        }
        byte => {
            tokio::time::timeout(lateness(random), connection.drain()).await.ok();
            if byte < 192 { Ok(()) } else { connection.reset() }
        }
    }
}

/// How late something comes.
fn lateness(random: &Random) -> Duration {
    MIN_LATE + 2 * Duration::from_millis(random[31].into())
}
