//! Which sessions `list` and `count` are about.

use crate::Error;
use crate::op::ParamKind::Text;
use crate::op::{Args, Param, text};
use postgres::types::ToSql;

pub(super) const AUDIENCE: Param = {
    let doc = "only sessions saved with this audience (defaults to all)";
    Param::optional("audience", Text, doc)
};
pub(super) const SUBJECT: Param = {
    let doc = "only those saved with this subject (defaults to all)";
    Param::optional("subject", Text, doc)
};

/// Which sessions are meant: all, those with metadata of an audience, or those of a subject in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    audience: Option<String>,
    /// `None` where there is no audience.
    subject: Option<String>,
}

/// cbindgen:ignore
impl Scope {
    /// All sessions of the table.
    pub const ALL: Self = Scope {
        audience: None,
        subject: None,
    };

    /// Those of an audience and a subject, of which the latter or both may be missing.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for a subject without an audience; [`Error::Text`] for a text that PostgreSQL
    /// cannot store.
    pub fn new(audience: Option<String>, subject: Option<String>) -> Result<Self, Error> {
        if audience.is_none() && subject.is_some() {
            let reason = "string expected where a subject is given, got nil";
            return Err(Error::argument("audience", reason));
        }
        let audience = audience.map(|audience| text("audience", audience));
        let subject = subject.map(|subject| text("subject", subject));
        Ok(Scope {
            audience: audience.transpose()?,
            subject: subject.transpose()?,
        })
    }

    pub(super) fn read(args: &Args<'_>) -> Result<Self, Error> {
        let audience = args.optional_text("audience")?;
        Scope::new(audience, args.optional_text("subject")?)
    }

    /// The audience and the subject, where it names them, as parameters of a statement.
    pub(super) fn params(&self) -> impl Iterator<Item = &(dyn ToSql + Sync)> {
        let texts = self.audience.iter().chain(&self.subject);
        texts.map(|text| text as &(dyn ToSql + Sync))
    }

    /// 0, 1 or 2: how many of audience and subject it names.
    pub(super) fn depth(&self) -> usize {
        self.params().count()
    }
}
