//! The packages: each is made as a user would make it, installed into an empty folder, and used from
//! there. The libraries have been built before; nothing is downloaded.

mod archive;
mod command_line;
mod debian;
mod rock;

use std::path::Path;
use std::process::Command;

use crate::support::{self, Database, Nginx};

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
