//! The packages: each is made as a user would make it, installed into an empty folder, and used from
//! there. The libraries have been built before; nothing is downloaded.

mod archive;
mod command_line;
mod debian;
mod rock;

use std::path::Path;
use std::process::Command;

use crate::support::{self, Database, Nginx, process};

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A command in the source folder, without the variables that the `make` and the `cargo` of these tests set.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(SOURCES)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL");
    command
}

/// What make would do; the module for another Lua takes a minute to build.
#[test]
fn install_lua_installs_to_the_folders_of_its_lua() {
    for (feature, version) in [("lua", "5.1"), ("lua51", "5.1"), ("lua54", "5.4")] {
        let mut make = command("make");
        make.args(["--dry-run", "install-lua", &format!("LUA_FEATURE={feature}")]);
        let said = process::output(make.env_remove("LUA_LIB_DIR").env_remove("PREFIX"));
        let install = said.lines().find(|line| line.starts_with("scripts/install-lua.sh"));
        let folders =
            format!(" '/opt/sessions/share/lua/{version}' '/opt/sessions/lib/lua/{version}'");
        assert!(install.is_some_and(|line| line.ends_with(&folders)), "{feature}: {said}");
    }
}

/// Starts an nginx that finds the storage in these folders only, and requests a page that saves and reads.
fn assert_works_in_nginx(lua: &Path, module: &Path) {
    let path = format!("{}/?.lua;", lua.display());
    let cpath = format!("{}/?.so;", module.display());
    let database = Database::new();
    let content = format!(
        r#"content_by_lua_block {{
            local storage = require("resty.session.postgres").new({{
              port = {}, database = "{}", password = "{}",
            }})
            assert(storage:set("session", "key", "value", 60))
            ngx.print(assert(storage:get("session", "key")), " ",
              package.searchpath("resty.session.postgres", package.path), " ",
              package.searchpath("resty_session_postgres", package.cpath))
        }}"#,
        support::shared().port(),
        database.name,
        support::password()
    );
    let nginx = Nginx::builder().lua_paths(&path, &cpath).location("= /", &content).start();
    let answer = nginx.get("/");
    let expected = format!(
        "value {}/resty/session/postgres.lua {}/resty_session_postgres.so",
        lua.display(),
        module.display()
    );
    assert_eq!((answer.status, answer.body), (200, expected));
}
