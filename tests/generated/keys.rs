//! The tables of configuration keys, in docs/configuration.md and in the LDoc comment of the Lua module.

use resty_session_postgres::config::{KEYS, Key};

use super::{between, wrap};

#[test]
fn the_configuration_page_lists_every_key() {
    let mut table = String::from(
        "| key | accepts | default | meaning | in libpq |\n\
         |---|---|---|---|---|\n",
    );
    for key in KEYS {
        let libpq = [key.keyword, key.variable].into_iter().flatten();
        let libpq: Vec<_> = libpq.map(|name| format!("`{name}`")).collect();
        table += &format!(
            "| `{}`{} | {} | {} | {} | {} |\n",
            key.name,
            alias(key),
            key.kind.accepted(),
            default(key),
            key.doc,
            libpq.join(", ")
        );
    }
    let lines = ("<!-- keys: generated -->\n", "<!-- end of keys -->\n");
    between("docs/configuration.md", lines, &table);
}

#[test]
fn the_lua_module_documents_every_key() {
    let mut comment = String::from(
        "\n---\n-- Configuration; all keys are optional. Generated from the table of keys.\n--\n",
    );
    for key in KEYS {
        let accepted = key.kind.accepted();
        let text = format!(
            "@field {}{} {} Accepts {accepted}. Default: {}.",
            key.name,
            alias(key),
            key.doc,
            default(key)
        );
        comment += &wrap(&text);
    }
    comment += "-- @table configuration\n\n";
    let lines = ("-- keys: generated\n", "-- end of keys\n");
    between("lua/resty/session/postgres.lua", lines, &comment);
}

fn alias(key: &Key) -> String {
    let alias = key.alias.map(|alias| format!(" (`{alias}`)"));
    alias.unwrap_or_default()
}

/// A number as it is, another text in quotes, words without backticks.
fn default(key: &Key) -> String {
    match key.default {
        Ok(number) if number.parse::<u32>().is_ok() => format!("`{number}`"),
        Ok(text) => format!("`{text:?}`"),
        Err(words) => words.to_owned(),
    }
}
