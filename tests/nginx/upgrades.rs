//! Another version, or another build, is installed over the one that runs; a reload loads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::client::Client;
use super::site::{self, Site, assert_answer, memory};
use crate::support::process::{self, SetAtDrop};
use crate::support::{self, stage};

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MODULE: &str = "resty_session_postgres";

/// Where the versions are installed to.
struct Target(tempfile::TempDir);

impl Target {
    fn new() -> Self {
        Target(process::folder())
    }

    fn lua(&self) -> PathBuf {
        self.0.path().join("lua")
    }

    fn clib(&self) -> PathBuf {
        self.0.path().join("clib")
    }

    fn make(&self, folder: &Path, target: &str, more: &[String]) {
        let mut make = Command::new("make");
        make.args(["--silent", target])
            .arg(format!("LUA_LIB_DIR={}", self.lua().display()))
            .arg(format!("LUA_CLIB_DIR={}", self.clib().display()))
            .args(more)
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .current_dir(folder);
        process::run(&mut make);
    }

    fn install(&self, version: &Version) {
        let module = version.0.path().join("module.so");
        self.make(version.0.path(), "install-lua", &[format!("LUA_MODULE={}", module.display())]);
    }

    /// The builds of the native module that are there.
    fn builds(&self) -> Vec<String> {
        let files = fs::read_dir(self.clib()).expect("a folder").map(|file| file.expect("a file"));
        let names = files.map(|file| file.file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.ends_with(&format!("-{MODULE}.so"))).collect()
    }
}

/// Sources and a module of another version or build: those of this one, with other bytes.
struct Version(tempfile::TempDir);

impl Version {
    /// `version` is as long as ours. `build` follows the module, which makes it another file.
    fn new(version: &str, build: &str) -> Self {
        let folder = process::folder();
        for part in ["Makefile", "Cargo.toml", "scripts", "lua"] {
            let mut copy = Command::new("cp");
            process::run(copy.arg("-r").arg(Path::new(SOURCES).join(part)).arg(folder.path()));
        }
        for file in ["Cargo.toml", "lua/resty/session/postgres/native.lua"] {
            let path = folder.path().join(file);
            let text = fs::read_to_string(&path).expect("a file");
            let ours = format!("\"{VERSION}\"");
            assert!(text.contains(&ours), "{file}");
            fs::write(path, text.replacen(&ours, &format!("\"{version}\""), 1)).expect("a file");
        }
        let module = stage::root().join(format!("lib/lua/5.1/{MODULE}.so"));
        let mut bytes = fs::read(module).expect("a module");
        let places = bytes.windows(VERSION.len()).enumerate();
        let places = places.filter(|(_, text)| *text == VERSION.as_bytes());
        let places: Vec<_> = places.map(|(place, _)| place).collect();
        for place in places {
            bytes[place..place + version.len()].copy_from_slice(version.as_bytes());
        }
        bytes.extend(build.as_bytes());
        fs::write(folder.path().join("module.so"), bytes).expect("a file");
        Version(folder)
    }
}

fn other_version() -> String {
    let (start, last) = VERSION.split_at(VERSION.len() - 1);
    format!("{start}{}", if last == "9" { "8" } else { "9" })
}

fn site_of(target: &Target) -> Site<'static> {
    let lua = format!("{SOURCES}/tests/nginx/?.lua;{}/?.lua;", target.lua().display());
    let clib = format!("{}/?.so;", target.clib().display());
    site::on(support::shared())
        .nginx(|nginx| {
            nginx
                .workers(2)
                .lua_paths(&lua, &clib)
                .http("init_by_lua_block { require('site').storage() }")
        })
        .content(
            "/loaded",
            "local names = {}
             for name in pairs(package.loaded) do
               if name:find('resty_session_postgres$') then names[#names + 1] = name end
             end
             ngx.print(require('resty.session.postgres')._VERSION, ' ', table.concat(names, ','))",
        )
        .start()
}

/// The version and the build that a new worker has.
fn loaded(site: &Site) -> (String, String) {
    let body = site.nginx.get("/loaded").body;
    let (version, build) = body.split_once(' ').unwrap_or_else(|| panic!("{body}"));
    (version.into(), build.into())
}

#[test]
fn versions_that_alternate_by_reload_fail_no_request_and_use_bounded_memory() {
    let other = other_version();
    let versions = [(VERSION, Version::new(VERSION, "")), (&other, Version::new(&other, ""))];
    let target = Target::new();
    target.install(&versions[0].1);
    let site = site_of(&target);
    site.assert_works();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rounds = |stop: SetAtDrop| {
        let sizes = (1..=20).map(|round| {
            let (version, sources) = &versions[round % 2];
            target.install(sources);
            site.nginx.reload_all();
            assert_eq!(loaded(&site).0, *version, "round {round}");
            memory(site.nginx.pid())
        });
        let sizes: Vec<usize> = sizes.collect();
        drop(stop);
        sizes
    };
    let sizes = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let client = Client::new(site.nginx.port(), false);
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/call?do=get&key=works");
                    let response = response.unwrap_or_else(|error| panic!("no response: {error}"));
                    assert_answer(&response, 200, "yes");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        rounds(SetAtDrop(&stop))
    });
    println!("{} requests, KiB of the master: {sizes:?}", served.into_inner());
    // Both are loaded by then.
    assert!(sizes[19] < sizes[4] + 2_000, "{sizes:?}");
    assert_eq!(target.builds().len(), 2);
}

#[test]
fn a_rebuild_of_a_version_is_loaded_by_a_reload_and_what_runs_keeps_its_own() {
    let builds = ["", "1", "12", "123"].map(|build| Version::new(VERSION, build));
    let target = Target::new();
    target.install(&builds[0]);
    let site = site_of(&target);
    let mut seen = vec![loaded(&site).1];
    let mut sizes = vec![memory(site.nginx.pid())];
    for build in &builds[1..] {
        let before = target.builds();
        target.install(build);
        let after = target.builds();
        let (last, old) = (seen.last().expect("one"), before.len());
        assert!(after.contains(&format!("{last}.so")), "{after:?} without {last}");
        assert!(after.len() == 2 && old <= 2, "{before:?} became {after:?}");
        site.nginx.reload_all();
        let (version, build) = loaded(&site);
        assert_eq!(version, VERSION);
        assert!(!seen.contains(&build), "{build} after {seen:?}");
        let maps = fs::read_to_string(format!("/proc/{}/maps", site.nginx.pid())).expect("maps");
        assert!(maps.contains(&format!("{build}.so")), "{maps}");
        seen.push(build);
        sizes.push(memory(site.nginx.pid()));
        site.assert_works();
    }
    println!("KiB of the master with one more build each: {sizes:?}");

    target.make(Path::new(SOURCES), "uninstall", &["DESTDIR=".into()]);
    for folder in [target.lua(), target.clib()] {
        let mut find = Command::new("find");
        let found = process::output(find.arg(folder).args(["-not", "-type", "d"]));
        assert_eq!(found, "");
    }
}

/// So it is where somebody copies files by hand over those that nginx has loaded.
#[test]
fn a_version_that_does_not_match_says_what_to_do() {
    let target = Target::new();
    target.install(&Version::new(&other_version(), ""));
    let native = target.lua().join("resty/session/postgres/native.lua");
    fs::copy(format!("{SOURCES}/lua/resty/session/postgres/native.lua"), &native).expect("a copy");
    let load = || {
        let mut luajit = stage::luajit("require 'resty.session.postgres.native'", &[]);
        luajit
            .env("LUA_PATH", target.lua().join("?.lua"))
            .env("LUA_CPATH", target.clib().join("?.so"));
        let output = luajit.output().expect("luajit");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let said = load();
    let expected = format!("{VERSION} found version {}", other_version());
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("Install both from one package"), "{said}");
    assert!(said.contains("restart nginx"), "{said}");

    fs::remove_dir_all(target.clib()).expect("a folder");
    let said = load();
    assert!(said.contains("cannot load its native module"), "{said}");
    assert!(said.contains("lua_package_cpath"), "{said}");
}
