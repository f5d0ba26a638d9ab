//! A hostile server, or somebody in its place: what it sends costs an operation its time, and the process
//! neither its memory nor its log.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::{Error, Storage};
use serde_json::json;

use crate::support::{self, Calls, Database, process, session, stage};

/// A message of the server: its kind, its length, and the rest.
fn message(kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rest.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), rest].concat()
}

/// What the server sends without end, and when.
#[derive(Clone)]
struct Flood {
    name: &'static str,
    /// After the start-up message, or else in answer to the first statement.
    at_once: bool,
    beginning: Vec<u8>,
    again: Vec<u8>,
    times: usize,
    pause: Duration,
}

fn floods() -> Vec<Flood> {
    let text = [&[0, 1][..], b"data\0", &[0; 6], &[0, 0, 0, 25], &[0; 8]].concat();
    let columns = [message(b'1', &[]), message(b'2', &[]), message(b'T', &text)].concat();
    let row = |bytes: u32| {
        let length = bytes.to_be_bytes();
        message(b'D', &[&[0, 1][..], &length, &vec![b'x'; bytes as usize]].concat())
    };
    let endless = [&[b'D'][..], &i32::MAX.to_be_bytes()].concat();
    let flood = |name, beginning: &[u8], again: Vec<u8>| {
        let times = (1 << 17) / again.len() + 1;
        let (beginning, pause) = (beginning.to_vec(), Duration::ZERO);
        Flood { name, at_once: false, beginning, again, times, pause }
    };
    let notice = message(b'N', b"SWARNING\0VWARNING\0C01000\0Mmessage\0\0");
    let notification = message(b'A', b"\0\0\0\x01channel\0payload\0");
    let later = [
        flood("small rows", &columns, message(b'D', &[0, 1, 255, 255, 255, 255])),
        flood("rows", &columns, row(1024)),
        flood("large rows", &columns, row(1 << 20)),
        flood("notices", &[], notice),
        flood("notifications", &[], notification),
        flood("one message", &[&columns[..], &endless].concat(), vec![b'x'; 1 << 16]),
    ];
    let before = later[3..].iter().cloned().map(|flood| Flood { at_once: true, ..flood });
    later.iter().cloned().chain(before).collect()
}

/// Accepts a client without a password, and floods it until it closes the connection.
fn serve(mut client: impl Read + Write, flood: &Flood) {
    let mut length = [0; 4];
    client.read_exact(&mut length).expect("a start-up message");
    let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut rest).expect("a start-up message");
    if !flood.at_once {
        let ready = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        client.write_all(&ready).expect("a client");
        let mut statement = [0; 4096];
        let _ = client.read(&mut statement).expect("a statement");
        if statement[0] == b'Q' {
            // The client looks at the new session.
            let none = [message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
            client.write_all(&none).expect("a client");
            let _ = client.read(&mut statement).expect("a statement");
        }
    }
    let again = flood.again.repeat(flood.times);
    let mut sent = client.write_all(&flood.beginning);
    while sent.is_ok() {
        thread::sleep(flood.pause);
        sent = client.write_all(&again);
    }
}

/// A server for one client after the other; says when each has closed its connection.
fn server(flood: &Flood) -> (u16, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, closed) = mpsc::channel();
    let flood = flood.clone();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            serve(client, &flood);
            let _ = sender.send(Instant::now());
        }
    });
    (port, closed)
}

fn storage(host: &str, port: u16) -> Storage {
    let keys = json!({
        "host": host,
        "port": port,
        "connect_timeout": 1000,
        "send_timeout": 250,
        "read_timeout": 250,
    });
    support::shared().storage("any", keys)
}

/// How a process ends, and the most memory that it has had, in MiB.
fn memory_of(command: &mut Command) -> (Option<i32>, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a child");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        most = kilobytes.map_or(most, |kilobytes| kilobytes.parse().expect("a number"));
        if let Some(status) = child.try_wait().expect("our own child") {
            return (status.code(), most / 1024);
        }
    }
}

#[test]
fn a_flood_costs_neither_time_nor_memory() {
    for flood in floods() {
        let Flood { name, at_once, .. } = flood;
        let (port, closed) = server(&flood);
        let dsn = format!("postgres://ada@127.0.0.1:{port}/any?sslmode=disable");
        let mut command = Command::new(stage::root().join("bin/resty-session-postgres"));
        command.args(["get", "--key", "key", "--dsn", &dsn]);
        let start = Instant::now();
        let (status, most) = memory_of(&mut command);
        let took = start.elapsed();
        assert_eq!(status, Some(1), "{name}, {at_once}");
        // It has 10 without.
        assert!(most < 110, "{name}, {at_once}: {most} MiB");
        // The time of an operation is an hour; an attempt to connect is repeated for 5 s.
        let limit = Duration::from_secs(if at_once { 7 } else { 2 });
        assert!(took < limit, "{name}, {at_once}: {took:?}");
        closed.recv_timeout(Duration::from_secs(1)).expect("the connection is still open");
    }
}

#[test]
fn a_flood_on_a_unix_socket_is_bounded_as_well() {
    let folder = process::folder();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
    let flood = floods().remove(1);
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        serve(client, &flood);
    });
    let error = storage(folder.path().to_str().expect("a path"), 5432).get("key");
    let error = error.expect_err("no answer").to_string();
    assert!(error.contains("more than 32 MiB at once"), "{error}");
}

/// Nothing else interrupts such a client: there is always something to read.
#[test]
fn the_deadline_holds_while_bytes_arrive_without_a_pause() {
    let is_slow = |flood: &Flood| !flood.at_once && flood.again.len() < 2000;
    for flood in floods().into_iter().filter(is_slow) {
        let flood = Flood { times: 1, pause: Duration::from_micros(100), ..flood };
        let (port, closed) = server(&flood);
        let start = Instant::now();
        let value = storage("127.0.0.1", port).get("key");
        let took = start.elapsed();
        assert!(matches!(value, Err(Error::Timeout { .. })), "{}: {value:?}", flood.name);
        assert!(took < Duration::from_millis(1000), "{took:?}");
        closed.recv_timeout(Duration::from_secs(1)).expect("the connection is still open");
    }
}

/// The operation waits and tries again, as with any other lost connection.
#[test]
fn a_connection_that_is_lost_during_the_tls_handshake_is_no_refusal() {
    for (reset, answer) in [(false, &b"S"[..]), (true, b"S"), (false, b""), (true, b"")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = client.read(&mut [0; 8]);
                if !answer.is_empty() {
                    let _ = client.write_all(answer);
                    let _ = client.read(&mut [0; 16]);
                }
                if reset {
                    let socket = socket2::SockRef::from(&client);
                    socket.set_linger(Some(Duration::ZERO)).expect("an option");
                }
            }
        });
        let keys = json!({
            "port": port,
            "ssl": true,
            "ssl_required": true,
            "connect_timeout": 400,
        });
        let start = Instant::now();
        let error = support::shared().storage("any", keys).get("key").expect_err("no server");
        let (took, attempts) = (start.elapsed(), attempts.load(Ordering::Relaxed));
        assert!(matches!(error, Error::NoConnection { .. }), "{reset}, {answer:?}: {error}");
        assert!(took > Duration::from_millis(300) && attempts > 2, "{took:?}, {attempts}");
    }
}

/// What a text of the server may not bring into an error: it ends up in logs and on terminals.
fn assert_printable(error: &Error) {
    let text = error.to_string();
    let is_special = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    assert!(!text.contains(is_special), "{text:?}");
    assert!(text.contains(r"forged\n\u{1b}[2J\u{9b}\u{7f}\u{2028}"), "{text:?}");
    assert!(text.chars().count() < 700, "{}", text.chars().count());
}

const FORGED: &str = "forged\n\u{1b}[2J\u{9b}\u{7f}\u{2028}";

#[test]
fn texts_of_the_server_are_escaped_and_cut() {
    let long = format!("{FORGED}{}", "é".repeat(100_000));
    // As an answer to the start-up message, before any authentication.
    for code in ["53300", "28000"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fields = format!("SFATAL\0VFATAL\0C{code}\0M{long}\0\0");
        thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(&message(b'E', fields.as_bytes()));
            }
        });
        let storage = storage("127.0.0.1", port);
        let error = storage.get("key").expect_err("no server");
        assert_printable(&error);
        assert!(error.to_string().contains(code), "{error}");
    }
    // As an answer to a statement.
    let db = Database::new();
    let raises = format!(
        "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE '%', '{long}'; END$$;
         CREATE TRIGGER raise BEFORE INSERT ON sessions EXECUTE FUNCTION raise()"
    );
    db.execute(&raises);
    let error = db.storage().call(session("key", 60)).expect_err("the trigger raises");
    assert_printable(&error);
    assert!(error.to_string().ends_with("(SQLSTATE P0001)"), "{error}");
}
