//! A row that another transaction holds: who waits for it, and who must not.

use std::thread;
use std::time::Duration;

use super::site::{self, ANSWER, CONNECT, Site, assert_answer, timed, together};
use crate::support;

/// What the machine may add to a limit while other tests run.
const NOISE: Duration = Duration::from_millis(250);

/// Others' sets go on as if there were no lock.
fn assert_others_are_stored(site: &Site) {
    for n in 0..20 {
        let (response, took) = timed(|| site.set(&format!("other{n}"), "value"));
        assert_answer(&response, 200, "true");
        assert!(took < Duration::from_millis(200), "{took:?}");
    }
}

#[test]
fn a_locked_row_delays_only_its_own_operation() {
    let site = site::on(support::shared()).start();
    site.assert_works();
    let mut sql = site.sql();
    let holder = site::lock_row(&mut sql, "works");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.set("works", "late"));
        thread::sleep(Duration::from_millis(50));
        assert_others_are_stored(&site);
        assert!(!waiting.is_finished(), "it did not wait");
        holder.rollback().expect("a transaction to end");
        let (stored, took) = timed(|| waiting.join().expect("no panic"));
        assert_answer(&stored, 200, "true");
        // It looks a few times a second.
        assert!(took < Duration::from_millis(300) + NOISE, "{took:?}");
    });
    assert_answer(&site.get("works"), 200, "late");
}

#[test]
fn a_row_that_stays_locked_fails_its_operation_in_time() {
    let site = site::on(support::shared()).start();
    site.assert_works();
    let mut sql = site.sql();
    let holder = site::lock_row(&mut sql, "works");
    for _ in 0..3 {
        let (locked, took) = timed(|| site.set("works", "late"));
        assert_eq!(locked.status, 503, "{}", locked.body);
        assert!(locked.body.contains("locked"), "{}", locked.body);
        assert!(took < ANSWER + NOISE, "{took:?}");
    }
    holder.rollback().expect("a transaction to end");
    site.assert_works();
}

/// More of them than there are connections, and than one statement holds.
#[test]
fn a_crowd_that_waits_for_one_locked_row_delays_no_other_session() {
    let site = site::on(support::shared()).start();
    site.assert_works();
    let mut sql = site.sql();
    let holder = site::lock_row(&mut sql, "works");
    thread::scope(|scope| {
        let waiting = site.leave_many(300, |_| "/call?do=set&key=works&value=late".into());
        let readers = scope.spawn(|| together(20, |_| site.get("works")));
        thread::sleep(Duration::from_millis(100));
        assert_others_are_stored(&site);
        holder.rollback().expect("a transaction to end");
        for (response, took) in readers.join().expect("no panic") {
            assert!(matches!(response.status, 200 | 503), "{response:?}");
            assert!(took < CONNECT + ANSWER + NOISE, "{took:?}");
        }
        drop(waiting);
    });
    site.assert_works();
}
