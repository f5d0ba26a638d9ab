//! The operations of people who run a site, beside those of a session's life. Each has its file,
//! which says all there is of it: its name and parameters, how its arguments are read, whichever
//! language they come from, what it sends, and what it answers. `ALL` lists them. Their SQL is in
//! `crate::sql::manage`.
//!
//! Each runs alone, in a statement or a transaction of its own, but on the same road as the others:
//! queue, deadline, retries.

#![cfg_attr(
    not(all(feature = "capi", feature = "lua-module")),
    allow(dead_code, reason = "each binding uses its part")
)]

mod check;
mod cleanup;
mod count;
mod health;
mod indexes;
mod list;
mod migrate;
mod revoke;
mod structure;
mod touch;

pub use crate::op::{Finding, Manage, Session, Swept};
pub use check::Check;
pub use cleanup::Cleanup;
pub(crate) use cleanup::{MOST_ROWS, SWEEP, Sweep};
pub use count::Count;
pub use health::Health;
pub use list::List;
pub use migrate::Migrate;
pub use revoke::Revoke;
pub use touch::Touch;

use crate::Error;
use crate::op::{Alone, Epoch, Operation};
use postgres::types::ToSql;

/// An operation for callers who name it and give its arguments.
pub(crate) struct Described {
    /// Its name, a method's in Lua.
    pub(crate) name: &'static str,
    /// Its parameters' names, in the order of the method's arguments.
    pub(crate) parameters: &'static [&'static str],
    /// Makes the operation of them.
    pub(crate) read: fn(&dyn Arguments) -> Result<Operation, Error>,
}

/// Every operation of this module.
pub(crate) static ALL: &[Described] = &[
    revoke::SUBJECT,
    revoke::AUDIENCE,
    list::DESCRIBED,
    count::DESCRIBED,
    touch::DESCRIBED,
    cleanup::DESCRIBED,
    migrate::DESCRIBED,
    check::DESCRIBED,
    health::DESCRIBED,
];

/// A caller's arguments, by the parameters' names. What is missing is an error, or `None`.
pub(crate) trait Arguments {
    fn text(&self, name: &'static str) -> Result<String, Error>;
    fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error>;
    fn key(&self, name: &'static str) -> Result<String, Error>;
    fn optional_key(&self, name: &'static str) -> Result<Option<String>, Error>;
    /// Seconds, possibly fractional, that can be added to others.
    fn seconds(&self, name: &'static str) -> Result<f64, Error>;
    /// A point in time; a missing one is now.
    fn time(&self, name: &'static str) -> Result<Epoch, Error>;
    fn optional_number(&self, name: &'static str) -> Result<Option<f64>, Error>;
    fn flag(&self, name: &'static str) -> Result<bool, Error>;
    /// A session's name where it is not used.
    fn unused_name(&self) -> Result<(), Error>;

    /// A whole number from 1 to `most`.
    fn optional_count(&self, name: &'static str, most: u32) -> Result<Option<u32>, Error> {
        let Some(number) = self.optional_number(name)? else {
            return Ok(None);
        };
        if number.fract() == 0.0 && (1.0..=f64::from(most)).contains(&number) {
            return Ok(Some(number as u32));
        }
        let reason = format!("a whole number from 1 to {most} expected, got {number}");
        Err(Error::argument(name, reason))
    }
}

/// Which sessions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the table.
    All,
    /// Those with metadata of an audience.
    Audience(String),
    /// Those with metadata of a subject in an audience.
    Subject {
        /// The audience.
        audience: String,
        /// The subject.
        subject: String,
    },
}

impl Scope {
    /// From an audience and a subject, of which the latter or both may be missing.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for a subject without an audience.
    pub fn new(audience: Option<String>, subject: Option<String>) -> Result<Self, Error> {
        match (audience, subject) {
            (None, None) => Ok(Scope::All),
            (Some(audience), None) => Ok(Scope::Audience(audience)),
            (Some(audience), Some(subject)) => Ok(Scope::Subject { audience, subject }),
            (None, Some(_)) => {
                let reason = "string expected where a subject is given, got nil";
                Err(Error::argument("audience", reason))
            }
        }
    }

    fn read(arguments: &dyn Arguments) -> Result<Self, Error> {
        let audience = arguments.optional_text("audience")?;
        Scope::new(audience, arguments.optional_text("subject")?)
    }

    /// The one of three statements that is for this scope, with its parameters after `params`.
    fn select<'a>(
        &'a self,
        [all, audience, subject]: [&'static str; 3],
        mut params: Vec<&'a (dyn ToSql + Sync)>,
    ) -> (&'static str, Vec<&'a (dyn ToSql + Sync)>) {
        match self {
            Scope::All => (all, params),
            Scope::Audience(name) => {
                params.push(name);
                (audience, params)
            }
            Scope::Subject {
                audience: name,
                subject: of,
            } => {
                params.extend([name as &(dyn ToSql + Sync), of]);
                (subject, params)
            }
        }
    }
}
