//! `revoke` and `revoke_audience`: end sessions that somebody has, at once.

use super::{Alone, Arguments, Described};
use crate::Error;
use crate::op::{Operation, Output};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

/// Ends the sessions that were saved with metadata of an audience, or of a subject in it: deletes
/// them, with all of their metadata. Answers how many of them were alive on the database's clock.
///
/// Saves with metadata and revocations of one audience take place one after the other. A save that
/// was committed before the revocation's deletion is ended by it, even if it began or answered while
/// the revocation was under way; a save that comes later lives.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// The audience.
    pub audience: String,
    /// The subject; `None` for everybody's sessions in the audience.
    pub subject: Option<String>,
    /// The key of a session that stays.
    pub except: Option<String>,
}

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

impl Alone for Revoke {
    fn name(&self) -> &'static str {
        match self.subject {
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
        let (audience, subject, except) = (&self.audience, &self.subject, &self.except);
        connection.transaction(|connection| {
            // A statement sees what was committed when it began, so the lock has one of its own.
            connection.query(tables, Shape::Other(sql::FENCE), &[audience])?;
            let params: &[&(dyn postgres::types::ToSql + Sync)] = &[audience, subject, except];
            let rows = connection.query(tables, Shape::Other(delete), params)?;
            let ended: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
            Ok(Output::Count(ended.unsigned_abs()))
        })
    }
}
