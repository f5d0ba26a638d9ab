//! The operations, a file each: parameters and their checks, the sessions that it touches, how it
//! batches, its SQL, its answer and its documentation. [`KINDS`] lists them; the Lua methods, the C
//! requests, the command line, the statistics and the generated reference read that table.
//!
//! Constructors fail with [`Error::Text`](crate::Error::Text), which names the parameter, for a text that
//! PostgreSQL cannot store and for an empty key.

mod check;
mod cleanup;
mod count;
mod delete;
mod end;
mod end_given_up;
mod get;
mod health;
mod list;
mod migrate;
mod read_metadata;
mod revoke;
mod schema;
mod set;
mod state;
mod touch;

pub use check::Check;
pub use cleanup::Cleanup;
pub(crate) use cleanup::{Sweep, SweepPace};
pub use count::Count;
pub use delete::Delete;
pub(crate) use end_given_up::EndGivenUp;
pub use get::Get;
pub use health::Health;
pub use list::{List, Scope};
pub use migrate::Migrate;
pub use read_metadata::ReadMetadata;
pub use revoke::{Revoke, RevokeAudience};
pub use set::Set;
pub use state::State;
pub use touch::Touch;

use crate::op::Kind;

/// Every operation that callers may ask for.
pub static KINDS: &[Kind] = &[
    Kind::of::<Set>(),
    Kind::of::<Get>(),
    Kind::of::<Delete>(),
    Kind::of::<ReadMetadata>(),
    Kind::of::<Touch>(),
    Kind::of::<State>(),
    Kind::of::<Revoke>(),
    Kind::of::<RevokeAudience>(),
    Kind::of::<List>(),
    Kind::of::<Count>(),
    Kind::of::<Cleanup>(),
    Kind::of::<Migrate>(),
    Kind::of::<Check>(),
    Kind::of::<Health>(),
];

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.spec.name == name)
}
