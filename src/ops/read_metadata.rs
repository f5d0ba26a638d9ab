//! `read_metadata`: the live sessions of a subject.

use crate::Error;
use crate::db::types::{INT, TEXTS, TIME};
use crate::db::{Db, Fault, Fixed, Retry, Tables, column};
use crate::op::ParamKind::Text;
use crate::op::{self, Answers, Args, Epoch, Group, Operation, Param, Spec};

/// Reads the keys and expiries of a subject's sessions.
pub struct ReadMetadata {
    audience: String,
    subject: String,
    now: Epoch,
}

impl ReadMetadata {
    /// The sessions of a subject in an audience that are alive at `now`.
    pub fn new(
        audience: impl Into<String>,
        subject: impl Into<String>,
        now: Epoch,
    ) -> Result<Self, Error> {
        Ok(ReadMetadata {
            audience: op::text("audience", audience)?,
            subject: op::text("subject", subject)?,
            now,
        })
    }
}

/// Each pair is asked for by its place in the batch, by which a caller's rows are found.
const READ: Fixed = Fixed::reads(
    "SELECT asked.n, s.sid, s.exp \
     FROM unnest($1, $2) WITH ORDINALITY AS asked (aud, sub, n) \
     JOIN {metadata} m ON m.aud::text = asked.aud AND m.sub::text = asked.sub \
     JOIN {sessions} s ON s.sid::text = m.sid::text \
     WHERE s.exp >= $3 LIMIT $4",
    &[TEXTS, TEXTS, TIME, INT],
);

/// The most sessions that one answer has, and the statement of a batch: what is longer takes memory, and
/// time of others.
const MOST: (i64, i64) = (100_000, 10_000);

impl Operation for ReadMetadata {
    const SPEC: Spec = Spec {
        name: "read_metadata",
        group: Group::Storage,
        summary: "Read the live sessions of a subject.",
        details: "At most 100,000 of them: where there are more, it fails, and `list` reads them in pages.",
        params: &[
            Param::UNUSED_NAME,
            Param::new("audience", Text, "session audience"),
            Param::new("subject", Text, "session subject"),
            Param::CURRENT_TIME,
        ],
        returns: "`{ [key] = second in which the session expires, since 1970 }`",
    };

    type Answer = Vec<(String, Epoch)>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let audience = args.text("audience")?;
        ReadMetadata::new(audience, args.text("subject")?, args.current_time()?)
    }

    fn bytes(&self) -> usize {
        self.audience.len() + self.subject.len()
    }

    fn batches(&self, _: &Tables) -> bool {
        true
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Self::Answer, Fault> {
        read(&[self], MOST.0, db)?.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<Self::Answer>, Fault> {
        read(batch, MOST.1, db)
    }
}

fn read(
    batch: &[&ReadMetadata],
    most: i64,
    db: &mut Db<'_>,
) -> Result<Answers<Vec<(String, Epoch)>>, Fault> {
    let audiences: Vec<&str> = batch.iter().map(|read| &*read.audience).collect();
    let subjects: Vec<&str> = batch.iter().map(|read| &*read.subject).collect();
    let earliest = batch.iter().map(|read| read.now).min();
    let rows = db.query(&READ, &[&audiences, &subjects, &earliest, &(most + 1)])?;
    if rows.len() as i64 > most {
        let reason =
            format!("the subject has more than {most} sessions: `list` reads them in pages");
        return Err(Fault { retry: Retry::Split, ..Fault::too_large(reason) });
    }
    let mut lists = vec![Vec::new(); batch.len()];
    for row in &rows {
        let place: i64 = column(row, 0)?;
        let (key, expires): (String, Epoch) = (column(row, 1)?, column(row, 2)?);
        let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
        if let (Some(read), Some(list)) = (batch.get(place), lists.get_mut(place))
            && expires >= read.now
        {
            list.push((key, expires));
        }
    }
    Ok(lists.into_iter().map(Ok).collect())
}
