//! The Lua binding behind streams: plain LuaJIT, and a worker of nginx that stays in its init_worker
//! phase.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::lua_binding::LuaBinding;
use super::phases::{Shared, lua_folder, shared};
use crate::support::process::{self, lock};
use crate::support::{Nginx, stage};

const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A process of its own for each test, which has to exit well at its end.
pub fn luajit() -> Arc<LuaBinding> {
    let luajit = LuaJit::start();
    Arc::new(LuaBinding::new("no nginx", move |request| luajit.lines.exchange(request)))
}

/// A worker that does not leave its init_worker phase as long as calls may come: through one named
/// pipe, and the replies through another.
pub fn nginx_init_worker() -> Arc<LuaBinding> {
    static BINDING: Shared = Shared::new();
    shared(&BINDING, || {
        let folder = process::folder();
        let [requests, replies] = ["requests", "replies"].map(|name| folder.path().join(name));
        let open = |path: &Path| {
            mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a named pipe");
            // Open for both, so that opening does not wait for the other end.
            let pipe = File::options().read(true).write(true).open(path);
            pipe.expect("a named pipe")
        };
        let lines = Lines::new(open(&requests), open(&replies));
        let nginx = Nginx::builder()
            .lua_folder(lua_folder())
            .http(&format!(
                "init_worker_by_lua_block {{
                    local requests = assert(io.open('{}'))
                    local replies = assert(io.open('{}', 'w'))
                    require('binding').loop(requests, replies)
                }}",
                requests.display(),
                replies.display()
            ))
            .start();
        let stop = |(nginx, lines, folder): &(Nginx, Lines, _)| {
            lines.end();
            nginx.destroy();
            process::remove(folder);
        };
        let (_, lines, _) = process::keep_until_exit((nginx, lines, folder), stop);
        LuaBinding::new("init_worker", |request| lines.exchange(request))
    })
}

/// Requests and replies as lines of two streams. One caller at a time.
struct Lines {
    requests: Mutex<Option<Box<dyn Write + Send>>>,
    replies: Mutex<Receiver<String>>,
}

impl Lines {
    fn new(requests: impl Write + Send + 'static, replies: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        // A thread reads, so that the caller can give up.
        thread::spawn(move || {
            let lines = BufReader::new(replies).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Lines { requests: Mutex::new(Some(Box::new(requests))), replies: Mutex::new(receiver) }
    }

    fn exchange(&self, request: &str) -> String {
        let mut stream = lock(&self.requests);
        let stream = stream.as_mut().expect("it has not ended");
        writeln!(stream, "{request}").expect("a listener");
        let reply = lock(&self.replies).recv_timeout(REPLY_TIMEOUT);
        reply.expect("a reply in time")
    }

    /// Closes the stream of requests, which ends their reader.
    fn end(&self) {
        *lock(&self.requests) = None;
    }
}

struct LuaJit {
    child: Child,
    lines: Lines,
}

impl LuaJit {
    fn start() -> Self {
        let mut command = Command::new(process::program("/usr/bin/luajit", "luajit"));
        command
            .args(["-e", "require('binding').loop(io.stdin, io.stdout)"])
            .env("LUA_PATH", stage::lua_path(&[lua_folder().to_owned()]))
            .env("LUA_CPATH", stage::lua_cpath())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = process::spawn(command, Signal::SIGKILL).expect("luajit");
        let streams = (child.stdin.take(), child.stdout.take());
        LuaJit { lines: Lines::new(streams.0.expect("piped"), streams.1.expect("piped")), child }
    }
}

impl Drop for LuaJit {
    fn drop(&mut self) {
        self.lines.end();
        let status = process::wait(&mut self.child, Duration::from_secs(5));
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !thread::panicking() {
            let status = status.expect("luajit hangs at its exit");
            assert!(status.success(), "luajit: {status}");
        }
    }
}
