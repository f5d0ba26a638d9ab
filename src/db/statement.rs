//! Statements of operations: a constant text in which the tables' names are put, or a text that is made
//! by size and parts.

use super::tables::Tables;
use crate::pool::{Effect, ParamType, Sql};

/// The types of parameters, as statements name them.
pub(crate) mod types {
    use super::ParamType;

    pub(crate) const TEXT: ParamType = ParamType::Text;
    pub(crate) const TEXTS: ParamType = ParamType::Texts;
    pub(crate) const TIME: ParamType = ParamType::Time;
    pub(crate) const TIMES: ParamType = ParamType::Times;
    pub(crate) const INT: ParamType = ParamType::Int;
}

/// A statement of an operation. Where an argument's type is not exactly that of PostgreSQL's own function
/// or operator, another role's in a schema of the search_path may be called instead. So functions are
/// named with their schema (but for `unnest` of several arrays, which the parser knows), and types are
/// cast for operators: the tables' texts, which may be varchar, to text.
pub(crate) trait Statement {
    /// Tells it from all others: the address of a constant, and which of its variants it is.
    fn id(&self) -> (usize, usize);

    /// The statement for these tables.
    fn sql(&self, tables: &Tables) -> Sql;
}

/// A statement whose text is constant but for `{sessions}` and `{metadata}`, which stand for the
/// tables, and `{locks}`, the first number of their advisory locks.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// Its common table expressions; may be empty.
    pub(crate) with: &'static str,
    /// The statement proper.
    pub(crate) body: &'static str,
    /// The types of its parameters.
    pub(crate) types: &'static [ParamType],
    /// What it does.
    pub(crate) effect: Effect,
}

impl Fixed {
    /// A query without common table expressions.
    pub(crate) const fn reads(body: &'static str, types: &'static [ParamType]) -> Self {
        Fixed {
            with: "",
            body,
            types,
            effect: Effect::Reads,
        }
    }
}

impl Statement for Fixed {
    fn id(&self) -> (usize, usize) {
        // Two statements may share one of the texts, but not both.
        (self.body.as_ptr() as usize, self.with.as_ptr() as usize)
    }

    fn sql(&self, tables: &Tables) -> Sql {
        Sql {
            with: tables.fill_in(self.with),
            body: tables.fill_in(self.body),
            types: self.types.to_vec(),
            effect: self.effect,
        }
    }
}
