//! The rock, made by LuaRocks from the sources.

use std::fs;

use super::{SOURCES, assert_works_in_nginx, command};
use crate::support::{process, stage};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn a_rock_of_the_lua_part_works_from_its_tree() {
    let tree = process::folder();
    let rockspec = format!("resty-session-postgres-{VERSION}-1.rockspec");
    process::run(
        command("luarocks")
            .args(["make", "--lua-version", "5.1", "--deps-mode", "one"])
            .arg("--tree")
            .arg(tree.path())
            .arg(rockspec),
    );
    let lua = tree.path().join("share/lua/5.1");
    let module = tree.path().join("lib/lua/5.1");
    assert_works_in_nginx(&lua, &module);

    // The C library is not part of it.
    for folder in [tree.path().join("lib"), module] {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
        let strange = files
            .filter(|file| file.path().is_file())
            .map(|file| file.file_name().into_string().unwrap())
            .find(|name| !name.ends_with("resty_session_postgres.so"));
        assert!(strange.is_none(), "{strange:?}");
    }
}

#[test]
fn every_package_has_the_version_of_the_crate() {
    let read = |file: &str| fs::read_to_string(format!("{SOURCES}/{file}")).unwrap();
    let rockspec = read(&format!("resty-session-postgres-{VERSION}-1.rockspec"));
    assert!(rockspec.contains(&format!("version = \"{VERSION}-1\"")));
    assert!(rockspec.contains(&format!("resty-session-postgres-{VERSION}.tar.gz")));
    let native = read("lua/resty/session/postgres/native.lua");
    assert!(native.contains(&format!("\nlocal VERSION = \"{VERSION}\"\n")));
    let debian = read("debian/changelog");
    assert!(debian.starts_with(&format!("resty-session-postgres ({VERSION})")));
    let library = format!("libresty-session-postgres{}", stage::so_version());
    assert!(read("debian/control").contains(&format!("\nPackage: {library}\n")));
    assert!(read(&format!("debian/{library}.install")).contains("so.*"));
}
