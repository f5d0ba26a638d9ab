//! The operations of the people who run a site: beside saves, beside each other, and over time.

mod cleanup;
mod cleanup_held_up;
mod cli;
mod collations;
mod decoys;
mod ended;
mod expiries;
mod limit;
mod metrics;
mod online;
mod promises;
mod refusals;
mod revoke;
mod schema;
mod steps;
mod subjects;
mod terminal;
mod top;

use resty_session_postgres::Epoch;
use resty_session_postgres::ops::{List, Scope, Set};

use crate::support::session;

/// A session of Ada's in the shop that lives for an hour.
fn login(key: impl AsRef<str>) -> Set {
    login_of("ada", key, 3600)
}

/// A session of a subject in the shop that lives for so many seconds.
fn login_of(subject: &str, key: impl AsRef<str>, seconds: i64) -> Set {
    let set = session(key, seconds).under("shop", subject);
    set.expect("texts that can be stored")
}

/// Ada's sessions there.
fn list_of_ada() -> List {
    let (audience, subject) = (Some("shop".into()), Some("ada".into()));
    let scope = Scope::new(audience, subject).expect("a scope");
    List::new(scope, Epoch::now())
}
