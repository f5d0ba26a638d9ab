//! A site with the real lua-resty-session, whose storage changes by what is on the Lua path.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Cluster, Nginx, password, process, stage};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Storage {
    Upstream,
    Ours,
}

pub struct Site<'a> {
    nginx: Nginx,
    /// First on the Lua path: empty, or with a link to the installed Lua entry file.
    switch: TempDir,
    cluster: &'a Cluster,
    database: String,
}

impl<'a> Site<'a> {
    pub fn start(cluster: &'a Cluster, database: &str, storage: Storage) -> Self {
        let baseline = |name| env::var(name).ok().filter(|path| !path.is_empty());
        let upstream = baseline("BASELINE_LUA_PATH")
            .expect("BASELINE_LUA_PATH: where lua-resty-session and what it requires are found");
        let native = baseline("BASELINE_LUA_CPATH").unwrap_or_default();
        let switch = process::folder();
        let path =
            format!("{}/?.lua;{upstream};/usr/share/lua/5.1/?.lua;;", switch.path().display());
        let cpath = format!("{native};{}", stage::lua_cpath());
        let init = format!(
            r#"init_by_lua_block {{
                 local configuration = {{
                   secret = "of the tests",
                   audience = "tests",
                   storage = "postgres",
                   postgres = {{
                     port = {}, database = "{database}", password = "{}", cleanup_interval = 0,
                   }},
                   store_metadata = true,
                 }}
                 local moving, change = pcall(require, "moving")
                 STEP = moving and change(configuration)
                 require("resty.session").init(configuration)
               }}"#,
            cluster.port(),
            password()
        );
        let nginx = Nginx::builder()
            .workers(2)
            .may_complain()
            .lua_paths(&path, &cpath)
            .http(&init)
            .location("= /login", LOGIN)
            .location("= /visit", VISIT)
            .location("= /logout", LOGOUT)
            .location("= /storage", STORAGE)
            .http("lua_shared_dict sessions 10m;")
            .location("= /step", "content_by_lua_block { ngx.print(tostring(STEP)) }")
            .start();
        let site = Site { nginx, switch, cluster, database: database.to_owned() };
        if storage == Storage::Ours {
            site.change_to(storage);
        }
        site.assert_has(storage);
        site
    }

    pub fn port(&self) -> u16 {
        self.nginx.port()
    }

    /// The two steps of docs/migrate.md: the path, and a reload.
    pub fn change_to(&self, storage: Storage) {
        let link: PathBuf = self.switch.path().join("resty");
        match storage {
            Storage::Ours => symlink(stage::root().join("share/lua/5.1/resty"), link),
            Storage::Upstream => fs::remove_file(link),
        }
        .expect("our own folder");
        self.nginx.reload();
        self.assert_has(storage);
    }

    /// A step of moving in from another store: lua-resty-session's own in shared memory.
    pub fn take_step(&self, step: &str) {
        let moving = format!("{STEPS}\nreturn function(c) steps.{step}(c) return '{step}' end\n");
        fs::write(self.switch.path().join("moving.lua"), moving).expect("our own folder");
        self.nginx.reload();
        process::wait_until(10, step, || self.nginx.get("/step").body == step);
    }

    fn assert_has(&self, storage: Storage) {
        let name = format!("{storage:?}");
        process::wait_until(10, &name, || self.nginx.get("/storage").body == name);
    }

    pub fn count(&self, query: &str) -> i64 {
        let mut client = self.cluster.client(&self.database);
        client.query_one(query, &[]).expect("a count").get(0)
    }

    pub fn sql(&self, statement: &str) {
        let mut client = self.cluster.client(&self.database);
        client.batch_execute(statement).expect("a statement");
    }

    pub fn assert_clean_log(&self) {
        self.nginx.assert_clean_log();
    }
}

/// What each step changes in the site's configuration.
const STEPS: &str = r#"
local steps = {}
function steps.there(c) c.storage, c.shm = "shm", { zone = "sessions" } end
function steps.here(c) end
function steps.saves_here(c)
    c.postgres.fallback = require("resty.session.shm").new({ zone = "sessions" })
end
function steps.saves_there(c)
    steps.saves_here(c)
    c.postgres.save_to_fallback = true
end
"#;

const LOGIN: &str = r#"content_by_lua_block {
    local session = require("resty.session").new()
    session:set_subject(ngx.var.arg_who)
    session:set("visits", 0)
    assert(session:save())
    ngx.print(0)
}"#;

// A session that is not found is an answer, and not a failure.
const VISIT: &str = r#"content_by_lua_block {
    local session, err, found = require("resty.session").open()
    if not found then
        ngx.log(ngx.NOTICE, "no session: ", err)
        return ngx.print("none")
    end
    session:set("visits", session:get("visits") + 1)
    assert(session:save())
    ngx.print(session:get("visits"))
}"#;

const LOGOUT: &str = r#"content_by_lua_block {
    local session, err = require("resty.session").open()
    assert(session:destroy())
    ngx.print("gone")
}"#;

const STORAGE: &str = r#"content_by_lua_block {
    local storage = require("resty.session.postgres")
    ngx.print(storage._VERSION and "Ours" or "Upstream")
}"#;
