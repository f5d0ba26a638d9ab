//! What a TEXT column can store.

use crate::Error;

/// The longest text of one argument. PostgreSQL allows 1 GB a field and a message; this leaves
/// room for the rest of the message and bounds what one call can take of its host's memory.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// Checks that `bytes` can be stored in a TEXT column, and copies them.
///
/// # Errors
///
/// [`Error::Text`] of `name` for a NUL byte, invalid UTF-8, or more than [`MAX_TEXT_BYTES`].
pub fn text(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    // Before anything is copied.
    check_length(name, bytes.len())?;
    owned(name, bytes.to_vec())
}

/// The same for a session's key, which must not be empty.
///
/// # Errors
///
/// As [`text`], and for an empty key.
pub fn key(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    text(name, bytes).and_then(|key| not_empty(name, key))
}

pub(super) fn not_empty(name: &'static str, key: String) -> Result<String, Error> {
    match key.is_empty() {
        true => Err(reject(name, "is empty")),
        false => Ok(key),
    }
}

/// As [`text`], of bytes that need not be copied.
pub(super) fn owned(name: &'static str, bytes: Vec<u8>) -> Result<String, Error> {
    check_length(name, bytes.len())?;
    if bytes.contains(&0) {
        let reason = "contains a NUL byte, which PostgreSQL cannot store in TEXT";
        return Err(reject(name, reason));
    }
    String::from_utf8(bytes).map_err(|_| reject(name, "is not valid UTF-8"))
}

fn check_length(name: &'static str, length: usize) -> Result<(), Error> {
    match length > MAX_TEXT_BYTES {
        true => Err(reject(name, "is longer than 256 MiB")),
        false => Ok(()),
    }
}

fn reject(name: &'static str, reason: &'static str) -> Error {
    Error::Text { name, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_must_be_storable() {
        let emoji = "a'\u{1F600}";
        assert_eq!(text("value", emoji.as_bytes()), Ok(emoji.into()));
        assert_eq!(text("value", b""), Ok(String::new()));
        let nul = "value contains a NUL byte, which PostgreSQL cannot store in TEXT";
        let invalid = "value is not valid UTF-8";
        for (bytes, message) in [(&b"a\0b"[..], nul), (&b"\xff"[..], invalid)] {
            let error = text("value", bytes).expect_err("not storable");
            assert_eq!(error.to_string(), message);
            assert!(!error.is_callers_mistake());
        }
        let error = key("old_key", b"").expect_err("empty");
        assert_eq!(error.to_string(), "old_key is empty");
    }
}
