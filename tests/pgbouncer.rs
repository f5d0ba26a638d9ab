//! Through a real PgBouncer, whose clients share sessions: a pool of two server connections, many
//! requests at once.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connections::DAWDLE;
use crate::nginx::site::{self, Plan, Site, assert_answer, lock_row};
use crate::support::{self, PgBouncer, one, process};

/// With RSP_LONG, each of the runs under load takes a minute.
fn load_time() -> Duration {
    let long = env::var_os("RSP_LONG").is_some();
    Duration::from_millis(if long { 60_000 } else { 1_200 })
}

fn behind<'a>(pooler: &PgBouncer, prepared_statements: &str) -> Plan<'a> {
    site::on(support::shared())
        .conf("port", pooler.port())
        .conf("pool_size", 8)
        .conf("connect_timeout", 10_000)
        .conf("read_timeout", 10_000)
        .conf("prepared_statements", prepared_statements)
}

/// 64 clients store and read without a pause; none of them may fail.
fn load(site: &Site, time: Duration) -> usize {
    let (start, requests) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..64 {
            let requests = &requests;
            scope.spawn(move || {
                for n in 0.. {
                    let (key, value) = (format!("client{client}-{}", n % 3), format!("value{n}"));
                    let owner = format!("&audience=a&subject={client}");
                    assert_answer(&site.set(&key, &format!("{value}{owner}")), 200, "true");
                    assert_answer(&site.get(&key), 200, &value);
                    requests.fetch_add(2, Ordering::Relaxed);
                    if start.elapsed() > time {
                        return;
                    }
                }
            });
        }
    });
    requests.into_inner()
}

/// The server's sessions that PgBouncer holds, and what our statements have left in them.
fn assert_nothing_is_left_behind(site: &Site, pooler: &PgBouncer) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND pid <> pg_backend_pid()";
    let sessions: i64 = one(&mut site.sql(), sql);
    assert!((1..=2).contains(&sessions), "{sessions} sessions");
    let mut client = pooler.connect(&site.database).unwrap();
    let sql = "SELECT (SELECT count(*) FROM pg_prepared_statements)::text,
                      current_setting('lock_timeout'), current_setting('statement_timeout')";
    let rows = client.simple_query(sql).unwrap();
    let postgres::SimpleQueryMessage::Row(row) = &rows[1] else {
        panic!("{rows:?}");
    };
    let left: Vec<_> = (0..3).map(|at| row.get(at).unwrap()).collect();
    assert_eq!(left, ["0", "0", "0"]);
}

fn serves_all_requests(pool_mode: &str, prepared_statements: &str, settings: &str) {
    let pooler = PgBouncer::start(support::shared(), pool_mode, settings);
    let site = behind(&pooler, prepared_statements).start();
    let requests = load(&site, load_time());
    println!("{pool_mode}, {prepared_statements}: {requests} requests");
    assert!(requests >= 128);
    assert_nothing_is_left_behind(&site, &pooler);
}

#[test]
fn a_pooler_of_transactions_or_statements_serves_all_requests() {
    for mode in ["transaction", "statement"] {
        for prepared in ["auto", "false"] {
            serves_all_requests(mode, prepared, "");
        }
    }
    // Here it drops our settings instead of refusing the connection.
    let silent = "ignore_startup_parameters = options";
    serves_all_requests("transaction", "auto", silent);
}

/// Without prepared statements a session of PgBouncer's is as good as any.
#[test]
fn a_pooler_of_sessions_serves_prepared_statements() {
    let pooler = PgBouncer::start(support::shared(), "session", "");
    // More connections of ours than PgBouncer has would wait for each other.
    let site = behind(&pooler, "true").conf("pool_size", 2).start();
    assert!(load(&site, Duration::from_millis(200)) >= 128);
}

/// There is no statement_timeout of ours there, and PgBouncer itself leaves it to go on.
#[test]
fn a_statement_without_a_caller_is_cancelled_behind_a_pooler() {
    let pooler = PgBouncer::start(support::shared(), "transaction", "");
    let site = behind(&pooler, "auto").conf("send_timeout", 200).conf("read_timeout", 200).start();
    site.assert_works();
    let mut sql = site.sql();
    sql.batch_execute(DAWDLE).unwrap();
    let response = site.set("slow", "value");
    assert_eq!(response.status, 503, "{}", response.body);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'active' AND pid <> pg_backend_pid()";
    let ended = || one::<i64>(&mut sql, running) == 0;
    process::wait_until(2, "the statement is cancelled", ended);
}

#[test]
fn a_locked_row_delays_only_its_own_operation_behind_a_pooler() {
    let pooler = PgBouncer::start(support::shared(), "transaction", "");
    let site = behind(&pooler, "auto").conf("send_timeout", 400).conf("read_timeout", 400).start();
    assert_answer(&site.set("locked", "first"), 200, "true");
    let mut sql = site.sql();
    let lock = lock_row(&mut sql, "locked");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.set("locked", "second"));
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        for n in 0..20 {
            assert_answer(&site.set(&format!("free{n}"), "value"), 200, "true");
        }
        let took = start.elapsed();
        assert!(took < Duration::from_millis(600), "{took:?}");
        let response = waiting.join().unwrap();
        assert_eq!(response.status, 503, "{}", response.body);
        let reason = "locked by another transaction";
        assert!(response.body.contains(reason), "{}", response.body);
    });
    lock.rollback().unwrap();
    assert_answer(&site.set("locked", "third"), 200, "true");
}
