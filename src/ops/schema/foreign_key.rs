//! The foreign key that deletes metadata with its session.

use super::{Change, Relation, Step, catalog};
use crate::db::{Db, Fault, Tables};

/// The statements that make it for a table of metadata that is empty, or that nobody uses meanwhile.
pub(super) fn add(tables: &Tables, distributed: bool) -> [String; 2] {
    let on_update = if distributed { "" } else { catalog::ON_UPDATE };
    let key = format!("{}{on_update}", catalog::FOREIGN_KEY);
    [catalog::DELETE_ORPHANS.to_owned(), key].map(|template| tables.fill_in(&template))
}

/// PostgreSQL cuts longer names (NAMEDATALEN - 1).
const NAME_BYTES: usize = 63;

/// The name that PostgreSQL would give the key, quoted: it is to be validated by its name.
fn name(tables: &Tables) -> String {
    let (table, end) = (tables.metadata().table(), "_sid_fkey");
    let table = &table[..table.floor_char_boundary(NAME_BYTES - end.len())];
    format!("\"{}{end}\"", table.replace('"', "\"\""))
}

/// A foreign key that does not delete with the session forbids its deletion, whatever the others do.
pub(super) fn changes(
    db: &mut Db<'_>,
    ours: Option<Relation>,
    theirs: Relation,
) -> Result<Option<Change>, Fault> {
    let tables = db.tables();
    let [sessions, metadata] = tables.names();
    let keys: Vec<(bool, String, bool)> =
        db.rows(&catalog::FOREIGN_KEYS, &[&sessions, &metadata])?;
    let cascades = keys.iter().any(|(cascades, ..)| *cascades);
    let others = keys.iter().filter(|(cascades, ..)| !cascades);
    let mut repair: Vec<String> =
        others.map(|(_, key, _)| format!("ALTER TABLE {metadata} DROP CONSTRAINT {key}")).collect();
    let validate = |key: &str| {
        let orphans = tables.fill_in(catalog::DELETE_ORPHANS);
        Step::Together(format!("{orphans}; ALTER TABLE {metadata} VALIDATE CONSTRAINT {key}"))
    };
    if cascades && repair.is_empty() {
        let invalid: Vec<Step> = keys
            .iter()
            .filter(|(.., validated)| !validated)
            .map(|(_, key, _)| validate(key))
            .collect();
        let problem = format!(
            "The foreign key of {metadata} to {sessions} is not validated: it may have metadata of \
             sessions that are gone."
        );
        return Ok((!invalid.is_empty()).then(|| Change::new(problem, invalid)));
    }
    let consequence = match repair.is_empty() {
        true => "sessions that other programs delete leave metadata behind",
        false => "other programs cannot delete a session that has metadata",
    };
    let has = match cascades {
        true => format!("has a foreign key to {sessions} that does not delete with the session"),
        false => format!("has no foreign key to {sessions} that deletes with the session"),
    };
    let mut steps = Vec::new();
    if !cascades {
        if ours.is_some_and(|ours| ours.unlogged) && !theirs.unlogged {
            // A foreign key of a logged table may not refer to an unlogged one.
            repair.push(format!("ALTER TABLE {metadata} SET UNLOGGED"));
        }
        let distributed = db.table_info()?.distributed;
        let [orphans, key] = add(tables, distributed);
        if distributed || theirs.partitioned {
            repair.extend([orphans, key]);
        } else {
            // Saves wait for a new foreign key, but not while it is validated.
            let name = name(tables);
            let key = key.replacen("ADD FOREIGN", &format!("ADD CONSTRAINT {name} FOREIGN"), 1);
            repair.push(key + " NOT VALID");
            steps.push(validate(&name));
        }
    }
    steps.insert(0, Step::together(&repair));
    let problem =
        format!("{metadata} {has}: each deletion takes two statements, and {consequence}.");
    Ok(Some(Change::new(problem, steps)))
}
