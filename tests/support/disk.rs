//! `Disk`: a small file system for a server's data, which a test may fill up.
//!
//! It is mounted in a namespace of its own, which the server is started in and which ends with its
//! processes: no mount is left behind, however the tests end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tempfile::NamedTempFile;

use super::{initdb, process};

pub struct Disk {
    /// Keeps the namespace.
    holder: Mutex<Child>,
    pid: u32,
    inner: PathBuf,
}

impl Disk {
    /// A disk of so many megabytes for a server whose folder is that.
    pub fn new(folder: &Path, megabytes: usize) -> Self {
        assert!(Uid::effective().is_root(), "only root may mount a disk");
        let inner = folder.join("disk");
        fs::create_dir(&inner).expect("our own folder");
        let mount = format!(
            "mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs '{}' && echo mounted && exec sleep infinity",
            inner.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &mount]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = process::spawn(command, Signal::SIGKILL).expect("unshare");
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        assert_eq!(said, "mounted\n", "the disk could not be mounted");
        let disk = Disk { pid: holder.id(), holder: Mutex::new(holder), inner };
        initdb::give_to_server(&disk.path());
        disk
    }

    /// Its path as the server sees it.
    pub fn inner_path(&self) -> &Path {
        &self.inner
    }

    /// Its path for other processes.
    pub fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        root.join(self.inner.strip_prefix("/").expect("an absolute path"))
    }

    /// The same command, run where the disk is.
    pub fn command(&self, command: &Command) -> Command {
        let user = initdb::server_user().expect("root has one");
        let mut there = Command::new("nsenter");
        there
            .arg(format!("--mount=/proc/{}/ns/mnt", self.pid))
            .args(["setpriv", "--init-groups", "--pdeathsig", "QUIT"])
            .args(["--reuid", &user.uid.to_string()])
            .args(["--regid", &user.gid.to_string()])
            .arg(command.get_program())
            .current_dir("/")
            .env("LC_ALL", "C.UTF-8");
        there
    }

    /// Leaves no room, until the file is dropped.
    pub fn fill(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new_in(self.path()).expect("a file");
        // In pieces that get smaller, down to the last page.
        for size in [1 << 20, 1 << 12] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut holder = process::lock(&self.holder);
        let _ = holder.kill();
        let _ = holder.wait();
    }
}
