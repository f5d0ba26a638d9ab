//! Where the library under test is installed, and Lua's search paths for it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process;

/// The staged install tree: `$RSP_STAGE`, or `target/stage/usr/local`.
pub fn root() -> PathBuf {
    let root = env::var_os("RSP_STAGE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stage/usr/local"),
        PathBuf::from,
    );
    for file in
        ["share/lua/5.1/resty/session/postgres.lua", "lib/lua/5.1/resty_session_postgres.so"]
    {
        process::program(root.join(file), "what `make build` installs");
    }
    root
}

/// The number in the C library's soname: while the version's first number is 0, its first two; from 1.0 on
/// the first one only.
pub fn so_version() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("0.", env!("CARGO_PKG_VERSION_MINOR")).to_owned(),
        major => major.to_owned(),
    }
}

/// The staged tree and `more` folders of Lua files, as the beginnings of `package.path` and `package.cpath`.
pub fn lua_paths(more: &[PathBuf]) -> (String, String) {
    let staged = root().join("share/lua/5.1");
    let folders = [&staged].into_iter().chain(more);
    let path = folders.map(|folder| format!("{0}/?.lua;{0}/?/init.lua;", folder.display()));
    (path.collect(), format!("{}/lib/lua/5.1/?.so;", root().display()))
}

/// `package.path` for Debian's LuaJIT: then Debian's folder, then Lua's own.
pub fn lua_path(more: &[PathBuf]) -> String {
    lua_paths(more).0 + "/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua;;"
}

/// `package.cpath` likewise.
pub fn lua_cpath() -> String {
    let debians = format!("/usr/lib/{}-linux-gnu/lua/5.1/?.so;;", env::consts::ARCH);
    lua_paths(&[]).1 + &debians
}

/// A LuaJIT that runs a script with the staged module. With `LIMIT` in its environment it has so many
/// kilobytes of address space.
pub fn luajit(script: &str, arguments: &[&str]) -> Command {
    let luajit = process::program("/usr/bin/luajit", "luajit");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v ${LIMIT:-unlimited}; exec \"$@\"", "sh"])
        .arg(luajit)
        .args(["-e", script, "-"])
        .args(arguments)
        .stdin(Stdio::null())
        .env("LUA_PATH", lua_path(&[]))
        .env("LUA_CPATH", lua_cpath());
    command
}
