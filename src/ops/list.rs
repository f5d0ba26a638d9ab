//! `list`: live sessions, a page at a time; and which of them `list` and `count` are about.

use crate::Error;
use crate::db::types::{INT, TEXT, TIME};
use crate::db::{Db, Effect, Fault, Sql, Statement, TableInfo, Tables};
use crate::op::ParamKind::{Count, Key, Text};
use crate::op::{self, Args, Epoch, Group, Operation, Param, Session, Spec, text};
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
#[derive(Clone, PartialEq, Eq)]
pub struct Scope {
    audience: Option<String>,
    /// `None` where there is no audience.
    subject: Option<String>,
}

/// cbindgen:ignore
impl Scope {
    /// All sessions of the table.
    pub const ALL: Self = Scope { audience: None, subject: None };

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
        Ok(Scope { audience: audience.transpose()?, subject: subject.transpose()? })
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

/// Lists live sessions in the order of their keys.
pub struct List {
    scope: Scope,
    now: Epoch,
    after: Option<String>,
    limit: u32,
}

/// cbindgen:ignore
impl List {
    /// The most sessions of a page.
    pub const MOST: u32 = 10_000;
    /// A page's size, unless a caller says otherwise.
    pub const PAGE: u32 = 1_000;

    /// The first [`List::PAGE`] sessions of `scope` that are alive at `now`.
    pub fn new(scope: Scope, now: Epoch) -> Self {
        List { scope, now, after: None, limit: List::PAGE }
    }

    /// Only sessions with a greater key: the last key of the page before.
    pub fn after(self, key: impl Into<String>) -> Result<Self, Error> {
        let after = Some(op::key("after_key", key)?);
        Ok(List { after, ..self })
    }

    /// At most so many sessions, from 1 to [`List::MOST`].
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        let limit = limit.clamp(1, List::MOST);
        List { limit, ..self }
    }
}

/// A page, by the number of audience and subject that the scope names. Parameters: now, the last key of
/// the page before, the limit, then audience and subject.
struct Page {
    depth: usize,
    has_created: bool,
    same_order: bool,
}

/// Where a page is found: each begins in an index where the last one ended, for a subject in the
/// metadata's, which has its keys in their order.
const FOUND_IN: [(&str, &str); 3] = [
    ("{sessions} AS s", "s.sid::text > $2"),
    (
        "{sessions} AS s",
        "s.sid::text > $2 AND EXISTS (SELECT FROM {metadata} AS m \
         WHERE m.sid::text = s.sid::text AND m.aud::text = $4)",
    ),
    (
        "(SELECT DISTINCT sid FROM {metadata} WHERE aud::text = $4 AND sub::text = $5 AND sid::text > $2) AS m \
         JOIN {sessions} AS s ON s.sid::text = m.sid::text",
        "m.sid::text > $2",
    ),
];

/// For an audience a page also begins in the metadata's index, if that has the keys in the same order.
const ALSO: &str = " AND m.sid::text > $2)";

impl Statement for Page {
    fn id(&self) -> (usize, usize) {
        let flags = usize::from(self.has_created) * 2 + usize::from(self.same_order);
        (FOUND_IN[self.depth].0.as_ptr() as usize, self.depth * 4 + flags)
    }

    fn sql(&self, tables: &Tables) -> Sql {
        let (from, condition) = FOUND_IN[self.depth];
        let created = match self.has_created {
            true => "s.created",
            false => "NULL::timestamptz",
        };
        let order = match self.depth {
            2 => "m.sid",
            _ => "s.sid",
        };
        let condition = match condition.strip_suffix(')') {
            Some(condition) if self.same_order => condition.to_owned() + ALSO,
            _ => condition.to_owned(),
        };
        let body = format!(
            "SELECT s.sid, s.name, s.exp, {created} FROM {from} \
             WHERE s.exp >= $1 AND {condition} ORDER BY {order} LIMIT $3"
        );
        let all = [TIME, TEXT, INT, TEXT, TEXT];
        Sql {
            with: String::new(),
            body: tables.fill_in(&body),
            types: all[..3 + self.depth].to_vec(),
            effect: Effect::Reads,
        }
    }
}

impl Operation for List {
    const SPEC: Spec = Spec {
        name: "list",
        group: Group::Administration,
        summary: "List live sessions, a page at a time, in the order of their keys.",
        details: "The next page begins after the last key of this one.",
        params: &[
            Param::UNUSED_NAME,
            AUDIENCE,
            SUBJECT,
            Param::CURRENT_TIME,
            Param::optional("after_key", Key, "only sessions whose key is greater"),
            Param::optional("limit", Count, "sessions at most, up to 10000 (defaults to 1000)"),
        ],
        returns: "array of `{ key = …, name = …, expires = … }`, with `created` where the sessions \
                  table has a column of that name and the type timestamptz; times in seconds since \
                  1970",
    };

    const LONG: bool = true;

    type Answer = Vec<Session>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let limit = args.optional_count("limit", List::MOST)?;
        let list = List::new(Scope::read(args)?, args.current_time()?);
        let list = list.limit(limit.unwrap_or(List::PAGE));
        match args.optional_text("after_key")? {
            Some(key) => list.after(key),
            None => Ok(list),
        }
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Vec<Session>, Fault> {
        let TableInfo { has_created, same_order, .. } = db.table_info()?;
        let page = Page { depth: self.scope.depth(), has_created, same_order };
        // No key is empty, so all come after that.
        let (after, limit) = (self.after.as_deref().unwrap_or(""), i64::from(self.limit));
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.now, &after, &limit];
        params.extend(self.scope.params());
        let rows: Vec<(String, Option<String>, Epoch, _)> = db.rows(&page, &params)?;
        let session = |(key, name, expires, created)| Session {
            key,
            name: Option::unwrap_or_default(name),
            expires,
            created,
        };
        Ok(rows.into_iter().map(session).collect())
    }
}
