//! Texts as operations have them: what a TEXT column can store.

use crate::Error;

/// The longest text of one argument. PostgreSQL allows 1 GB a field and a message; this leaves
/// room for the rest of the message and bounds what one call can take of its host's memory.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// Checks that `bytes` can be stored in a TEXT column.
///
/// # Errors
///
/// [`Error::Text`] of `name` for a NUL byte, invalid UTF-8, or more than [`MAX_TEXT_BYTES`].
pub fn text(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    let reject = |reason| Err(Error::Text { name, reason });
    if bytes.len() > MAX_TEXT_BYTES {
        return reject("is longer than 256 MiB");
    }
    if bytes.contains(&0) {
        return reject("contains a NUL byte, which PostgreSQL cannot store in TEXT");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => reject("is not valid UTF-8"),
    }
}

/// The same for a session's key, which must not be empty.
///
/// # Errors
///
/// As [`text`], and for an empty key.
pub fn key(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    if bytes.is_empty() {
        let reason = "is empty";
        return Err(Error::Text { name, reason });
    }
    text(name, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_must_be_storable() {
        assert_eq!(
            text("value", "a'\u{1F600}".as_bytes()),
            Ok("a'\u{1F600}".into())
        );
        assert_eq!(text("value", b""), Ok(String::new()));
        for (bytes, message) in [
            (
                &b"a\0b"[..],
                "value contains a NUL byte, which PostgreSQL cannot store in TEXT",
            ),
            (&b"\xff"[..], "value is not valid UTF-8"),
        ] {
            let error = text("value", bytes).expect_err("not storable");
            assert_eq!(error.to_string(), message);
            assert!(!error.is_callers_mistake());
        }
        assert_eq!(
            key("old_key", b"").expect_err("empty").to_string(),
            "old_key is empty"
        );
    }
}
