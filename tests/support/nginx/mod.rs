//! `Nginx`: a real nginx with ngx_lua, configured by snippets and driven by signals.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use super::{process, stage};

const PATIENCE: Duration = Duration::from_secs(30);
const MODULES: &str = "/usr/lib/nginx/modules";

pub struct Nginx {
    folder: TempDir,
    port: u16,
    master: bool,
    child: Mutex<Child>,
    /// The master that is in charge: the child, until it is upgraded or becomes a daemon.
    leader: AtomicU32,
    /// Ends what does not end with the child, should the tests die.
    sweeper: Option<Mutex<Child>>,
    http: ureq::Agent,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// How long an exit took, and what came of it.
#[derive(Debug)]
pub struct Exit {
    pub took: Duration,
    pub status: ExitStatus,
}

pub struct Builder {
    workers: usize,
    master: bool,
    daemon: bool,
    log_level: &'static str,
    main: String,
    http: String,
    server: String,
    lua_folders: Vec<PathBuf>,
    lua_paths: Option<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Builder {
    pub fn workers(mut self, number: usize) -> Self {
        self.workers = number;
        self
    }

    /// Without a master, the one process serves.
    pub fn master(mut self, on: bool) -> Self {
        self.master = on;
        self
    }

    /// As a daemon, nginx leaves the process that started it.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    /// Directives of the main level.
    pub fn main(mut self, directives: &str) -> Self {
        self.main += &format!("{directives}\n");
        self
    }

    pub fn http(mut self, directives: &str) -> Self {
        self.http += &format!("{directives}\n");
        self
    }

    pub fn server(mut self, directives: &str) -> Self {
        self.server += &format!("{directives}\n");
        self
    }

    pub fn location(self, path: &str, body: &str) -> Self {
        self.server(&format!("location {path} {{\n{body}\n}}"))
    }

    /// One more folder of Lua modules.
    pub fn lua_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.lua_folders.push(folder.as_ref().to_owned());
        self
    }

    /// `lua_package_path` and `lua_package_cpath` in place of those of the stage.
    pub fn lua_paths(mut self, path: &str, cpath: &str) -> Self {
        self.lua_paths = Some((path.to_owned(), cpath.to_owned()));
        self
    }

    /// An environment variable, which nginx would otherwise clear.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self.main(&format!("env {name};"))
    }

    pub fn thread_pool(self, name: &str, threads: usize) -> Self {
        self.main(&format!("thread_pool {name} threads={threads};"))
    }

    pub fn start(self) -> Nginx {
        // Somebody else may take the port between our look and nginx's.
        for _ in 0..3 {
            let folder = process::folder();
            let port = process::free_port();
            fs::write(folder.path().join("nginx.conf"), self.configuration(port))
                .expect("nginx.conf");
            let child = self.spawn(folder.path());
            let mut nginx = Nginx {
                leader: AtomicU32::new(child.id()),
                child: Mutex::new(child),
                sweeper: None,
                folder,
                port,
                master: self.master,
                http: agent(),
            };
            if self.daemon {
                nginx.follow_daemon();
                return nginx;
            }
            // The pid file comes when the configuration is read and the port is open.
            let pid_file = nginx.folder.path().join("nginx.pid");
            let started = process::eventually(PATIENCE, || {
                nginx.exit_status().is_some() || pid_file.exists()
            });
            if started && nginx.exit_status().is_none() {
                return nginx;
            }
            let port_lost = nginx.error_log().contains("Address already in use");
            assert!(port_lost, "nginx does not start");
        }
        panic!("nginx finds no free port");
    }

    fn spawn(&self, folder: &Path) -> Child {
        let stderr = fs::File::create(folder.join("stderr")).expect("a log file");
        let mut command = Command::new(process::program("/usr/sbin/nginx", "nginx"));
        command
            .args(["-p".as_ref(), folder.as_os_str()])
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        process::spawn(command, Signal::SIGTERM).expect("nginx")
    }

    fn configuration(&self, port: u16) -> String {
        let ndk = format!("{MODULES}/ndk_http_module.so");
        let lua = format!("{MODULES}/ngx_http_lua_module.so");
        let staged = || (stage::lua_path(&self.lua_folders), stage::lua_cpath());
        let (lua_path, lua_cpath) = self.lua_paths.clone().unwrap_or_else(staged);
        format!(
            r#"daemon {daemon};
{user}
load_module {ndk};
load_module {lua};
worker_processes {workers};
master_process {master};
pid nginx.pid;
error_log error.log {log_level};
{main}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    client_body_buffer_size 32m;
    lua_package_path "{lua_path}";
    lua_package_cpath "{lua_cpath}";
    {http}
    server {{
        listen 127.0.0.1:{port};
        location = /worker {{ return 200 $pid; }}
        {server}
    }}
}}
"#,
            // Without a word, nginx would run its workers as nobody, who may not read our folders.
            user = if Uid::effective().is_root() {
                "user root;"
            } else {
                ""
            },
            daemon = if self.daemon { "on" } else { "off" },
            ndk = process::program(ndk, "libnginx-mod-http-ndk").display(),
            lua = process::program(lua, "libnginx-mod-http-lua").display(),
            workers = self.workers,
            master = if self.master { "on" } else { "off" },
            log_level = self.log_level,
            main = self.main,
            http = self.http,
            server = self.server,
        )
    }
}

/// A connection a request: after a reload, none leads to an old worker.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_idle_connections(0)
        .build()
        .into()
}

impl Nginx {
    pub fn builder() -> Builder {
        Builder {
            workers: 1,
            master: true,
            daemon: false,
            log_level: "notice",
            main: String::new(),
            http: String::new(),
            server: String::new(),
            lua_folders: Vec::new(),
            lua_paths: None,
            environment: Vec::new(),
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
                Ok(Response {
                    body: body.read_to_string()?,
                    status: answer.status().as_u16(),
                })
            })
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.error_log()))
    }

    /// The master, or the only process where there is none.
    pub fn pid(&self) -> u32 {
        self.leader.load(Ordering::Relaxed)
    }

    /// The first process of a daemon ends when the daemon runs.
    fn follow_daemon(&mut self) {
        let status = process::wait(&mut process::lock(&self.child), PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        let pid = self.pid_of_file();
        self.leader.store(pid, Ordering::Relaxed);
        let mut sweeper = Command::new("sh");
        let sweep = format!("cat >/dev/null; kill -KILL -- -{pid} 2>/dev/null");
        sweeper.args(["-c", &sweep]).stdin(Stdio::piped());
        let sweeper = process::spawn(sweeper, Signal::SIGCONT).expect("sh");
        self.sweeper = Some(Mutex::new(sweeper));
    }

    fn pid_of_file(&self) -> u32 {
        let file = self.folder.path().join("nginx.pid");
        let read = || fs::read_to_string(&file).ok()?.trim().parse().ok();
        let mut pid = None;
        let known = process::eventually(PATIENCE, || {
            pid = read();
            pid.is_some()
        });
        assert!(known, "nginx has written no pid");
        pid.expect("it was read")
    }

    /// Replaces nginx by another process of its program, as for a new version, which takes over its
    /// sockets. Gives how long the old one took to leave once it was told to.
    pub fn upgrade(&self) -> Duration {
        let old = self.pid();
        self.signal(Signal::SIGUSR2);
        let folder = self.folder.path();
        let taken_over = || folder.join("nginx.pid.oldbin").exists() && self.pid_of_file() != old;
        assert!(process::eventually(PATIENCE, taken_over), "no new master");
        let new = self.pid_of_file();
        let serves = || !process::children(new).is_empty();
        assert!(process::eventually(PATIENCE, serves), "no new worker");
        let start = Instant::now();
        process::signal(old, Signal::SIGQUIT);
        assert!(
            process::eventually(PATIENCE, || !self.runs(old)),
            "the old one stays"
        );
        self.leader.store(new, Ordering::Relaxed);
        start.elapsed()
    }

    /// Whether a master runs; one that has ended may wait for somebody to notice.
    fn runs(&self, pid: u32) -> bool {
        let mut child = process::lock(&self.child);
        if child.id() == pid {
            return child.try_wait().expect("our own child").is_none();
        }
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    }

    /// The workers there are, with those that a reload has told to leave.
    pub fn worker_pids(&self) -> BTreeSet<u32> {
        if self.master {
            process::children(self.pid()).into_iter().collect()
        } else {
            BTreeSet::from([self.pid()])
        }
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Has the configuration read again, and waits until a new worker serves.
    pub fn reload(&self) {
        let old = self.worker_pids();
        self.signal(Signal::SIGHUP);
        let renewed = process::eventually(PATIENCE, || {
            let serving = self.get("/worker").body;
            !old.contains(&serving.parse().expect("a pid"))
        });
        assert!(renewed, "no new worker serves");
    }

    /// The graceful exit: requests in flight are served first.
    pub fn quit(&self) -> Exit {
        self.exit(Signal::SIGQUIT)
    }

    /// The fast exit.
    pub fn term(&self) -> Exit {
        self.exit(Signal::SIGTERM)
    }

    fn exit(&self, signal: Signal) -> Exit {
        let start = Instant::now();
        let pid = self.pid();
        self.signal(signal);
        assert!(
            process::eventually(PATIENCE, || !self.runs(pid)),
            "nginx does not exit"
        );
        Exit {
            took: start.elapsed(),
            status: self.exit_status().expect("it has exited"),
        }
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

    /// Fails if anything worse than a warning was logged.
    pub fn assert_clean_log(&self) {
        let log = self.error_log();
        let levels = ["[error]", "[crit]", "[alert]", "[emerg]"];
        let bad = |line: &str| levels.iter().any(|level| line.contains(level));
        assert!(!log.lines().any(bad), "not a clean log:\n{log}");
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
            let mut sweeper = process::lock(sweeper);
            drop(sweeper.stdin.take());
            let _ = sweeper.wait();
        }
        process::remove(&self.folder);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if thread::panicking() {
            process::show_tail("nginx's error log", &self.error_log());
        }
        self.destroy();
    }
}
