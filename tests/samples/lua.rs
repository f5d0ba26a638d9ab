//! Lua, in an nginx: each sample is the content of a location of its own.

use std::path::Path;

use super::{ROOT, Sample, of};
use crate::support::{self, Database, Nginx};

#[test]
fn the_lua_samples_run() {
    let samples = of("lua");
    let database = Database::new();
    let here = format!(
        "{{ host = '127.0.0.1', port = {}, database = '{}', password = '{}' }}",
        support::shared().port(),
        database.name,
        support::password()
    );
    let mut nginx = Nginx::builder().lua_folder(Path::new(ROOT).join("tests/samples/lua"));
    for (number, sample) in samples.iter().enumerate() {
        let Sample { text, place, .. } = sample;
        // nginx counts braces and reads escapes in a block, a long string takes them as they are.
        let code = format!("require('given').run({here}, [==[{text}]==], '{place}')");
        let content = format!("content_by_lua_block {{ {code} }}");
        nginx = nginx.location(&format!("= /{number}"), &content);
    }
    let nginx = nginx.start();
    for (number, sample) in samples.iter().enumerate() {
        let answer = nginx.get(&format!("/{number}"));
        let answer = (answer.status, &*answer.body);
        assert_eq!(answer, (200, "done"), "{}", sample.place);
    }
}
