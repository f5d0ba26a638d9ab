//! `touch`: gives a session another expiry, without its data.

use crate::Error;
use crate::db::types::{TEXT, TIME};
use crate::db::{Db, Effect, Fault, Fixed};
use crate::op::ParamKind::{Key, Seconds};
use crate::op::{self, Answers, Args, Epoch, Group, Keys, Operation, Param, Spec};

/// Gives a live session another expiry.
pub struct Touch {
    key: String,
    now: Epoch,
    expires: Epoch,
}

impl Touch {
    /// The session of that key, if it is alive at `now`, expires at `expires`.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] for a key that is empty or that PostgreSQL cannot store.
    pub fn new(key: &str, now: Epoch, expires: Epoch) -> Result<Self, Error> {
        let key = op::key("key", key.as_bytes())?;
        Ok(Touch { key, now, expires })
    }
}

const TOUCH: Fixed = Fixed {
    with: "",
    body: "UPDATE {sessions} SET exp = $3 WHERE sid = $1 AND exp >= $2 RETURNING sid",
    types: &[TEXT, TIME, TIME],
    effect: Effect::WritesAndAnswers,
};

impl Operation for Touch {
    const SPEC: Spec = Spec {
        name: "touch",
        group: Group::Administration,
        summary: "Give a live session another expiry, without its data.",
        details: "",
        params: &[
            Param::unused_name(),
            Param::new("key", Key, "session key"),
            Param::new(
                "ttl",
                Seconds,
                "seconds from `current_time` until the session expires",
            ),
            Param::current_time(),
        ],
        returns: "true; a bare `nil` where there is no live session",
    };

    type Answer = bool;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let now = args.current_seconds()?;
        Ok(Touch {
            key: args.key("key")?,
            now: Epoch::from_seconds("current_time", now)?,
            expires: Epoch::from_seconds("ttl", now + args.seconds("ttl")?)?,
        })
    }

    fn keys(&self) -> Keys<'_> {
        Keys::written(&self.key, None)
    }

    fn run(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<bool>, Fault> {
        let touch = |touch: &&Self| {
            let rows = db.query(&TOUCH, &[&touch.key, &touch.now, &touch.expires])?;
            Ok(Ok(!rows.is_empty()))
        };
        batch.iter().map(touch).collect()
    }
}
