//! Child processes that cannot outlive the tests, and the small tools around them.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Starts `command` as a child that gets `orphaned` should the test process die.
///
/// The kernel sends that signal when the *thread* that started the child ends, and each test is a
/// thread. So one thread, which never ends, starts all children.
pub fn spawn(mut command: Command, orphaned: Signal) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();

    #[allow(unsafe_code, reason = "the signal is asked for between fork and exec")]
    // SAFETY: the closure only calls prctl, which is async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(move || Ok(set_pdeathsig(orphaned)?));
    }
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, child) = channel();
    spawner.send((command, reply)).expect("the spawner never ends");
    child.recv().expect("the spawner never ends")
}

/// Kills a process group on request, when it is dropped, or when the tests die: for processes that do
/// not end with the child that the tests have started.
pub struct Sweeper(Mutex<Child>);

impl Sweeper {
    /// `leader` is the first process of the group.
    pub fn of(leader: u32) -> Self {
        let mut shell = Command::new("sh");
        let sweep = format!("cat >/dev/null; kill -s KILL -- -{leader} 2>/dev/null");
        shell.args(["-c", &sweep]).stdin(Stdio::piped());
        // What it reads ends with the tests, however they end.
        Sweeper(Mutex::new(spawn(shell, Signal::SIGCONT).expect("sh")))
    }

    pub fn sweep(&self) {
        let mut shell = lock(&self.0);
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// Runs `command` to its end, which has to be a success.
pub fn run(command: &mut Command) {
    let _ = output(command);
}

/// The same; returns what it has written to its standard output.
pub fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command.get_program()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{command:?}: {status}\n{text}{errors}");
    text
}

/// Waits for the child's exit; `None` if it still runs after `timeout`.
pub fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let mut exit = || child.try_wait().expect("our own child");
    let _ = eventually(timeout, || exit().is_some());
    exit()
}

/// Asks `condition` again and again until it holds; false if it does not within `timeout`.
#[must_use = "false means that it never happened"]
pub fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > timeout {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Is set when it is dropped, so that threads that work until then also end when the test fails.
pub struct SetAtDrop<'a>(pub &'a AtomicBool);

impl Drop for SetAtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `condition` holds. Fails with `what` if it does not within so many seconds.
#[track_caller]
pub fn wait_until(seconds: u64, what: &str, condition: impl FnMut() -> bool) {
    let holds = eventually(Duration::from_secs(seconds), condition);
    assert!(holds, "not within {seconds} s: {what}");
}

/// Waits for the line of a child's output file in which `find` finds something. Fails if the child exits.
pub fn wait_for_line<T>(child: &mut Child, file: &Path, find: impl Fn(&str) -> Option<T>) -> T {
    let mut found = None;
    let done = eventually(Duration::from_secs(30), || {
        let text = fs::read_to_string(file).unwrap_or_default();
        found = text.lines().find_map(&find);
        found.is_some() || child.try_wait().expect("our own child").is_some()
    });
    assert!(done, "{}: the line does not come", file.display());
    found.expect("the child has exited before the line")
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// The pids of a process's children.
pub fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|child| child.parse().expect("a pid"))
        .collect()
}

/// A port of 127.0.0.1 that is free at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// A new folder below the system's temporary folder, removed when it is dropped.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("rsp-").tempdir().expect("a temporary folder");
    assert!(
        folder.path().as_os_str().len() < 80,
        "{} is too long for a unix socket's path, set TMPDIR to a shorter one",
        folder.path().display()
    );
    folder
}

/// The last lines of a log, for the reader of a failed test.
pub fn show_tail(title: &str, log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(50)..];
    eprintln!("--- {title}\n{}\n---", tail.join("\n"));
}

/// The program's path, or a panic that says what to install.
pub fn program(path: impl AsRef<Path>, package: &str) -> PathBuf {
    let path = path.as_ref();
    assert!(path.exists(), "{} is missing: these tests need {package}", path.display());
    path.to_owned()
}

/// Locks, also after a test that held the lock has failed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a folder before its end of life: nothing drops what is kept until the exit.
pub fn remove(folder: &TempDir) {
    let _ = fs::remove_dir_all(folder.path());
}

/// Keeps `value` for the whole life of the process; `stop` is called at its exit, the youngest first.
pub fn keep_until_exit<T: Send + Sync>(value: T, stop: fn(&T)) -> &'static T {
    let kept: &'static T = Box::leak(Box::new(value));
    at_exit(move || stop(kept));
    kept
}

fn at_exit(action: impl FnOnce() + Send + 'static) {
    static ACTIONS: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());
    static REGISTERED: Once = Once::new();

    extern "C" fn act() {
        loop {
            let Some(action) = lock(&ACTIONS).pop() else {
                return;
            };
            // A panic must not leave a C function; it has printed its message already.
            let _ = catch_unwind(AssertUnwindSafe(action));
        }
    }

    lock(&ACTIONS).push(Box::new(action));
    REGISTERED.call_once(|| {
        #[allow(unsafe_code, reason = "statics are not dropped, and servers must be stopped")]
        // SAFETY: `act` is a plain function that does not unwind.
        let status = unsafe { libc::atexit(act) };
        assert_eq!(status, 0, "atexit");
    });
}
