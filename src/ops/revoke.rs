//! `revoke` and `revoke_audience`: end all sessions of a subject, or of an audience, at once.

use super::end::{Metadata, end};
use crate::Error;
use crate::db::types::{INT, TEXT, TEXTS};
use crate::db::{Db, Effect, End, Fault, Fixed, LOCK_TIMEOUT};
use crate::op::ParamKind::{Key, Text};
use crate::op::{self, Args, Group, Operation, Param, Spec};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ends the sessions that were saved with a subject in an audience.
pub struct Revoke {
    audience: String,
    /// `None` for the sessions of all subjects in the audience.
    subject: Option<String>,
    /// The key of a session that stays.
    except: Option<String>,
    /// How many of those that it has ended were alive; kept should it be interrupted.
    alive: AtomicU64,
    /// How many were locked when it was last tried.
    left: AtomicUsize,
    progress: Option<Progress>,
}

/// Is called with how many sessions that were alive have been ended so far.
type Progress = Box<dyn Fn(u64) + Send + Sync>;

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
        let (alive, left) = (AtomicU64::new(0), AtomicUsize::new(0));
        Ok(Revoke { audience, subject: None, except: None, alive, left, progress: None })
    }

    /// Has `progress` called after each transaction, with how many live sessions have been ended so far. It
    /// is called on the thread that runs the operation, and must not block.
    #[must_use]
    pub fn on_progress(self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Revoke { progress: Some(Box::new(progress)), ..self }
    }
}

impl RevokeAudience {
    /// The sessions of an audience.
    pub fn new(audience: impl Into<String>) -> Result<Self, Error> {
        Revoke::all(audience).map(RevokeAudience)
    }

    /// As [`Revoke::on_progress`].
    #[must_use]
    pub fn on_progress(self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        RevokeAudience(self.0.on_progress(progress))
    }
}

/// How many sessions the first transaction ends, and the most that one ends.
const SIZE: (usize, usize) = (50, 1_000);

/// How many keys are kept until their other metadata is deleted: some megabytes.
const MOST_KEYS: usize = 50_000;

/// The time that a transaction should take, since saves of the audience wait for it.
const PIECE_TIME: Duration = Duration::from_millis(6);

/// How long a transaction waits for saves that are under way: each holds the lock until it has committed,
/// which a slow disk or standby makes long. New saves wait meanwhile.
const FENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits for $2 ms at most until no save with metadata of the audience $1 is under way, and holds new ones
/// up until the transaction ends. Statements after it wait $3 ms for other locks. Audiences share 16 locks,
/// so that a batch of saves takes no more than that.
const FENCE: Fixed = Fixed::reads(
    "SELECT pg_catalog.set_config('lock_timeout', $3, true) FROM ( \
       SELECT pg_catalog.pg_advisory_xact_lock({locks}, pg_catalog.hashtext($1) & 15) IS NOT NULL AS passed \
       FROM (SELECT pg_catalog.set_config('lock_timeout', $2, true) AS timeout OFFSET 0) AS before \
       WHERE timeout IS NOT NULL OFFSET 0) AS fence WHERE passed",
    &[TEXT, TEXT, TEXT],
);

/// At most $4 sessions, subject and key, with the audience $1, and the subject $2 if it is not null, but
/// for the keys $3.
const FIND: Fixed = Fixed::reads(
    "SELECT sub, sid FROM {metadata} WHERE aud::text = $1 AND ($2 IS NULL OR sub::text = $2) \
     AND sid::text <> ALL ($3) LIMIT $4",
    &[TEXT, TEXT, TEXTS, INT],
);

/// Deletes the metadata by which they were found: with its subjects it is found without an index on the
/// keys alone, which the documented tables lack.
const FORGET: Fixed = Fixed {
    effect: Effect::Writes,
    ..Fixed::reads(
        "DELETE FROM {metadata} AS m USING unnest($2, $3) AS found (sub, sid) \
         WHERE m.aud::text = $1 AND m.sub::text = found.sub AND m.sid::text = found.sid",
        &[TEXT, TEXTS, TEXTS],
    )
};

/// Deletes what other metadata the marks $1 have. While they are marks, no save adds any.
const FORGET_OTHERS: Fixed = Fixed {
    effect: Effect::Writes,
    ..Fixed::reads(
        "DELETE FROM {metadata} AS m USING {sessions} AS s \
         WHERE m.sid::text = ANY ($1) AND s.sid::text = m.sid::text AND {is_revoked}",
        &[TEXTS],
    )
};

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
                  still under way when `revoke` was called; a session that is saved later lives. For \
                  `ended_ttl`, a save of a session that was ended, or one that replaces it, is refused.\n\n\
                  Many sessions are ended in several transactions of some milliseconds, with pauses for \
                  saves. A session whose row is locked is tried again until the time is up; the error \
                  then says how many are left. Those that are ended stay so, and another call ends the rest.",
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
        let mut ended = Vec::new();
        self.end_all(&mut ended, db)?;
        forget_others(&mut ended, db)?;
        match self.left.load(Ordering::Relaxed) {
            0 => Ok(self.alive.load(Ordering::Relaxed)),
            _ => Err(self.unfinished(db)),
        }
    }
}

impl Revoke {
    /// Ends the sessions in transactions that are small enough for saves to take place between them. A row
    /// that is locked is passed over, and counted.
    fn end_all(&self, ended: &mut Vec<String>, db: &mut Db<'_>) -> Result<(), Fault> {
        // To make a mark takes little. To delete a session may take reading all metadata.
        let least = if db.tables().remember_ended() { SIZE.0 } else { 1 };
        let time = db.time_left();
        let mut size = least;
        let mut took = LOCK_TIMEOUT;
        let mut passed_over: Vec<String> = self.except.iter().cloned().collect();
        let spared = passed_over.len();
        // While there is time for one more.
        while db.time_left() > took {
            let mut piece = Piece::default();
            let result = db.transaction(|db| self.end_some(size, &passed_over, &mut piece, db));
            took = piece.fenced.map_or(Duration::ZERO, |fenced| fenced.elapsed());
            match result {
                Ok(alive) => {
                    let before = self.alive.fetch_add(alive, Ordering::Relaxed);
                    if let Some(progress) = &self.progress {
                        progress(before + alive);
                    }
                    let found = piece.keys.len();
                    ended.append(&mut piece.keys);
                    if ended.len() >= MOST_KEYS {
                        forget_others(ended, db)?;
                    }
                    if found < size {
                        let left = passed_over.len() - spared;
                        self.left.store(left, Ordering::Relaxed);
                        return Ok(());
                    }
                    size = if took > PIECE_TIME { size / 2 } else { size * 2 };
                    size = size.clamp(least, SIZE.1);
                }
                Err(fault) if !fault.is_lock() => return Err(fault),
                Err(fault) if piece.keys.is_empty() => {
                    db.report_strangers("revocations");
                    return Err(fault);
                }
                Err(_) if piece.keys.len() == 1 => passed_over.append(&mut piece.keys),
                Err(_) => size = 1,
            }
            if db.time_left() > time / 2 {
                // As long for the saves as for the revocation.
                thread::sleep(took);
            } else if least > 1 {
                // New sessions may come faster than small transactions end them.
                size = size.max(SIZE.1);
            }
        }
        Err(self.unfinished(db))
    }

    /// The time is up, or sessions are locked.
    fn unfinished(&self, db: &Db<'_>) -> Fault {
        let left = match self.left.load(Ordering::Relaxed) {
            0 => return db.out_of_time(),
            1 => "1 session is left".to_owned(),
            several => format!("{several} sessions are left"),
        };
        db.locked(&format!("{left}, the others have ended"))
    }

    /// Ends so many sessions, but for some. Returns how many were alive.
    fn end_some(
        &self,
        size: usize,
        except: &[String],
        piece: &mut Piece,
        db: &mut Db<'_>,
    ) -> Result<u64, Fault> {
        let millis = |time: Duration| time.as_millis().to_string();
        let wait = FENCE_TIMEOUT.min(db.time_left() / 2).max(LOCK_TIMEOUT);
        // A statement sees what was committed when it began, so the lock has one of its own.
        db.query(&FENCE, &[&self.audience, &millis(wait), &millis(LOCK_TIMEOUT)])?;
        piece.fenced = Some(Instant::now());
        let (audience, subject) = (&self.audience, &self.subject);
        let found = db.rows(&FIND, &[audience, subject, &except, &(size as i64)])?;
        let (subjects, keys): (Vec<String>, Vec<String>) = found.into_iter().unzip();
        piece.keys.clone_from(&keys);
        let metadata = match db.tables().remember_ended() {
            true => Metadata::Stays,
            false => Metadata::Deleted,
        };
        let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
        let alive = end(keys.clone(), End::Revoked, metadata, db)?;
        // Also where there is no session: it would be found again and again.
        db.execute(&FORGET, &[audience, &subjects, &keys])?;
        Ok(alive)
    }
}

/// Deletes the other metadata of sessions that were ended, of many with one statement: without an index on
/// the keys it reads the whole table. What it does not come to is deleted with the marks.
fn forget_others(ended: &mut Vec<String>, db: &mut Db<'_>) -> Result<(), Fault> {
    let keys = std::mem::take(ended);
    if keys.is_empty() || !db.tables().remember_ended() {
        return Ok(());
    }
    match db.execute(&FORGET_OTHERS, &[&keys]) {
        Err(fault) if !fault.is_lock() => Err(fault),
        _ => Ok(()),
    }
}

/// What a transaction has found.
#[derive(Default)]
struct Piece {
    /// Since when saves of the audience wait for it.
    fenced: Option<Instant>,
    keys: Vec<String>,
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
