//! `check` and `migrate`: what is wrong or slow about the tables, and the statements that repair it.

mod catalog;
mod check;
mod definition;
mod indexes;
mod migrate;
mod structure;

pub use check::Check;
pub use migrate::Migrate;
