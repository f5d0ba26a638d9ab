//! What the documentation shows can be used: its configurations consist of keys that there are, with
//! values that they take.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{process, stage};

/// The blocks of that language in a document.
fn samples(document: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).unwrap();
    let opening = format!("\n```{language}\n");
    let blocks = text.split(&opening).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_configurations_in_the_guide_to_production_are_taken() {
    let blocks = samples("docs/production.md", "lua");
    let configurations: Vec<_> = blocks
        .iter()
        .filter(|block| block.starts_with("postgres = {"))
        .collect();
    assert!(configurations.len() >= 6, "{}", configurations.len());
    let luajit = process::program("/usr/bin/luajit", "luajit2");
    for sample in configurations {
        let lua = format!(
            "{sample}
             local native = require 'resty_session_postgres'
             local ok, why = pcall(native.new, postgres)
             -- The files of the samples are not on this machine.
             assert(ok or why:find('cannot read /', 1, true), why)
             for level, text in pairs(native.native.take_log() or {{}}) do error(text) end"
        );
        let output = Command::new(&luajit)
            .args(["-e", &lua])
            .env("LUA_PATH", stage::lua_path(&[]))
            .env("LUA_CPATH", stage::lua_cpath())
            .output()
            .unwrap();
        assert!(output.status.success(), "{sample}\n{output:?}");
    }
}
