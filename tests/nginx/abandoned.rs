//! Callers that go away while they wait: their request ends, their thread is killed, their client
//! hangs up. The outcome then has no receiver, and nothing may be kept for it.

use std::thread;
use std::time::Duration;

use super::site::{self, Plan, Site, memory, together};
use crate::support::Cluster;

/// Abandons each call in its own way, at once or when its client goes.
fn with_quitters(plan: Plan) -> Plan {
    let spawn = "local args = ngx.req.get_uri_args()
                 local thread = ngx.thread.spawn(function() require('site').run(args) end)
                 assert(coroutine.status(thread) ~= 'dead', 'it did not wait')";
    plan.nginx(|nginx| nginx.http("lua_check_client_abort on;"))
        .content("/exit", &format!("{spawn} ngx.exit(204)"))
        .content("/kill", &format!("{spawn} assert(ngx.thread.kill(thread))"))
        .content(
            "/lua-memory",
            "collectgarbage() collectgarbage() ngx.print(collectgarbage('count'))",
        )
}

/// Calls in so many requests of each kind, and waits for none of them.
fn abandon(site: &Site, number: usize) {
    let query = "do=set&key=works&value=yes";
    together(4, |_| {
        for path in ["/exit", "/kill"].repeat(number / 4) {
            let response = site.nginx.get(&format!("{path}?{query}"));
            assert!(matches!(response.status, 200 | 204), "{response:?}");
        }
    });
    let path = format!("/call?{query}");
    let clients = site.leave_many(number, |_| path.clone());
    // Let them be read first: nginx does not serve a client that has gone already.
    thread::sleep(Duration::from_millis(50));
    drop(clients);
}

#[test]
fn callers_that_go_away_while_they_wait_leave_nothing_behind() {
    let cluster = Cluster::builder().start();
    let site = with_quitters(site::on(&cluster)).start();
    site.assert_works();
    let worker = site.worker();
    let lua_memory = || {
        let kib = site.nginx.get("/lua-memory").body;
        kib.parse::<f64>().expect("a number")
    };
    let mut sizes = Vec::new();
    for _ in 0..3 {
        // First they go while nothing moves, then while outcomes come. All write one session, and
        // in the order in which they came: when the last of it works, nothing of them is left.
        cluster.pause();
        abandon(&site, 100);
        cluster.resume();
        site.assert_works();
        abandon(&site, 100);
        site.assert_works();
        sizes.push((lua_memory(), memory(worker)));
    }
    let ((lua_before, before), (lua_after, after)) = (sizes[0], sizes[2]);
    // 1,200 callers came between; what one of them needs to wait is some 300 bytes of Lua's memory.
    assert!(lua_after < lua_before + 100.0, "{sizes:?}");
    assert!(after < before + 5_000, "{sizes:?}");
    assert_eq!(site.worker(), worker, "the worker died");

    // A worker does not leave while it believes that a caller waits.
    let took = site.nginx.quit();
    assert!(took < Duration::from_secs(1), "{took:?}");
    site.assert_no_connections();
}
