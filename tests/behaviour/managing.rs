//! What people who run a site ask of it: who has sessions, and to end them.

use super::door::{Door, Pairs, Set};
use super::request::{Answer, Listed, Request, request};
use super::store::{NOW, Store, set};

const ADA: Pairs = &[(b"shop", b"ada")];
const ADA_TWICE: Pairs = &[(b"shop", b"ada"), (b"blog", b"ada")];
const BOB: Pairs = &[(b"shop", b"bob")];

impl<D: Door> Store<D> {
    fn ask(&self, request: &Request) -> Answer {
        let answer = self.door.ask(&self.conf, request);
        answer.unwrap_or_else(|failure| panic!("{request:?}: {failure:?}"))
    }

    fn number(&self, request: &Request) -> u64 {
        match self.ask(request) {
            Answer::Number(number) => number,
            other => panic!("{request:?} answered {other:?}"),
        }
    }

    fn listed(&self, request: &Request) -> Vec<Listed> {
        match self.ask(request) {
            Answer::Sessions(sessions) => sessions,
            other => panic!("{request:?} answered {other:?}"),
        }
    }

    fn keys(&self, request: &Request) -> Vec<String> {
        let sessions = self.listed(request).into_iter();
        sessions.map(|session| session.key).collect()
    }

    fn save(&self, key: &str, ttl: f64, metadata: Pairs) {
        let metadata = Some(metadata);
        self.set(&Set {
            ttl,
            metadata,
            ..set(key, "value")
        })
        .unwrap();
    }

    /// Three sessions of Ada's, the second also in another audience and the third over; one of Bob's,
    /// one of nobody's.
    fn populate(&self) {
        self.save("ada 1", 60.0, ADA);
        self.save("ada 2", 60.0, ADA_TWICE);
        self.save("ada 3", -1.0, ADA);
        self.save("bob", 60.0, BOB);
        self.save("nobody", 60.0, &[]);
    }
}

fn of(operation: &'static str, audience: &'static str, subject: &'static str) -> Request<'static> {
    Request {
        audience: Some(audience.as_bytes()),
        subject: Some(subject.as_bytes()),
        ..request(operation)
    }
}

pub fn revoke_ends_the_sessions_of_a_subject(store: &Store<impl Door>) {
    store.populate();
    // The one that is over at NOW is alive on the server's clock, and is ended with the others.
    assert_eq!(store.number(&of("revoke", "shop", "ada")), 3);
    for key in ["ada 1", "ada 2", "ada 3"] {
        assert_eq!(store.db.row(key), None, "{key}");
        assert!(store.db.metadata(key).is_empty(), "{key}");
    }
    assert!(store.get("bob").unwrap().is_some());
    assert!(store.get("nobody").unwrap().is_some());
    assert_eq!(store.number(&of("revoke", "shop", "ada")), 0);
}

pub fn revoke_does_not_count_what_is_over(store: &Store<impl Door>) {
    store.populate();
    store
        .db
        .execute("UPDATE sessions SET exp = now() - interval '1 minute' WHERE sid = 'ada 2'");
    assert_eq!(store.number(&of("revoke", "shop", "ada")), 2);
    assert_eq!(store.db.row("ada 2"), None);
}

pub fn revoke_spares_one_session(store: &Store<impl Door>) {
    store.populate();
    let others = Request {
        except_key: Some(b"ada 1"),
        ..of("revoke", "shop", "ada")
    };
    assert_eq!(store.number(&others), 2);
    assert!(store.get("ada 1").unwrap().is_some());
    assert_eq!(store.db.metadata("ada 1").len(), 1);
    assert_eq!(store.db.row("ada 2"), None);
}

pub fn revoke_is_of_one_audience(store: &Store<impl Door>) {
    store.populate();
    assert_eq!(store.number(&of("revoke", "blog", "ada")), 1);
    assert_eq!(store.db.row("ada 2"), None);
    assert!(store.get("ada 1").unwrap().is_some());
}

pub fn revoke_audience_ends_everybodys_sessions_in_it(store: &Store<impl Door>) {
    store.populate();
    let revoke = Request {
        audience: Some(b"shop"),
        ..request("revoke_audience")
    };
    assert_eq!(store.number(&revoke), 4);
    assert!(store.get("nobody").unwrap().is_some());
    store.delete("nobody", None).unwrap();
    store.db.assert_empty();
}

pub fn revoke_takes_the_metadata_along_where_nothing_cascades(store: &Store<impl Door>) {
    store
        .db
        .alter("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    // A pool of its own: what others have seen of the tables is believed for some seconds.
    let store = store.with("pool", "nothing cascades for revoke");
    store.populate();
    let others = Request {
        except_key: Some(b"ada 1"),
        ..of("revoke", "shop", "ada")
    };
    assert_eq!(store.number(&others), 2);
    assert!(store.db.metadata("ada 2").is_empty());
    assert_eq!(store.db.metadata("ada 1").len(), 1);
}

pub fn list_tells_keys_names_and_ends(store: &Store<impl Door>) {
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
    assert!(store.keys(&of("list", "shop", "nobody")).is_empty());
    let shop = Request {
        audience: Some(b"shop"),
        ..request("list")
    };
    assert_eq!(store.keys(&shop), ["ada 1", "ada 2", "bob"]);
    let all = store.keys(&request("list"));
    assert_eq!(all, ["ada 1", "ada 2", "bob", "nobody"]);
}

pub fn list_gives_pages(store: &Store<impl Door>) {
    for n in 0..7 {
        store.save(&format!("key {n}"), 60.0, ADA_TWICE);
    }
    let audience = Request {
        audience: Some(b"shop"),
        ..request("list")
    };
    for scope in [of("list", "shop", "ada"), audience, request("list")] {
        let mut pages = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let page = store.keys(&Request {
                after_key: last.as_ref().map(String::as_bytes),
                limit: Some(3.0),
                ..scope
            });
            let Some(key) = page.last() else {
                break;
            };
            last = Some(key.clone());
            pages.push(page);
        }
        let keys: Vec<_> = (0..7).map(|n| format!("key {n}")).collect();
        assert_eq!(pages, [&keys[..3], &keys[3..6], &keys[6..]]);
    }
}

pub fn list_tells_when_a_key_was_first_saved_where_the_table_does(store: &Store<impl Door>) {
    store
        .db
        .alter("ALTER TABLE sessions ADD created timestamptz DEFAULT to_timestamp(1234567890)");
    store.save("key", 60.0, ADA);
    let [session] = &store.listed(&of("list", "shop", "ada"))[..] else {
        panic!("one session");
    };
    assert_eq!(session.created, Some(1_234_567_890));
}

pub fn count_counts_live_sessions(store: &Store<impl Door>) {
    store.populate();
    assert_eq!(store.number(&of("count", "shop", "ada")), 2);
    assert_eq!(store.number(&of("count", "shop", "nobody")), 0);
    let audience = Request {
        audience: Some(b"shop"),
        ..request("count")
    };
    assert_eq!(store.number(&audience), 3);
    assert_eq!(store.number(&request("count")), 4);
    // Without statistics, the estimate is exact.
    let estimate = Request {
        estimate: true,
        ..request("count")
    };
    store
        .db
        .execute("UPDATE pg_class SET reltuples = -1 WHERE relname = 'sessions'");
    assert_eq!(store.number(&estimate), 4);
    store.db.execute("ANALYZE sessions");
    assert_eq!(store.number(&estimate), 5);
}

pub fn a_subject_without_an_audience_is_a_mistake(store: &Store<impl Door>) {
    let request = Request {
        subject: Some(b"ada"),
        ..request("count")
    };
    let failure = store.door.ask(&store.conf, &request).unwrap_err();
    assert!(failure.raised().contains("audience"));
}

pub fn touch_changes_the_end_alone(store: &Store<impl Door>) {
    store.populate();
    let touch = |key, ttl| Request {
        key: Some(key),
        ttl: Some(ttl),
        ..request("touch")
    };
    assert_eq!(store.number(&touch(b"ada 1", 600.5)), 1);
    let row = store.db.row("ada 1").expect("a row");
    assert_eq!((row.data.as_str(), row.exp), ("value", NOW + 600.0));
    assert_eq!(store.db.metadata("ada 1").len(), 1);
    for key in [&b"ada 3"[..], b"no such key"] {
        assert_eq!(store.number(&touch(key, 60.0)), 0);
    }
    assert_eq!(store.db.exp("ada 3"), NOW - 1.0);
}

pub fn cleanup_deletes_what_is_over(store: &Store<impl Door>) {
    store.populate();
    store
        .db
        .execute("UPDATE sessions SET exp = now() - interval '1 minute' WHERE sid LIKE 'ada%'");
    let cleanup = |limit| {
        store.number(&Request {
            limit,
            ..request("cleanup")
        })
    };
    assert_eq!(cleanup(Some(2.0)), 2);
    assert_eq!(cleanup(None), 1);
    assert_eq!(cleanup(None), 0);
    assert_eq!(store.keys(&request("list")), ["bob", "nobody"]);
    assert_eq!(
        store.db.text("SELECT count(*)::text FROM sessions_meta"),
        "1"
    );
}

/// The documented tables lack an index.
pub fn check_names_what_migrate_repairs(store: &Store<impl Door>) {
    store.db.spoil();
    let check = || match store.ask(&request("check")) {
        Answer::Findings(findings) => findings,
        other => panic!("check answered {other:?}"),
    };
    let findings = check();
    let [(problem, repair)] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(problem.contains("no index on (sid)"), "{problem}");
    assert!(repair.starts_with("CREATE INDEX"), "{repair}");
    assert!(store.number(&request("migrate")) > 0);
    assert_eq!(check(), []);
    assert_eq!(store.number(&request("migrate")), 0);
}

pub fn health_says_whether_the_table_can_be_read(store: &Store<impl Door>) {
    assert_eq!(store.number(&request("health")), 1);
    let nowhere = store.with("table_name", "no_such_table");
    let failure = nowhere.door.ask(&nowhere.conf, &request("health"));
    assert!(failure.unwrap_err().failed().contains("no_such_table"));
    let port = f64::from(crate::support::process::free_port());
    let start = std::time::Instant::now();
    let away = store.with("port", port);
    away.door
        .ask(&away.conf, &request("health"))
        .unwrap_err()
        .failed();
    assert!(start.elapsed() < std::time::Duration::from_millis(2_500));
}
