//! Two ways in which a worker may get into trouble by itself: its own code holds it up, and its own
//! timers use up what nginx allows. The storage has to come through both.

use std::thread;
use std::time::Duration;

use super::site;
use crate::support::{self, Cluster, process};

/// The outcomes and the end of the waiting are then found in one turn of the event loop.
#[test]
fn a_worker_that_was_held_up_gives_no_wrong_answer() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).content("/hold-up", "os.execute('sleep 3')").start();
    site.assert_works();
    cluster.pause();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site::together(20, |_| site.get("works")));
        thread::sleep(Duration::from_millis(200));
        site.nginx.get("/hold-up");
        for (response, _) in waiting.join().expect("no panic") {
            assert_eq!(response.status, 503, "{}", response.body);
        }
    });
    cluster.resume();
    site.assert_works();
    site::together(50, |_| site::assert_answer(&site.get("works"), 200, "yes"));
}

#[test]
fn a_storage_that_is_first_used_when_all_timers_run_works_later() {
    let site = site::on(support::shared())
        .nginx(|nginx| nginx.may_complain().http("lua_max_running_timers 2;"))
        .content(
            "/timers",
            "for n = 1, 4 do
               assert(ngx.timer.at(0, function()
                 require('site').run({ ['do'] = 'get', key = 'key' })
               end))
             end",
        )
        .start();
    site.nginx.get("/timers");
    let works = || site.set("key", "value").status == 200;
    process::wait_until(5, "a set succeeds", works);
    site.assert_works();
}

/// Semaphores that are never posted, and end each wait at once.
const DEAF: &str = "init_worker_by_lua_block {
    waited = 0
    local function wait(_, seconds)
      waited = waited + seconds
      return nil, 'timeout'
    end
    package.loaded['ngx.semaphore'] = {
      new = function() return { wait = wait, post = function() end } end,
    }
  }";

/// Where an outcome does not come, a caller waits for its limit, and not for it once more.
#[test]
fn a_coroutine_waits_for_its_limit_once() {
    let content = "local storage = require('site').storage()
        local before = waited
        local value, err = storage:get('n', 'key')
        ngx.print(waited - before, ' ', value, ' ', err)";
    let site = site::on(support::shared())
        .nginx(|nginx| nginx.may_complain().http(DEAF))
        .content("/wait", content);
    let site = site.start();
    // The first one starts the pump.
    site.nginx.get("/wait");
    let limit = (site::CONNECT + site::ANSWER).as_secs_f64();
    let body = site.nginx.get("/wait").body;
    let waited: f64 = body.split(' ').next().and_then(|n| n.parse().ok()).expect(&body);
    assert!(body.contains("no outcome after"), "{body}");
    assert!(waited > limit && waited < 1.5 * limit, "{body}");
}
