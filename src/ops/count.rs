//! `count`: how many sessions are alive.

use super::list::{AUDIENCE, SUBJECT, Scope};
use crate::Error;
use crate::db::types::{TEXT, TIME};
use crate::db::{Db, Fault, Fixed};
use crate::op::ParamKind::Flag;
use crate::op::{Args, Epoch, Group, Operation, Param, Spec};
use postgres::types::ToSql;

/// Counts live sessions.
pub struct Count {
    scope: Scope,
    now: Epoch,
    estimate: bool,
}

impl Count {
    /// Those of `scope` that are alive at `now`.
    pub fn new(scope: Scope, now: Epoch) -> Self {
        Count { scope, now, estimate: false }
    }

    /// PostgreSQL's estimate of the number of rows; where its statistics have none, an exact count.
    pub fn estimate() -> Self {
        Count { scope: Scope::ALL, now: Epoch::now(), estimate: true }
    }
}

/// By the number of audience and subject that the scope names.
const COUNT: [Fixed; 3] = [
    Fixed::reads("SELECT pg_catalog.count(*) FROM {sessions} WHERE exp >= $1", &[TIME]),
    Fixed::reads(
        "SELECT pg_catalog.count(*) FROM {sessions} AS s WHERE s.exp >= $1 AND EXISTS ( \
           SELECT FROM {metadata} AS m WHERE m.sid::text = s.sid::text AND m.aud::text = $2)",
        &[TIME, TEXT],
    ),
    Fixed::reads(
        "SELECT pg_catalog.count(*) FROM {metadata} AS m JOIN {sessions} AS s ON s.sid::text = m.sid::text \
         WHERE m.aud::text = $2 AND m.sub::text = $3 AND s.exp >= $1",
        &[TIME, TEXT, TEXT],
    ),
];

/// The rows that are no marks of ended sessions. Less than 1 where the statistics have no number.
const ESTIMATE: Fixed = Fixed::reads(
    "SELECT reltuples::bigint - (SELECT pg_catalog.count(*) FROM {sessions} WHERE exp < {deleted_to}) \
     FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)::oid",
    &[TEXT],
);

impl Operation for Count {
    const SPEC: Spec = Spec {
        name: "count",
        group: Group::Administration,
        summary: "Count live sessions.",
        details: "An estimate costs next to nothing. It is as old as the last vacuum or analyze of the \
                  table, and includes expired sessions that are not cleaned up yet.",
        params: &[
            Param::UNUSED_NAME,
            AUDIENCE,
            SUBJECT,
            Param::CURRENT_TIME,
            Param::optional(
                "estimate",
                Flag,
                "of all sessions: true for PostgreSQL's estimate of the number of rows",
            ),
        ],
        returns: "how many",
    };

    const LONG: bool = true;

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let (scope, estimate) = (Scope::read(args)?, args.flag("estimate")?);
        if estimate && scope != Scope::ALL {
            let reason = "is of all sessions, not of those of an audience";
            return Err(Error::argument("estimate", reason));
        }
        Ok(Count { scope, now: args.current_time()?, estimate })
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        if self.estimate {
            let [sessions, _] = db.tables().names();
            let estimates = db.rows(&ESTIMATE, &[&sessions])?;
            if let Some((rows @ 1_i64..,)) = estimates.first() {
                return Ok(rows.unsigned_abs());
            }
        }
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.now];
        params.extend(self.scope.params());
        let (count,): (i64,) = db.row(&COUNT[self.scope.depth()], &params)?;
        Ok(count.unsigned_abs())
    }
}
