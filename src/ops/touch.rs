//! `touch`: gives a session another expiry, without its data.

use crate::Error;
use crate::db::types::{TEXT, TIME};
use crate::db::{Db, Fault, Fixed};
use crate::op::{self, Args, Epoch, Group, Operation, Param, Spec};

/// Gives a live session another expiry.
pub struct Touch {
    key: String,
    now: Epoch,
    expires: Epoch,
}

impl Touch {
    /// The session of that key, if it is alive at `now`, expires at `expires`.
    pub fn new(key: impl Into<String>, now: Epoch, expires: Epoch) -> Result<Self, Error> {
        let key = op::key("key", key)?;
        Ok(Touch { key, now, expires: expires.max(Epoch::ZERO) })
    }
}

const TOUCH: Fixed = Fixed::answers(
    "UPDATE {sessions} SET exp = $3 WHERE sid::text = $1 AND exp >= $2 RETURNING sid",
    &[TEXT, TIME, TIME],
);

impl Operation for Touch {
    const SPEC: Spec = Spec {
        name: "touch",
        group: Group::Administration,
        summary: "Give a live session another expiry, without its data.",
        details: "A session that was replaced, and would end after `stale_ttl`, gets that expiry, too.",
        params: &[Param::UNUSED_NAME, Param::KEY, Param::TTL, Param::CURRENT_TIME],
        returns: "true; a bare `nil` where there is no live session",
    };

    const WRITES: bool = true;

    type Answer = bool;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let expires = args.time_after("ttl")?;
        Touch::new(args.text("key")?, args.current_time()?, expires)
    }

    fn keys(&self) -> [Option<&str>; 2] {
        [Some(&self.key), None]
    }

    fn run(&self, db: &mut Db<'_>) -> Result<bool, Fault> {
        let rows = db.query(&TOUCH, &[&self.key, &self.now, &self.expires])?;
        Ok(!rows.is_empty())
    }
}
