//! Moving in from another store. The checks are in `fallback.lua`: each is run with a custom storage over a
//! shared dictionary, and with a second instance of this one on other tables.

use super::site::{Site, assert_answer, on};
use crate::support;

fn site() -> Site<'static> {
    let site = on(support::shared())
        .nginx(|nginx| nginx.http("lua_shared_dict old 1m;").may_complain())
        .content("/check", "require('fallback')()")
        .start();
    let tables = "CREATE TABLE old_sessions (LIKE sessions INCLUDING ALL); \
                  CREATE TABLE old_sessions_meta (LIKE sessions_meta INCLUDING ALL);";
    site.sql().batch_execute(tables).expect("tables");
    site
}

fn check(name: &str) {
    let site = site();
    for store in ["dictionary", "tables"] {
        let path = format!("/check?check={name}&store={store}");
        let response = site.nginx.get(&path);
        let log = site.nginx.error_log();
        assert_eq!(response.status, 200, "{store}: {log}");
        assert_answer(&response, 200, "done");
        site.sql().batch_execute("DELETE FROM sessions; DELETE FROM sessions_meta").expect("empty");
    }
}

macro_rules! checks {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

checks! {
    a_session_moves_with_its_next_save,
    what_has_ended_here_is_not_looked_for_there,
    a_failure_there_is_no_miss,
    a_logout_ends_it_in_both,
    metadata_is_merged,
    saves_go_to_the_other_storage_on_request,
    a_session_is_found_while_it_moves,
    statistics_say_whether_the_other_is_needed,
    a_wrong_fallback_is_refused,
}
