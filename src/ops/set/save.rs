//! Saves a batch: the parameters of its statements, and what each of its operations is answered.

use super::Set;
use super::steps::save_in_steps;
use super::upsert::Upsert;
use crate::Error;
use crate::db::{Db, Fault, texts};
use crate::op::{Answers, Epoch};
use postgres::types::ToSql;
use std::collections::HashSet;

/// What belongs to the saves of several sessions, in arrays.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// The keys of sessions that are replaced, of those that replace them, and the expiries that the
    /// former get at the latest, if they get one.
    pub(super) old: Vec<&'a str>,
    pub(super) new: Vec<&'a str>,
    pub(super) at: Vec<Option<Epoch>>,
    /// The keys of those that are deleted.
    pub(super) delete: Vec<&'a str>,
    pub(super) audiences: Vec<&'a str>,
    pub(super) subjects: Vec<&'a str>,
    pub(super) keys: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(sets: &[&'a Set]) -> Self {
        let mut parts = Parts::default();
        // Statements that share rows lock them in the same order.
        let mut sets = sets.to_vec();
        sets.sort_unstable_by_key(|set| set.old.as_ref().map(|(key, _)| key));
        for set in sets {
            let replaced = match &set.old {
                Some((key, at)) => Some((&**key, *at)),
                None => set.replaces_itself.then_some((&*set.key, None)),
            };
            if let Some((key, at)) = replaced {
                parts.old.push(key);
                parts.new.push(&set.key);
                parts.at.push(at);
            }
            if let Some((key, None)) = &set.old {
                parts.delete.push(key);
            }
            for (audience, subject) in &set.metadata {
                parts.audiences.push(audience);
                parts.subjects.push(subject);
                parts.keys.push(&set.key);
            }
        }
        parts
    }
}

/// The parameters of the rows of an upsert.
pub(super) fn rows<'a>(sets: &[&'a Set]) -> Vec<&'a (dyn ToSql + Sync)> {
    let row = |set: &&'a Set| -> [&'a (dyn ToSql + Sync); 4] {
        [&set.key, &set.name, &set.value, &set.expires]
    };
    sets.iter().flat_map(row).collect()
}

pub(super) fn save_one(set: &Set, db: &mut Db<'_>) -> Result<(), Fault> {
    save(&[set], db)?.pop().unwrap_or(Ok(()))
}

/// The same where a transaction has begun.
pub(super) fn save_in_transaction(set: &Set, db: &mut Db<'_>) -> Result<(), Fault> {
    let saved = match db.table_info()?.distributed {
        true => save_in_steps(&[set], db)?.contains(&*set.key),
        false => return save_one(set, db),
    };
    if saved { Ok(()) } else { Err(Fault::answer(Error::Ended)) }
}

/// Saves sessions of different keys. Answers of each whether it was saved, or was refused because it, or
/// the session that it replaces, has ended.
pub(super) fn save(batch: &[&Set], db: &mut Db<'_>) -> Result<Answers<()>, Fault> {
    let mut sets = batch.to_vec();
    // Statements that share rows lock them in the same order.
    sets.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let all = || Ok(batch.iter().map(|_| Ok(())).collect());
    let rows;
    let saved = if db.table_info()?.distributed {
        db.transaction(|db| save_in_steps(&sets, db))?
    } else {
        rows = save_at_once(&sets, db)?;
        if rows.len() == batch.len() || !db.tables().remember_ended() {
            return all();
        }
        texts(&rows)?.into_iter().collect::<HashSet<&str>>()
    };
    let answer = |set: &&Set| match saved.contains(&*set.key) {
        true => Ok(()),
        false => Err(Fault::answer(Error::Ended)),
    };
    Ok(batch.iter().map(answer).collect())
}

/// Saves by one statement. Answers the keys of those that were saved, if any is refused.
fn save_at_once(sets: &[&Set], db: &mut Db<'_>) -> Result<Vec<postgres::Row>, Fault> {
    let parts = Parts::of(sets);
    let info = db.table_info()?;
    let stays = |(_, at): &(_, &Option<Epoch>)| at.is_none() || !info.updates_tell;
    let locked = parts.old.iter().zip(&parts.at).filter(stays);
    let locked: Vec<&str> = locked.map(|(key, _)| *key).collect();
    let upsert = Upsert {
        rows: sets.len(),
        replaces: !parts.old.is_empty(),
        locks: db.tables().remember_ended() && !locked.is_empty(),
        delete: !parts.delete.is_empty(),
        delete_metadata: !parts.delete.is_empty() && info.leaves_metadata,
        metadata: !parts.keys.is_empty(),
        distributed: false,
    };
    let mut params = rows(sets);
    if upsert.metadata {
        params.extend([&parts.audiences as &(dyn ToSql + Sync), &parts.subjects, &parts.keys]);
    }
    if upsert.replaces {
        params.extend([&parts.old as &(dyn ToSql + Sync), &parts.new, &parts.at]);
    }
    if upsert.locks {
        params.push(&locked);
    }
    if upsert.delete {
        params.push(&parts.delete);
    }
    db.query(&upsert, &params)
}
