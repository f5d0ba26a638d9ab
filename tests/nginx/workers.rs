//! What a worker and its master see of the library: when its threads start, what they are called, that
//! they leave signals to nginx, and what happens when no file can be opened.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::client::Client;
use super::site::{self, Site, assert_answer, together};
use crate::support::{self, Cluster, Stop, disconnect, one, process};

/// The threads of a process, each with its name and the signals that it blocks.
fn threads(pid: u32) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a live process");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let parse = |status: String| {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a field").trim().to_owned()
        };
        let blocked = u64::from_str_radix(&field("SigBlk:"), 16).expect("a mask");
        (field("Name:"), blocked)
    };
    let statuses = tasks.filter_map(|task| status(task.expect("a task")));
    statuses.map(parse).collect()
}

/// Threads do not survive the fork that follows.
#[test]
fn making_an_instance_in_the_master_starts_no_thread_and_no_connection() {
    let site = site::on(support::shared())
        .nginx(|nginx| nginx.http("init_by_lua_block { require('site').storage() }"))
        .start();
    site.nginx.reload_all();
    assert_eq!(threads(site.nginx.pid()).len(), 1);
    assert_eq!(threads(site.worker()).len(), 1);
    assert_eq!(site.connections(), 0);
    site.assert_works();
    assert_eq!(threads(site.nginx.pid()).len(), 1);
}

#[test]
fn the_librarys_threads_are_named_and_leave_nginx_its_signals() {
    // A name has to be looked up, which has a thread of its own.
    let site = site::on(support::shared()).conf("host", "localhost").start();
    together(16, |n| assert_answer(&site.set(&format!("key{n}"), "value"), 200, "true"));
    let threads = threads(site.worker());
    let (ours, nginxs): (Vec<_>, Vec<_>) =
        threads.iter().partition(|(name, _)| name.starts_with("rsp-"));
    assert_eq!(nginxs.len(), 1, "{threads:?}");
    // The clock, the thread that connects, and at least one worker thread.
    assert!(ours.len() >= 3, "{threads:?}");
    for (name, blocked) in ours {
        for signal in 1..=31 {
            // What a fault raises in the thread itself, and what cannot be blocked.
            let open = [
                Signal::SIGILL,
                Signal::SIGBUS,
                Signal::SIGFPE,
                Signal::SIGSEGV,
                Signal::SIGKILL,
                Signal::SIGSTOP,
            ];
            let open = open.into_iter().any(|open| open as i32 == signal);
            let is_blocked = blocked & (1 << (signal - 1)) != 0;
            assert_eq!(is_blocked, !open, "{name}: signal {signal}");
        }
    }
}

/// It has nginx's signals and nginx's exit to see to: where a call blocks, it waits for the engine,
/// and never for the database itself.
#[test]
fn nginxs_own_thread_never_touches_a_connection() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster)
        .nginx(|nginx| {
            let call = "require('site').run { ['do'] = 'get', key = 'key' }";
            let directive = format!("return 200; header_filter_by_lua_block {{ {call} }}");
            nginx.location("= /blocking", &directive)
        })
        .start();
    // A single caller with an idle connection: in another host it would run the statement itself.
    assert_eq!(site.nginx.get("/blocking").status, 200);
    cluster.pause();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.nginx.get("/blocking"));
        thread::sleep(Duration::from_millis(200));
        let path = format!("/proc/{}/syscall", site.worker());
        let call = fs::read_to_string(path).expect("a live process");
        let futex = format!("{} ", libc::SYS_futex);
        assert!(call.starts_with(&futex), "it waits in {call}");
        assert!(!waiting.is_finished(), "it did not block");
        cluster.resume();
        assert_eq!(waiting.join().expect("no panic").status, 200);
    });
}

/// The master then has threads and connections when it forks. To drop what a worker has inherited would
/// send a Terminate message on the master's connection.
#[test]
fn a_worker_leaves_the_connections_of_its_master_open_and_has_its_own() {
    let init = "init_by_lua_block {
        local status, text = require('site').run { ['do'] = 'set', key = 'master', value = 'yes' }
        assert(status == 200, text)
    }";
    let site = site::on(support::shared()).nginx(|nginx| nginx.workers(2).http(init)).start();
    let backends = || -> Vec<i32> {
        let query = "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity
                     WHERE application_name = 'pgmoon' AND datname = current_database()";
        one(&mut site.sql(), query)
    };
    let of_master = backends();
    assert_eq!(of_master.len(), 1, "{of_master:?}");
    for _ in 0..3 {
        together(20, |_| assert_answer(&site.get("master"), 200, "yes"));
        site.nginx.reload_all();
        assert!(backends().contains(&of_master[0]), "{of_master:?}");
    }
    site.nginx.quit();
    assert_eq!(site.connections(), 0);
}

#[test]
fn nothing_is_written_but_by_nginx() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("connect_timeout", 100).start();
    site.assert_works();
    cluster.stop(Stop::Immediate);
    assert_eq!(site.get("works").status, 503);
    cluster.start_again();
    process::wait_until(5, "a get succeeds", || site.get("works").status == 200);
    assert_only_nginx_writes(&site);
}

/// nginx's error log is its workers' stderr, too: what is not nginx's has no time in front of it.
fn assert_only_nginx_writes(site: &Site) {
    let log = site.nginx.error_log();
    let is_nginxs = |line: &str| line.starts_with("20") || line.starts_with("nginx: ");
    assert_eq!(log.lines().find(|line| !is_nginxs(line)), None);
}

/// What mlua would raise is an object, of which nginx's log says "unknown reason".
#[test]
fn what_is_raised_is_text_that_nginx_can_print() {
    let site = site::on(support::shared())
        .content(
            "/mistakes",
            "local storage = require('site').storage()
             for _, mistake in ipairs {
               function() local _ = storage.get({}, 'session', 'key') end,
               function() local _ = storage.get('session', 'key') end,
               function() local _ = storage.stats(1) end,
               function() local _ = storage.set_password({ storage = 1 }, 'text') end,
               function() local _ = storage:metrics('text') end,
               function() local _ = storage:revoke_audience('session', 'shop', 'ada') end,
             } do
               local ok, message = pcall(mistake)
               assert(not ok)
               assert(type(message) == 'string', type(message))
               assert(message:find('content_by_lua', 1, true) and message:find('expected'), message)
             end
             local _, message = pcall(storage.set_password, storage, nil)
             assert(message:find('bad argument #1', 1, true), message)
             assert(message:find('string expected, got nil', 1, true), message)
             ngx.print('raised')",
        )
        .content(
            "/native",
            "local native = require('resty_session_postgres').native
             local function try(functions)
               for name, run in pairs(functions) do
                 if type(run) == 'table' then
                   try(run)
                 else
                   -- An object, but none of ours.
                   local ok, first, second = pcall(run, io.stdout, io.stdout, io.stdout)
                   assert(ok, name .. ' raised ' .. type(first))
                   assert(second == nil or type(second) == 'string', name)
                 end
               end
             end
             try(native)
             ngx.print('answered')",
        )
        .start();
    site.assert_works();
    assert_answer(&site.nginx.get("/mistakes"), 200, "raised");
    assert_answer(&site.nginx.get("/native"), 200, "answered");
}

/// The blocking client panics where it cannot make its runtime; that must cost a connection no place
/// in the pool, and the worker nothing.
#[test]
fn a_worker_without_file_descriptors_reports_it_and_serves_again_later() {
    let site = site::on(support::shared())
        .conf("connect_timeout", 200)
        .nginx(|nginx| {
            nginx
                .may_complain()
                .main("worker_rlimit_nofile 60;")
                .http("init_by_lua_block { require('site').storage() }")
        })
        .content(
            "/use-up",
            "local files = {}
             repeat files[#files + 1] = io.open('/dev/null') until #files > 100 or
               not io.open('/dev/null')
             package.loaded.files = files
             ngx.print('used up')",
        )
        .content(
            "/give-back",
            "for _, file in ipairs(package.loaded.files) do file:close() end
             package.loaded.files = nil
             collectgarbage()
             collectgarbage()
             ngx.print('given back')",
        )
        .start();
    let client = Client::new(site.nginx.port(), true);
    for round in 0..2 {
        assert_answer(&client.get("/use-up").expect("a response"), 200, "used up");
        // More often than the pool has places.
        for _ in 0..6 {
            let response = client.get("/call?do=get&key=key").expect("a response");
            // What it has, it may go on using.
            if round > 0 && response.status == 404 {
                continue;
            }
            assert_eq!(response.status, 503, "{}", response.body);
            let named = response.body.contains("open files");
            assert!(named, "{}", response.body);
        }
        let back = client.get("/give-back").expect("a response");
        assert_answer(&back, 200, "given back");
        // It pauses between attempts for longer than an operation waits here.
        process::wait_until(2, "a set succeeds", || site.set("works", "yes").status == 200);
        // The next round has to connect again.
        disconnect(&mut site.sql());
    }
    assert_eq!(site.nginx.worker_pids().len(), 1);
    assert!(!site.nginx.error_log().contains("exited on signal"));
    // Not even that the client panicked.
    assert_only_nginx_writes(&site);
}
