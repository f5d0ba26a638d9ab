//! Lua, in an nginx: each sample is the content of a location of its own.

use std::fmt::Write;
use std::path::Path;

use super::{ROOT, of};
use crate::support::{self, Nginx};

#[test]
fn the_lua_samples_run() {
    let samples = of("lua");
    let database = support::shared().create_database();
    let here = format!(
        "{{ host = '127.0.0.1', port = {}, database = '{database}' }}",
        support::shared().port()
    );
    let mut nginx = Nginx::builder().lua_folder(Path::new(ROOT).join("tests/samples/lua"));
    for (number, sample) in samples.iter().enumerate() {
        let mut code = String::new();
        write!(
            code,
            "require('given').run({here}, [==[{}]==], '{}')",
            // nginx counts braces and reads escapes in a block, a long string takes them as they are.
            sample.text,
            sample.place
        )
        .expect("memory");
        nginx = nginx.location(
            &format!("= /{number}"),
            &format!("content_by_lua_block {{ {code} }}"),
        );
    }
    let nginx = nginx.start();
    for (number, sample) in samples.iter().enumerate() {
        let answer = nginx.get(&format!("/{number}"));
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "done"),
            "{}",
            sample.place
        );
    }
    nginx.assert_clean_log();
    drop(nginx);
    support::shared().drop_database(&database);
}
