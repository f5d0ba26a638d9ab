//! What r2d2, its scheduler and the PostgreSQL client use of parking_lot, made of std's locks.
//!
//! parking_lot keeps a list of all threads that wait, in one table of the process, with the entries
//! on their stacks. nginx's master forks while its threads wait: in the worker those threads are
//! gone, its new ones get their stacks, and the lists, which still lead there, turn into loops. A
//! worker then spun for ever inside the opening of its pool, with its signals blocked. std's locks
//! have no such table.

#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::sync;
use std::time::Instant;

/// As parking_lot's: without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex that is not held.
    pub const fn new(value: T) -> Self {
        Mutex(sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else holds it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock();
        MutexGuard(Some(guard.unwrap_or_else(sync::PoisonError::into_inner)))
    }
}

/// Holds a mutex. It is empty only inside [`Condvar`]'s functions.
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized>(Option<sync::MutexGuard<'a, T>>);

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("a held mutex")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("a held mutex")
    }
}

/// Whether a wait ended because its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

/// As parking_lot's, but that it does not know how many it wakes: nobody here asks.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Self {
        Condvar(sync::Condvar::new())
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) -> bool {
        self.0.notify_one();
        true
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) -> usize {
        self.0.notify_all();
        0
    }

    /// Lets the mutex go until it is woken.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect("a held mutex");
        let held = self.0.wait(held);
        guard.0 = Some(held.unwrap_or_else(sync::PoisonError::into_inner));
    }

    /// The same, at most until `end`.
    pub fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        end: Instant,
    ) -> WaitTimeoutResult {
        let held = guard.0.take().expect("a held mutex");
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.0.wait_timeout(held, left);
        let (held, result) = waited.unwrap_or_else(sync::PoisonError::into_inner);
        guard.0 = Some(held);
        WaitTimeoutResult(result.timed_out())
    }
}
