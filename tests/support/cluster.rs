//! `Cluster`: a throw-away PostgreSQL server that a test may pause, stop and start again.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use postgres::{Client, NoTls};
use tempfile::TempDir;

use super::disk::Disk;
use super::{initdb, process};

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Cluster {
    folder: TempDir,
    /// Where the data are, if not in the folder.
    disk: Option<Disk>,
    port: u16,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// How a server is asked to stop.
#[derive(Clone, Copy)]
pub enum Stop {
    /// The server notifies its clients and closes their connections.
    Fast,
    /// As in a crash: connections end without a word.
    Immediate,
}

#[derive(Default)]
pub struct Builder {
    settings: String,
    hba: String,
    files: Vec<(String, Vec<u8>)>,
    disk: Option<usize>,
}

impl Builder {
    /// A line of `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        self
    }

    /// A line of `pg_hba.conf`. Without any, all users are trusted. The unix socket always trusts
    /// the user `postgres`, as which the tests themselves connect.
    pub fn hba(mut self, line: &str) -> Self {
        self.hba += &format!("{line}\n");
        self
    }

    /// A file in the data folder that only the server may read, such as a TLS key.
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// The data are on a disk of their own, of so many megabytes.
    pub fn disk(mut self, megabytes: usize) -> Self {
        self.disk = Some(megabytes);
        self
    }

    pub fn start(self) -> Cluster {
        let folder = process::folder();
        initdb::give_to_server(folder.path());
        let disk = self.disk.map(|size| Disk::new(folder.path(), size));
        let root = disk.as_ref().map(Disk::path);
        let data = root.unwrap_or_else(|| folder.path().to_owned()).join("data");
        initdb::copy_to(&data);

        let hba = match self.hba.as_str() {
            // The socket is private. SCRAM, which takes long in a build for tests, is for passwords that are
            // kept for it.
            "" => "local all all trust\nhost all all 127.0.0.1/32 md5\n",
            lines => lines,
        };
        fs::write(data.join("pg_hba.conf"), rules(hba)).expect("pg_hba.conf");
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             unix_socket_permissions = 0700\n\
             max_connections = 200\nfsync = off\ntimezone = 'UTC'\n{}",
            folder.path().display(),
            self.settings
        );
        fs::write(data.join("postgresql.conf"), settings).expect("postgresql.conf");
        for (name, content) in &self.files {
            write_private(&data.join(name), content);
        }

        Cluster::start_in(folder, disk)
    }
}

/// The lines of `pg_hba.conf`, after those for the tests' own connections.
pub(super) fn rules(lines: &str) -> String {
    format!("local all postgres trust\nlocal replication postgres trust\n{lines}\n")
}

fn write_private(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, content).expect("the data folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
    initdb::give_to_server(path);
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a server in a folder that has all it needs.
    fn start_in(folder: TempDir, disk: Option<Disk>) -> Self {
        let mut cluster = Cluster {
            folder,
            disk,
            port: 0,
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        // Another process may take the port before the server does.
        for _ in 0..3 {
            cluster.port = process::free_port();
            if cluster.try_start() {
                return cluster;
            }
            let port_lost = cluster.log().contains("Address already in use");
            assert!(port_lost, "PostgreSQL does not start");
        }
        panic!("PostgreSQL finds no free port");
    }

    /// A standby that follows this server, which stops for a moment to be copied.
    pub fn standby(&self) -> Self {
        self.stop(Stop::Fast);
        let folder = process::folder();
        initdb::give_to_server(folder.path());
        let data = folder.path().join("data");
        let from = self.socket_dir().join("data");
        process::run(Command::new("cp").arg("-a").arg(from).arg(&data));
        self.start_again();
        let settings = format!(
            "unix_socket_directories = '{}'\nprimary_conninfo = 'host={} port={} user=postgres'\n",
            folder.path().display(),
            self.socket_dir().display(),
            self.port
        );
        let file = data.join("postgresql.conf");
        let all = fs::read_to_string(&file).expect("the copy") + &settings;
        fs::write(file, all).expect("the copy");
        write_private(&data.join("standby.signal"), b"");
        let standby = Cluster::start_in(folder, None);
        let streams = "SELECT FROM pg_stat_replication WHERE state = 'streaming'";
        let follows = || {
            let rows = self.client("postgres").query(streams, &[]);
            !rows.expect("its own statistics").is_empty()
        };
        process::wait_until(30, "the standby follows", follows);
        standby
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file of the data folder that only the server may read.
    pub fn write(&self, name: &str, content: &[u8]) {
        write_private(&self.socket_dir().join("data").join(name), content);
    }

    /// The folder of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read(self.socket_dir().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// A fresh database that has the documented tables.
    pub fn create_database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name}");
        let created = self.client("postgres").execute(&create, &[]);
        created.expect("a new database");
        name
    }

    /// Ends the connections to the database, and drops it.
    pub fn drop_database(&self, name: &str) {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        let dropped = self.client("postgres").execute(&drop, &[]);
        dropped.expect("a database to drop");
    }

    /// A superuser's connection, for preparations and assertions.
    pub fn client(&self, database: &str) -> Client {
        self.try_client(database)
            .unwrap_or_else(|error| panic!("no connection to {database}: {error}"))
    }

    /// The disk that the data are on.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a disk was asked for")
    }

    /// The same as `client`, where the server may not take it.
    pub fn try_client(&self, database: &str) -> Result<Client, postgres::Error> {
        postgres::Config::new()
            .host_path(self.socket_dir())
            .port(self.port)
            .user("postgres")
            .dbname(database)
            .application_name("tests")
            .connect(NoTls)
    }

    fn try_start(&self) -> bool {
        let mut log = fs::File::options();
        log.append(true).create(true);
        let log = log.open(self.socket_dir().join("log")).expect("a log file");
        let command = initdb::command("postgres");
        let (mut command, folder) = match &self.disk {
            Some(disk) => (disk.command(&command), disk.inner_path()),
            None => (command, self.socket_dir()),
        };
        command
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        let child = process::spawn(command, Signal::SIGQUIT).expect("postgres");
        *process::lock(&self.server) = Some(child);
        // It either answers or exits.
        process::eventually(TIMEOUT, || !self.is_running() || self.try_client("postgres").is_ok())
            && self.is_running()
    }

    pub fn is_running(&self) -> bool {
        let mut server = process::lock(&self.server);
        server.as_mut().is_some_and(|child| child.try_wait().expect("our own child").is_none())
    }

    /// Waits until the server accepts clients again after it has ended their connections.
    pub fn wait_until_up(&self) {
        let up = || self.try_client("postgres").is_ok();
        process::wait_until(10, "the server accepts clients", up);
    }

    /// Starts a stopped server on the port and the data it had.
    pub fn start_again(&self) {
        assert!(!self.is_running(), "it has not been stopped");
        assert!(self.try_start(), "it does not start again");
    }

    /// Stops the server and waits for its end.
    pub fn stop(&self, how: Stop) {
        self.ask_to_stop(how);
        process::wait_until(30, "the server stops", || !self.is_running());
    }

    fn ask_to_stop(&self, how: Stop) {
        self.signal_server(match how {
            Stop::Fast => Signal::SIGINT,
            Stop::Immediate => Signal::SIGQUIT,
        });
    }

    /// Holds the server's processes where they are: connections stay, and get no answer.
    pub fn pause(&self) {
        // The server first, so that it starts no process that we would miss.
        self.signal_server(Signal::SIGSTOP);
        thread::sleep(Duration::from_millis(5));
        self.signal_backends(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal_backends(Signal::SIGCONT);
        self.signal_server(Signal::SIGCONT);
    }

    fn signal_server(&self, signal: Signal) {
        if let Some(child) = &*process::lock(&self.server) {
            process::signal(child.id(), signal);
        }
    }

    fn signal_backends(&self, signal: Signal) {
        if let Some(child) = &*process::lock(&self.server) {
            for backend in process::children(child.id()) {
                process::signal(backend, signal);
            }
        }
    }

    /// Ends the server at once and removes its folder.
    pub(super) fn destroy(&self) {
        if self.is_running() {
            self.resume();
            self.ask_to_stop(Stop::Immediate);
            if !process::eventually(TIMEOUT, || !self.is_running()) {
                self.signal_server(Signal::SIGKILL);
            }
        }
        process::remove(&self.folder);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            process::show_tail("PostgreSQL's log", &self.log());
        }
        self.destroy();
    }
}
