//! `touch`: gives a session another end, without its data.

use super::{Alone, Described};
use crate::op::{Epoch, Output};
use crate::pool::{Connection, Fault};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

/// Lets a live session end at another time. Answers whether there is one.
#[derive(Debug, Clone)]
pub struct Touch {
    /// The session's key.
    pub key: String,
    /// A session that ended before stays as it is.
    pub now: Epoch,
    /// When the session ends from now on.
    pub expires: Epoch,
}

pub(super) const DESCRIBED: Described = Described {
    name: "touch",
    parameters: &["name", "key", "ttl", "current_time"],
    read: |arguments| {
        arguments.unused_name()?;
        let now = arguments.optional_number("current_time")?;
        let now = now.unwrap_or_else(|| Epoch::now().seconds() as f64);
        let touch = Touch {
            key: arguments.key("key")?,
            now: Epoch::from_seconds("current_time", now)?,
            expires: Epoch::from_seconds("ttl", now + arguments.seconds("ttl")?)?,
        };
        Ok(touch.into())
    },
};

impl Alone for Touch {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        let params: &[&(dyn postgres::types::ToSql + Sync)] =
            &[&self.key, &self.now, &self.expires];
        let rows = connection.query(tables, Shape::Other(sql::TOUCH), params)?;
        Ok(Output::Touched(!rows.is_empty()))
    }

    fn key(&self) -> Option<&str> {
        Some(&self.key)
    }
}
