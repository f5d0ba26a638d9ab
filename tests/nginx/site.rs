//! `Site`: an nginx whose locations call the storage, and the database behind it.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use postgres::{Client, Transaction};
use serde_json::{Value as Json, json};

use crate::support::{self, Cluster, Nginx, NginxBuilder, Response, process};

/// The limits of most sites here: an operation waits for a connection for `CONNECT` at most, and
/// for its answer for `ANSWER`.
pub const CONNECT: Duration = Duration::from_millis(1000);
pub const ANSWER: Duration = Duration::from_millis(1000);

pub struct Site<'a> {
    pub nginx: Nginx,
    pub cluster: &'a Cluster,
    pub database: String,
}

/// A site in the making: the configuration of its storage, and nginx's.
pub struct Plan<'a> {
    cluster: &'a Cluster,
    database: String,
    conf: Json,
    nginx: NginxBuilder,
}

/// A site with a database of its own and one worker.
pub fn on(cluster: &Cluster) -> Plan<'_> {
    let database = cluster.create_database();
    let answer = ANSWER.as_millis() / 2;
    let conf = json!({
        "port": cluster.port(),
        "database": database,
        "password": support::password(),
        "connect_timeout": CONNECT.as_millis(),
        "send_timeout": answer,
        "read_timeout": answer,
    });
    let nginx = Nginx::builder()
        .lua_folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx"))
        .http("lua_shared_dict outcomes 1m;")
        .location("= /plain", "content_by_lua_block { ngx.print('plain') }")
        .location("= /call", "content_by_lua_block { require('site').answer() }")
        .location("= /outcome", "content_by_lua_block { require('site').recorded() }");
    Plan { cluster, database, conf, nginx }
}

impl<'a> Plan<'a> {
    /// Sets a key of the storage's configuration.
    pub fn conf(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.conf[key] = value.into();
        // A password that is given would count before a file.
        if key == "passfile" || self.conf["password"].is_null() {
            self.conf.as_object_mut().expect("an object").remove("password");
        }
        self
    }

    pub fn nginx(mut self, change: impl FnOnce(NginxBuilder) -> NginxBuilder) -> Self {
        self.nginx = change(self.nginx);
        self
    }

    /// One more location, which runs that Lua code to make its content.
    pub fn content(self, path: &str, lua: &str) -> Self {
        let directive = format!("content_by_lua_block {{ {lua} }}");
        self.nginx(|nginx| nginx.location(&format!("= {path}"), &directive))
    }

    pub fn start(self) -> Site<'a> {
        Site {
            nginx: self.nginx.env("STORAGE", &self.conf.to_string()).start(),
            cluster: self.cluster,
            database: self.database,
        }
    }
}

impl Site<'_> {
    pub fn get(&self, key: &str) -> Response {
        self.nginx.get(&format!("/call?do=get&key={key}"))
    }

    pub fn set(&self, key: &str, value: &str) -> Response {
        let path = format!("/call?do=set&key={key}&value={value}");
        self.nginx.get(&path)
    }

    /// Sends a request and does not wait for its response; dropped, the client hangs up.
    pub fn leave(&self, path: &str) -> TcpStream {
        let address = ("127.0.0.1", self.nginx.port());
        let mut client = TcpStream::connect(address).expect("nginx listens");
        write!(client, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").expect("room");
        client
    }

    /// The same for so many requests.
    pub fn leave_many(&self, number: usize, path: impl Fn(usize) -> String) -> Vec<TcpStream> {
        (0..number).map(|n| self.leave(&path(n))).collect()
    }

    /// Stores a session and reads it again.
    pub fn assert_works(&self) {
        assert_answer(&self.set("works", "yes"), 200, "true");
        assert_answer(&self.get("works"), 200, "yes");
    }

    pub fn assert_no_connections(&self) {
        process::wait_until(1, "no connection is left", || self.connections() == 0);
    }

    /// Runs `action`, which waits for the session's row, and serves other requests meanwhile.
    pub fn assert_waits_for_row<T: Send>(&self, key: &str, action: impl FnOnce() -> T + Send) -> T {
        let mut sql = self.sql();
        let holder = lock_row(&mut sql, key);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(action);
            std::thread::sleep(Duration::from_millis(100));
            self.assert_serves_others(key);
            assert!(!waiting.is_finished(), "{key}: it did not wait");
            holder.rollback().expect("a transaction to end");
            waiting.join().expect("no panic")
        })
    }

    pub fn assert_serves_others(&self, what: &str) {
        for _ in 0..10 {
            let (response, took) = timed(|| self.nginx.get("/plain"));
            assert_answer(&response, 200, "plain");
            assert!(took < Duration::from_millis(500), "{what}: {took:?}");
        }
    }

    /// A superuser's connection to the site's database.
    pub fn sql(&self) -> Client {
        self.cluster.client(&self.database)
    }

    /// The server as messages name it.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.cluster.port())
    }

    /// How many connections the site holds.
    pub fn connections(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1
                   AND application_name = 'pgmoon'";
        let mut client = self.cluster.client("postgres");
        let row = client.query_one(sql, &[&self.database]);
        row.expect("a count").get(0)
    }

    /// The only worker.
    pub fn worker(&self) -> u32 {
        let workers = self.nginx.worker_pids();
        assert_eq!(workers.len(), 1, "not one worker: {workers:?}");
        workers.into_iter().next().expect("one worker")
    }
}

/// A cluster that logs each client that ends without a Terminate message; at this level also idle ones.
pub fn attentive_cluster() -> Cluster {
    let cluster = Cluster::builder().setting("log_min_messages", "debug1");
    cluster.start()
}

/// Fails if such a client was logged.
pub fn assert_closed_properly(cluster: &Cluster) {
    let log = cluster.log();
    let lost = ["unexpected EOF", "could not receive data"];
    let lost = |line: &&str| lost.iter().any(|words| line.contains(words));
    let line = log.lines().find(lost);
    assert_eq!(line, None, "closed without a Terminate message");
}

/// Holds a session's row, until the transaction ends.
pub fn lock_row<'a>(client: &'a mut Client, key: &str) -> Transaction<'a> {
    let mut transaction = client.transaction().expect("a transaction");
    let sql = "SELECT sid FROM sessions WHERE sid = $1 FOR UPDATE";
    transaction.query_one(sql, &[&key]).expect("a row to lock");
    transaction
}

pub fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = action();
    (result, start.elapsed())
}

/// Runs `action` on so many threads at once, and times each. In the order of their numbers.
pub fn together<T: Send>(number: usize, action: impl Fn(usize) -> T + Sync) -> Vec<(T, Duration)> {
    let action = &action;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..number).map(|n| scope.spawn(move || timed(|| action(n)))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<_>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    })
}

/// Fails unless the answer is that.
pub fn assert_answer(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, &*response.body), (status, body));
}

/// A process's memory in KiB.
pub fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("VmRSS").parse().expect("a number")
}

/// How many files a process has open.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a live process").count()
}
