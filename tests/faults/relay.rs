//! A TCP relay between the library and its database that can misbehave like a network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::process::lock;

/// How often a thread that waits for bytes looks whether the relay has ended.
const TICK: Duration = Duration::from_millis(100);

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are passed on.
    Pass,
    /// They are passed on after so long, in both directions.
    Delay(Duration),
    /// They are kept until the mode changes.
    Hold,
    /// They are lost, and with them all that comes later on these connections, without a word to
    /// either end.
    Lose,
}

pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    mode: Mutex<Mode>,
    changed: Condvar,
    connections: Mutex<Vec<Arc<Connection>>>,
    over: AtomicBool,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Nothing comes through any more.
    lost: AtomicBool,
}

impl Relay {
    /// A relay to that port of this machine.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            server,
            mode: Mutex::new(Mode::Pass),
            changed: Condvar::new(),
            connections: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                accepting.connect(client.expect("a connection"));
            }
        });
        Relay { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        *lock(&self.shared.mode) = mode;
        self.shared.changed.notify_all();
    }

    /// Ends the connections there are, for both ends to see.
    pub fn cut(&self) {
        for connection in lock(&self.shared.connections).drain(..) {
            connection.end();
        }
    }

    /// The server's end of the connections there are is closed, and the client's stays open.
    pub fn leave_half_open(&self) {
        for connection in &*lock(&self.shared.connections) {
            connection.lost.store(true, Ordering::Relaxed);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.set(Mode::Pass);
        self.cut();
        // For the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else {
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a socket option");
            stream.set_read_timeout(Some(TICK)).expect("a socket option");
        }
        let connection = Arc::new(Connection { client, server, lost: AtomicBool::new(false) });
        let mut connections = lock(&self.connections);
        connections.retain(|connection| Arc::strong_count(connection) > 1);
        connections.push(Arc::clone(&connection));
        for upwards in [true, false] {
            let (shared, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || shared.carry(&connection, upwards));
        }
    }

    fn carry(&self, connection: &Connection, upwards: bool) {
        let Connection { client, server, .. } = connection;
        let (mut from, mut to) = if upwards { (client, server) } else { (server, client) };
        let mut bytes = vec![0; 1 << 16];
        while !self.over.load(Ordering::Relaxed) {
            let count = match from.read(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Ok(count) => count,
                Err(_) => 0,
            };
            self.wait_or_lose(connection);
            if connection.lost.load(Ordering::Relaxed) {
                // Only the client's end matters.
                if count == 0 && upwards {
                    return connection.end();
                } else if count == 0 {
                    return;
                }
            } else if count == 0 || to.write_all(&bytes[..count]).is_err() {
                return connection.end();
            }
        }
    }

    fn wait_or_lose(&self, connection: &Connection) {
        let mode = self
            .changed
            .wait_while(lock(&self.mode), |mode| *mode == Mode::Hold)
            .map(|mode| *mode)
            .expect("no panic under this lock");
        match mode {
            Mode::Pass | Mode::Hold => {}
            Mode::Delay(time) => thread::sleep(time),
            Mode::Lose => connection.lost.store(true, Ordering::Relaxed),
        }
    }
}

impl Connection {
    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
