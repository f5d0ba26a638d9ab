//! `Nginx`: a real nginx with ngx_lua, configured by snippets (`Builder`) and driven by signals.

mod builder;
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::process::{self, Sweeper};
pub use builder::Builder;

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Nginx {
    folder: TempDir,
    port: u16,
    /// Whether a complaint in the log fails the test.
    is_clean: bool,
    child: Mutex<Child>,
    /// The master that is in charge: the child, until it is upgraded or becomes a daemon.
    leader: AtomicU32,
    /// Ends what does not end with the child, should the tests die.
    sweeper: Option<Sweeper>,
    http: ureq::Agent,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// A connection a request: after a reload, none leads to an old worker.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_idle_connections(0)
        .build()
        .into()
}

impl Nginx {
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn of(child: Child, folder: TempDir, port: u16, builder: &Builder) -> Self {
        Nginx {
            leader: AtomicU32::new(child.id()),
            child: Mutex::new(child),
            sweeper: None,
            folder,
            port,
            is_clean: !builder.may_complain,
            http: agent(),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn get(&self, path: &str) -> Response {
        self.answer(path, self.http.get(self.url(path)).call())
    }

    pub fn post(&self, path: &str, body: &str) -> Response {
        self.answer(path, self.http.post(self.url(path)).send(body))
    }

    fn answer(
        &self,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Response {
        answer
            .and_then(|mut answer| {
                let body = answer.body_mut().with_config().limit(64 << 20);
                Ok(Response { body: body.read_to_string()?, status: answer.status().as_u16() })
            })
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.error_log()))
    }

    /// The master.
    pub fn pid(&self) -> u32 {
        self.leader.load(Ordering::Relaxed)
    }

    /// The first process of a daemon ends when the daemon runs.
    fn follow_daemon(&mut self) {
        let status = process::wait(&mut process::lock(&self.child), TIMEOUT);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        let pid = self.pid_of_file();
        self.leader.store(pid, Ordering::Relaxed);
        self.sweeper = Some(Sweeper::of(pid));
    }

    fn pid_of_file(&self) -> u32 {
        let file = self.folder.path().join("nginx.pid");
        let read = || fs::read_to_string(&file).ok()?.trim().parse().ok();
        let mut pid = None;
        process::wait_until(30, "nginx writes its pid", || {
            pid = read();
            pid.is_some()
        });
        pid.expect("it was read")
    }

    /// Replaces nginx by another process of its program, as for a new version, which takes over its
    /// sockets. Returns how long the old one took to exit after the signal.
    pub fn upgrade(&self) -> Duration {
        let old = self.pid();
        self.signal(Signal::SIGUSR2);
        let folder = self.folder.path();
        let taken_over = || folder.join("nginx.pid.oldbin").exists() && self.pid_of_file() != old;
        process::wait_until(30, "a new master runs", taken_over);
        let new = self.pid_of_file();
        let serves = || !process::children(new).is_empty();
        process::wait_until(30, "a new worker runs", serves);
        let start = Instant::now();
        process::signal(old, Signal::SIGQUIT);
        process::wait_until(30, "the old master exits", || !self.runs(old));
        self.leader.store(new, Ordering::Relaxed);
        start.elapsed()
    }

    /// Whether a master runs; one that has ended may be a zombie.
    fn runs(&self, pid: u32) -> bool {
        let mut child = process::lock(&self.child);
        if child.id() == pid {
            return child.try_wait().expect("our own child").is_none();
        }
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    }

    /// All workers, with those that a reload has asked to exit.
    pub fn worker_pids(&self) -> BTreeSet<u32> {
        process::children(self.pid()).into_iter().collect()
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Has the configuration read again, and waits until a new worker serves.
    pub fn reload(&self) {
        let old = self.worker_pids();
        self.signal(Signal::SIGHUP);
        process::wait_until(30, "a new worker serves", || {
            let serving = self.get("/worker").body;
            !old.contains(&serving.parse().expect("a pid"))
        });
    }

    /// The same, and waits until the old workers have exited. Returns how long that took.
    pub fn reload_all(&self) -> Duration {
        let old = self.worker_pids();
        self.reload();
        let start = Instant::now();
        let gone = || self.worker_pids().is_disjoint(&old);
        process::wait_until(5, "the old workers exit", gone);
        start.elapsed()
    }

    /// The graceful exit: requests in flight are served first.
    pub fn quit(&self) -> Duration {
        self.exit(Signal::SIGQUIT)
    }

    /// The fast exit.
    pub fn term(&self) -> Duration {
        self.exit(Signal::SIGTERM)
    }

    /// Returns how long the exit took, which has to be a success.
    fn exit(&self, signal: Signal) -> Duration {
        let start = Instant::now();
        let pid = self.pid();
        self.signal(signal);
        process::wait_until(30, "nginx exits", || !self.runs(pid));
        let took = start.elapsed();
        let status = self.exit_status().expect("it has exited");
        assert!(status.success(), "{status}");
        took
    }

    fn exit_status(&self) -> Option<ExitStatus> {
        let mut child = process::lock(&self.child);
        child.try_wait().expect("our own child")
    }

    /// The error log so far, and what went to stderr before it was open.
    pub fn error_log(&self) -> String {
        let read = |file| fs::read(self.folder.path().join(file)).unwrap_or_default();
        let log = [read("stderr"), read("error.log")].concat();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Also happens when it is dropped: fails if a worker has crashed or anything worse than a warning was logged, but for what nginx
    /// itself says about `lua_code_cache off`.
    pub fn assert_clean_log(&self) {
        assert_clean(&self.error_log());
    }

    /// Ends nginx, gently at first, and removes its folder.
    pub fn destroy(&self) {
        let pid = self.pid();
        self.signal(Signal::SIGTERM);
        let gentle = Duration::from_secs(3);
        if !process::eventually(gentle, || !self.runs(pid)) {
            eprintln!("nginx did not stop within {gentle:?}, and was killed");
        }
        let mut child = process::lock(&self.child);
        // The workers are of the master's process group, and may be stuck without it.
        let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        let _ = child.wait();
        if let Some(sweeper) = &self.sweeper {
            sweeper.sweep();
        }
        process::remove(&self.folder);
    }
}

fn assert_clean(log: &str) {
    let words =
        ["exited on signal", "exited with fatal code", "[error]", "[crit]", "[alert]", "[emerg]"];
    let bad = |line: &&str| words.iter().any(|words| line.contains(words));
    // A test may stop the server or change the tables; a defect is none of that.
    let expected = |line: &str| {
        line.contains("resty.session.postgres: ") && !line.contains("internal error")
            || line.contains("lua_code_cache is off")
    };
    let line = log.lines().filter(bad).find(|line| !expected(line));
    assert_eq!(line, None, "not a clean log:\n{log}");
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if thread::panicking() {
            process::show_tail("nginx's error log", &self.error_log());
        }
        let log = self.error_log();
        self.destroy();
        if !thread::panicking() && self.is_clean {
            assert_clean(&log);
        }
    }
}
