//! Which sessions `list` and `count` are about.

use crate::Error;
use crate::op::Args;
use postgres::types::ToSql;

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

    pub(super) fn read(args: &Args<'_>) -> Result<Self, Error> {
        let audience = args.optional_text("audience")?;
        Scope::new(audience, args.optional_text("subject")?)
    }

    /// 0, 1 or 2: how many of audience and subject it names.
    pub(super) fn depth(&self) -> usize {
        match self {
            Scope::All => 0,
            Scope::Audience(_) => 1,
            Scope::Subject { .. } => 2,
        }
    }

    /// Adds the audience and the subject, where it names them, to the parameters of a statement.
    pub(super) fn add_to<'a>(&'a self, params: &mut Vec<&'a (dyn ToSql + Sync)>) {
        match self {
            Scope::All => {}
            Scope::Audience(audience) => params.push(audience),
            Scope::Subject { audience, subject } => {
                params.extend([audience as &(dyn ToSql + Sync), subject]);
            }
        }
    }
}
