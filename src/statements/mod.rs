//! What operations say to the server: from operations of one kind to the parameters of their statement,
//! and from its rows to their outputs. Those of `crate::manage` see to that by themselves.

mod limit;

use crate::op::{Epoch, Get, Old, Operation, Output, ReadMetadata, Set};
use crate::pool::{Connection, Fault, column};
use crate::sql::{SetShape, Shape, Tables};
use postgres::types::ToSql;
use std::collections::HashMap;
use std::sync::Arc;

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Carries out operations of one kind on one pair of tables. The outputs are in the order of the
/// operations.
pub(crate) fn run(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    operations: &[&Operation],
) -> Result<Vec<Output>, Fault> {
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
            Operation::Manage(operation) => {
                return Ok(vec![operation.0.run(connection, tables)?]);
            }
        }
    }
    let all = |output: Output| vec![output; operations.len()];
    let outputs = if let ([set], Some(limit)) = (&sets[..], tables.limit())
        && !set.metadata.is_empty()
    {
        limit::set(connection, tables, set, limit)?;
        all(Output::Stored)
    } else if !sets.is_empty() {
        set(connection, tables, &mut sets)?;
        all(Output::Stored)
    } else if !gets.is_empty() {
        get(connection, tables, &gets)?
    } else if !deletes.is_empty() {
        delete(connection, tables, &mut deletes)?;
        all(Output::Deleted)
    } else {
        read_metadata(connection, tables, &reads)?
    };
    debug_assert_eq!(outputs.len(), operations.len(), "one kind at a time");
    Ok(outputs)
}

fn get(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    gets: &[&Get],
) -> Result<Vec<Output>, Fault> {
    let rows = if let [get] = gets {
        connection.query(tables, Shape::GetOne, &[&get.key])?
    } else {
        let mut keys: Vec<&str> = gets.iter().map(|get| &*get.key).collect();
        keys.sort_unstable();
        keys.dedup();
        connection.query(tables, Shape::GetMany, &[&keys])?
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

fn set(connection: &mut Connection, tables: &Arc<Tables>, sets: &mut [&Set]) -> Result<(), Fault> {
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
        delete_metadata: !delete.is_empty() && connection.leaves_metadata(tables)?,
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
    connection.execute(tables, Shape::Set(shape), &params)
}

fn delete(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    keys: &mut [&str],
) -> Result<(), Fault> {
    keys.sort_unstable();
    let metadata = connection.leaves_metadata(tables)?;
    connection.execute(tables, Shape::Delete { metadata }, &[&&*keys])
}

fn read_metadata(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    reads: &[&ReadMetadata],
) -> Result<Vec<Output>, Fault> {
    let audiences: Vec<&str> = reads.iter().map(|read| &*read.audience).collect();
    let subjects: Vec<&str> = reads.iter().map(|read| &*read.subject).collect();
    let earliest = reads.iter().map(|read| read.now).min();
    let rows = connection.query(
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
