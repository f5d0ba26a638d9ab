//! The demo's site, as `make demo` starts it: a script that starts a PostgreSQL and an nginx.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::process::{self, Sweeper};

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Site {
    pub url: String,
    said: PathBuf,
    script: Child,
    /// Dropped before the folder.
    _sweeper: Sweeper,
    folder: TempDir,
}

impl Site {
    pub fn start() -> Site {
        let folder = process::folder();
        // If the tests run as root, the site's servers run as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our own folder");
        let said = folder.path().join("said");
        let mut command = Command::new("scripts/demo.sh");
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("CHECK")
            .env("TMPDIR", folder.path())
            .stdout(File::create(&said).expect("a file"))
            .process_group(0);
        let mut script = process::spawn(command, Signal::SIGTERM).expect("the demo's script");
        let sweeper = Sweeper::of(script.id());
        let url = process::wait_for_line(&mut script, &said, |line| {
            let line = line.trim();
            line.starts_with("http://").then(|| line.to_owned())
        });
        Site { url, said, _sweeper: sweeper, script, folder }
    }

    /// What the script has printed, up to its last line.
    pub fn said(&mut self) -> String {
        process::wait_for_line(&mut self.script, &self.said, |line| {
            line.contains("Ctrl-C").then_some(())
        });
        fs::read_to_string(&self.said).expect("what the script has printed")
    }

    /// Stops it as Ctrl-C does, and checks that no file is left.
    pub fn stop(mut self) {
        process::signal(self.script.id(), Signal::SIGTERM);
        let status = process::wait(&mut self.script, TIMEOUT);
        assert!(status.is_some(), "the demo does not stop");
        let left = fs::read_dir(self.folder.path()).expect("our own folder");
        let left: Vec<_> = left.map(|entry| entry.expect("a name").file_name()).collect();
        assert_eq!(left, ["said"]);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        process::signal(self.script.id(), Signal::SIGTERM);
        let _ = process::wait(&mut self.script, TIMEOUT);
    }
}
