//! The tables of a storage, what the catalog says of them as far as statements depend on it, and the
//! statements on them.

use super::marks::End;
use crate::config::{SessionLimit, TableName};
use crate::pool::{Effect, Sql};
use postgres::types::Oid;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The tables of a storage.
#[derive(Debug)]
pub struct Tables {
    /// No others of this process have it, or had it before.
    pub(crate) id: usize,
    sessions: TableName,
    metadata: TableName,
    limit: Option<SessionLimit>,
    ended_ttl: Duration,
    pub(super) known: Known,
    pub(crate) deletions: Deletions,
}

impl Tables {
    pub(crate) fn new(
        sessions: TableName,
        metadata: TableName,
        limit: Option<SessionLimit>,
        ended_ttl: Duration,
    ) -> Self {
        static LAST_ID: AtomicUsize = AtomicUsize::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
        let (known, deletions) = (Known::default(), Deletions::default());
        Tables { id, sessions, metadata, limit, ended_ttl, known, deletions }
    }

    /// The sessions table, quoted.
    pub(crate) fn sessions(&self) -> &TableName {
        &self.sessions
    }

    /// The metadata table, quoted.
    pub(crate) fn metadata(&self) -> &TableName {
        &self.metadata
    }

    /// Both names, quoted, as parameters of statements that ask the catalog.
    pub(crate) fn names(&self) -> [String; 2] {
        [self.sessions.to_string(), self.metadata.to_string()]
    }

    pub(crate) fn schemas(&self) -> Vec<String> {
        let schemas = [self.sessions.schema(), self.metadata.schema()];
        schemas.into_iter().flatten().collect()
    }

    pub(crate) fn limit(&self) -> Option<SessionLimit> {
        self.limit
    }

    /// Whether a session that ends leaves a mark, for a while.
    pub(crate) fn remember_ended(&self) -> bool {
        !self.ended_ttl.is_zero()
    }

    /// A condition: the expiry in the column `exp` is a mark of a session that has ended like that.
    pub(crate) fn is_mark(&self, end: End, exp: &str) -> String {
        let (from, to) = end.range(self.ended_ttl);
        format!("{exp} BETWEEN {from} AND {to}")
    }

    /// The least and the most seconds before now that the expiry of such a mark may be.
    pub(crate) fn mark_age(&self, end: End) -> [i64; 2] {
        end.seconds(self.ended_ttl)
    }

    /// Has the catalog asked anew when a statement depends on it next.
    pub(crate) fn forget_info(&self) {
        self.known.set(None);
    }

    /// The first of the two numbers of these tables' advisory locks. The second is 0 to 15 for saves
    /// with metadata and revocations of an audience, 16 for the clean-up, 17 for `migrate`.
    /// Configurations that name the same tables, with their schema or without, have the same first
    /// number; others rarely do, and then merely wait for each other.
    pub(crate) fn locks(&self) -> i32 {
        // FNV-1a: the number must be the same in every version of this library.
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let name = self.sessions.table().bytes();
        name.fold(0x811c_9dc5, step).cast_signed()
    }

    /// Puts the tables' names, the number of their locks, and what concerns marks into a template, in one
    /// pass: what is put in is not looked into.
    pub(crate) fn fill_in(&self, template: &str) -> String {
        let mut sql = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            sql.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match name {
                "sessions" => sql += &self.sessions.to_string(),
                "metadata" => sql += &self.metadata.to_string(),
                "deleted" => sql += &End::Deleted.mark(),
                "revoked" => sql += &End::Revoked.mark(),
                "is_deleted" => sql += &self.is_mark(End::Deleted, "exp"),
                "is_revoked" => sql += &self.is_mark(End::Revoked, "exp"),
                "deleted_from" => sql += &End::Deleted.range(self.ended_ttl).0,
                "deleted_to" => sql += &End::Deleted.range(self.ended_ttl).1,
                "revoked_from" => sql += &End::Revoked.range(self.ended_ttl).0,
                "revoked_to" => sql += &End::Revoked.range(self.ended_ttl).1,
                _ => sql += &self.locks().to_string(),
            }
            rest = after;
        }
        sql.push_str(rest);
        sql
    }
}

/// What this process remembers of the clean-up of these tables.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    /// How many sessions a statement deletes; 0 if that is not known.
    pub(crate) at_once: AtomicU32,
    /// What a statement takes whatever it deletes, in microseconds.
    pub(crate) fixed_micros: AtomicU64,
    /// Until when it is not looked why they are slow, in seconds since 1970.
    pub(crate) quiet_until: AtomicI64,
}

/// For how long the catalog's answer is used. An owner may change the tables at any time; metadata
/// that is left behind meanwhile is never listed.
const USED_FOR: Duration = Duration::from_secs(5);

/// What the catalog says of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableInfo {
    /// Deleting a session leaves its metadata behind: there is a metadata table, and not all of its
    /// foreign keys to the sessions delete with them.
    pub(crate) leaves_metadata: bool,
    /// There is a metadata table.
    pub(crate) has_metadata: bool,
    /// This is Citus, so the tables may be distributed over several servers.
    pub(crate) distributed: bool,
    /// The sessions are one table, neither a view nor partitioned nor distributed.
    pub(crate) is_plain: bool,
    /// The sessions have a column `created` that is a point in time.
    pub(crate) has_created: bool,
    /// The keys of both tables are in the same order.
    pub(crate) same_order: bool,
    /// An update of a session always writes its row: it is one table without a trigger that could skip it.
    pub(crate) updates_tell: bool,
}

/// The answer that was last read, and until when it is used. A lock that another thread holds is not
/// waited for: a child of a fork would wait for a thread that it does not have.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<(TableInfo, Instant)>>);

impl Known {
    pub(super) fn get(&self) -> Option<TableInfo> {
        let (info, until) = (*self.0.try_lock().ok()?)?;
        (Instant::now() < until).then_some(info)
    }

    pub(super) fn set(&self, info: Option<TableInfo>) {
        if let Ok(mut known) = self.0.try_lock() {
            *known = info.map(|info| (info, Instant::now() + USED_FOR));
        }
    }
}

/// A statement of an operation. Where an argument's type is not exactly that of PostgreSQL's own function
/// or operator, another role's in a schema of the search_path may be called instead. So functions are
/// named with their schema (but for `unnest` of several arrays, which the parser knows), and types are
/// cast for operators: the tables' texts, which may be varchar, to text.
pub(crate) trait Statement {
    /// Tells it from all others: the address of a constant, and which of its variants it is.
    fn id(&self) -> (usize, usize);

    fn sql(&self, tables: &Tables) -> Sql;
}

/// A statement whose text is constant but for `{sessions}` and `{metadata}`, which stand for the
/// tables, `{locks}`, the first number of their advisory locks, and what concerns marks (see `marks`):
/// `{deleted}` and `{revoked}`, the expiry of a new one; `{is_deleted}` and `{is_revoked}`, whether the
/// column `exp` is one; `{deleted_from}`, `{deleted_to}`, `{revoked_from}` and `{revoked_to}`, the range of
/// expiries of those that are remembered.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// Its common table expressions; may be empty.
    pub(crate) with: &'static str,
    /// The statement proper.
    pub(crate) body: &'static str,
    pub(crate) types: &'static [Oid],
    pub(crate) effect: Effect,
}

impl Fixed {
    /// A query without common table expressions.
    pub(crate) const fn reads(body: &'static str, types: &'static [Oid]) -> Self {
        Fixed { with: "", body, types, effect: Effect::Reads }
    }

    /// The same, but it writes, and answers rows.
    pub(crate) const fn answers(body: &'static str, types: &'static [Oid]) -> Self {
        Fixed { effect: Effect::WritesAndAnswers, ..Fixed::reads(body, types) }
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
