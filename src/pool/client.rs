//! A blocking client of one connection, on top of tokio-postgres. Each call runs on the calling
//! thread, on a single-threaded runtime that the connection owns, until the connection's deadline.

use crate::tls::Stream;
use postgres::types::{ToSql, Type};
use postgres::{Error, Row, SimpleQueryMessage, Statement};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Sleep, sleep_until};
use tokio_postgres::{CancelToken, Connection};

/// How long closing a connection may take: the Terminate message is sent and the socket shut down.
const CLOSE_TIME: Duration = Duration::from_millis(100);

type Params<'a> = [&'a (dyn ToSql + Sync)];
type TypedParams<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The deadline passed, or another thread interrupted the connection.
    Expired,
    /// The server or the connection reported an error.
    Failed(Error),
}

/// Ends what a connection waits for, now and later, from another thread.
#[derive(Default)]
pub(super) struct Interrupt(Mutex<(bool, Option<Waker>)>);

impl Interrupt {
    pub(super) fn set(&self) {
        let mut state = self.0.lock().unwrap_or_else(|error| error.into_inner());
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    /// Whether it is set. If not, the task of `cx` is woken when it is.
    fn is_set(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(|error| error.into_inner());
        match &mut state.1 {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.0
    }
}

/// Runs futures on the calling thread until they end, the deadline passes, or the interrupt is set.
pub(super) struct Driver {
    runtime: Runtime,
    timer: Pin<Box<Sleep>>,
    until: Instant,
    interrupt: Arc<Interrupt>,
    expired: bool,
}

impl Driver {
    /// Fails if no file descriptor is left.
    pub(super) fn new(until: Instant, interrupt: Arc<Interrupt>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let timer = {
            let _context = runtime.enter();
            Box::pin(sleep_until(until.into()))
        };
        Ok(Driver {
            runtime,
            timer,
            until,
            interrupt,
            expired: false,
        })
    }

    /// The output of `work`, or `None` if there is none in time.
    pub(super) fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        self.poll(|cx| work.as_mut().poll(cx))
    }

    /// The clock is read after each poll of `work`. A timer is not enough while bytes arrive without
    /// a pause: when a task has used up tokio's cooperative budget, its timers stay pending.
    fn poll<T>(&mut self, mut work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let (timer, until) = (&mut self.timer, self.until);
        let output = if Instant::now() < until {
            self.runtime.block_on(poll_fn(|cx| {
                if self.interrupt.is_set(cx) {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(output) = work(cx) {
                    return Poll::Ready(Some(output));
                }
                poll_timer(timer, until, cx).map(|()| None)
            }))
        } else {
            None
        };
        self.expired |= output.is_none();
        output
    }
}

/// Ready when `until` has passed. Deadlines mostly move on: a timer that is set to an earlier one is
/// left to fire, which costs less than resetting it for each statement.
fn poll_timer(timer: &mut Pin<Box<Sleep>>, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
    while Instant::now() < until {
        if timer.deadline().into_std() > until || timer.is_elapsed() {
            timer.as_mut().reset(until.into());
        }
        ready!(timer.as_mut().poll(cx));
    }
    Poll::Ready(())
}

/// A connected client. Dropped, it closes the connection within [`CLOSE_TIME`].
pub(super) struct Client {
    // Dropped before the link, which makes tokio-postgres send the Terminate message.
    client: tokio_postgres::Client,
    link: Link,
}

/// The connection's socket, and what drives it.
struct Link {
    driver: Driver,
    /// `None` once it has ended.
    connection: Option<Connection<Stream, Stream>>,
}

impl Client {
    pub(super) fn new(
        driver: Driver,
        client: tokio_postgres::Client,
        connection: Connection<Stream, Stream>,
    ) -> Self {
        let connection = Some(connection);
        Client {
            client,
            link: Link { driver, connection },
        }
    }

    /// Sets the deadline of the calls to come.
    pub(super) fn set_deadline(&mut self, until: Instant) {
        self.link.driver.until = until;
    }

    pub(super) fn deadline(&self) -> Instant {
        self.link.driver.until
    }

    /// Whether a call has ended without a result, so that the server may still be at work on it.
    pub(super) fn has_expired(&self) -> bool {
        self.link.driver.expired
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    pub(super) fn prepare(&mut self, sql: &str, types: &[Type]) -> Result<Statement, ClientError> {
        self.link.run(self.client.prepare_typed(sql, types))
    }

    pub(super) fn query(
        &mut self,
        statement: &Statement,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, ClientError> {
        self.link.run(self.client.query(statement, params))
    }

    pub(super) fn query_typed(
        &mut self,
        sql: &str,
        params: &TypedParams<'_>,
    ) -> Result<Vec<Row>, ClientError> {
        self.link.run(self.client.query_typed(sql, params))
    }

    pub(super) fn execute(
        &mut self,
        statement: &Statement,
        params: &Params<'_>,
    ) -> Result<u64, ClientError> {
        self.link.run(self.client.execute(statement, params))
    }

    pub(super) fn execute_typed(
        &mut self,
        sql: &str,
        params: &TypedParams<'_>,
    ) -> Result<u64, ClientError> {
        self.link.run(self.client.execute_typed(sql, params))
    }

    pub(super) fn batch_execute(&mut self, sql: &str) -> Result<(), ClientError> {
        self.link.run(self.client.batch_execute(sql))
    }

    pub(super) fn simple_query(
        &mut self,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, ClientError> {
        self.link.run(self.client.simple_query(sql))
    }
}

impl Link {
    fn run<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, ClientError> {
        let connection = &mut self.connection;
        let mut work = pin!(work);
        let output = self.driver.poll(|cx| {
            let ended = transfer(connection, cx);
            match (work.as_mut().poll(cx), ended) {
                (Poll::Ready(Err(error)), Poll::Ready(Some(reason))) if error.is_closed() => {
                    Poll::Ready(Err(reason))
                }
                (output, _) => output,
            }
        });
        output
            .ok_or(ClientError::Expired)?
            .map_err(ClientError::Failed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The server may still be at work on what was given up: the socket is closed at once.
        if !self.driver.expired {
            self.driver.until = Instant::now() + CLOSE_TIME;
            let connection = &mut self.connection;
            self.driver.poll(|cx| transfer(connection, cx));
        }
    }
}

/// Sends and receives what it can. Ready when the connection has ended, with the error if it was not
/// closed from here. Notices and notifications are dropped.
fn transfer(
    connection: &mut Option<Connection<Stream, Stream>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Error>> {
    let Some(open) = connection else {
        return Poll::Ready(None);
    };
    let reason = loop {
        match ready!(open.poll_message(cx)) {
            Some(Ok(_)) => {}
            Some(Err(reason)) => break Some(reason),
            None => break None,
        }
    };
    // The calls that wait for an answer fail.
    *connection = None;
    Poll::Ready(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::mpsc;
    use std::thread;

    const SOON: Duration = Duration::from_millis(30);

    /// Waits for `work` on another thread. Returns how long that took and whether there was an output.
    fn wait<F: Future>(
        interrupt: Arc<Interrupt>,
        time: Duration,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> (Duration, bool) {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let start = Instant::now();
            let mut driver = Driver::new(start + time, interrupt).expect("a runtime");
            let ended = driver.wait(work()).is_some();
            sender.send((start.elapsed(), ended)).expect("a receiver");
        });
        let limit = Duration::from_secs(10);
        receiver.recv_timeout(limit).expect("it waits for too long")
    }

    #[test]
    fn the_deadline_ends_a_wait_also_if_the_work_is_never_idle() {
        let (took, ended) = wait(Arc::default(), SOON, pending::<()>);
        assert!(took >= SOON && !ended, "{took:?}");
        // This is what a socket does that always has something to read.
        let busy = || async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let (took, ended) = wait::<_>(Arc::default(), SOON, busy);
        assert!(took >= SOON && !ended, "{took:?}");
    }

    #[test]
    fn another_thread_can_end_a_wait_before_the_deadline() {
        let interrupt = Arc::<Interrupt>::default();
        let other = Arc::clone(&interrupt);
        thread::spawn(move || {
            thread::sleep(SOON);
            other.set();
        });
        let (took, ended) = wait(interrupt, Duration::from_secs(60), pending::<()>);
        assert!(took < Duration::from_secs(5) && !ended, "{took:?}");
    }

    #[test]
    fn a_later_wait_may_have_an_earlier_or_a_later_deadline() {
        let start = Instant::now();
        let mut driver = Driver::new(start + 100 * SOON, Arc::default()).expect("a runtime");
        assert_eq!(driver.wait(async { 1 }), Some(1));
        for until in [start + SOON, start + 3 * SOON] {
            driver.until = until;
            assert_eq!(driver.wait(pending::<()>()), None);
            assert!((until..until + 50 * SOON).contains(&Instant::now()));
        }
    }
}
