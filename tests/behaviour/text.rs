//! Text that is awkward, hostile or no text at all, in every argument that takes text.

use super::door::{Door, Failure, Set};
use super::store::{NOW, Store, set};

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

pub fn awkward_text_comes_back_byte_for_byte(store: &Store<impl Door>) {
    for text in AWKWARD {
        let bytes = text.as_bytes();
        store
            .set(&Set {
                name: bytes,
                metadata: Some(&[(bytes, bytes)]),
                ..set(text, text)
            })
            .unwrap();
        assert_eq!(store.get(text).unwrap().as_deref(), Some(bytes), "{text}");
        let row = store.db.row(text).unwrap();
        assert_eq!((&*row.name, &*row.data), (*text, *text));
        let pair = (text.to_string(), text.to_string());
        assert_eq!(store.db.metadata(text), [pair]);
        let sessions = store.read_metadata(text, text).unwrap();
        assert_eq!(sessions.keys().collect::<Vec<_>>(), [text]);
    }
    for text in AWKWARD {
        store.delete(text, None).unwrap();
    }
    store.db.assert_empty();
}

pub fn an_awkward_old_key_is_that_key_and_no_other(store: &Store<impl Door>) {
    for text in AWKWARD {
        store.set(&set(text, "old")).unwrap();
    }
    for text in AWKWARD {
        let renewed = Set {
            old_key: Some(text.as_bytes()),
            stale_ttl: Some(10.0),
            ..set("new", "new")
        };
        store.set(&renewed).unwrap();
        assert_eq!(store.db.exp(text), NOW + 10.0, "{text}");
        store
            .set(&Set {
                remember: Some(true),
                ..renewed
            })
            .unwrap();
        assert_eq!(store.db.row(text), None, "{text}");
    }
}

pub fn a_nul_byte_fails_and_writes_nothing(store: &Store<impl Door>) {
    refuses(store, b"nul\0byte");
}

pub fn invalid_utf8_fails_and_writes_nothing(store: &Store<impl Door>) {
    for bytes in [
        b"\xff".as_slice(),
        b"cut \xe2\x82",
        b"\xed\xa0\x80",
        b"\xc0\x80",
    ] {
        refuses(store, bytes);
    }
}

/// Gives `bytes` to each argument in turn, each time among arguments that are good.
fn refuses(store: &Store<impl Door>, bytes: &[u8]) {
    let good = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        metadata: Some(&[(b"audience", b"subject")]),
        ..set("key", "value")
    };
    let sets = [
        (
            "name",
            Set {
                name: bytes,
                ..good
            },
        ),
        ("key", Set { key: bytes, ..good }),
        (
            "value",
            Set {
                value: bytes,
                ..good
            },
        ),
        (
            "old_key",
            Set {
                old_key: Some(bytes),
                ..good
            },
        ),
        (
            "audience",
            Set {
                metadata: Some(&[(b"a", b"s"), (bytes, b"s")]),
                ..good
            },
        ),
        (
            "subject",
            Set {
                metadata: Some(&[(b"a", b"s"), (b"a", bytes)]),
                ..good
            },
        ),
    ];
    for (argument, set) in &sets {
        assert_names(argument, store.set(set));
        store.db.assert_empty();
    }
    assert_names("key", store.get(bytes));
    assert_names("key", store.delete(bytes, None));
    assert_names("audience", store.read_metadata(bytes, "subject"));
    assert_names("subject", store.read_metadata("audience", bytes));
}

pub fn an_empty_key_fails(store: &Store<impl Door>) {
    assert_names("key", store.set(&set("", "value")));
    assert_names("key", store.get(""));
    assert_names("key", store.delete("", None));
    store.db.assert_empty();
}

fn assert_names<T: std::fmt::Debug>(argument: &str, outcome: Result<T, Failure>) {
    let message = outcome.unwrap_err().failed();
    let mut words = message.split(|c: char| !c.is_alphanumeric() && c != '_');
    assert!(
        words.any(|word| word == argument),
        "no {argument} in: {message}"
    );
}
