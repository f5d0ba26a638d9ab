//! What a connection is: how long it may take to open, the limits of its socket, the statements that
//! the server gets to see, and what becomes of one that has no caller any more.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, NoTls};
use resty_session_postgres::{CompletionQueue, Error, Storage};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{self, Calls, Cluster, Database, disconnect, one, process, session, stat};

/// A storage with one connection, which has half a second for an answer.
fn storage(servers: &[(&str, u16)], cluster: &Cluster, database: &str) -> Storage {
    let (hosts, ports): (Vec<_>, Vec<_>) = servers.iter().copied().unzip();
    let keys = json!({
        "host": hosts,
        "port": ports,
        "connect_timeout": 1000,
        "send_timeout": 250,
        "read_timeout": 250,
        "cleanup_interval": 0,
        "pool_size": 1,
    });
    cluster.storage(database, keys)
}

/// The same on a new database of the cluster, whose address is that host or folder.
fn storage_on(cluster: &Cluster, host: &str) -> (Storage, Client) {
    let database = cluster.create_database();
    let storage = storage(&[(host, cluster.port())], cluster, &database);
    (storage, cluster.client(&database))
}

fn save(storage: &Storage, key: &str) -> Result<(), Error> {
    storage.call(session(key, 3600))
}

/// The descriptors of this process's connections to a port of this machine.
fn descriptors(port: u16) -> Vec<RawFd> {
    // Local and remote address, state, queues, timers, owner; the tenth field is the inode.
    let table = fs::read_to_string("/proc/self/net/tcp").expect("procfs");
    let leads_there = |fields: &Vec<&str>| fields[2].ends_with(&format!(":{port:04X}"));
    let lines = table.lines().skip(1);
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sockets: Vec<String> =
        fields.filter(leads_there).map(|fields| format!("socket:[{}]", fields[9])).collect();
    let files = fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    let is_one = |file: &fs::DirEntry| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        sockets.iter().any(|socket| target.as_os_str() == &**socket)
    };
    let number = |file: fs::DirEntry| file.file_name().to_str()?.parse().ok();
    files.filter(is_one).filter_map(number).collect()
}

/// A socket's option that is a number.
#[allow(unsafe_code, reason = "the descriptor is only asked")]
fn option(descriptor: RawFd, level: i32, name: i32) -> i32 {
    let (mut value, mut size) = (0_i32, 4);
    let value_at = (&raw mut value).cast();
    // SAFETY: both pointers are of variables that live beyond the call, and of the given size.
    let got = unsafe { libc::getsockopt(descriptor, level, name, value_at, &raw mut size) };
    assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
    value
}

/// Nothing reads from a connection that idles: without these, one whose peer has silently gone would
/// be kept without end. `tcp_user_timeout` is in milliseconds for the kernel and libpq.
#[test]
fn a_connection_whose_peer_is_gone_is_found_dead() {
    let cluster = Cluster::builder().start();
    let (storage, _) = storage_on(&cluster, "127.0.0.1");
    save(&storage, "key").expect("a save");
    let descriptors = descriptors(cluster.port());
    assert!(!descriptors.is_empty());
    for descriptor in descriptors {
        let tcp = |name| option(descriptor, libc::IPPROTO_TCP, name);
        assert_eq!(option(descriptor, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
        assert_eq!(tcp(libc::TCP_KEEPIDLE), 30);
        assert_eq!(tcp(libc::TCP_KEEPINTVL), 10);
        assert_eq!(tcp(libc::TCP_KEEPCNT), 3);
        assert_eq!(tcp(libc::TCP_USER_TIMEOUT), 500);
    }
}

/// Each may cost its share of the time, and no more: one that takes no connections, one that takes
/// them and says nothing, and one that does so behind a Unix socket.
#[test]
fn a_server_that_does_not_answer_is_given_up_for_the_next() {
    let cluster = Cluster::builder().start();
    let folder = process::folder();
    let path = folder.path().to_str().expect("a path");
    let _silent = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = (silent.local_addr().expect("an address").port(), silent);
    let (full, _sockets) = full_listener();
    let database = cluster.create_database();
    for server in [("127.0.0.1", full), ("127.0.0.1", silent.0), (path, 5432)] {
        let storage = storage(&[server, ("127.0.0.1", cluster.port())], &cluster, &database);
        save(&storage, "key").unwrap_or_else(|error| panic!("{server:?}: {error}"));
    }
}

/// A port that has as many connections waiting as it may, so that one more is not answered; and the sockets.
fn full_listener() -> (u16, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let listener = new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).expect("a port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let waiting = new();
        waiting.set_nonblocking(true).expect("an option");
        let _ = waiting.connect(&address);
        sockets.push(waiting);
    }
    (address.as_socket().expect("an address").port(), sockets)
}

/// No test whether the connection still works, no preparing again.
#[test]
fn an_operation_is_one_statement_that_was_prepared_before() {
    let cluster = Cluster::builder().setting("log_min_duration_statement", "0").start();
    let (storage, _) = storage_on(&cluster, "127.0.0.1");
    let both = || {
        save(&storage, "key").expect("a save");
        storage.get("key").expect("a value");
    };
    both();
    let before = cluster.log().len();
    for _ in 0..10 {
        both();
    }
    let log = cluster.log().split_off(before);
    let count = |what: &str| log.matches(what).count();
    assert_eq!(count("  execute "), 20, "{log}");
    assert_eq!(count("  bind "), 20, "{log}");
    assert_eq!(count("  parse "), 0, "{log}");
    assert_eq!(count("  statement: "), 0, "{log}");
}

/// Lets each save take half a minute.
pub const DAWDLE: &str = "
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END';
    CREATE TRIGGER dawdle BEFORE INSERT ON sessions
        FOR EACH ROW EXECUTE FUNCTION dawdle()";

/// The server would otherwise carry on with it, and hold its locks.
#[test]
fn a_statement_without_a_caller_is_ended_by_the_server() {
    let cluster = Cluster::builder().start();
    let socket = cluster.socket_dir().to_str().expect("a path");
    for host in ["127.0.0.1", socket] {
        let (storage, mut sql) = storage_on(&cluster, host);
        sql.batch_execute(DAWDLE).expect("a trigger");
        let saved = save(&storage, "key");
        assert!(matches!(saved, Err(Error::Timeout { .. })), "{saved:?}");
        let running = "SELECT count(*) FROM pg_stat_activity
                       WHERE application_name = 'pgmoon' AND state = 'active'";
        let ended = || one::<i64>(&mut sql, running) == 0;
        process::wait_until(2, "the statement ends", ended);
    }
}

/// The pool has one connection: the second save works only if the first one's was given up.
#[test]
fn a_frozen_backend_costs_one_operation_over_tcp_and_over_a_unix_socket() {
    let cluster = Cluster::builder().start();
    let socket = cluster.socket_dir().to_str().expect("a path");
    for host in ["127.0.0.1", socket] {
        let (storage, mut sql) = storage_on(&cluster, host);
        save(&storage, "before").expect("a save");
        let backend = "SELECT pid FROM pg_stat_activity
                       WHERE application_name = 'pgmoon' AND datname = current_database()";
        let backend = Pid::from_raw(one(&mut sql, backend));
        kill(backend, Signal::SIGSTOP).expect("a signal");
        let start = Instant::now();
        let frozen = save(&storage, "frozen");
        let took = start.elapsed();
        let after = save(&storage, "after");
        kill(backend, Signal::SIGCONT).expect("a signal");
        assert!(matches!(frozen, Err(Error::Timeout { .. })), "{frozen:?}");
        assert!(took < Duration::from_millis(1000), "{host}: {took:?}");
        after.unwrap_or_else(|error| panic!("{host}: {error}"));
    }
}

fn opened(storage: &Storage) -> f64 {
    stat(storage, "connections_opened_total")
}

#[test]
fn a_plan_that_is_out_of_date_is_made_again_and_another_refusal_costs_no_connection() {
    let cluster = Cluster::builder().setting("lc_messages", "C").start();
    let (storage, mut sql) = storage_on(&cluster, "127.0.0.1");
    save(&storage, "key").expect("a save");
    assert_eq!(storage.get("key").expect("an answer").as_deref(), Some("value"));
    sql.batch_execute("ALTER TABLE sessions ALTER data TYPE varchar").expect("another type");
    assert_eq!(storage.get("key").expect("an answer").as_deref(), Some("value"));
    assert!(cluster.log().contains("cached plan must not change result type"));

    let before = opened(&storage);
    let raises = "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
                  $$BEGIN RAISE 'not here' USING ERRCODE = 'feature_not_supported'; END$$;
                  CREATE TRIGGER raise BEFORE INSERT ON sessions EXECUTE FUNCTION raise()";
    sql.batch_execute(raises).expect("a trigger");
    for _ in 0..3 {
        let error = save(&storage, "other").expect_err("the trigger raises");
        assert_eq!(error.to_string(), "not here (SQLSTATE 0A000)");
    }
    assert_eq!(opened(&storage), before);
}

/// Has so many connections opened, which idle afterwards.
fn open_all(storage: &Storage, sql: &mut Client, number: usize) {
    sql.batch_execute(
        "CREATE TABLE released ();
         CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           WHILE NOT EXISTS (SELECT FROM released) LOOP PERFORM pg_sleep(0.01); END LOOP;
           RETURN NULL; END $$;
         CREATE TRIGGER waits AFTER INSERT ON sessions FOR EACH STATEMENT EXECUTE FUNCTION waits()",
    )
    .expect("a trigger");
    let wait = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let queue = Arc::new(CompletionQueue::new());
    for n in 1..=number {
        storage.submit(session(format!("key {n}"), 60), &queue).expect("room");
        process::wait_until(20, "it has a connection", || one::<i64>(sql, wait) == n as i64);
    }
    sql.batch_execute("INSERT INTO released DEFAULT VALUES").expect("a row");
    let mut saved = Vec::new();
    process::wait_until(20, "all are saved", || {
        let mut ready = Vec::new();
        queue.drain_into(&mut ready);
        saved.extend(ready);
        saved.len() == number
    });
    assert!(saved.iter().all(|(_, outcome)| outcome.is_ok()), "{saved:?}");
    process::wait_until(20, "all idle", || {
        stat(storage, "connections{state=\"idle\"}") == number as f64
    });
}

/// What broke one has probably broken all of them: none is tried after it.
#[test]
fn one_broken_connection_has_all_idle_ones_closed() {
    let db = Database::new();
    let patient = json!({ "pool_size": 8, "read_timeout": 30_000, "cleanup_interval": 0 });
    let (storage, mut sql) = (db.storage_with(patient), db.sql());
    open_all(&storage, &mut sql, 8);
    assert_eq!(disconnect(&mut sql), 8);
    let statements = || stat(&storage, "batch_operations_count");
    let (before, opened_before) = (statements(), opened(&storage));
    assert!(storage.get("key 1").expect("an answer").is_some());
    assert_eq!(statements() - before, 2.0, "one that failed and one that did not");
    assert_eq!(opened(&storage) - opened_before, 1.0);
}

/// The old primary is alive, and takes no writes any more.
#[test]
fn a_switchover_has_all_connections_to_the_old_primary_closed() {
    let servers = [(); 2].map(|()| Cluster::builder().start());
    for server in &servers {
        let tables =
            "CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMPTZ)";
        server.client("postgres").batch_execute(tables).expect("a table");
    }
    let keys = json!({
        "host": ["127.0.0.1", "127.0.0.1"],
        "port": [servers[0].port(), servers[1].port()],
        "target_session_attrs": "read-write",
        "pool_size": 6,
        "read_timeout": 30_000,
        "cleanup_interval": 0,
    });
    let storage = servers[0].storage("postgres", keys);
    let mut old = servers[0].client("postgres");
    open_all(&storage, &mut old, 6);
    servers[0].set("default_transaction_read_only", "on");
    let read_only = "SELECT current_setting('transaction_read_only') = 'on'";
    process::wait_until(20, "it takes no writes", || one(&mut old, read_only));
    // Each connection may have its own moment in which it notices the setting.
    let count = || stat(&storage, "batch_operations_count");
    let mut before = 0.0;
    process::wait_until(20, "a save meets it", || {
        before = count();
        storage.call(session("key", 60)).expect("a save");
        count() - before > 1.0
    });
    assert_eq!(count() - before, 2.0, "one that failed and one that did not");
    let there = "SELECT count(*) FROM sessions WHERE sid = 'key'";
    assert_eq!(one::<i64>(&mut servers[1].client("postgres"), there), 1);
}

/// Each of these storages has statements of its own on the connection that they share.
#[test]
fn the_statements_that_a_connection_keeps_are_bounded() {
    let db = Database::new();
    db.execute(
        "CREATE TABLE prepared (number bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO prepared SELECT count(*) FROM pg_prepared_statements; RETURN NULL; END$$;
         CREATE TRIGGER note AFTER INSERT ON sessions EXECUTE FUNCTION note()",
    );
    for n in 1..=400 {
        let keys = json!({
            "pool": "shared",
            "pool_size": 1,
            "max_sessions_per_subject": n,
            "cleanup_interval": 0,
        });
        db.storage_with(keys).call(session("key", 60)).expect("a save");
    }
    let most = db.number("SELECT max(number) FROM prepared");
    assert!((200..=260).contains(&most), "{most}");
}

/// More connections are needed, and refused: the one that there is serves all the same.
#[test]
fn a_refused_connection_keeps_nobody_from_the_one_that_there_is() {
    let db = Database::new();
    let role = db.create_role("limited");
    db.execute(&format!(
        "ALTER ROLE {role} CONNECTION LIMIT 1; GRANT ALL ON sessions, sessions_meta TO {role};
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END$$;
         CREATE TRIGGER slow AFTER INSERT ON sessions FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    ));
    let storage = db.storage_with(json!({ "username": role, "cleanup_interval": 0 }));
    let end = Instant::now() + Duration::from_secs(3);
    let mut times = thread::scope(|scope| {
        for n in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                while Instant::now() < end {
                    storage.call(session(format!("key {n}"), 60)).expect("a save");
                    thread::sleep(Duration::from_millis(3));
                }
            });
        }
        let mut times = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            storage.get("key 1").expect("an answer");
            times.push(start.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        times
    });
    times.sort();
    let late = times[times.len() * 98 / 100];
    assert!(late < Duration::from_millis(50), "{late:?} of {}", times.len());
}

/// Any user of the machine can connect to it.
#[test]
fn the_tests_own_server_lets_nobody_in_without_a_password() {
    let port = support::shared().port();
    let any = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    assert!(Client::connect(&any, NoTls).is_err());
    let socket = support::shared().socket_dir().join(format!(".s.PGSQL.{port}"));
    let socket = socket.metadata().expect("the socket");
    assert_eq!(socket.mode() & 0o077, 0);
}

/// A proxy in front of a server that refuses start-up messages with options; returns its port.
fn proxy(server: u16, code: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = move |mut client: TcpStream| -> io::Result<()> {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut rest)?;
        if rest.windows(8).any(|word| word == b"options\0") {
            let fields = format!("SFATAL\0VFATAL\0C{code}\0Mno options here\0\0");
            let length = (fields.len() as u32 + 4).to_be_bytes();
            return client.write_all(&[b"E", &length[..], fields.as_bytes()].concat());
        }
        let mut server = TcpStream::connect(("127.0.0.1", server))?;
        server.write_all(&[&length[..], &rest].concat())?;
        let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || io::copy(&mut from_server, &mut to_client));
        io::copy(&mut client, &mut server).map(drop)
    };
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            thread::spawn(move || serve(client));
        }
    });
    port
}

#[test]
fn a_proxy_may_refuse_options_with_any_state() {
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    for code in ["08P01", "0A000", "22023", "42704", "XX000"] {
        let server = ("127.0.0.1", proxy(cluster.port(), code));
        let storage = storage(&[server], &cluster, &database);
        save(&storage, "key").unwrap_or_else(|error| panic!("{code}: {error}"));
    }
}
