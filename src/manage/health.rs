//! `health`: whether the table can be read now.

use super::{Alone, Described};
use crate::op::Output;
use crate::pool::{Connection, Fault};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

/// Reads a row, if there is one: for readiness probes. It waits a second at most for a connection,
/// and another one for the answer.
#[derive(Debug, Clone, Default)]
pub struct Health {}

pub(super) const DESCRIBED: Described = Described {
    name: "health",
    parameters: &[],
    read: |_| Ok(Health::default().into()),
};

impl Alone for Health {
    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        connection.query(tables, Shape::Other(sql::HEALTH), &[])?;
        Ok(Output::Touched(true))
    }

    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn is_urgent(&self) -> bool {
        true
    }
}
