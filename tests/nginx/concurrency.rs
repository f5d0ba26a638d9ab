//! Many requests at once, in two workers: all or nothing for each save, although the saves of many
//! requests share a statement.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::site::{self, Plan, Site, together};
use crate::support::{self, process::lock};

const CLIENTS: usize = 16;
const SAVES: usize = 25;

/// Two workers, and so two queues and two pools, write the same rows.
fn with_two_workers(plan: Plan) -> Plan {
    plan.nginx(|nginx| nginx.workers(2))
}

/// Saves a value, with itself as the subject of its metadata.
fn save(site: &Site, key: &str, value: &str) -> u16 {
    let query = format!("do=set&key={key}&value={value}&audience={key}&subject={value}");
    let response = site.nginx.get(&format!("/call?{query}"));
    let status = response.status;
    assert!(matches!(status, 200 | 503), "{status} {}", response.body);
    status
}

#[test]
fn sessions_that_many_write_hold_what_one_of_them_wrote() {
    let site = with_two_workers(site::on(support::shared())).start();
    let keys = ["a", "b", "c"];
    for key in keys {
        assert_eq!(save(&site, key, &format!("{key}-first")), 200);
    }
    together(CLIENTS, |client| {
        for n in 0..SAVES {
            let key = keys[(client + n) % keys.len()];
            assert_eq!(save(&site, key, &format!("{key}-{client}-{n}")), 200);
            // Another's save may have come after it, but not one of another session.
            let found = site.get(keys[n % keys.len()]);
            assert_eq!(found.status, 200, "{}", found.body);
            let own = format!("{}-", keys[n % keys.len()]);
            assert!(found.body.starts_with(&own), "{own}: {}", found.body);
        }
    });
    // Each save's metadata is there, and the last one's value is of one of them.
    let mut sql = site.sql();
    let counted =
        "SELECT count(*), count(*) FILTER (WHERE s.sid <> m.aud OR m.sub NOT LIKE m.aud || '-%'),
                   count(*) FILTER (WHERE s.data = m.sub)
                   FROM sessions s JOIN sessions_meta m USING (sid)";
    let row = sql.query_one(counted, &[]).expect("a row");
    let [all, misplaced, last]: [i64; 3] = [0, 1, 2].map(|column| row.get(column));
    assert_eq!(all as usize, CLIENTS * SAVES + keys.len());
    assert_eq!(misplaced, 0);
    assert_eq!(last as usize, keys.len());
}

/// The database refuses some metadata. Those saves share statements with good ones.
#[test]
fn a_save_that_fails_fails_as_a_whole_and_no_other_does() {
    let site = with_two_workers(site::on(support::shared())).start();
    let mut sql = site.sql();
    let check = "ALTER TABLE sessions_meta ADD CHECK (sub NOT LIKE 'bad%')";
    sql.batch_execute(check).expect("a constraint");
    let stored = Mutex::new(BTreeSet::new());
    together(CLIENTS, |client| {
        for n in 0..SAVES {
            let bad = (client + n) % 4 == 0;
            let key = format!("{client}-{n}");
            let value = format!("{}-{key}", if bad { "bad" } else { "good" });
            let status = save(&site, &key, &value);
            assert_eq!(status == 503, bad, "{value}");
            if !bad {
                lock(&stored).insert((key, value));
            }
        }
    });
    let pairs = |rows: Vec<postgres::Row>| {
        let pair = |row: postgres::Row| (row.get(0), row.get(1));
        rows.into_iter().map(pair).collect::<BTreeSet<(String, String)>>()
    };
    let stored = lock(&stored);
    let sessions = sql.query("SELECT sid, data FROM sessions", &[]);
    assert_eq!(pairs(sessions.expect("rows")), *stored);
    let metadata = sql.query("SELECT sid, sub FROM sessions_meta", &[]);
    assert_eq!(pairs(metadata.expect("rows")), *stored);
}
