//! The command line with audience and subject as people know them: lua-resty-session saves them encoded.

use serde_json::json;

use super::cli::{cli, count, fill, json_of, out};
use crate::support::{Calls, Database, session};

const SUBJECT: &str = "ada?>@example.com";

/// How each session's audience and subject are saved: by lua-resty-session, and as they are.
const SAVED: [(&str, &str, &str); 5] = [
    ("encoded", "ZGVmYXVsdA", "YWRhPz5AZXhhbXBsZS5jb20"),
    ("several audiences", "ZGVmYXVsdA", SUBJECT),
    ("hashed", "ZGVmYXVsdA", "VITVlyZRU0qiJm2vWaN2Qg"),
    ("plain", "default", SUBJECT),
    ("another", "ZGVmYXVsdA", "Ym9i"),
];

const ADA: [&str; 4] = ["--audience", "default", "--subject", SUBJECT];

fn saved() -> Database {
    let db = Database::new();
    for (key, audience, subject) in SAVED {
        let set = session(key, 3600).under(audience, subject).expect("texts");
        db.storage().call(set).expect("a save");
    }
    // It was saved under one audience, and then under several.
    let both = session("encoded", 3600).under("ZGVmYXVsdA", SUBJECT).expect("texts");
    db.storage().call(both).expect("a save");
    db
}

/// The keys that a command prints, and what it says.
fn listed(db: &Database, arguments: &[&str]) -> (Vec<String>, String) {
    let output = cli(db, arguments);
    assert!(output.status.success(), "{output:?}");
    let keys = out(&output);
    let keys = keys.lines().map(|line| line.split('\t').next().expect("a field").to_owned());
    let mut keys: Vec<String> = keys.collect();
    keys.sort();
    (keys, String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn people_need_not_know_how_a_subject_is_saved() {
    let db = saved();
    let (keys, said) = listed(&db, &[&["list"][..], &ADA].concat());
    assert_eq!(keys, ["encoded", "hashed", "plain", "several audiences"]);
    let forms = "found as given; both in base64url; audience in base64url; \
                 audience in base64url, subject hashed";
    assert!(said.contains(forms), "{said}");
    assert_eq!(json_of(&db, &[&["count"][..], &ADA].concat()), count(4));
    assert_eq!(json_of(&db, &[&["count", "--exact"][..], &ADA].concat()), count(1));
    assert_eq!(json_of(&db, &["count", "--audience", "default"]), count(5));

    let all_but = ["revoke", "--except-key", "hashed"];
    assert_eq!(json_of(&db, &[&all_but[..], &ADA].concat()), count(3));
    let revoke = [&["revoke"][..], &ADA].concat();
    let ended = cli(&db, &revoke);
    assert_eq!(out(&ended), "1 session ended\n");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("found audience in base64url, subject hashed"), "{said}");
    // Another one's session is there still.
    assert!(db.storage().get("another").expect("an answer").is_some());
    let nobody = cli(&db, &revoke);
    assert_eq!((out(&nobody), nobody.status.code()), ("0 sessions ended\n".into(), Some(0)));
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(said.contains("no session has this audience and subject"), "{said}");
    assert_eq!(json_of(&db, &["revoke-audience", "--audience", "default"]), count(1));
}

#[test]
fn exact_texts_reach_no_other_form() {
    let db = saved();
    let exact = [&["revoke", "--exact"][..], &ADA].concat();
    let ended = cli(&db, &exact);
    assert_eq!((out(&ended), ended.stderr.is_empty()), ("1 session ended\n".into(), true));
    let encoded = ["revoke-audience", "--exact", "--audience", "ZGVmYXVsdA"];
    assert_eq!(json_of(&db, &encoded), count(4));
}

#[test]
fn a_dry_run_ends_and_deletes_nothing() {
    let db = saved();
    let dry = ["revoke", "--dry-run", "--except-key", "plain"];
    let (keys, _) = listed(&db, &[&dry[..], &ADA].concat());
    assert_eq!(keys, ["encoded", "hashed", "several audiences"]);
    let (keys, _) = listed(&db, &["revoke-audience", "--dry-run", "--audience", "default"]);
    assert_eq!(keys.len(), 5);
    fill(&db, "expired", 30, "-1 hour");
    fill(&db, "just expired", 1, "-10 seconds");
    assert_eq!(out(&cli(&db, &["cleanup", "--dry-run"])), "30 sessions would be deleted\n");
    assert_eq!(json_of(&db, &["cleanup", "--dry-run", "--limit", "7"]), json!({ "count": 7 }));
    assert_eq!(db.number("SELECT count(*) FROM sessions"), 36);
    assert_eq!(json_of(&db, &["cleanup"]), count(30));
}
