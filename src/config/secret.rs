//! Passwords and the like: never printed, and wiped from memory when they are replaced or no longer used.

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

/// A text that is never printed. Its copies share it, and the last one wipes it.
///
/// Two of them are equal if they were made of equal texts. The text may be replaced, in all copies; what
/// they are equal to stays, so that the key of a map is found by the text that it was made of.
#[derive(Clone)]
pub(crate) struct Secret {
    made_of: [u64; 2],
    text: Arc<Mutex<SecretString>>,
}

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        Secret { made_of: identity(&text), text: Arc::new(Mutex::new(exact(&text))) }
    }

    #[cfg(feature = "lua-module")]
    pub(crate) fn is_made_of(&self, text: &str) -> bool {
        self.made_of == identity(text)
    }

    /// The text, to be sent to the server only. None where a thread that this process does not have was
    /// about to replace it when its parent forked.
    pub(crate) fn reveal(&self) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(self.lock()?.expose_secret().to_owned()))
    }

    /// Replaces the text, here and in all copies.
    pub(crate) fn replace(&self, text: &str) {
        if let Some(mut old) = self.lock() {
            *old = exact(text);
        }
    }

    /// Not waited for without end: in a child of a fork, the thread that holds it may be missing.
    fn lock(&self) -> Option<MutexGuard<'_, SecretString>> {
        (0..LOCK_TRIES).find_map(|_| match self.text.try_lock() {
            Ok(text) => Some(text),
            Err(TryLockError::Poisoned(text)) => Some(text.into_inner()),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(1));
                None
            }
        })
    }
}

/// The lock is held for less than a microsecond.
const LOCK_TRIES: usize = 100;

/// A copy without room to spare: to give that back would leave another copy behind.
fn exact(text: &str) -> SecretString {
    SecretString::new(text.into())
}

fn identity(text: &str) -> [u64; 2] {
    static HASHERS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    [0, 1].map(|n: usize| HASHERS[n].hash_one(text))
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.made_of == other.made_of
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.made_of.hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_a_text_that_may_be_replaced() {
        let (first, equal, other) = (Secret::new("a"), Secret::new("a"), Secret::new("b"));
        assert!(first == equal && first != other);
        let copy = first.clone();
        first.replace("c");
        let texts = [&first, &copy, &equal].map(|it| it.reveal().expect("no fork"));
        assert_eq!(texts.each_ref().map(|text| text.as_str()), ["c", "c", "a"]);
        assert!(first == equal, "it is found by what it was made of");
        assert_eq!(format!("{first:?}"), "Secret(…)");
    }
}
