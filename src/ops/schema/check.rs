//! `check`: what is wrong or slow about the tables, in words, and the statement that repairs it.

use super::structure::structure;
use super::{catalog, definition};
use crate::Error;
use crate::db::{Db, Fault};
use crate::op::{Args, Finding, Group, Operation, Spec};

/// Reports what is wrong or slow about the tables.
#[derive(Default)]
pub struct Check {}

impl Operation for Check {
    const SPEC: Spec = Spec {
        name: "check",
        group: Group::Administration,
        summary: "Report what is wrong or slow about the tables, with the statements that repair it.",
        details: "",
        params: &[],
        returns: "array of `{ problem = …, repair = … }`: what, in words, and the statement that \
                  repairs it; empty where nothing was found",
    };

    type Answer = Vec<Finding>;

    fn read(_: &Args<'_>) -> Result<Self, Error> {
        Ok(Check {})
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
        db.tables().forget_info();
        let mut findings = structure(db, false)?;
        findings.extend(expiries(db)?);
        Ok(findings)
    }
}

/// How long, in seconds, an expired session may be waiting for the clean-up.
const CLEANED_UP_AFTER: i64 = 600;

/// Later than any session expires.
const FAR: i64 = 100 * 365 * 86_400;

/// Upstream's statements write an instant that is off by the server's distance from UTC: east of UTC
/// sessions expire too early, west of it too late. The rows do not say which storage has written them.
fn expiries(db: &mut Db<'_>) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, _] = tables.names();
    let Some((zone, offset)) = catalog::time_zone(db, &sessions)? else {
        return Ok(None);
    };
    let (from, to, how, otherwise) = match offset {
        0 => return Ok(None),
        east if east > 0 => (
            -east,
            -CLEANED_UP_AFTER,
            "early",
            "they have expired and wait for the clean-up",
        ),
        _ => (
            0,
            FAR,
            "late",
            "this storage has saved them, and they expire when they should",
        ),
    };
    let count = catalog::expiring(db, from, to)?;
    if count == 0 {
        return Ok(None);
    }
    let many = match count {
        catalog::EXPIRING_MOST => format!("{count} or more"),
        _ => count.to_string(),
    };
    let hours = offset.abs() as f64 / 3600.0;
    let moves = definition::move_expiries(tables, &zone, from, to);
    let problem = format!(
        "The server's TimeZone is {zone}: sessions that lua-resty-session's own storage has saved \
         expire {hours} hours too {how}, and {many} may be such. Or {otherwise}; the rows do not \
         say. If lua-resty-session's own storage has saved to {sessions} with that TimeZone, move \
         them instead, once it no longer saves: {moves}; The repair notes that they are right"
    );
    Ok(Some(Finding {
        problem: problem + ".",
        repair: definition::expiries_are_right(tables),
        structural: false,
    }))
}
