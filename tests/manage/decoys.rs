//! Functions and operators that another role has planted in a schema of the search_path.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use postgres::Client;
use resty_session_postgres::ops::Scope;
use resty_session_postgres::ops::{
    Check, Cleanup, Count, Get, Health, List, Migrate, ReadMetadata, Revoke, RevokeAudience, Set,
    Touch,
};
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use crate::support::{self, Calls, Cluster, PgBouncer, session, stage};

/// The tables, without what `check` asks for; columns may be varchar.
fn create(sql: &mut Client, owner: &str, text: &str, partitioned: bool) {
    let partition = match partitioned {
        true => {
            "PARTITION BY HASH (sid); CREATE TABLE partition PARTITION OF sessions
                 FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        }
        false => "",
    };
    let tables = format!(
        "DROP TABLE IF EXISTS sessions, sessions_meta;
         CREATE TABLE sessions (sid {text}, name {text}, data {text}, exp timestamptz, UNIQUE (sid))
         {partition};
         CREATE TABLE sessions_meta (aud {text}, sub {text}, sid {text}, UNIQUE (aud, sub, sid));
         ALTER TABLE sessions OWNER TO {owner}; ALTER TABLE sessions_meta OWNER TO {owner};
         ALTER TABLE IF EXISTS partition OWNER TO {owner}"
    );
    sql.batch_execute(&tables).expect("tables");
}

fn scopes() -> Vec<Scope> {
    let scope = |audience: Option<&str>, subject: Option<&str>| {
        Scope::new(audience.map(str::to_owned), subject.map(str::to_owned)).expect("a scope")
    };
    vec![Scope::ALL, scope(Some("shop"), None), scope(Some("shop"), Some("ada"))]
}

/// Runs every operation, alone and in batches.
fn run(storage: &Storage) -> Result<(), Error> {
    let now = Epoch::now();
    let login = |key: String| session(key, 3600).under("shop", "ada");
    thread::scope(|scope| {
        let saves = (0..16).map(|n| scope.spawn(move || storage.call(login(format!("key {n}"))?)));
        let saves: Vec<_> = saves.collect();
        saves.into_iter().try_for_each(|save| save.join().expect("no panic"))?;
        let gets = (0..16).map(|n| {
            scope.spawn(move || {
                storage.call(ReadMetadata::new("shop", "ada", now)?)?;
                storage.call(Get::new(format!("key {n}"), now)?)
            })
        });
        let gets: Vec<_> = gets.collect();
        gets.into_iter().try_for_each(|get| get.join().expect("no panic").map(drop))
    })?;
    let replaced = now.plus(10);
    storage.call(login("new 1".into())?.replacing("key 1", Some(replaced))?)?;
    storage.call(login("new 2".into())?.replacing("key 2", None)?)?;
    storage.call(Set::new("a", "gone", "v", now.plus(-3600))?.under("shop", "ada")?)?;
    storage.call(Touch::new("key 3", now, now.plus(7200))?)?;
    storage.call(Health::default())?;
    storage.call(Count::estimate())?;
    for scope in scopes() {
        storage.call(Count::new(scope.clone(), now))?;
        storage.call(List::new(scope, now).after("k")?)?;
    }
    storage.call(Check::default())?;
    storage.call(Cleanup::new(None, now))?;
    storage.delete("key 4")?;
    storage.call(Revoke::new("shop", "ada", Some("key 5"))?)?;
    storage.call(RevokeAudience::new("shop")?)?;
    storage.call(Migrate::default())?;
    storage.call(Check::default()).map(drop)
}

/// The same by the command line.
fn run_commands(dsn: &str) {
    let program = stage::root().join("bin/resty-session-postgres");
    let commands = [
        "check",
        "set --name n --key k --value v --ttl 60 --metadata shop ada",
        "get --key k",
        "touch --key k --ttl 70",
        "read-metadata --audience shop --subject ada",
        "list",
        "count --audience shop",
        "cleanup",
        "revoke --audience shop --subject ada",
        "revoke-audience --audience shop",
        "delete --key k",
        "migrate",
        "health",
    ];
    for command in commands {
        let output = Command::new(&program)
            .args(command.split(' '))
            .args(["--dsn", dsn])
            .env("PGPASSWORD", support::password())
            .output();
        let status = output.expect("an end").status.code();
        assert!(
            status == Some(0) || command == "check" && status == Some(3),
            "{command}: {status:?}"
        );
    }
}

/// Plants a decoy for each of the functions, with the numbers of arguments that they have, and of the
/// operators, for all arguments of the types: what is no exact match of PostgreSQL's own prefers it.
const PLANT: &str = "DO $plant$
    DECLARE
      types regtype[] := ARRAY['text', 'varchar', 'bpchar', 'name', '\"char\"', 'oid', 'regclass', 'regtype',
        'regnamespace', 'int2', 'int4', 'int8', 'float8', 'numeric', 'timestamptz', 'timestamp', 'interval',
        'bool', 'tid', 'int2vector', 'text[]', 'varchar[]', 'name[]', 'timestamptz[]'];
      few regtype[] := ARRAY['text', 'varchar', 'int8', 'oid', 'regclass', 'name', 'int4', 'bool'];
      made text := 'RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE LOG ''decoy''; RETURN NULL; END$$';
      a regtype; b regtype; c regtype; name text;
    BEGIN
      FOREACH a IN ARRAY types LOOP
        FOREACH b IN ARRAY types LOOP
          EXECUTE format('CREATE FUNCTION decoy(%s, %s) %s', a, b, made);
          FOREACH name IN ARRAY string_to_array($operators$, ' ') LOOP
            EXECUTE format('CREATE OPERATOR %s (FUNCTION = decoy, LEFTARG = %s, RIGHTARG = %s)', name, a, b);
          END LOOP;
        END LOOP;
      END LOOP;
      FOREACH name IN ARRAY string_to_array($functions$, ' ') LOOP
        EXECUTE format('CREATE FUNCTION %I(VARIADIC int4[] DEFAULT ''{}'') %s', name, made);
        FOREACH a IN ARRAY types LOOP
          EXECUTE format('CREATE FUNCTION %I(%s) %s', name, a, made);
          FOREACH b IN ARRAY few LOOP
            EXECUTE format('CREATE FUNCTION %I(%s, %s) %s', name, a, b, made);
            CONTINUE WHEN NOT (a = ANY (few[:4]) AND b = ANY (few[:4]));
            FOREACH c IN ARRAY few[5:] LOOP
              EXECUTE format('CREATE FUNCTION %I(%s, %s, %s) %s', name, a, b, c, made);
            END LOOP;
          END LOOP;
        END LOOP;
      END LOOP;
    END$plant$";

/// The names of PostgreSQL's functions and operators that occur in the statements of the log.
fn named(sql: &mut Client, log: &str) -> [Vec<String>; 2] {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_sign = |c: char| "+-*/<>=~!@#%^&|`?".contains(c);
    let words: BTreeSet<&str> = log.split(|c| !is_word(c)).collect();
    let signs: BTreeSet<&str> = log.split(|c| !is_sign(c)).collect();
    let mut known = |query: &str, found: BTreeSet<&str>| {
        let found: Vec<&str> = found.into_iter().collect();
        let rows = sql.query(query, &[&found]).expect("names");
        rows.iter().map(|row| row.get(0)).collect()
    };
    [
        known(
            "SELECT DISTINCT proname::text FROM pg_proc WHERE proname::text = ANY ($1)
             AND pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'",
            words,
        ),
        known(
            "SELECT DISTINCT oprname::text FROM pg_operator WHERE oprname::text = ANY ($1)
             AND oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'",
            signs,
        ),
    ]
}

#[test]
fn no_function_or_operator_of_another_role_runs() {
    let cluster = Cluster::builder().setting("log_statement", "all").start();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    let begin = cluster.log().len();
    let modes = ["true", "false"].map(|prepared| {
        ["end-oldest", "refuse"].map(|beyond| {
            json!({
                "prepared_statements": prepared,
                "max_sessions_per_subject": 100,
                "max_sessions_beyond": beyond,
            })
        })
    });
    let pooler = PgBouncer::start(&cluster, "transaction", "");
    let mut modes = modes.concat();
    modes.push(json!({ "port": pooler.port() }));
    let run_all = |sql: &mut Client, name: &str, user: &str| {
        for (text, partitioned) in [("text", false), ("varchar", false), ("varchar", true)] {
            for mode in &modes {
                create(sql, user, text, partitioned);
                let mut keys = mode.clone();
                keys["pool"] = json!(name);
                keys["username"] = json!(user);
                keys["cleanup_interval"] = json!(0);
                run(&cluster.storage(&database, keys))
                    .unwrap_or_else(|error| panic!("{mode}: {error}"));
            }
        }
        create(sql, user, "varchar", false);
        run_commands(&format!(
            "host=127.0.0.1 port={} dbname={database} user={user}",
            cluster.port()
        ));
    };
    let password = support::password();
    let web = format!(
        "CREATE ROLE web LOGIN PASSWORD '{password}'; GRANT CREATE ON SCHEMA public TO web"
    );
    sql.batch_execute(&web).expect("a role");
    run_all(&mut sql, "before", "postgres");
    let log = cluster.log();
    let [functions, operators] = named(&mut sql, &log[begin..]);
    assert!(functions.len() > 20 && operators.len() > 6, "{functions:?} {operators:?}");

    // The default search_path has this schema.
    let role =
        "CREATE ROLE mallory; GRANT CREATE, USAGE ON SCHEMA public TO mallory; SET ROLE mallory";
    sql.batch_execute(role).expect("a role");
    let quoted = |names: &[String]| format!("'{}'", names.join(" "));
    let plant = PLANT.replace("$operators$", &quoted(&operators));
    let plant = plant.replace("$functions$", &quoted(&functions));
    sql.batch_execute(&plant).expect("decoys");
    let begin = cluster.log().len();
    // A call that is not an exact match does prefer them.
    let inexact = "RESET ROLE; SELECT 'a'::varchar = 'a'::text, quote_ident('a'::name)";
    sql.batch_execute(inexact).expect("an answer");
    assert_eq!(decoys(&cluster.log()[begin..]).len(), 2);
    let begin = cluster.log().len();
    for user in ["postgres", "web"] {
        run_all(&mut sql, "after", user);
    }
    let log = cluster.log();
    let ran: BTreeSet<&str> = decoys(&log[begin..]).into_iter().collect();
    assert!(ran.is_empty(), "decoys ran in {ran:#?}");
    // Nor do they make a connection less than it is.
    let failed = "STATEMENT:  SELECT pg_catalog.current_setting";
    assert_eq!(log[begin..].matches(failed).count(), 0);
}

/// The statements in which decoys ran, as the server has logged them.
fn decoys(log: &str) -> Vec<&str> {
    let ran = log.split("LOG:  decoy\n").skip(1);
    ran.map(|after| after.split_once("STATEMENT:  ").map_or(after, |(_, statement)| statement))
        .map(|statement| statement.lines().next().unwrap_or_default())
        .collect()
}
