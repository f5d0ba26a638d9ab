//! `ngx.run_worker_thread`: a thread of nginx's pool, with a Lua VM of its own for each task, and
//! without an event loop. Calls block there, and only there.

use std::thread;
use std::time::Duration;

use super::client::Client;
use super::site::{self, Plan, assert_answer, together};
use crate::support;

/// `/threaded` calls in a thread of nginx's pool.
fn with_worker_threads(plan: Plan) -> Plan {
    plan.nginx(|nginx| nginx.thread_pool("default", 4)).content(
        "/threaded",
        "local ok, status, text = ngx.run_worker_thread('default', 'site', 'run',
                                                             ngx.req.get_uri_args())
             assert(ok, status)
             ngx.status = status
             ngx.print(text)",
    )
}

#[test]
fn a_worker_thread_of_nginx_may_call_the_storage() {
    let site = with_worker_threads(site::on(support::shared())).start();
    let set = |key: &str, value: &str| {
        site.nginx.get(&format!("/threaded?do=set&key={key}&value={value}"))
    };
    let get = |key: &str| site.nginx.get(&format!("/threaded?do=get&key={key}"));
    together(8, |client| {
        for n in 0..25 {
            let (key, value) = (format!("client{client}"), format!("value{n}"));
            assert_answer(&set(&key, &value), 200, "true");
            // The event loop and the threads see the same sessions, through the same pool.
            assert_answer(&site.get(&key), 200, &value);
            assert_answer(&get(&key), 200, &value);
        }
        assert_answer(&get("missing"), 404, "");
    });
    let connections = site.connections();
    assert!((1..=4).contains(&connections), "{connections}");

    let stored = site.assert_waits_for_row("client0", || set("client0", "late"));
    assert_answer(&stored, 200, "true");
    site.nginx.quit();
}

/// nginx does not wait for such a task when a worker leaves: what is in flight then, it cuts.
#[test]
fn reloads_and_an_exit_in_the_middle_of_such_calls_crash_no_worker() {
    let site = with_worker_threads(site::on(support::shared()))
        .nginx(|nginx| nginx.workers(2).may_complain())
        .start();
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            together(6, |client| {
                let connection = Client::new(site.nginx.port(), false);
                let calls = (0..80).map(|n| {
                    let path = format!("/threaded?do=set&key=client{client}&value=value{n}");
                    connection.get(&path)
                });
                let answered = calls.filter_map(Result::ok);
                answered.filter(|response| response.status == 200).count()
            })
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(50));
            site.nginx.reload();
        }
        for (answered, _) in clients.join().expect("no panic") {
            assert!(answered >= 80 - 6, "{answered} of 80 were answered");
        }
    });
    let waiting = site.leave_many(20, |_| "/threaded?do=get&key=client0".into());
    site.nginx.quit();
    drop(waiting);
    assert!(!site.nginx.error_log().contains("exited on signal"));
}
