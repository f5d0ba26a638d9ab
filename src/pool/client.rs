//! Runs a connection's client, which is tokio-postgres, and blocks the calling thread for it: on a
//! single-threaded runtime that the connection owns, until the connection's deadline.

use crate::tls::{Allowance, Stream};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout_at;
use tokio_postgres::{AsyncMessage, Connection, Error};
use tokio_util::sync::CancellationToken;

/// How long closing a connection may take: the Terminate message is sent and the socket shut down.
const CLOSE_TIME: Duration = Duration::from_millis(100);

/// What a server may send until a connection is open, and in answer to one call: the longest value has
/// 16 MiB, the longest list of sessions is shorter. tokio-postgres may need
/// twice as much memory.
const ALLOWANCE: (usize, usize) = (1 << 20, 32 << 20);

/// How often a call may go on without a pause before the clock is looked at. tokio's default, 61, would be
/// megabytes of rows.
const CLOCK_INTERVAL: u32 = 4;

/// A connection over a socket of any kind.
pub(super) trait Messages: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>>;
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Messages for Connection<S, Stream> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AsyncMessage, Error>>> {
        self.poll_message(cx)
    }
}

/// Runs what a client does. Dropped after its client, it closes the connection within
/// [`CLOSE_TIME`].
pub(super) struct Driver {
    runtime: Runtime,
    /// `None` before it is open and once it has ended.
    pub(super) connection: Option<Box<dyn Messages>>,
    /// What the server may still send.
    pub(super) allowance: Arc<Allowance>,
    /// Ends what runs, and what is run later, from another thread.
    stop: CancellationToken,
    /// The deadline of the calls to come.
    pub(super) until: Instant,
    /// Whether a call has ended without a result, so that the server may still be at work on it.
    pub(super) expired: bool,
}

impl Driver {
    /// Fails if no file descriptor is left.
    pub(super) fn new(until: Instant, stop: CancellationToken) -> io::Result<Self> {
        let allowance = Arc::<Allowance>::default();
        allowance.set(ALLOWANCE.0);
        Ok(Driver {
            runtime: Builder::new_current_thread()
                .event_interval(CLOCK_INTERVAL)
                .enable_all()
                .build()?,
            connection: None,
            allowance,
            stop,
            until,
            expired: false,
        })
    }

    /// Whether another thread has ended all that is run.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The output of `work`, or `None` if there is none in time. A timer polled beside the work is
    /// not enough while bytes arrive without a pause: when a task has used up tokio's cooperative
    /// budget, its timers stay pending. `timeout_at` knows that case.
    pub(super) fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let work = self.stop.run_until_cancelled(work);
        let until = self.until;
        let output = if Instant::now() < until {
            let output = async { timeout_at(until.into(), work).await.ok().flatten() };
            self.runtime.block_on(output)
        } else {
            None
        };
        self.expired |= output.is_none();
        output
    }

    /// The result of a client's call, or `None` if there is none in time.
    pub(super) fn run<T>(
        &mut self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        self.allowance.set(ALLOWANCE.1);
        let mut connection = self.connection.take();
        let mut call = pin!(call);
        let output = self.wait(poll_fn(|cx| {
            let ended = transfer(&mut connection, cx);
            match (call.as_mut().poll(cx), ended) {
                (Poll::Ready(Err(error)), Poll::Ready(Some(reason))) if error.is_closed() => {
                    Poll::Ready(Err(reason))
                }
                (output, _) => output,
            }
        }));
        self.connection = connection;
        output
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The server may still be at work on what was given up: the socket is closed at once.
        let mut connection = self.connection.take();
        if !self.expired {
            self.until = Instant::now() + CLOSE_TIME;
            self.wait(poll_fn(|cx| transfer(&mut connection, cx)));
        }
    }
}

/// Sends and receives what it can. Ready when the connection has ended, with the error if it was
/// not closed from here. Notices and notifications are dropped.
fn transfer(
    connection: &mut Option<Box<dyn Messages>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Error>> {
    let Some(open) = connection else {
        return Poll::Ready(None);
    };
    let ended = loop {
        match ready!(open.poll(cx)) {
            Some(Ok(_)) => {}
            ended => break ended,
        }
    };
    // The calls that wait for an answer fail.
    *connection = None;
    Poll::Ready(ended.and_then(Result::err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::mpsc;
    use std::thread;

    const SOON: Duration = Duration::from_millis(30);

    /// Waits for `work` on another thread. Returns how long that took and whether there was an
    /// output.
    fn wait<F: Future>(
        stop: CancellationToken,
        time: Duration,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> (Duration, bool) {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let start = Instant::now();
            let mut driver = Driver::new(start + time, stop).expect("a runtime");
            let ended = driver.wait(work()).is_some();
            sender.send((start.elapsed(), ended)).expect("a receiver");
        });
        let limit = Duration::from_secs(10);
        receiver.recv_timeout(limit).expect("it waits for too long")
    }

    #[test]
    fn the_deadline_ends_a_wait_also_if_the_work_is_never_idle() {
        let (took, ended) = wait(CancellationToken::new(), SOON, pending::<()>);
        assert!(took >= SOON && !ended, "{took:?}");
        // This is what a socket does that always has something to read.
        let busy = || async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let (took, ended) = wait::<_>(CancellationToken::new(), SOON, busy);
        assert!(took >= SOON && !ended, "{took:?}");
    }

    #[test]
    fn another_thread_can_end_a_wait_before_the_deadline() {
        let stop = CancellationToken::new();
        let other = stop.clone();
        thread::spawn(move || {
            thread::sleep(SOON);
            other.cancel();
        });
        let (took, ended) = wait(stop, Duration::from_secs(60), pending::<()>);
        assert!(took < Duration::from_secs(5) && !ended, "{took:?}");
    }

    #[test]
    fn a_later_wait_may_have_an_earlier_or_a_later_deadline() {
        let start = Instant::now();
        let mut driver =
            Driver::new(start + 100 * SOON, CancellationToken::new()).expect("a runtime");
        assert_eq!(driver.wait(async { 1 }), Some(1));
        for until in [start + SOON, start + 3 * SOON] {
            driver.until = until;
            assert_eq!(driver.wait(pending::<()>()), None);
            assert!((until..until + 50 * SOON).contains(&Instant::now()));
        }
    }
}
