//! `revoke` and `revoke_audience`: end all sessions of a subject, or of an audience, at once.

use super::delete::delete_with_metadata;
use crate::Error;
use crate::db::types::{INT, TEXT};
use crate::db::{Db, Fault, Fixed, texts};
use crate::op::ParamKind::{Key, Text};
use crate::op::{self, Args, Group, Operation, Param, Spec};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends the sessions that were saved with a subject in an audience.
pub struct Revoke {
    audience: String,
    /// `None` for the sessions of all subjects in the audience.
    subject: Option<String>,
    /// The key of a session that stays.
    except: Option<String>,
    /// How many of those that it has ended were alive; kept should it be interrupted.
    alive: AtomicU64,
}

/// Ends the sessions that were saved with an audience.
pub struct RevokeAudience(Revoke);

impl Revoke {
    /// The sessions of a subject in an audience, all but the one of the key `except`.
    pub fn new(
        audience: impl Into<String>,
        subject: impl Into<String>,
        except: Option<&str>,
    ) -> Result<Self, Error> {
        let subject = Some(op::text("subject", subject)?);
        let except = except.map(|key| op::key("except_key", key)).transpose()?;
        Ok(Revoke { subject, except, ..Revoke::all(audience)? })
    }

    fn all(audience: impl Into<String>) -> Result<Self, Error> {
        let audience = op::text("audience", audience)?;
        Ok(Revoke { audience, subject: None, except: None, alive: AtomicU64::new(0) })
    }
}

impl RevokeAudience {
    /// The sessions of an audience.
    pub fn new(audience: impl Into<String>) -> Result<Self, Error> {
        Revoke::all(audience).map(RevokeAudience)
    }
}

/// The most sessions that one transaction ends: saves of the audience wait for it.
const AT_ONCE: i64 = 1_000;

/// Waits until no save with metadata of the audience $1 is under way, and holds new ones up until the
/// transaction ends. Audiences share 16 locks, so that a batch of saves takes no more than that.
const FENCE: Fixed = Fixed::reads(
    "SELECT pg_catalog.pg_advisory_xact_lock({locks}, pg_catalog.hashtext($1) & 15)",
    &[TEXT],
);

/// At most $4 keys of sessions with the audience $1, and the subject $2 if it is not null, but for $3.
const FIND: Fixed = Fixed::reads(
    "SELECT sid FROM {metadata} WHERE aud::text = $1 AND ($2 IS NULL OR sub::text = $2) \
     AND ($3 IS NULL OR sid::text <> $3) LIMIT $4",
    &[TEXT, TEXT, TEXT, INT],
);

const AUDIENCE: Param = Param::new("audience", Text, "session audience, as it was saved");

impl Operation for Revoke {
    const SPEC: Spec = Spec {
        name: "revoke",
        group: Group::Administration,
        summary: "End all sessions that were saved with an audience and a subject, or all but one \
                  (\"sign out everywhere else\").",
        details: "A session with further audiences or subjects is ended, too.\n\n\
                  Saves with metadata and revocations of one audience take place one after the \
                  other. A save that was committed before the revocation is ended, also if it was \
                  still under way when `revoke` was called; a session that is saved later lives. A \
                  request that has read its session before and saves it afterwards saves a new one.\n\n\
                  More than 1,000 sessions are ended in several transactions. If a later one \
                  fails, the sessions that are ended stay so, and another call ends the rest.",
        params: &[
            Param::UNUSED_NAME,
            AUDIENCE,
            Param::new("subject", Text, "session subject, as it was saved"),
            Param::optional("except_key", Key, "key of a session that stays"),
        ],
        returns: "how many of them were alive",
    };

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let (audience, subject) = (args.text("audience")?, args.text("subject")?);
        let except = args.optional_text("except_key")?;
        Revoke::new(audience, subject, except.as_deref())
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        loop {
            let ended = db.transaction(|db| {
                // A statement sees what was committed when it began, so the lock has one of its own.
                db.query(&FENCE, &[&self.audience])?;
                let (audience, subject) = (&self.audience, &self.subject);
                let found = db.query(&FIND, &[audience, subject, &self.except, &AT_ONCE])?;
                // Metadata without a session would be found again and again.
                Ok((found.len(), delete_with_metadata(texts(&found)?, db)?))
            });
            if ended.as_ref().is_err_and(Fault::is_lock) {
                db.report_strangers("revocations");
            }
            let (found, alive) = ended?;
            let before = self.alive.fetch_add(alive, Ordering::Relaxed);
            if found < AT_ONCE as usize {
                return Ok(before + alive);
            }
            if db.time_left().is_zero() {
                return Err(db.out_of_time());
            }
        }
    }
}

impl Operation for RevokeAudience {
    const SPEC: Spec = Spec {
        name: "revoke_audience",
        group: Group::Administration,
        summary: "End all sessions that were saved with an audience.",
        details: "Otherwise as `revoke`.",
        params: &[Param::UNUSED_NAME, AUDIENCE],
        returns: "how many of them were alive",
    };

    const LONG: bool = true;

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        RevokeAudience::new(args.text("audience")?)
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        self.0.run(db)
    }
}
