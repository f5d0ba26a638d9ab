//! Text that is awkward, hostile or no text at all, in every argument that takes text.

use super::binding::Binding;
use super::call::{Call, NOW, delete, get, of, set};
use super::store::Store;

const AWKWARD: &[&str] = &[
    "'; DROP TABLE sessions; --",
    "\"; DROP TABLE sessions_meta; --",
    "'' \" ` $1 $$ ; : ? \\ \\' \\\\ E'\\x00'",
    "100 % %s %d %% _ *",
    "{\"json\": [1, 2], 'lua' = {}}",
    " \t\r\n\u{b}\u{1}\u{7f} ",
    "NULL",
    "naïve Žluťoučký 数据库 قاعدة 🦀👩‍👩‍👧 \u{10ffff}",
];

pub fn awkward_text_comes_back_byte_for_byte(store: &Store<impl Binding>) {
    for text in AWKWARD {
        let set = set(text, text).text("name", text);
        store.run(&set.pairs("metadata", &[(text, text)]));
        assert_eq!(store.get(text).as_deref(), Some(text.as_bytes()), "{text}");
        let row = store.db.row(text).unwrap();
        assert_eq!((&*row.name, &*row.data), (*text, *text));
        let pair = (text.to_string(), text.to_string());
        assert_eq!(store.db.metadata(text), [pair]);
        let sessions = store.read_metadata(text, text);
        assert_eq!(sessions.keys().collect::<Vec<_>>(), [text]);
    }
    for text in AWKWARD {
        store.run(&delete(text));
    }
    store.db.assert_empty();
}

pub fn an_awkward_old_key_is_that_key_and_no_other(store: &Store<impl Binding>) {
    for text in AWKWARD {
        store.run(&set(text, "old"));
    }
    for text in AWKWARD {
        let replacing = set("new", "new").text("old_key", text);
        let replacing = replacing.number("stale_ttl", 10.0);
        store.run(&replacing);
        assert_eq!(store.db.exp(text), NOW + 10.0, "{text}");
        store.run(&replacing.flag("remember", true));
        assert_eq!(store.db.row(text), None, "{text}");
    }
}

/// A NUL byte, invalid UTF-8, and an empty key.
pub fn text_that_cannot_be_stored_fails_and_writes_nothing(store: &Store<impl Binding>) {
    let invalid: [&[u8]; 4] = [b"\xff", b"cut \xe2\x82", b"\xed\xa0\x80", b"\xc0\x80"];
    refuses(store, b"nul\0byte");
    for bytes in invalid {
        refuses(store, bytes);
    }
    for call in [set("", "value"), get(""), delete("")] {
        assert_names("key", store, &call);
    }
}

/// Gives `bytes` to each argument in turn, each time among arguments that are good.
fn refuses(store: &Store<impl Binding>, bytes: &[u8]) {
    let good = set("key", "value").text("old_key", "old").number("stale_ttl", 10.0);
    for argument in ["name", "key", "value", "old_key"] {
        assert_names(argument, store, &good.clone().text(argument, bytes));
    }
    let pairs = |audience, subject| {
        let pairs: [(&[u8], &[u8]); 2] = [(b"a", b"s"), (audience, subject)];
        good.clone().pairs("metadata", &pairs)
    };
    assert_names("audience", store, &pairs(bytes, b"s"));
    assert_names("subject", store, &pairs(b"a", bytes));
    assert_names("key", store, &get(bytes));
    assert_names("key", store, &delete(bytes));
    for operation in ["read_metadata", "revoke"] {
        assert_names("audience", store, &of(operation, bytes, "subject"));
        assert_names("subject", store, &of(operation, "audience", bytes));
    }
}

/// The call fails with a message that names the argument, and writes nothing.
fn assert_names(argument: &str, store: &Store<impl Binding>, call: &Call) {
    let message = store.call(call).unwrap_err().failed();
    let mut words = message.split(|c: char| !c.is_alphanumeric() && c != '_');
    let named = words.any(|word| word == argument);
    assert!(named, "no {argument} in: {message}");
    store.db.assert_empty();
}
