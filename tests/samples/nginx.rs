//! Configurations of nginx, in an nginx that has nothing else to find the library by.

use super::{ROOT, Sample, filled_in, of};
use crate::support::{self, Database, Nginx};

#[test]
fn the_nginx_samples_serve_sessions() {
    for sample in of("nginx") {
        run(&sample);
    }
}

fn run(sample: &Sample) {
    let database = Database::new();
    let text = filled_in(&sample.text, &database.name);
    // Each directive may be there once, so ours say what the sample's do, and where nginx's files are.
    let (path, text) = take(&text, "lua_package_path");
    let (cpath, text) = take(&text, "lua_package_cpath");
    let lua = format!("{ROOT}/tests/samples/lua/?.lua;");
    // A sample with only the paths leaves the configuration to the page.
    let content = format!(
        r#"content_by_lua_block {{
             local storage = require("resty.session").storage
               or require("resty.session.postgres").new({{ port = {}, database = "{}", password = "{}" }})
             assert(storage:set("session", "key", "value", 60))
             ngx.print(assert(storage:get("session", "key")))
           }}"#,
        support::shared().port(),
        database.name,
        support::password()
    );
    let nginx = Nginx::builder()
        .lua_paths(&path.replace(";;", &format!(";{lua}")), &cpath.replace(";;", ";"))
        .http(&text)
        .location("= /", &content)
        .start();
    let answer = nginx.get("/");
    let answer = (answer.status, &*answer.body);
    assert_eq!(answer, (200, "value"), "{}", sample.place);
}

/// The value of a directive, and the text without it.
fn take(text: &str, directive: &str) -> (String, String) {
    let is_it = |line: &&str| line.split_whitespace().next() == Some(directive);
    let line = text.lines().find(is_it).unwrap_or_default();
    let value = line.split('"').nth(1).unwrap_or(";;");
    let rest: Vec<_> = text.lines().filter(|line| !is_it(line)).collect();
    (value.to_owned(), rest.join("\n"))
}
