//! The operations of the people who run a site: who has sessions, and how to end them.

use std::time::{Duration, Instant};

use super::binding::Binding;
use super::call::{Answer, Call, Listed, NOW, call, delete, of, set};
use super::store::Store;
use crate::support::process::free_port;

const ADA: &[(&str, &str)] = &[("shop", "ada")];
const ADA_TWICE: &[(&str, &str)] = &[("shop", "ada"), ("blog", "ada")];
const BOB: &[(&str, &str)] = &[("shop", "bob")];

impl<B: Binding> Store<B> {
    fn count(&self, call: &Call) -> u64 {
        match self.answer(call) {
            Answer::Count(count) => count,
            other => panic!("{call:?} answered {other:?}"),
        }
    }

    fn listed(&self, call: &Call) -> Vec<Listed> {
        match self.answer(call) {
            Answer::Sessions(sessions) => sessions,
            other => panic!("{call:?} answered {other:?}"),
        }
    }

    fn keys(&self, call: &Call) -> Vec<String> {
        let sessions = self.listed(call).into_iter();
        sessions.map(|session| session.key).collect()
    }

    fn save(&self, key: &str, ttl: f64, metadata: &[(&str, &str)]) {
        let set = set(key, "value").number("ttl", ttl);
        self.run(&set.pairs("metadata", metadata));
    }

    /// Three sessions of Ada's, the second also in another audience and the third expired at NOW; one
    /// of Bob's; one without metadata.
    fn populate(&self) {
        self.save("ada 1", 60.0, ADA);
        self.save("ada 2", 60.0, ADA_TWICE);
        self.save("ada 3", -1.0, ADA);
        self.save("bob", 60.0, BOB);
        self.save("without", 60.0, &[]);
    }

    /// The same tables, where deleting a session leaves its metadata. The pool is its own, since other
    /// pools keep what they have read about the tables for some seconds.
    fn without_cascade(&self) -> Self {
        let sql = "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey";
        self.alter(sql);
        self.with("pool", "nothing cascades for revoke")
    }
}

fn audience(operation: &'static str, audience: &str) -> Call {
    call(operation).text("audience", audience)
}

pub fn revoke_ends_the_sessions_of_a_subject(store: &Store<impl Binding>) {
    store.populate();
    // The one that has expired at NOW is alive by the server's clock, and is ended with the others.
    assert_eq!(store.count(&of("revoke", "shop", "ada")), 3);
    for key in ["ada 1", "ada 2", "ada 3"] {
        assert_eq!(store.db.row(key), None, "{key}");
        assert!(store.db.metadata(key).is_empty(), "{key}");
    }
    assert!(store.get("bob").is_some());
    assert!(store.get("without").is_some());
    assert_eq!(store.count(&of("revoke", "shop", "ada")), 0);
}

pub fn revoke_does_not_count_expired_sessions(store: &Store<impl Binding>) {
    store.populate();
    store.db.execute("UPDATE sessions SET exp = now() - interval '1 minute' WHERE sid = 'ada 2'");
    assert_eq!(store.count(&of("revoke", "shop", "ada")), 2);
    assert_eq!(store.db.row("ada 2"), None);
}

/// Also where deleting a session leaves its metadata.
pub fn revoke_is_of_one_audience_and_spares_one_session(store: &Store<impl Binding>) {
    for cascades in [true, false] {
        let store = match cascades {
            true => store.with("pool", "cascades for revoke"),
            false => store.without_cascade(),
        };
        // A revoked session's key cannot be used again.
        store.db.execute("TRUNCATE sessions, sessions_meta");
        store.populate();
        assert_eq!(store.count(&of("revoke", "blog", "ada")), 1);
        assert_eq!(store.db.row("ada 2"), None);
        assert!(store.db.metadata("ada 2").is_empty());
        let others = of("revoke", "shop", "ada").text("except_key", "ada 1");
        assert_eq!(store.count(&others), 1);
        assert!(store.db.metadata("ada 3").is_empty());
        assert!(store.get("ada 1").is_some());
        assert_eq!(store.db.metadata("ada 1").len(), 1);
    }
}

pub fn revoke_audience_ends_all_sessions_of_it(store: &Store<impl Binding>) {
    store.populate();
    assert_eq!(store.count(&audience("revoke_audience", "shop")), 4);
    assert!(store.get("without").is_some());
    store.run(&delete("without"));
    store.db.assert_empty();
}

pub fn list_returns_keys_names_and_expiries(store: &Store<impl Binding>) {
    store.populate();
    let listed = |key: &str| Listed {
        key: key.into(),
        name: "session".into(),
        expires: NOW as i64 + 60,
        created: None,
    };
    let ada = store.listed(&of("list", "shop", "ada"));
    assert_eq!(ada, [listed("ada 1"), listed("ada 2")]);
    assert_eq!(store.keys(&of("list", "blog", "ada")), ["ada 2"]);
    assert!(store.keys(&of("list", "shop", "eve")).is_empty());
    let shop = store.keys(&audience("list", "shop"));
    assert_eq!(shop, ["ada 1", "ada 2", "bob"]);
    let all = store.keys(&call("list"));
    assert_eq!(all, ["ada 1", "ada 2", "bob", "without"]);
}

pub fn list_gives_pages(store: &Store<impl Binding>) {
    for n in 0..7 {
        store.save(&format!("key {n}"), 60.0, ADA_TWICE);
    }
    let scopes = [of("list", "shop", "ada"), audience("list", "shop"), call("list")];
    for scope in scopes {
        let mut pages = Vec::new();
        let mut next = scope.number("limit", 3.0);
        loop {
            let page = store.keys(&next);
            let Some(last) = page.last() else {
                break;
            };
            next = next.text("after_key", last);
            pages.push(page);
        }
        let keys: Vec<_> = (0..7).map(|n| format!("key {n}")).collect();
        assert_eq!(pages, [&keys[..3], &keys[3..6], &keys[6..]]);
    }
}

pub fn list_returns_when_a_key_was_first_saved_if_the_table_has_it(store: &Store<impl Binding>) {
    store.alter("ALTER TABLE sessions ADD created timestamptz DEFAULT to_timestamp(1234567890)");
    // As in without_cascade.
    let store = store.with("pool", "first saved");
    store.save("key", 60.0, ADA);
    let [session] = &store.listed(&of("list", "shop", "ada"))[..] else {
        panic!("one session");
    };
    assert_eq!(session.created, Some(1_234_567_890));
}

pub fn count_counts_live_sessions(store: &Store<impl Binding>) {
    store.populate();
    assert_eq!(store.count(&of("count", "shop", "ada")), 2);
    assert_eq!(store.count(&of("count", "shop", "eve")), 0);
    assert_eq!(store.count(&audience("count", "shop")), 3);
    assert_eq!(store.count(&call("count")), 4);
    // Without statistics, the estimate is exact.
    let estimate = call("count").flag("estimate", true);
    store.db.execute("UPDATE pg_class SET reltuples = -1 WHERE relname = 'sessions'");
    assert_eq!(store.count(&estimate), 4);
    store.db.execute("ANALYZE sessions");
    assert_eq!(store.count(&estimate), 5);
}

/// As `get` finds it there: see `expiry`.
pub fn a_session_is_counted_listed_and_touched_in_its_last_second(store: &Store<impl Binding>) {
    store.save("last second", 0.0, ADA);
    store.save("expired", -1.0, ADA);
    let scopes =
        |operation| [of(operation, "shop", "ada"), audience(operation, "shop"), call(operation)];
    for (count, list) in std::iter::zip(scopes("count"), scopes("list")) {
        assert_eq!(store.count(&count), 1, "{count:?}");
        assert_eq!(store.keys(&list), ["last second"], "{list:?}");
    }
    let touch = |key| store.answer(&call("touch").text("key", key).number("ttl", 60.0));
    assert_eq!(touch("last second"), Answer::Found(true));
    assert_eq!(touch("expired"), Answer::Found(false));
    assert_eq!(store.db.exp("last second"), NOW + 60.0);
}

pub fn a_subject_without_an_audience_is_a_mistake(store: &Store<impl Binding>) {
    let failure = store.call(&call("count").text("subject", "ada"));
    assert!(failure.unwrap_err().raised().contains("audience"));
}

pub fn touch_changes_only_the_expiry(store: &Store<impl Binding>) {
    store.populate();
    let touch = |key, ttl| store.answer(&call("touch").text("key", key).number("ttl", ttl));
    assert_eq!(touch("ada 1", 600.5), Answer::Found(true));
    let row = store.db.row("ada 1").expect("a row");
    assert_eq!((row.data.as_str(), row.exp), ("value", NOW + 600.0));
    assert_eq!(store.db.metadata("ada 1").len(), 1);
    for key in ["ada 3", "no such key"] {
        assert_eq!(touch(key, 60.0), Answer::Found(false));
    }
    assert_eq!(store.db.exp("ada 3"), NOW - 1.0);
}

pub fn state_tells_how_a_session_ended(store: &Store<impl Binding>) {
    store.populate();
    let state = |key| match store.answer(&call("state").text("key", key)) {
        Answer::Value(state) => state.map(|state| String::from_utf8(state).expect("a word")),
        other => panic!("state answered {other:?}"),
    };
    store.run(&delete("without"));
    store.count(&audience("revoke", "shop").text("subject", "bob"));
    let expected = [
        ("ada 1", Some("live")),
        ("ada 3", Some("expired")),
        ("without", Some("deleted")),
        ("bob", Some("revoked")),
        ("no such key", None),
    ];
    for (key, word) in expected {
        assert_eq!(state(key).as_deref(), word, "{key}");
    }
    let later = call("state").text("key", "ada 1").number("current_time", NOW + 61.0);
    assert_eq!(store.answer(&later), Answer::Value(Some(b"expired".to_vec())));
}

pub fn cleanup_deletes_expired_sessions(store: &Store<impl Binding>) {
    store.populate();
    store.db.execute("UPDATE sessions SET exp = now() - interval '1 hour' WHERE sid LIKE 'ada%'");
    assert_eq!(store.count(&call("cleanup").number("limit", 2.0)), 2);
    assert_eq!(store.count(&call("cleanup")), 1);
    assert_eq!(store.count(&call("cleanup")), 0);
    assert_eq!(store.keys(&call("list")), ["bob", "without"]);
    assert_eq!(store.db.number("SELECT count(*) FROM sessions_meta"), 1);
}

/// The documented tables lack an index.
pub fn check_names_what_migrate_repairs(store: &Store<impl Binding>) {
    store.spoil();
    let findings = |call| match store.answer(&call) {
        Answer::Findings(findings) => findings,
        other => panic!("{call:?} answered {other:?}"),
    };
    let found = findings(call("check"));
    let [(problem, repair, false), (advice, _, true)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(problem.contains("no index on (sid)"), "{problem}");
    assert!(repair.starts_with("CREATE INDEX CONCURRENTLY"), "{repair}");
    assert!(advice.contains("no column created"), "{advice}");
    assert_eq!(findings(call("migrate").flag("dry_run", true)), found);
    assert_eq!(findings(call("migrate")), found);
    for operation in ["check", "migrate"] {
        assert_eq!(findings(call(operation)), []);
    }
}

pub fn health_says_whether_the_table_can_be_read(store: &Store<impl Binding>) {
    store.run(&call("health"));
    let missing = store.with("table_name", "no_such_table");
    let message = missing.call(&call("health")).unwrap_err().failed();
    assert!(message.contains("no_such_table"), "{message}");
    let away = store.with("port", f64::from(free_port()));
    let start = Instant::now();
    away.call(&call("health")).unwrap_err().failed();
    assert!(start.elapsed() < Duration::from_millis(2_500));
}
