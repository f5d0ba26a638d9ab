//! `state`: what the table says of a session, also of one that is not alive.

use crate::Error;
use crate::db::types::{TEXT, TIME};
use crate::db::{Db, Fault, Fixed};
use crate::op::{self, Args, Epoch, Group, Operation, Param, Spec};

/// Reads whether there is a row of a key, and what it stands for.
pub struct State {
    key: String,
    now: Epoch,
}

impl State {
    /// The session of that key, seen at `now`.
    pub fn new(key: impl Into<String>, now: Epoch) -> Result<Self, Error> {
        let key = op::key("key", key)?;
        Ok(State { key, now })
    }
}

const STATE: Fixed = Fixed::reads(
    "SELECT CASE WHEN exp >= $2 THEN 'live' WHEN {is_revoked} THEN 'revoked' \
     WHEN {is_deleted} THEN 'deleted' ELSE 'expired' END \
     FROM {sessions} WHERE sid::text = $1",
    &[TEXT, TIME],
);

impl Operation for State {
    const SPEC: Spec = Spec {
        name: "state",
        group: Group::Administration,
        summary: "Say what the table knows of a session: `live`, `expired`, `deleted` or `revoked`.",
        details: "An ended session is known for `ended_ttl`, an expired one until the clean-up. A session \
                  that the limit has ended is `revoked`, too.",
        params: &[Param::UNUSED_NAME, Param::KEY, Param::CURRENT_TIME],
        returns: "one of these words; a bare `nil` where the table has no such session",
    };

    type Answer = Option<String>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        State::new(args.text("key")?, args.current_time()?)
    }

    fn keys(&self) -> [Option<&str>; 2] {
        [Some(&self.key), None]
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Option<String>, Fault> {
        let row = db.rows(&STATE, &[&self.key, &self.now])?.pop();
        Ok(row.map(|(state,): (String,)| state))
    }
}
