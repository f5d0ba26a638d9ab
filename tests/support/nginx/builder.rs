//! What an nginx is started with.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use super::super::{process, stage};
use super::{Nginx, TIMEOUT, program};

#[derive(Default)]
pub struct Builder {
    workers: Option<usize>,
    pub(super) may_complain: bool,
    daemon: bool,
    log_level: Option<&'static str>,
    main: String,
    http: String,
    server: String,
    stream: String,
    lua_folders: Vec<PathBuf>,
    lua_paths: Option<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Builder {
    pub fn workers(mut self, number: usize) -> Self {
        self.workers = Some(number);
        self
    }

    /// The log may hold complaints of nginx at the end of the test.
    pub fn may_complain(mut self) -> Self {
        self.may_complain = true;
        self
    }

    /// As a daemon, nginx leaves the process that started it.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Directives of the main level.
    pub fn main(mut self, directives: &str) -> Self {
        self.main += &format!("{directives}\n");
        self
    }

    pub fn http(mut self, directives: &str) -> Self {
        self.http += &format!("{directives}\n");
        self
    }

    pub fn server(mut self, directives: &str) -> Self {
        self.server += &format!("{directives}\n");
        self
    }

    /// Directives of the stream subsystem, which OpenResty has.
    pub fn stream(mut self, directives: &str) -> Self {
        self.stream += directives;
        self
    }

    pub fn location(self, path: &str, body: &str) -> Self {
        self.server(&format!("location {path} {{\n{body}\n}}"))
    }

    /// One more folder of Lua modules.
    pub fn lua_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.lua_folders.push(folder.as_ref().to_owned());
        self
    }

    /// Folders of Lua files and modules in place of those of the stage.
    pub fn lua_paths(mut self, path: &str, cpath: &str) -> Self {
        self.lua_paths = Some((path.to_owned(), cpath.to_owned()));
        self
    }

    /// An environment variable, which nginx would otherwise clear.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self.main(&format!("env {name};"))
    }

    pub fn thread_pool(self, name: &str, threads: usize) -> Self {
        self.main(&format!("thread_pool {name} threads={threads};"))
    }

    pub fn start(self) -> Nginx {
        // Another process may take the port before nginx does.
        for _ in 0..3 {
            let folder = process::folder();
            let port = process::free_port();
            fs::write(folder.path().join("nginx.conf"), self.configuration(port))
                .expect("nginx.conf");
            let child = self.spawn(folder.path());
            let mut nginx = Nginx::of(child, folder, port, &self);
            if self.daemon {
                nginx.follow_daemon();
                return nginx;
            }
            // The pid file comes when the configuration is read and the port is open.
            let pid_file = nginx.folder.path().join("nginx.pid");
            let started =
                process::eventually(TIMEOUT, || nginx.exit_status().is_some() || pid_file.exists());
            if started && nginx.exit_status().is_none() {
                return nginx;
            }
            let port_lost = nginx.error_log().contains("Address already in use");
            assert!(port_lost, "nginx does not start");
        }
        panic!("nginx finds no free port");
    }

    fn spawn(&self, folder: &Path) -> Child {
        let stderr = fs::File::create(folder.join("stderr")).expect("a log file");
        let mut command = Command::new(program::path());
        command
            .args(["-p".as_ref(), folder.as_os_str()])
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        process::spawn(command, Signal::SIGTERM).expect("nginx")
    }

    fn configuration(&self, port: u16) -> String {
        let staged = || stage::lua_paths(&self.lua_folders);
        let (lua_path, lua_cpath) = self.lua_paths.clone().unwrap_or_else(staged);
        let (more_path, more_cpath) = program::lua_paths();
        let lua_paths = format!(
            r#"lua_package_path "{lua_path}{more_path}"; lua_package_cpath "{lua_cpath}{more_cpath}";"#
        );
        let stream = match &*self.stream {
            "" => String::new(),
            directives => format!("stream {{\n{lua_paths}\n{directives}\n}}"),
        };
        format!(
            r#"daemon {daemon};
{user}
{modules}
worker_processes {workers};
pid nginx.pid;
error_log error.log {log_level};
{main}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    client_body_buffer_size 32m;
    {lua_paths}
    {http}
    server {{
        listen 127.0.0.1:{port};
        location = /worker {{ return 200 $pid; }}
        {server}
    }}
}}
{stream}
"#,
            // By default nginx runs its workers as the user nobody, who may not read our folders.
            user = if Uid::effective().is_root() { "user root;" } else { "" },
            daemon = if self.daemon { "on" } else { "off" },
            modules = program::directives(),
            workers = self.workers.unwrap_or(1),
            log_level = self.log_level.unwrap_or("notice"),
            main = self.main,
            http = self.http,
            server = self.server,
        )
    }
}
