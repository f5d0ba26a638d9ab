//! The password file, in libpq's format: a line is `host:port:database:user:password`. Each of the
//! first four fields may be `*`; `\` escapes a colon or itself; the first line that matches counts.

use crate::config::{Host, Secret, Server};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads the file. An error of the system has its error number; the other errors mean that the file
/// must not be used.
pub(super) fn read(path: &Path) -> io::Result<Secret> {
    // Opening a named pipe would otherwise wait for a writer.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if metadata.mode() & 0o077 != 0 {
        let reason = "it may be read by others than its owner (chmod 600)";
        return Err(io::Error::other(reason));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(Secret::new(String::from_utf8_lossy(&content).into_owned()))
}

/// The password for a server in the file's content, if a line matches.
pub(super) fn password(
    content: &Secret,
    server: &Server,
    database: &str,
    user: &str,
) -> Option<Secret> {
    find(content.reveal(), server, database, user).map(Secret::new)
}

/// The folders in which libpq looks for a socket by default. It matches them as `localhost`.
const DEFAULT_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

fn find(content: &str, server: &Server, database: &str, user: &str) -> Option<String> {
    let port = server.port.to_string();
    let (host, alias) = match &server.host {
        Host::Tcp(host) => (host.clone(), None),
        Host::Unix(folder) => {
            let folder = folder.display().to_string();
            let default = DEFAULT_FOLDERS.contains(&&*folder);
            (folder, default.then_some("localhost"))
        }
    };
    let lines = content.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|fields| {
        let [given_host, given_port, given_database, given_user, password] = &fields[..] else {
            return None;
        };
        let fits = |given: &str, wanted: &str| given == "*" || given == wanted;
        let host_fits = fits(given_host, &host) || alias == Some(given_host);
        (host_fits
            && fits(given_port, &port)
            && fits(given_database, database)
            && fits(given_user, user))
        .then(|| password.clone())
    })
}

/// The fields of a line. The fifth is the rest of the line, with its colons.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
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
        let error = read(&pipe).expect_err("a pipe");
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
        for (folder, password) in [
            ("/srv/pg", Some("socket")),
            ("/tmp", Some("local")),
            ("/x", None),
        ] {
            let host = Host::Unix(PathBuf::from(folder));
            let server = Server { host, port: 5432 };
            assert_eq!(find(server, "y").as_deref(), password, "{folder}");
        }
    }
}
