//! A deadline for a connection's socket. The blocking client waits for the server without a limit;
//! a [`Bounded`] stream fails instead when its [`Deadline`] passes or is cancelled, so that no
//! thread is stuck in a dead connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

/// Until when a connection's socket may be waited for. One thread uses the connection; others may
/// cancel it.
#[derive(Default)]
pub(crate) struct Deadline(Mutex<State>);

#[derive(Default)]
struct State {
    at: Option<Instant>,
    passed: bool,
    waiting: Option<Waker>,
}

impl Deadline {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sets the deadline of what the connection does next.
    pub(crate) fn set(&self, at: Instant) {
        self.lock().at = Some(at);
    }

    /// Makes what the connection does now, and anything later, fail.
    pub(crate) fn cancel(&self) {
        let mut state = self.lock();
        state.passed = true;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }

    /// Whether the stream failed because the deadline passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.lock().passed
    }

    /// Whether its time is up, even where nothing has waited for that.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.passed || state.at.is_some_and(|at| at <= Instant::now())
    }

    /// The current deadline, unless it has passed; remembers whom to wake on a cancellation.
    fn check(&self, cx: &Context<'_>) -> Result<Option<Instant>, io::Error> {
        let mut state = self.lock();
        if state.passed {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the deadline passed",
            ));
        }
        match &mut state.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Ok(state.at)
    }
}

/// A stream under a deadline.
pub(crate) struct Bounded<S> {
    stream: S,
    deadline: Arc<Deadline>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S, deadline: Arc<Deadline>) -> Self {
        Bounded {
            stream,
            deadline,
            timer: None,
        }
    }

    /// Called where the socket is not ready: fails if the time is up, and otherwise sees to it that
    /// the task is woken when it is.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let at = match self.deadline.check(cx) {
                Ok(Some(at)) => at,
                Ok(None) => return Poll::Pending,
                Err(passed) => return Poll::Ready(passed),
            };
            // Deadlines mostly move on: a timer that is set for an earlier one is left to fire
            // there, which costs less than to set it anew for each statement.
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline().into_std() > at {
                        timer.as_mut().reset(at.into());
                    }
                    timer
                }
                empty => empty.insert(Box::pin(sleep_until(at.into()))),
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                self.deadline.cancel();
            } else {
                timer.as_mut().reset(at.into());
            }
        }
    }

    fn or_deadline<T>(
        &mut self,
        cx: &mut Context<'_>,
        ready: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match ready {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ready = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.or_deadline(cx, ready)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let ready = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.or_deadline(cx, ready)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_deadline(cx, ready)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_deadline(cx, ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_read_fails_at_the_deadline_also_after_it_moved() {
        block_on(async {
            let (near, mut far) = duplex(64);
            let deadline = Arc::new(Deadline::default());
            let mut near = Bounded::new(near, Arc::clone(&deadline));
            let start = Instant::now();
            deadline.set(start + Duration::from_millis(20));
            far.write_all(b"x").await.expect("room");
            let mut byte = [0];
            near.read_exact(&mut byte).await.expect("there is a byte");
            deadline.set(start + Duration::from_millis(60));
            let error = near.read_exact(&mut byte).await.expect_err("no byte comes");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(start.elapsed() >= Duration::from_millis(60));
            assert!(deadline.has_passed());
        });
    }

    #[test]
    fn a_cancellation_from_another_thread_ends_the_wait() {
        let deadline = Arc::new(Deadline::default());
        let other = Arc::clone(&deadline);
        let canceller = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            other.cancel();
        });
        let (near, _far) = duplex(64);
        let mut near = Bounded::new(near, deadline);
        let error = block_on(async { near.read_u8().await }).expect_err("no byte comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        canceller.join().expect("the canceller");
    }
}
