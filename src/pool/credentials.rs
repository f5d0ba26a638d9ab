//! The password for new connections: the one that was given, which may be replaced while the pool
//! runs, or one of the password file, in libpq's format: a line is
//! `host:port:database:user:password`. Each of the first four fields may be `*`; `\` escapes a
//! colon or itself; the first line that matches counts.

use super::open_error::OpenError;
use crate::config::{ConnectionConfig, Host, Secret, Server};
use crate::host::lock;
use crate::tls::read_private;
use secrecy::zeroize::Zeroizing;
use std::io;
use std::path::Path;
use std::sync::Mutex;

/// What new connections authenticate with.
pub(crate) struct Credentials {
    password: Mutex<Option<Secret>>,
    /// The content of the password file when the storage was made, if it could be read.
    passwords: Option<Secret>,
}

impl Credentials {
    pub(super) fn new(password: Option<Secret>, passwords: Option<Secret>) -> Self {
        Credentials { password: Mutex::new(password), passwords }
    }

    /// Replaces the password, also in the configuration that it comes from.
    pub(super) fn replace(&self, password: &str) {
        let mut given = lock(&self.password);
        match &*given {
            Some(given) => given.replace(password),
            None => *given = Some(Secret::new(password)),
        }
    }

    /// The content of the password file, read while the process may still be root.
    pub(crate) fn read_ahead(config: &ConnectionConfig) -> Option<Secret> {
        read_file(config.passfile.as_deref()?).ok()
    }

    pub(super) fn password(
        &self,
        config: &ConnectionConfig,
        server: &Server,
    ) -> Result<Option<Secret>, OpenError> {
        let given = lock(&self.password);
        let Some(path) = config.passfile.as_ref().filter(|_| given.is_none()) else {
            return Ok(given.clone());
        };
        // Read each time, so that a changed file needs no reload.
        let content = match (read_file(path), &self.passwords) {
            (Ok(content), _) => content,
            // nginx's workers may read less than its master.
            (Err(error), Some(before)) if error.raw_os_error().is_some() => before.clone(),
            (Err(error), _) => {
                let reason = format!("cannot read {}: {error}", path.display());
                return Err(OpenError::refused("passfile", reason));
            }
        };
        let found = content
            .reveal()
            .and_then(|content| find(&content, server, &config.database, &config.username));
        Ok(found.map(Secret::new))
    }
}

fn read_file(path: &Path) -> io::Result<Secret> {
    let content = Zeroizing::new(read_private(path, 0o077)?);
    Ok(Secret::new(String::from_utf8_lossy(&content).into_owned()))
}

/// The folders in which libpq looks for a socket by default. It matches them as `localhost`.
const DEFAULT_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

fn find(content: &str, server: &Server, database: &str, user: &str) -> Option<String> {
    let port = server.port.to_string();
    let host = match &server.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let is_default = DEFAULT_FOLDERS.contains(&&*host);
    let fits = |fields: &Zeroizing<Vec<String>>| {
        let wanted = [&*host, &port, database, user];
        let mut pairs = fields.iter().zip(wanted);
        fields.len() == 5
            && pairs.all(|(given, wanted)| {
                let is_local = is_default && wanted == host && given == "localhost";
                given == "*" || given == wanted || is_local
            })
    };
    let lines = content.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find(fits)?.pop()
}

/// The fields of a line. The fifth is the rest of the line, with its colons.
fn fields(line: &str) -> Zeroizing<Vec<String>> {
    let mut fields = Zeroizing::new(vec![String::new()]);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        let last = fields.len() == 5;
        let field = fields.last_mut().expect("one at least");
        match c {
            '\\' => field.extend(characters.next()),
            ':' if !last => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn tcp(host: &str, port: u16) -> Server {
        let host = Host::Tcp(host.into());
        Server { host, port }
    }

    const FILE: &str = "\
# comment:*:*:*:no
short:line
db.example:5432:sessions:web:first
db.example:*:*:web:sec\\:ond\\\\:and more
localhost:5432:*:*:local
/srv/pg:*:*:*:socket
*:5433:*:*:any host
";

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        let error = read_file(&pipe).expect_err("a pipe");
        assert_eq!(error.to_string(), "it is not a plain file");
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let find = |server, database| find(FILE, &server, database, "web");
        let db = || tcp("db.example", 5432);
        assert_eq!(find(db(), "sessions").as_deref(), Some("first"));
        assert_eq!(find(db(), "other").as_deref(), Some("sec:ond\\:and more"));
        assert_eq!(find(tcp("x", 5433), "y").as_deref(), Some("any host"));
        assert_eq!(find(tcp("x", 5432), "y"), None);
        for (folder, password) in
            [("/srv/pg", Some("socket")), ("/tmp", Some("local")), ("/x", None)]
        {
            let host = Host::Unix(PathBuf::from(folder));
            let server = Server { host, port: 5432 };
            assert_eq!(find(server, "y").as_deref(), password, "{folder}");
        }
    }
}
