//! Looks at the source at each interval, in a thread of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::Snapshot;

/// Snapshots and keys that wait to be handled. When they are handled more slowly than they come, their threads wait.
pub(super) const MAX_WAITING: usize = 16;
/// How often the flag of the signals is looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Calls `source` until nobody receives any more. `message` wraps what it gave.
///
/// # Errors
/// If no thread is to be had.
pub(super) fn spawn<M: Send + 'static>(
    interval: Duration,
    mut source: impl FnMut() -> anyhow::Result<Snapshot> + Send + 'static,
    sender: SyncSender<M>,
    message: impl Fn(anyhow::Result<Box<Snapshot>>) -> M + Send + 'static,
) -> anyhow::Result<()> {
    let body = move || {
        loop {
            let begin = Instant::now();
            let result = source().map(Box::new);
            if sender.send(message(result)).is_err() {
                return;
            }
            // A source that takes longer than the interval gets a rest all the same.
            let left = interval.saturating_sub(begin.elapsed());
            thread::sleep(left.max(interval / 10));
        }
    };
    let spawned = thread::Builder::new().name("watch-source".to_owned()).spawn(body);
    spawned.context("cannot start a thread; see the limits on processes")?;
    Ok(())
}

/// A flag that SIGTERM, SIGINT and SIGHUP set, instead of ending the process: the terminal is to be put in order
/// first, and a capture detached.
pub(super) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        flag::register(signal, Arc::clone(&stop)).context("cannot handle signals")?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::testing::sample;
    use super::*;

    #[test]
    fn looks_until_nobody_receives() {
        const DEADLINE: Duration = Duration::from_secs(20);
        let alive = Arc::new(());
        let source = {
            let alive = Arc::clone(&alive);
            let mut looks = 0;
            move || {
                let _ = &alive;
                looks += 1;
                if looks == 2 { Err(anyhow::anyhow!("no answer")) } else { Ok(sample()) }
            }
        };
        let (sender, receiver) = sync_channel(1);
        spawn(Duration::from_millis(1), source, sender, |result| result.is_ok()).unwrap();
        // A failure is no end.
        let seen: Vec<bool> = (0..4).map(|_| receiver.recv_timeout(DEADLINE).unwrap()).collect();
        assert_eq!(seen, [true, false, true, true]);
        drop(receiver);
        let begin = Instant::now();
        while Arc::strong_count(&alive) > 1 {
            assert!(begin.elapsed() < DEADLINE, "the thread goes on");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
