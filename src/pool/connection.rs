//! One connection: statements prepared once and kept with it, each run under a deadline, and what
//! a failure means for those who waited for the statement.

use super::deadline::Deadline;
use crate::op::{Epoch, Get, Old, Operation, Output, ReadMetadata, Set};
use crate::sql::{SetShape, Shape, Tables};
use postgres::error::{Severity, SqlState};
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a statement failed.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection broke; whether the statement was carried out is unknown.
    Lost(Arc<str>),
    /// No answer came in time; likewise.
    Expired,
    /// The connection works, but no longer knows a prepared statement as it was.
    Stale {
        /// The SQLSTATE.
        code: Arc<str>,
        /// The server's primary message.
        message: Arc<str>,
    },
    /// Another transaction was in the way; nothing was carried out.
    Locked(Arc<str>),
    /// The server rejected the statement; nothing was carried out.
    Rejected {
        /// The SQLSTATE.
        code: Arc<str>,
        /// The server's primary message.
        message: Arc<str>,
    },
}

/// A connection to a server.
pub(crate) struct Connection {
    client: Client,
    deadline: Arc<Deadline>,
    bounded: bool,
    /// By the tables' address; tables are interned and live as long as the process.
    tables: HashMap<usize, PreparedTables>,
    broken: bool,
}

#[derive(Default)]
struct PreparedTables {
    statements: HashMap<Shape, Statement>,
    /// Whether deleting a session leaves its metadata behind, and until when that is believed.
    leaves_metadata: Option<(bool, Instant)>,
}

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(100);

/// For how long what the catalog said of the tables is believed. Their owner may change them at any
/// time; metadata that is left behind meanwhile is never listed.
const BELIEVED: Duration = Duration::from_secs(5);

impl Drop for Connection {
    fn drop(&mut self) {
        // The client sends Terminate and waits for the server when it is dropped.
        self.deadline.set(Instant::now() + GOODBYE);
    }
}

impl Connection {
    pub(crate) fn new(client: Client, deadline: Arc<Deadline>, bounded: bool) -> Self {
        Connection {
            client,
            deadline,
            bounded,
            tables: HashMap::new(),
            broken: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    /// Whether its socket keeps the deadline (see [`super::deadline`]).
    pub(crate) fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// Sees to it that nobody uses this connection again.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Carries out operations of one kind on one pair of tables, in one statement. The outputs are
    /// in the order of the operations.
    pub(crate) fn run(
        &mut self,
        tables: &Arc<Tables>,
        operations: &[&Operation],
        until: Instant,
    ) -> Result<Vec<Output>, Fault> {
        self.deadline.set(until);
        let result = self.dispatch(tables, operations);
        if let Err(Fault::Lost(_) | Fault::Expired | Fault::Stale { .. }) = result {
            self.broken = true;
        }
        result
    }

    fn dispatch(
        &mut self,
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
            }
        }
        let mut outputs = Vec::with_capacity(operations.len());
        if !sets.is_empty() {
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

    fn set(&mut self, tables: &Arc<Tables>, sets: &mut [&Set]) -> Result<(), Fault> {
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

    /// Whether deleting a session leaves its metadata behind: there is a metadata table, but it has
    /// no foreign key that deletes with the session.
    fn leaves_metadata(&mut self, tables: &Arc<Tables>) -> Result<bool, Fault> {
        let now = Instant::now();
        if let Some((known, until)) = self.prepared(tables).leaves_metadata
            && now < until
        {
            return Ok(known);
        }
        let [sessions, metadata] = tables.names();
        let rows = self.query(tables, Shape::Traits, &[&sessions, &metadata])?;
        let traits = rows.first().ok_or_else(|| undecodable("no row"))?;
        let leaves = column(traits, 0)? && !column::<bool>(traits, 1)?;
        self.prepared(tables).leaves_metadata = Some((leaves, now + BELIEVED));
        Ok(leaves)
    }

    fn query(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(tables, shape)?;
        let result = self.client.query(&statement, params);
        result.map_err(|error| self.fault(&error))
    }

    fn execute(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Fault> {
        let statement = self.prepare(tables, shape)?;
        let result = self.client.execute(&statement, params);
        result.map(drop).map_err(|error| self.fault(&error))
    }

    fn prepared(&mut self, tables: &Arc<Tables>) -> &mut PreparedTables {
        self.tables.entry(Arc::as_ptr(tables) as usize).or_default()
    }

    fn prepare(&mut self, tables: &Arc<Tables>, shape: Shape) -> Result<Statement, Fault> {
        if let Some(statement) = self.prepared(tables).statements.get(&shape) {
            return Ok(statement.clone());
        }
        let prepared = self.client.prepare(&tables.sql(shape));
        let statement = prepared.map_err(|error| self.fault(&error))?;
        self.prepared(tables)
            .statements
            .insert(shape, statement.clone());
        Ok(statement)
    }

    fn fault(&self, error: &postgres::Error) -> Fault {
        if self.deadline.has_passed() {
            return Fault::Expired;
        }
        match error.as_db_error() {
            Some(answer) => classify(answer),
            None if self.client.is_closed() => Fault::Lost(causes(error).into()),
            None => undecodable(&causes(error)),
        }
    }
}

/// What the server's answer means.
fn classify(answer: &postgres::error::DbError) -> Fault {
    let code = answer.code();
    let message: Arc<str> = answer.message().into();
    // The server says goodbye (57P01 to 57P05 and the like), or reports a connection's failure.
    let parting = matches!(
        answer.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    if parting || code.code().starts_with("08") {
        return Fault::Lost(message);
    }
    let stale = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
        // "cached plan must not change result type": a column was altered.
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    let locked = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    let (state, code) = (code, Arc::from(code.code()));
    if stale.contains(state) {
        Fault::Stale { code, message }
    } else if locked.contains(state) {
        Fault::Locked(message)
    } else if *state == SqlState::QUERY_CANCELED {
        // statement_timeout, which is as long as our own limit.
        Fault::Expired
    } else {
        Fault::Rejected { code, message }
    }
}

fn column<'a, T: postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at)
        .map_err(|error| undecodable(&causes(&error)))
}

/// The tables are not as documented, e.g. another type of column.
fn undecodable(reason: &str) -> Fault {
    Fault::Rejected {
        code: SqlState::DATATYPE_MISMATCH.code().into(),
        message: reason.into(),
    }
}

/// The error with what caused it.
fn causes(error: &postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
