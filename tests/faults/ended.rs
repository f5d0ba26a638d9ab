//! Sessions are ended while others save and replace them, and everything breaks meanwhile: none comes back,
//! and each that lives is found by its metadata.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::ops::{Delete, Revoke, Set};
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::random::{chance, random_fault};
use super::relay::Relay;
use super::soak;
use super::trial::one_at_a_time;
use crate::support::process::{SetAtDrop, lock};
use crate::support::{Cluster, one};

/// Without another word, as in `make test`.
const SHORT: Duration = Duration::from_secs(7);

const PEOPLE: usize = 6;

/// What one person's browser knows of its login.
#[derive(Default)]
struct Login {
    number: usize,
    /// The keys that it may have had so far, the one that it has last.
    keys: Vec<String>,
    /// The one whose save was the last to be acknowledged.
    current: Option<String>,
    /// The key of a deletion that was acknowledged.
    deleted: Option<String>,
}

struct Ground<'a> {
    storages: [&'a Storage; 2],
    logins: [Mutex<Login>; PEOPLE],
    /// Keys of sessions that must not be there any more.
    ended: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
    refused: AtomicUsize,
    revoked: AtomicUsize,
    deleted: AtomicUsize,
    done: AtomicBool,
}

fn set(person: usize, key: &str, old: Option<&str>) -> Set {
    let subject = format!("person {person}");
    let set = Set::new("session", key, "value", Epoch::now().plus(3600)).expect("texts");
    let set = set.under("shop", subject).expect("metadata");
    match old {
        Some(old) => set.replacing(old, Some(Epoch::now().plus(10))).expect("a key"),
        None => set,
    }
}

impl Ground<'_> {
    fn storage(&self) -> &Storage {
        self.storages[chance(2) as usize]
    }

    /// Logs in, then saves and replaces the session until it is refused, and logs in again.
    fn browse(&self, person: usize) {
        for number in 0.. {
            let first = format!("{person} {number} 0");
            *lock(&self.logins[person]) =
                Login { number, keys: vec![first.clone()], ..Login::default() };
            if self.storage().call(set(person, &first, None)).is_ok() {
                lock(&self.logins[person]).current = Some(first.clone());
                self.go_on(person, first);
            }
            if self.done.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// People who sign out replace only: a save of a deleted key in flight may bring it back, as documented.
    fn go_on(&self, person: usize, mut key: String) {
        let start = Instant::now();
        for step in 1.. {
            thread::sleep(Duration::from_micros(chance(3000)));
            let replaces = signs_out(person) || step % 3 == 0;
            let beginning = key.rsplit_once(' ').expect("a number").0;
            let next = if replaces { format!("{beginning} {step}") } else { key.clone() };
            let deleted = {
                let mut login = lock(&self.logins[person]);
                login.keys.extend(replaces.then(|| next.clone()));
                login.deleted.clone()
            };
            match self.storage().call(set(person, &next, replaces.then_some(&key))) {
                Ok(()) if deleted.as_ref() == Some(&key) => {
                    lock(&self.wrong).push(format!("{next} has replaced {key} after its deletion"));
                    return;
                }
                Ok(()) => {
                    lock(&self.logins[person]).current = Some(next.clone());
                    key = next;
                }
                Err(Error::Ended) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // It may have been carried out.
                Err(_) => {}
            }
            // A replaced session is remembered for some time only.
            let old = start.elapsed() > Duration::from_secs(9);
            if self.done.load(Ordering::Relaxed) || step > 60 || old {
                return;
            }
        }
    }

    /// Signs people out everywhere.
    fn revoke(&self) {
        while !self.done.load(Ordering::Relaxed) {
            let person = chance(PEOPLE as u64) as usize;
            let login = || {
                let login = lock(&self.logins[person]);
                login.current.as_ref().map(|_| login.number)
            };
            let before = login();
            let subject = format!("person {person}");
            let revoke = Revoke::new("shop", subject, None::<&str>).expect("texts");
            let revoked = self.storage().call(revoke).is_ok();
            if let Some(number) = before.filter(|_| revoked) {
                self.revoked.fetch_add(1, Ordering::Relaxed);
                // Also the keys that this login may try from now on.
                lock(&self.ended).push(format!("{person} {number} "));
            }
            thread::sleep(Duration::from_millis(chance(40)));
        }
    }

    /// Signs people out of the browser that they use.
    fn delete(&self) {
        while !self.done.load(Ordering::Relaxed) {
            let person = (0..).map(|_| chance(PEOPLE as u64) as usize).find(|it| signs_out(*it));
            let person = person.expect("somebody");
            // The session that it has, with no save under way.
            let current = || {
                let login = lock(&self.logins[person]);
                login.current.clone().filter(|key| login.keys.last() == Some(key))
            };
            if let Some(key) = current()
                && self.storage().call(Delete::new(&*key).expect("a key")).is_ok()
                && current().as_ref() == Some(&key)
            {
                lock(&self.logins[person]).deleted = Some(key);
                self.deleted.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(chance(20)));
        }
    }
}

fn signs_out(person: usize) -> bool {
    person.is_multiple_of(2)
}

#[test]
fn what_was_ended_stays_ended_and_what_lives_is_found() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let relay = Relay::to(cluster.port());
    let database = cluster.create_database();
    let storages = [relay.port(), cluster.port()].map(|port| {
        let keys = json!({
            "port": port, "cleanup_interval": 1, "connect_timeout": 500,
            "send_timeout": 250, "read_timeout": 250,
        });
        cluster.storage(&database, keys)
    });
    let ground = Ground {
        storages: storages.each_ref(),
        logins: Default::default(),
        ended: Mutex::default(),
        wrong: Mutex::default(),
        refused: AtomicUsize::new(0),
        revoked: AtomicUsize::new(0),
        deleted: AtomicUsize::new(0),
        done: AtomicBool::new(false),
    };
    let mut faults = 0;
    thread::scope(|scope| {
        let (ground, _end) = (&ground, SetAtDrop(&ground.done));
        for person in 0..PEOPLE {
            scope.spawn(move || ground.browse(person));
        }
        scope.spawn(|| ground.revoke());
        scope.spawn(|| ground.delete());
        let (start, lasts) = (Instant::now(), soak::time().unwrap_or(SHORT));
        while start.elapsed() < lasts {
            thread::sleep(Duration::from_millis(300 + chance(300)));
            random_fault(&cluster, &relay, None);
            faults += 1;
        }
    });
    // What was given up and goes on.
    thread::sleep(Duration::from_millis(500));
    cluster.wait_until_up();
    let mut sql = cluster.client(&database);
    let [refused, revoked, deleted] =
        [&ground.refused, &ground.revoked, &ground.deleted].map(|it| it.load(Ordering::Relaxed));
    println!(
        "{faults} faults, {revoked} revocations, {deleted} deletions, {refused} refused saves"
    );
    let wrong = ground.wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let ended = ground.ended.into_inner().expect("no panic");
    let back = "SELECT array_agg(sid) FROM sessions, unnest($1::text[]) AS ended
                WHERE exp > now() AND starts_with(sid, ended)";
    let back: Option<Vec<String>> = sql.query_one(back, &[&ended]).expect("a row").get(0);
    assert_eq!(back, None, "they are back");
    let lost = "SELECT count(*) FROM sessions AS s WHERE exp > now()
                AND NOT EXISTS (SELECT FROM sessions_meta AS m WHERE m.sid = s.sid)";
    assert_eq!(one::<i64>(&mut sql, lost), 0, "sessions without their metadata");
    assert!(revoked > 5 && deleted > 5 && refused > 5, "no race");
}
