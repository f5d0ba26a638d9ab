//! A call that waits for the database holds up no other request, and ends in time.

use std::thread;
use std::time::{Duration, Instant};

use super::site::{self, ANSWER, CONNECT, Site, assert_answer, timed, together};
use crate::support::{self, Cluster, Response};

/// What the machine may add to a limit while other tests run.
const NOISE: Duration = Duration::from_millis(250);

/// How long requests take that have nothing to do with the database, as many of them as half of the
/// time holds in which others wait; sorted.
fn plain_requests(site: &Site) -> Vec<Duration> {
    let start = Instant::now();
    let mut times: Vec<_> = (0..50)
        .take_while(|_| start.elapsed() < CONNECT / 2)
        .map(|_| {
            let (response, took) = timed(|| site.nginx.get("/plain"));
            assert_answer(&response, 200, "plain");
            // To see more of the time in which others wait.
            thread::sleep(Duration::from_millis(10));
            took
        })
        .collect();
    times.sort();
    times
}

fn assert_failed_in_time(site: &Site, response: &Response, took: Duration) {
    let Response { status, body } = response;
    let server = site.server();
    assert_eq!(*status, 503, "{body}");
    if *body == format!("no answer from {server} within {} ms", ANSWER.as_millis()) {
        assert!(took < CONNECT + ANSWER + NOISE, "{took:?}: {body}");
    } else {
        let waited = format!("no connection to {server} within {} ms: ", CONNECT.as_millis());
        assert!(body.starts_with(&waited), "{body}");
        assert!(took < CONNECT + NOISE, "{took:?}: {body}");
    }
}

/// Returns the longest time for which the event loop did not come round while a list was read, in
/// milliseconds, and the number of sessions in it.
const LONGEST: &str = "
    local reading, longest, last = true, 0
    local ticker = ngx.thread.spawn(function()
      while reading do
        ngx.update_time()
        local now = ngx.now()
        longest, last = math.max(longest, now - (last or now)), now
        ngx.sleep(0.001)
      end
    end)
    local storage, listed, count = require('site').storage(), nil, 0
    local method = ngx.var.arg_method
    if method == 'list' then
      listed = assert(storage:list(nil, nil, nil, nil, nil, 10000))
    else
      listed = assert(storage:read_metadata('n', 'shop', 'ada', ngx.time()))
    end
    -- The last of the times is noted, too.
    ngx.sleep(0.005)
    reading = false
    ngx.thread.wait(ticker)
    for _ in pairs(listed) do count = count + 1 end
    ngx.print(count, ' ', math.floor(longest * 1000))";

#[test]
fn a_long_list_is_handed_over_in_slices() {
    let site = site::on(support::shared()).conf("read_timeout", 5000).content("/list", LONGEST);
    let site = site.start();
    site.assert_works();
    site.sql()
        .batch_execute(
            "INSERT INTO sessions (sid, name, exp) SELECT 'key ' || n, 'name', now() + interval '1 hour'
             FROM generate_series(1, 100000) AS n;
             INSERT INTO sessions_meta (aud, sub, sid) SELECT 'shop', 'ada', 'key ' || n
             FROM generate_series(1, 100000) AS n",
        )
        .expect("sessions");
    for (method, expected) in [("read_metadata", 100_000), ("list", 10_000)] {
        // The machine may be busy with other tests: the first that was fast, of some. As a whole, a list
        // takes more than 80 ms.
        let mut times = (0..12).map(|_| {
            let body = site.nginx.get(&format!("/list?method={method}")).body;
            let numbers: Vec<u32> = body.split(' ').map(|n| n.parse().expect(&body)).collect();
            assert_eq!(numbers[0], expected, "{method}");
            numbers[1]
        });
        assert!(times.any(|longest| longest < 30), "{method}");
    }
}

#[test]
fn fifty_gets_from_a_paused_database_hold_up_no_other_request() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).start();
    site.assert_works();
    let worker = site.worker();
    let before = plain_requests(&site);
    let usual = before[before.len() / 2];

    cluster.pause();
    let (during, answers) = thread::scope(|scope| {
        let waiting = scope.spawn(|| together(50, |_| site.get("works")));
        thread::sleep(Duration::from_millis(50));
        let during = plain_requests(&site);
        assert!(!waiting.is_finished(), "nothing waits any more");
        (during, waiting.join().expect("no panic"))
    });
    cluster.resume();

    for (response, took) in &answers {
        assert_failed_in_time(&site, response, *took);
    }
    let held = |(response, _): &&(Response, _)| response.body.starts_with("no answer");
    assert!(answers.iter().any(|answer| held(&answer)), "{answers:?}");
    let (median, longest) = (during[during.len() / 2], during[during.len() - 1]);
    let limit = usual * 10 + Duration::from_millis(20);
    assert!(median < limit, "{median:?} instead of {usual:?}");
    assert!(longest < Duration::from_millis(500), "{longest:?}");

    site.assert_works();
    assert_eq!(site.worker(), worker, "it is not the worker it was");
}

#[test]
fn a_full_backlog_fails_at_once() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("pool_size", 1).conf("backlog", 10).start();
    site.assert_works();
    cluster.pause();
    let answers = thread::scope(|scope| {
        // The first takes the only connection, some wait for it, and the others must not.
        let first = scope.spawn(|| together(1, |_| site.get("works")));
        thread::sleep(Duration::from_millis(100));
        let others = scope.spawn(|| together(58, |_| site.get("works")));
        thread::sleep(Duration::from_millis(300));
        let (last, took) = timed(|| site.get("works"));
        assert_eq!(last.status, 503);
        assert!(last.body.contains("backlog of 10 is full"), "{}", last.body);
        assert!(took < NOISE, "{took:?}");
        let mut answers = first.join().expect("no panic");
        answers.extend(others.join().expect("no panic"));
        answers
    });
    cluster.resume();
    let (refused, waited): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(response, _)| response.body.contains("backlog"));
    for (response, took) in &waited {
        assert_failed_in_time(&site, response, *took);
    }
    // A connection counts for one that waits, and one is being carried out.
    assert_eq!((waited.len(), refused.len()), (12, 47));
    site.assert_works();
}
