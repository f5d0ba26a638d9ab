//! What is counted, as Prometheus and Lua see it.

use std::io::Write;
use std::process::{Command, Stdio};

use super::login;
use crate::nginx::site;
use crate::support::{self, Calls, Database, NginxBuilder, process};

/// Prometheus's own look at a text.
fn assert_prometheus_takes(text: &str) {
    let promtool = process::program("/usr/bin/promtool", "prometheus");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut input = child.stdin.take().expect("piped");
    // The tests' HTTP client trims what it reads.
    writeln!(input, "{text}").expect("a reader");
    drop(input);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{output:?}\n{text}");
}

fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.trim().parse().expect("a number")
}

const SETS: &str = "resty_session_postgres_operations_total{kind=\"set\",outcome=\"ok\"}";
const MISTAKES: &str = "resty_session_postgres_operations_total{kind=\"set\",outcome=\"rejected\"}";

#[test]
fn metrics_say_what_was_done() {
    let db = Database::new();
    let storage = db.storage();
    for n in 0..10 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    let key: String = (0..20_000).map(|n| format!("{n}kkkkk")).collect();
    let refused = storage.call(login(key));
    refused.expect_err("too long for the index");
    storage.get("key 1").expect("a value");
    storage.cleanup(None).expect("a clean-up");
    let text = storage.metrics().expect("a text");
    assert_prometheus_takes(&text);
    assert_eq!(sample(&text, SETS), 10.0);
    assert_eq!(sample(&text, MISTAKES), 1.0);
    for count in ["queue_seconds_count", "statement_seconds_bucket{le=\"+Inf\"}"] {
        let name = format!("resty_session_postgres_{count}");
        assert_eq!(sample(&text, &name), 13.0, "{name}");
    }
    // A slow moment may have opened a second one.
    let opened = sample(&text, "resty_session_postgres_connections_opened_total");
    assert!((1.0..=4.0).contains(&opened), "{opened}");
    let idle = sample(&text, "resty_session_postgres_connections{state=\"idle\"}");
    assert_eq!(idle, opened);
}

/// Each worker counts for itself; a shared dict has the sums.
#[test]
fn workers_are_summed_through_a_shared_dict() {
    let recipe = format!("{}/examples/metrics", env!("CARGO_MANIFEST_DIR"));
    let four = |nginx: NginxBuilder| {
        nginx.workers(4).lua_folder(recipe).http("lua_shared_dict session_metrics 1m;").http(
            "init_worker_by_lua_block {
                    require('session_metrics').start(require('site').storage(), 0.1)
                }
             exit_worker_by_lua_block { require('session_metrics').tell() }",
        )
    };
    let site = site::on(support::shared())
        .nginx(four)
        .content(
            "/metrics",
            "ngx.print(require('session_metrics').text(require('site').storage()))",
        )
        .content(
            "/long",
            "ngx.shared.session_metrics:set('all begun', 1, 3)
             ngx.sleep(1)
             ngx.print(require('site').storage():set('session', 'long', 'value', 60, ngx.time()))",
        )
        .content("/begun", "ngx.print(ngx.shared.session_metrics:get('all begun') == 1)")
        .start();
    for n in 0..40 {
        site::assert_answer(&site.set(&format!("key{n}"), "value"), 200, "true");
    }
    let sets = || sample(&site.nginx.get("/metrics").body, SETS);
    process::wait_until(5, "the sum of the workers is 40", || sets() == 40.0);
    assert_prometheus_takes(&site.nginx.get("/metrics").body);

    // What the old workers have counted stays, and is not counted again; also of a request that outlives
    // the timers of its worker.
    std::thread::scope(|scope| {
        scope.spawn(|| site::assert_answer(&site.nginx.get("/long"), 200, "true"));
        process::wait_until(5, "it is under way", || site.nginx.get("/begun").body == "true");
        site.nginx.reload();
        for n in 0..2 {
            site::assert_answer(&site.set(&format!("new{n}"), "value"), 200, "true");
        }
        let mut least = 40.0;
        process::wait_until(5, "the new workers are counted", || {
            let now = sets();
            assert!(now >= least, "{now} after {least}");
            least = now;
            now == 43.0
        });
    });
}

/// What the dashboard asks for is what there is.
#[test]
fn the_dashboard_asks_for_samples_that_there_are() {
    let text = Database::new().storage().metrics().expect("a text");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/metrics/grafana.json");
    let dashboard = std::fs::read_to_string(file).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let query = target["expr"].as_str().expect("a query");
            for (at, _) in query.match_indices("resty_session_postgres_") {
                let end = query[at..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                let name = &query[at..at + end.unwrap_or(query.len() - at)];
                let there = text.lines().any(|line| {
                    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                });
                assert!(there, "{name}");
            }
        }
    }
}
