//! The symbols that the installed libraries export, and those that they need from their host. A symbol
//! too many could clash with one of nginx or of another module.

use std::process::Command;

use crate::support::{process, stage};

const LUA_MODULE: &str = "lib/lua/5.1/resty_session_postgres.so";
const C_LIBRARY: &str = "lib/libresty_session_postgres.so";

/// The names that `nm` lists for a staged file; symbol versions are left off.
fn symbols(file: &str, which: &str) -> Vec<String> {
    let nm = process::program("/usr/bin/nm", "binutils");
    let mut nm = Command::new(nm);
    nm.args(["--dynamic", "--format=just-symbols", which]);
    let names = process::output(nm.arg(stage::root().join(file)));
    let bare = |name: &str| name.split('@').next().unwrap_or(name).to_owned();
    names.lines().map(bare).collect()
}

#[test]
fn the_libraries_export_the_c_interface_and_lua_s_entry_point_only() {
    let entry_point = "luaopen_resty_session_postgres";
    for (file, has_entry_point) in [(LUA_MODULE, true), (C_LIBRARY, false)] {
        let exported = symbols(file, "--defined-only");
        let exports = |name: &str| exported.iter().any(|exported| exported == name);
        assert!(exports("rsp_version"), "{file}");
        assert_eq!(exports(entry_point), has_entry_point, "{file}");
        let ours = |name: &&String| name.starts_with("rsp_") || *name == entry_point;
        let others: Vec<_> = exported.iter().filter(|name| !ours(name)).collect();
        assert!(others.is_empty(), "{file}: {others:?}");
    }
}

#[test]
fn only_the_lua_module_takes_lua_from_its_host() {
    for (file, needs_lua) in [(LUA_MODULE, true), (C_LIBRARY, false)] {
        let needed = symbols(file, "--undefined-only");
        assert!(needed.iter().any(|name| name == "malloc"), "{needed:?}");
        let of_lua = |name: &String| name.starts_with("lua_") || name.starts_with("luaL_");
        assert_eq!(needed.iter().any(of_lua), needs_lua, "{file}: {needed:?}");
    }
}

/// Lua unloads its modules, and a C program may unload the C library, while their threads still run.
#[test]
fn the_libraries_are_never_unloaded() {
    for file in [LUA_MODULE, C_LIBRARY] {
        let readelf = process::program("/usr/bin/readelf", "binutils");
        let mut readelf = Command::new(readelf);
        readelf.args(["--dynamic", "--wide"]);
        let dynamic = process::output(readelf.arg(stage::root().join(file)));
        let flags = dynamic.lines().find(|line| line.contains("(FLAGS_1)"));
        let stays = flags.is_some_and(|flags| flags.contains("NODELETE"));
        assert!(stays, "{file}: {dynamic}");
    }
}
