//! Every phase of a request, and of a worker, may call the storage. Where a coroutine may yield, a
//! call that has to wait holds up no other request; elsewhere it blocks the worker, but keeps its limits.

use std::thread;
use std::time::Duration;

use super::site::{self, ANSWER, Plan, Site, assert_answer, timed};
use crate::support::{self, Cluster, Response};

/// What a machine under load may add to a limit.
const NOISE: Duration = Duration::from_millis(500);

/// Phases in which a call yields; `/<phase>` answers the outcome of a call there.
const YIELDING: [&str; 5] = ["server_rewrite", "rewrite", "access", "content", "timer"];

fn with_yielding_phases(plan: Plan) -> Plan {
    let answer = "{ require('site').answer() ngx.exit(ngx.HTTP_OK) }";
    plan.nginx(|nginx| {
        nginx
            .server(
                "server_rewrite_by_lua_block {
                    if ngx.var.uri == '/server_rewrite' then
                        require('site').answer()
                        ngx.exit(ngx.HTTP_OK)
                    end
                }",
            )
            .location("= /rewrite", &format!("rewrite_by_lua_block {answer}"))
            .location("= /access", &format!("access_by_lua_block {answer}"))
            .location("= /content", &format!("content_by_lua_block {answer}"))
    })
    .content(
        "/timer",
        "local args, status, text = ngx.req.get_uri_args(), nil, nil
         local done = require('ngx.semaphore').new()
         assert(ngx.timer.at(0, function()
           status, text = require('site').run(args)
           done:post()
         end))
         assert(done:wait(30))
         ngx.status = status
         ngx.print(text)",
    )
}

/// A paused server sends nothing at all, where one with a locked row reports the lock.
#[test]
fn a_call_that_waits_for_a_lock_or_the_server_holds_up_no_request() {
    let cluster = Cluster::builder().start();
    let site = with_yielding_phases(site::on(&cluster)).start();
    for phase in YIELDING {
        let set = |value| {
            let path = format!("/{phase}?do=set&key={phase}&value={value}");
            site.nginx.get(&path)
        };
        assert_answer(&set("first"), 200, "true");
        let stored = site.assert_waits_for_row(phase, || set("second"));
        assert_answer(&stored, 200, "true");
        assert_answer(&site.get(phase), 200, "second");

        cluster.pause();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| set("third"));
            thread::sleep(Duration::from_millis(50));
            site.assert_serves_others(phase);
            assert!(!waiting.is_finished(), "{phase}: it did not wait");
            cluster.resume();
            assert_answer(&waiting.join().expect("no panic"), 200, "true");
        });
    }
}

/// Phases in which a call blocks; `/<phase>` calls there, and the outcome is recorded.
const BLOCKING: [&str; 5] = ["set", "balancer", "header_filter", "body_filter", "log"];

fn with_blocking_phases(plan: Plan) -> Plan {
    let record = |phase: &str| format!("require('site').record('{phase}', ngx.req.get_uri_args())");
    let after = |phase: &str, code: &str| format!("return 200; {phase}_by_lua_block {{ {code} }}");
    let upstream = format!(
        "upstream ourselves {{
            server 0.0.0.1;
            balancer_by_lua_block {{
                {}
                local balancer = require('ngx.balancer')
                assert(balancer.set_current_peer('127.0.0.1', ngx.var.server_port))
            }}
        }}",
        record("balancer")
    );
    let set = format!("set_by_lua_block $outcome {{ {} return 'set' }}", record("set"));
    // The filter runs for each part of the body; the call belongs to the last.
    let last_part = format!("if ngx.arg[2] then {} end", record("body_filter"));
    plan.nginx(|nginx| {
        nginx
            .http(&upstream)
            .location("= /balancer", "proxy_pass http://ourselves/plain;")
            .location("= /set", &format!("{set} return 200 $outcome;"))
            .location("= /header_filter", &after("header_filter", &record("header_filter")))
            .location("= /body_filter", &after("body_filter", &last_part))
            .location("= /log", &after("log", &record("log")))
    })
}

/// What a call in that phase came to.
fn call_in(site: &Site, phase: &str, query: &str) -> Response {
    let response = site.nginx.get(&format!("/{phase}?{query}"));
    assert_eq!(response.status, 200, "{phase}: {}", response.body);
    site.nginx.get(&format!("/outcome?of={phase}"))
}

#[test]
fn a_phase_that_cannot_wait_blocks_within_its_limits() {
    let site = with_blocking_phases(site::on(support::shared())).start();
    for phase in BLOCKING {
        let set = |value: &str| call_in(&site, phase, &format!("do=set&key={phase}&value={value}"));
        assert_answer(&set("first"), 200, "true");
        let found = call_in(&site, phase, &format!("do=get&key={phase}"));
        assert_answer(&found, 200, "first");
        assert_answer(&call_in(&site, phase, "do=get&key=missing"), 404, "");

        let mut sql = site.sql();
        let holder = site::lock_row(&mut sql, phase);
        let (locked, took) = timed(|| set("second"));
        assert_eq!(locked.status, 503, "{phase}: {}", locked.body);
        assert!(locked.body.contains("locked"), "{phase}: {}", locked.body);
        assert!(took < ANSWER + NOISE, "{phase}: {took:?}");
        holder.rollback().expect("a transaction to end");
        assert_answer(&set("third"), 200, "true");
        assert_answer(&site.get(phase), 200, "third");
    }
}

#[test]
fn the_phases_of_a_worker_may_call_the_storage() {
    let call = |phase: &str| {
        format!(
            "{phase}_by_lua_block {{
                local args = {{ ['do'] = 'set', key = '{phase}', value = 'was here' }}
                local status, text = require('site').run(args)
                assert(status == 200, text)
            }}"
        )
    };
    let site = site::on(support::shared())
        .nginx(|nginx| {
            nginx
                .workers(2)
                .http(&call("init"))
                .http(&call("init_worker"))
                .http(&call("exit_worker"))
        })
        .start();
    let mut sql = site.sql();
    let mut was_here = |phase: &str| {
        let query = "SELECT data FROM sessions WHERE sid = $1";
        let row = sql.query_opt(query, &[&phase]).expect("an answer");
        row.is_some_and(|row| row.get::<_, &str>(0) == "was here")
    };
    site.assert_works();
    assert!(was_here("init"), "init");
    assert!(was_here("init_worker"), "init_worker");
    assert!(!was_here("exit_worker"), "exit_worker");
    site.nginx.quit();
    assert!(was_here("exit_worker"), "exit_worker");
    assert_eq!(site.connections(), 0);
}
