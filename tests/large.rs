//! Large sessions, long lists and long texts: they work up to a limit, and cost those who ask for them and
//! not those whose operations share a statement with theirs.

use resty_session_postgres::ops::{Get, ReadMetadata, Set};
use resty_session_postgres::{Answer, Epoch, Error, MAX_TEXT_BYTES, Storage};
use serde_json::json;

use crate::support::{self, Calls, Database, process, session, stage, stat, together};

fn save(key: &str, value: String) -> Result<Set, Error> {
    Set::new("session", key, value, Epoch::now().plus(60))
}

fn split(storage: &Storage) -> f64 {
    let reasons = ["rejected", "locked", "lost"];
    reasons
        .map(|reason| stat(storage, &format!("batches_split_total{{reason=\"{reason}\"}}")))
        .iter()
        .sum()
}

#[test]
fn a_session_is_saved_and_read_up_to_16_mib() {
    let db = Database::new();
    let storage = db.storage();
    let largest = "x".repeat(MAX_TEXT_BYTES);
    for size in [1 << 16, (1 << 16) + 1, MAX_TEXT_BYTES] {
        storage.call(save("key", largest[..size].to_owned()).expect("a text")).expect("a save");
        let value = storage.get("key").expect("an answer").expect("a session");
        assert_eq!(value.len(), size);
    }
    let error = save("key", largest + "x").err().expect("too long");
    assert_eq!(error.to_string(), "value is longer than 16 MiB");
    // Another program may have saved more.
    db.execute("UPDATE sessions SET data = repeat('x', 16777217)");
    let error = storage.get("key").expect_err("too large");
    let expected = "the session's data has 16777217 bytes, of which 16777216 at most are read";
    assert!(matches!(&error, Error::TooLarge { .. }) && error.to_string() == expected, "{error}");
    // Its data is no concern of the others.
    storage.call(session("other", 60)).expect("a save");
    assert_eq!(storage.get("other").expect("an answer").as_deref(), Some("value"));
}

#[test]
fn a_large_session_is_read_beside_the_others() {
    for pool_size in [1, 4] {
        let db = Database::new();
        let storage = db.storage_with(json!({ "pool_size": pool_size }));
        let value = |n: usize| "x".repeat(if n.is_multiple_of(10) { 1 << 20 } else { n });
        for n in 0..100 {
            storage.call(save(&format!("key {n}"), value(n)).expect("a text")).expect("a save");
        }
        let get = |n| Get::new(format!("key {n}"), Epoch::now()).expect("a key");
        let found = together(&storage, (0..100).map(get).collect());
        for (n, outcome) in found.into_iter().enumerate() {
            assert_eq!(outcome, Ok(Answer::Value(Some(value(n)))), "{n}");
        }
        assert_eq!(split(&storage), 0.0);
        // The small ones have shared statements, the large ones have one each.
        let statements = stat(&storage, "batch_operations_count") - 100.0;
        let single = stat(&storage, "batch_operations_bucket{le=\"1\"}") - 100.0;
        assert!((10.0..=12.0).contains(&single), "{single}");
        assert!(statements < 20.0, "{statements}");
    }
}

/// An index takes long keys that compress well.
#[test]
fn a_subject_whose_keys_are_too_long_for_one_answer_fails_by_itself() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "pool_size": 1 }));
    for (number, subject) in [(250, "long"), (1, "short")] {
        db.execute(&format!(
            "WITH saved AS (INSERT INTO sessions (sid, exp) \
               SELECT '{subject} ' || n || repeat('x', {number} * 600), now() + interval '1 hour' \
               FROM generate_series(1, {number}) AS n RETURNING sid) \
             INSERT INTO sessions_meta (aud, sub, sid) SELECT 'shop', '{subject}', sid FROM saved"
        ));
    }
    let read = |n: usize| {
        let subject = if n == 30 { "long" } else { "short" };
        ReadMetadata::new("shop", subject, Epoch::now()).expect("texts")
    };
    for (n, outcome) in together(&storage, (0..60).map(read).collect()).iter().enumerate() {
        match outcome {
            Err(Error::TooLarge { reason }) => {
                assert!(n == 30 && reason.contains("MiB"), "{reason}")
            }
            Ok(Answer::Expiries(sessions)) => assert!(n != 30 && sessions.len() == 1, "{n}"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn texts_that_no_index_holds_fail_by_themselves() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "pool_size": 1 }));
    storage.call(session("first", 60)).expect("a save");
    // Text that does not compress.
    let random: String =
        db.one("SELECT string_agg(md5(n::text), '' ORDER BY n) FROM generate_series(1, 200) AS n");
    let set = |n: usize| match n % 10 {
        0 => session(format!("key {n}"), 60).under("audience", &random).expect("a text"),
        1 => session(format!("{n}{random}"), 60),
        _ => session(format!("key {n}"), 60)
            .under("audience", format!("subject {n}"))
            .expect("a text"),
    };
    let saved = together(&storage, (0..100).map(set).collect());
    for (n, outcome) in saved.iter().enumerate() {
        match outcome {
            Err(Error::Database { code, .. }) => {
                assert!(n % 10 < 2 && &**code == "54000", "{n}: {code}")
            }
            outcome => assert!(n % 10 > 1 && outcome.is_ok(), "{n}: {outcome:?}"),
        }
    }
    assert_eq!(split(&storage), 0.0);
}

#[test]
fn a_subject_has_100_000_sessions_at_most_in_one_answer() {
    let db = Database::new();
    let storage = db.storage();
    let more = |from: u32, to: u32| {
        db.execute(&format!(
            "WITH saved AS (INSERT INTO sessions (sid, exp) \
               SELECT 'key ' || n, now() + interval '1 hour' FROM generate_series({from}, {to}) AS n \
               RETURNING sid) \
             INSERT INTO sessions_meta (aud, sub, sid) SELECT 'shop', 'ada', sid FROM saved"
        ));
    };
    more(1, 100_000);
    let read = || ReadMetadata::new("shop", "ada", Epoch::now()).expect("texts");
    assert_eq!(storage.call(read()).map(|sessions| sessions.len()), Ok(100_000));
    let both = together(&storage, (0..5).map(|_| read()).collect());
    assert!(both.iter().all(Result::is_ok));
    more(100_001, 100_001);
    let error = storage.call(read()).expect_err("too many");
    let expected = "the subject has more than 100000 sessions: `list` reads them in pages";
    assert_eq!(error.to_string(), expected);
    let other = ReadMetadata::new("shop", "bob", Epoch::now()).expect("texts");
    let outcomes = together(&storage, vec![read(), read(), other]);
    assert!(outcomes[0].is_err() && outcomes[1].is_err(), "{outcomes:?}");
    assert_eq!(outcomes[2], Ok(Answer::Expiries(vec![])));
}

/// Lua's memory is used up but for a few megabytes: the session that does not fit has an error of its own,
/// and the other outcomes of the same drain have not.
const SCARCE: &str = r#"
local module = require("resty_session_postgres")
local native, port, database = module.native, tonumber(arg[1]), arg[2]
local storage = native.storage({
  port = port, database = database, password = os.getenv("PGPASSWORD"), pool_size = 1,
})
local get, queue = native.methods.get, native.queue()
local large = assert(get(storage, queue, "n", "large"))
local small = {}
for n = 1, 20 do
  small[n] = assert(get(storage, queue, "n", "small"))
end
-- All are ready before the first is taken.
os.execute("sleep 1")
local hoard, filler, step = {}, 0, 4 * 1024 * 1024
while pcall(function() hoard[#hoard + 1] = ("x"):rep(step - #hoard) end) do end
hoard[#hoard] = nil
collectgarbage()
local outcomes, drained = {}, { queue:drain() }
for n = 1, #drained > 0 and 63 or 0, 3 do
  outcomes[drained[n]] = { drained[n + 1], drained[n + 2] }
end
local failed = outcomes[large] or {}
hoard = nil
collectgarbage()
assert(failed[1] == nil and failed[2]:find("not enough memory"), failed[2])
for n = 1, 20 do
  local outcome = outcomes[small[n]] or {}
  assert(outcome[1] == "value", n .. ": " .. tostring(outcome[2]))
end
"#;

#[test]
fn a_session_that_lua_has_no_memory_for_costs_the_others_nothing() {
    let db = Database::new();
    let storage = db.storage();
    storage.call(session("small", 60)).expect("a save");
    let large = save("large", "x".repeat(12 << 20)).expect("a text");
    storage.call(large).expect("a save");
    let port = support::shared().port().to_string();
    let mut command = stage::luajit(SCARCE, &[&port, &db.name]);
    process::run(command.env("LIMIT", "400000").env("PGPASSWORD", support::password()));
}
