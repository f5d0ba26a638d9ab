//! `PgBouncer`: a real one in front of a cluster.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use postgres::{Client, NoTls};
use tempfile::TempDir;

use super::{Cluster, initdb, process};

const TIMEOUT: Duration = Duration::from_secs(10);

pub struct PgBouncer {
    folder: TempDir,
    port: u16,
    child: Mutex<Child>,
}

impl PgBouncer {
    /// In front of the cluster, with two of its connections for each database. `settings` are more
    /// lines of its configuration.
    pub fn start(cluster: &Cluster, pool_mode: &str, settings: &str) -> Self {
        for _ in 0..3 {
            let pooler = Self::spawn(cluster, pool_mode, settings);
            let answers = || pooler.connect("postgres").is_ok();
            let ended = || process::lock(&pooler.child).try_wait().unwrap().is_some();
            if process::eventually(TIMEOUT, || answers() || ended()) && !ended() {
                return pooler;
            }
            let log = pooler.log();
            assert!(log.contains("Address already in use"), "{log}");
        }
        panic!("PgBouncer finds no free port");
    }

    fn spawn(cluster: &Cluster, pool_mode: &str, settings: &str) -> Self {
        let folder = process::folder();
        initdb::give_to_server(folder.path());
        let port = process::free_port();
        let ini = folder.path().join("pgbouncer.ini");
        let users = folder.path().join("users");
        let password = super::password();
        let list = format!("\"postgres\" \"{password}\"\n\"web\" \"{password}\"\n");
        fs::write(&users, list).expect("the user list");
        let configuration = format!(
            "[databases]\n* = host={host} port={server}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = md5\nauth_file = {users}\npool_mode = {pool_mode}\n\
             default_pool_size = 2\nmax_client_conn = 200\n{settings}\n",
            host = cluster.socket_dir().display(),
            server = cluster.port(),
            users = users.display(),
        );
        fs::write(&ini, configuration).expect("the configuration");
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let program = process::program("/usr/sbin/pgbouncer", "pgbouncer");
        let mut command = initdb::as_server(program);
        command
            .arg(&ini)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        let child = process::spawn(command, Signal::SIGKILL).expect("pgbouncer");
        PgBouncer { folder, port, child: Mutex::new(child) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A client's connection through it.
    pub fn connect(&self, database: &str) -> Result<Client, postgres::Error> {
        postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user("postgres")
            .password(super::password())
            .dbname(database)
            .connect(NoTls)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if thread::panicking() {
            process::show_tail("PgBouncer's log", &self.log());
        }
        let mut child = process::lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        process::remove(&self.folder);
    }
}
