//! From operations to parameters, and from rows to outputs: the statement of each kind.

use super::connection::Connection;
use super::fault::{Fault, causes, undecodable};
use crate::op::{Epoch, Get, Old, Operation, Output, ReadMetadata, Set};
use crate::sql::{SetShape, Shape, Tables};
use postgres::Row;
use postgres::types::{FromSql, ToSql};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// For how long what the catalog said of the tables is believed. Their owner may change them at any
/// time; metadata that is left behind meanwhile is never listed.
const BELIEVED: Duration = Duration::from_secs(5);

/// What the tables do by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Deleting a session leaves its metadata behind: there is a metadata table, but it has no
    /// foreign key that deletes with the session.
    pub(crate) leaves_metadata: bool,
    /// They may be spread over several servers.
    pub(crate) distributed: bool,
}

impl Connection {
    /// Carries out operations of one kind.
    pub(super) fn dispatch(
        &mut self,
        tables: &Arc<Tables>,
        operations: &[&Operation],
    ) -> Result<Vec<Output>, Fault> {
        if let [Operation::Manage(operation)] = operations {
            return Ok(vec![operation.0.run(self, tables)?]);
        }
        let mut sets: Vec<&Set> = Vec::new();
        let mut gets: Vec<&Get> = Vec::new();
        let mut deletes: Vec<&str> = Vec::new();
        let mut reads: Vec<&ReadMetadata> = Vec::new();
        for operation in operations {
            match operation {
                Operation::Set(set) => sets.push(set),
                Operation::Get(get) => gets.push(get),
                Operation::Delete { key } => deletes.push(key),
                Operation::ReadMetadata(read) => reads.push(read),
                Operation::Manage(_) => return Err(undecodable("not alone")),
            }
        }
        let mut outputs = Vec::with_capacity(operations.len());
        if let ([set], Some(limit)) = (&sets[..], tables.limit())
            && !set.metadata.is_empty()
        {
            self.set_limited(tables, set, limit)?;
            outputs.push(Output::Stored);
        } else if !sets.is_empty() {
            self.set(tables, &mut sets)?;
            outputs.resize(operations.len(), Output::Stored);
        } else if !gets.is_empty() {
            outputs.extend(self.get(tables, &gets)?);
        } else if !deletes.is_empty() {
            self.delete(tables, &mut deletes)?;
            outputs.resize(operations.len(), Output::Deleted);
        } else if !reads.is_empty() {
            outputs.extend(self.read_metadata(tables, &reads)?);
        }
        debug_assert_eq!(outputs.len(), operations.len(), "one kind at a time");
        Ok(outputs)
    }

    fn get(&mut self, tables: &Arc<Tables>, gets: &[&Get]) -> Result<Vec<Output>, Fault> {
        let rows = if let [get] = gets {
            self.query(tables, Shape::GetOne, &[&get.key])?
        } else {
            let mut keys: Vec<&str> = gets.iter().map(|get| &*get.key).collect();
            keys.sort_unstable();
            keys.dedup();
            self.query(tables, Shape::GetMany, &[&keys])?
        };
        let mut found: HashMap<&str, (Option<&str>, Epoch)> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let ends: Option<Epoch> = column(row, 2)?;
            // As in SQL, a session without an end is not found by comparing its end.
            if let Some(ends) = ends {
                found.insert(column(row, 0)?, (column(row, 1)?, ends));
            }
        }
        let value = |get: &&Get| {
            let live = found.get(&*get.key).filter(|(_, ends)| *ends >= get.now);
            Output::Value(live.and_then(|(data, _)| data.map(str::to_owned)))
        };
        Ok(gets.iter().map(value).collect())
    }

    pub(super) fn set(&mut self, tables: &Arc<Tables>, sets: &mut [&Set]) -> Result<(), Fault> {
        // Two statements that share rows take them in the same order.
        sets.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let (mut expire, mut expire_at): (Vec<&str>, Vec<Epoch>) = Default::default();
        let mut delete: Vec<&str> = Vec::new();
        let (mut audiences, mut subjects, mut sids): (Vec<&str>, Vec<&str>, Vec<&str>) =
            Default::default();
        let mut params: Params<'_> = Vec::with_capacity(sets.len() * 4 + 6);
        for set in sets.iter() {
            params.extend([
                &set.key as &(dyn ToSql + Sync),
                &set.name,
                &set.value,
                &set.expires,
            ]);
            match &set.old {
                Some(Old::Expire { key, at }) => {
                    expire.push(key);
                    expire_at.push(*at);
                }
                Some(Old::Delete { key }) => delete.push(key),
                None => {}
            }
            for (audience, subject) in &set.metadata {
                audiences.push(audience);
                subjects.push(subject);
                sids.push(&set.key);
            }
        }
        let shape = SetShape {
            rows: sets.len(),
            expire: !expire.is_empty(),
            delete: !delete.is_empty(),
            delete_metadata: !delete.is_empty() && self.leaves_metadata(tables)?,
            metadata: !sids.is_empty(),
        };
        if shape.expire {
            params.extend([&expire as &(dyn ToSql + Sync), &expire_at]);
        }
        if shape.delete {
            params.push(&delete);
        }
        if shape.metadata {
            params.extend([&audiences as &(dyn ToSql + Sync), &subjects, &sids]);
        }
        self.execute(tables, Shape::Set(shape), &params)
    }

    fn delete(&mut self, tables: &Arc<Tables>, keys: &mut [&str]) -> Result<(), Fault> {
        keys.sort_unstable();
        let metadata = self.leaves_metadata(tables)?;
        self.execute(tables, Shape::Delete { metadata }, &[&&*keys])
    }

    fn read_metadata(
        &mut self,
        tables: &Arc<Tables>,
        reads: &[&ReadMetadata],
    ) -> Result<Vec<Output>, Fault> {
        let audiences: Vec<&str> = reads.iter().map(|read| &*read.audience).collect();
        let subjects: Vec<&str> = reads.iter().map(|read| &*read.subject).collect();
        let earliest = reads.iter().map(|read| read.now).min();
        let rows = self.query(
            tables,
            Shape::ReadMetadata,
            &[&audiences, &subjects, &earliest],
        )?;
        let mut lists = vec![Vec::new(); reads.len()];
        for row in &rows {
            let position: i64 = column(row, 0)?;
            let (sid, ends): (String, Epoch) = (column(row, 1)?, column(row, 2)?);
            let asked = usize::try_from(position - 1).unwrap_or(usize::MAX);
            if let (Some(read), Some(list)) = (reads.get(asked), lists.get_mut(asked))
                && ends >= read.now
            {
                list.push((sid, ends));
            }
        }
        Ok(lists.into_iter().map(Output::Metadata).collect())
    }

    /// Whether deleting a session leaves its metadata behind.
    pub(crate) fn leaves_metadata(&mut self, tables: &Arc<Tables>) -> Result<bool, Fault> {
        self.traits(tables).map(|traits| traits.leaves_metadata)
    }

    /// What the tables do by themselves.
    pub(crate) fn traits(&mut self, tables: &Arc<Tables>) -> Result<Traits, Fault> {
        let now = Instant::now();
        if let Some((known, until)) = self.prepared(tables).traits
            && now < until
        {
            return Ok(known);
        }
        let [sessions, metadata] = tables.names();
        let rows = self.query(tables, Shape::Traits, &[&sessions, &metadata])?;
        let traits = rows.first().ok_or_else(|| undecodable("no row"))?;
        let traits = Traits {
            leaves_metadata: column(traits, 0)? && !column::<bool>(traits, 1)?,
            distributed: column(traits, 2)?,
        };
        self.prepared(tables).traits = Some((traits, now + BELIEVED));
        Ok(traits)
    }
}

/// A column of a row.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at)
        .map_err(|error| undecodable(&causes(&error)))
}
