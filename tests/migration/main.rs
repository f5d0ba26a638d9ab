//! From lua-resty-session's own PostgreSQL storage to this one and back, on one pair of tables, with the
//! real lua-resty-session: what docs/migrate.md promises. `make test-migration` runs it; where that
//! library is, BASELINE_LUA_PATH and BASELINE_LUA_CPATH say, as for the benchmarks.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod site;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use browser::{Browser, Tally};
use site::{Site, Storage};
use support::Cluster;

const BROWSERS: usize = 8;

/// How long each stage of the change is under load.
fn stage_lasts() -> Duration {
    let seconds = std::env::var("STAGE_SECONDS").unwrap_or_else(|_| "5".into());
    Duration::from_secs(seconds.parse().expect("STAGE_SECONDS: a number"))
}

/// Browsers that go from one of the sites to another while `change` happens.
fn under_load(sites: &[&Site], change: impl FnOnce()) -> Tally {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let browsers: Vec<_> = (0..BROWSERS)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut browser = Browser::new(number);
                    while !stop.load(Ordering::Relaxed) {
                        browser.step(sites);
                    }
                    browser.tally
                })
            })
            .collect();
        change();
        stop.store(true, Ordering::Relaxed);
        browsers.into_iter().map(|browser| browser.join().expect("no panic")).sum()
    })
}

/// Two machines of a site change one after the other, there and back.
#[test]
fn a_rolling_change_there_and_back_loses_no_session_and_no_request() {
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let first = Site::start(&cluster, &database, Storage::Upstream);
    let second = Site::start(&cluster, &database, Storage::Upstream);
    let tally = under_load(&[&first, &second], || {
        thread::sleep(stage_lasts());
        for (site, storage) in [
            (&first, Storage::Ours),
            (&second, Storage::Ours),
            (&first, Storage::Upstream),
            (&second, Storage::Upstream),
        ] {
            site.change_to(storage);
            thread::sleep(stage_lasts());
        }
    });
    println!("rolling, a server in UTC: {tally}");
    assert_eq!((tally.failed, tally.lost), (0, 0));
    assert!(tally.visits > 500 && tally.logins > 50, "{tally}");
    first.assert_clean_log();
    second.assert_clean_log();
}

/// The steps of "Moving in from another store", and the way back. Workers of before a reload and those of
/// after it serve at the same time.
#[test]
fn moving_in_from_another_store_and_back_loses_no_session_and_no_request() {
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let site = Site::start(&cluster, &database, Storage::Ours);
    site.take_step("there");
    let mut steps = Vec::new();
    let tally = under_load(&[&site], || {
        for step in ["saves_there", "saves_here", "here", "saves_here", "saves_there", "there"] {
            thread::sleep(stage_lasts());
            steps.push(site.count("SELECT count(*) FROM sessions WHERE exp > now()"));
            site.take_step(step);
        }
        thread::sleep(stage_lasts());
    });
    println!("another store: {tally}; sessions here after each step: {steps:?}");
    assert_eq!((tally.failed, tally.lost), (0, 0));
    assert!(tally.visits > 500 && tally.logins > 50, "{tally}");
    assert_eq!(steps[..2], [0, 0], "saves went there");
    assert!(steps[2] >= BROWSERS as i64, "saves came here");
    site.assert_clean_log();
}

/// Upstream shifts expiries by the server's offset from UTC. East of UTC, sessions that it saved have
/// expired for this storage until the shift is removed, so the change cannot roll.
#[test]
fn in_tokyo_sessions_survive_one_change_at_once_with_the_shift_removed() {
    let cluster = Cluster::builder().setting("timezone", "Asia/Tokyo").start();
    let database = cluster.create_database();
    let site = Site::start(&cluster, &database, Storage::Upstream);
    let mut browsers: Vec<_> = (0..10).map(Browser::new).collect();
    let mut visit_all = || -> Tally {
        for browser in &mut browsers {
            browser.tally = Tally::default();
            browser.visit(&site);
        }
        browsers.iter().map(|browser| browser.tally).sum()
    };
    assert_eq!(visit_all().lost, 0);

    // What docs/migrate.md says, there.
    site.change_to(Storage::Ours);
    let before = visit_all();
    println!("Tokyo, before the shift is removed: {before}");
    assert_eq!(before.lost, 10, "they look expired");
    site.sql(
        "UPDATE sessions
         SET exp = (exp AT TIME ZONE current_setting('TimeZone')) AT TIME ZONE 'UTC'",
    );
    let after = visit_all();
    println!("Tokyo, after: {after}");
    assert_eq!((after.failed, after.lost), (0, 0));

    // And back.
    site.change_to(Storage::Upstream);
    site.sql(
        "UPDATE sessions
         SET exp = (exp AT TIME ZONE 'UTC') AT TIME ZONE current_setting('TimeZone')",
    );
    let back = visit_all();
    println!("Tokyo, back: {back}");
    assert_eq!((back.failed, back.lost), (0, 0));
}

/// Where the role of the site has UTC as its time zone, the server's own does not matter.
#[test]
fn in_tokyo_a_rolling_change_loses_nothing_where_the_role_has_utc() {
    let cluster = Cluster::builder().setting("timezone", "Asia/Tokyo").start();
    let database = cluster.create_database();
    cluster
        .client(&database)
        .batch_execute("ALTER ROLE postgres SET TimeZone = 'UTC'")
        .expect("a setting");
    let first = Site::start(&cluster, &database, Storage::Upstream);
    let second = Site::start(&cluster, &database, Storage::Upstream);
    let tally = under_load(&[&first, &second], || {
        thread::sleep(stage_lasts());
        first.change_to(Storage::Ours);
        thread::sleep(stage_lasts());
        first.change_to(Storage::Upstream);
        thread::sleep(stage_lasts());
    });
    println!("rolling, Tokyo, a role with UTC: {tally}");
    assert_eq!((tally.failed, tally.lost), (0, 0));
}
