//! The live view: keys and snapshots in, the screen out.

use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use super::feed::{self, MAX_WAITING, TICK};
use super::look::Look;
use super::state::ScreenState;
use super::view;
use super::words::Bars;
use super::{Snapshot, keys};

/// The screen is drawn at least as often: it tells how long there was no answer.
const REDRAW: Duration = Duration::from_secs(1);

/// What the screen reacts to.
enum Message {
    Snapshot(anyhow::Result<Box<Snapshot>>),
    Terminal(io::Result<Event>),
}

/// Draws until the user quits or `stop` is set.
///
/// # Errors
/// If the terminal cannot be used. It is put in order in any case.
pub(super) fn run(
    interval: Duration,
    place: String,
    source: impl FnMut() -> anyhow::Result<Snapshot> + Send + 'static,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    let mut terminal = Restored::init()?;
    feed::spawn(interval, source, sender.clone(), Message::Snapshot)?;
    read_terminal(sender)?;
    let state = ScreenState::new(place, interval, Instant::now());
    show(&mut terminal.0, state, &receiver, stop)
}

fn show(
    terminal: &mut DefaultTerminal,
    mut state: ScreenState,
    receiver: &Receiver<Message>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let look = Look { colour: sni_probe_terminal::wants_colour(&io::stdout()), bars: Bars::of_locale() };
    let mut drawn: Option<Instant> = None;
    let mut has_changed = true;
    while !stop.load(Ordering::Relaxed) {
        if has_changed || drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            let now = Instant::now();
            let draw = terminal.draw(|frame| view::draw(frame, &mut state, look, now));
            draw.context("cannot draw on the terminal")?;
            (drawn, has_changed) = (Some(now), false);
        }
        match receiver.recv_timeout(TICK) {
            Ok(Message::Snapshot(result)) => state.receive(result, Instant::now()),
            Ok(Message::Terminal(Ok(Event::Key(key)))) => {
                if let Some(action) = keys::action(key, state.pane)
                    && !state.apply(action)
                {
                    return Ok(());
                }
            }
            // A new size is taken over with the next drawing.
            Ok(Message::Terminal(Ok(_))) => {}
            Ok(Message::Terminal(Err(error))) => {
                return Err(error).context("cannot read the terminal's keys");
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the threads of the view have ended; this is a bug"),
        }
        has_changed = true;
    }
    Ok(())
}

/// Reads keys in a thread of its own: one that waits for a terminal that has gone cannot be woken.
fn read_terminal(sender: SyncSender<Message>) -> anyhow::Result<()> {
    let body = move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.send(Message::Terminal(event)).is_err() || is_last {
                return;
            }
        }
    };
    let spawned = thread::Builder::new().name("watch-keys".to_owned()).spawn(body);
    spawned.context("cannot start a thread; see the limits on processes")?;
    Ok(())
}

/// The terminal, put in order when this is dropped; a panic does so before it is told.
///
/// The library's terminal itself is not dropped: if the terminal has gone, it would tell so on stderr, which has gone
/// as well, by a macro that panics.
struct Restored(ManuallyDrop<DefaultTerminal>);

impl Restored {
    fn init() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init();
        let terminal = terminal.inspect_err(|_| {
            let _ = ratatui::try_restore();
        });
        let terminal = terminal.context("cannot use the terminal; for plain text use --format text")?;
        Ok(Self(ManuallyDrop::new(terminal)))
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // If the terminal has gone, there is nothing to put in order.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
