//! `revoke` and `revoke_audience`: end sessions that somebody has, at once.

use super::{Alone, Arguments, Described};
use crate::Error;
use crate::op::{Operation, Output};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use postgres::types::ToSql;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends the sessions that were saved with metadata of an audience, or of a subject in it: deletes
/// them, with all of their metadata. Answers how many of them were alive on the database's clock.
///
/// Saves with metadata and revocations of one audience take place one after the other. A save that
/// was committed before the revocation's deletion is ended by it, even if it began or answered while
/// the revocation was under way; a save that comes later lives. Above 1,000 sessions the revocation is
/// made of several transactions, between which saves have their turn; what is saved before the last of
/// them is ended. Where it fails, those that are ended stay so, and calling it again ends the rest.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// The audience.
    pub audience: String,
    /// The subject; `None` for everybody's sessions in the audience.
    pub subject: Option<String>,
    /// The key of a session that stays.
    pub except: Option<String>,
}

/// The most sessions that one transaction ends: saves of the audience wait for it.
const AT_ONCE: i64 = 1_000;

pub(super) const SUBJECT: Described = Described {
    name: "revoke",
    parameters: &["name", "audience", "subject", "except_key"],
    read: |arguments| {
        read(Revoke {
            audience: named(arguments)?,
            subject: Some(arguments.text("subject")?),
            except: arguments.optional_key("except_key")?,
        })
    },
};

pub(super) const AUDIENCE: Described = Described {
    name: "revoke_audience",
    parameters: &["name", "audience"],
    read: |arguments| {
        read(Revoke {
            audience: named(arguments)?,
            subject: None,
            except: None,
        })
    },
};

fn named(arguments: &dyn Arguments) -> Result<String, Error> {
    arguments.unused_name()?;
    arguments.text("audience")
}

fn read(revoke: Revoke) -> Result<Operation, Error> {
    Ok(revoke.into())
}

/// A revocation under way, which may be interrupted and go on.
#[derive(Debug)]
struct Revocation {
    revoke: Revoke,
    /// How many of those that it has ended were alive.
    alive: AtomicU64,
}

impl From<Revoke> for Operation {
    fn from(revoke: Revoke) -> Self {
        let alive = AtomicU64::new(0);
        Revocation { revoke, alive }.into()
    }
}

impl Alone for Revocation {
    fn name(&self) -> &'static str {
        match self.revoke.subject {
            Some(_) => SUBJECT.name,
            None => AUDIENCE.name,
        }
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        let delete = if connection.leaves_metadata(tables)? {
            sql::REVOKE_UNLINKED
        } else {
            sql::REVOKE
        };
        let Revoke {
            audience,
            subject,
            except,
        } = &self.revoke;
        let params: [&(dyn ToSql + Sync); 4] = [audience, subject, except, &AT_ONCE];
        loop {
            let (found, alive): (i64, i64) = connection.transaction(|connection| {
                // A statement sees what was committed when it began, so the lock has one of its own.
                connection.query(tables, Shape::Other(sql::FENCE), &[audience])?;
                let rows = connection.query(tables, Shape::Other(delete), &params)?;
                rows.first()
                    .map_or(Ok((0, 0)), |row| Ok((column(row, 0)?, column(row, 1)?)))
            })?;
            let alive = alive.unsigned_abs();
            let before = self.alive.fetch_add(alive, Ordering::Relaxed);
            if found < AT_ONCE {
                return Ok(Output::Count(before + alive));
            }
            if connection.time_left().is_zero() {
                return Err(Fault::Expired);
            }
        }
    }
}
