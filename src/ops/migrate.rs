//! `migrate`: creates the tables, or changes older ones into what they should be.

use super::schema::{Change, Step, changes};
use crate::Error;
use crate::db::{Db, Fault, Fixed, Verdict};
use crate::op::ParamKind::Flag;
use crate::op::{Args, Finding, Group, Operation, Param, Spec};
use postgres::error::SqlState;
use std::thread;
use std::time::Duration;

/// Creates missing tables, and repairs what [`super::Check`] finds about their structure.
#[derive(Default)]
pub struct Migrate {
    unlogged: bool,
    dry_run: bool,
    progress: Option<Progress>,
}

/// Is called with each step before it is tried.
type Progress = Box<dyn Fn(&Finding) + Send + Sync>;

impl Migrate {
    /// Where both tables are missing, new ones are unlogged: faster, and empty after a crash of the
    /// server. Where there is one of them it stays as it is, and the other one becomes like it.
    #[must_use]
    pub fn unlogged(self) -> Self {
        Migrate { unlogged: true, ..self }
    }

    /// Changes nothing: answers the changes that would be made.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Migrate { dry_run: true, ..self }
    }

    /// Has `progress` called with each step before it is tried. It is called on the thread that runs the
    /// operation, and must not block.
    #[must_use]
    pub fn on_progress(self, progress: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        Migrate { progress: Some(Box::new(progress)), ..self }
    }
}

/// Before steps that met a lock are tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// The second number of the advisory lock of these tables, see [`crate::db::Tables::locks`].
const LOCK_NUMBER: i32 = 17;

/// Waits until no other `migrate` is under way, and holds others up until the transaction ends.
const LOCK: Fixed = Fixed::reads("SELECT pg_catalog.pg_advisory_xact_lock({locks}, 17)", &[]);

impl Operation for Migrate {
    const SPEC: Spec = Spec {
        name: "migrate",
        group: Group::Administration,
        summary: "Create the tables, or change older ones into what they should be.",
        details: "It repairs what `check` finds about their structure, each step by itself, and \
                  changes nothing where nothing is to be done. A step that fails keeps none of the \
                  others from being made; the error then says what is left. Several may run at the \
                  same time: each waits for the one before.\n\n\
                  Saves do not wait while an index is made or a foreign key is validated. They wait for \
                  a unique index, where it is missing, and while the type of a column changes.",
        params: &[
            Param::optional(
                "unlogged",
                Flag,
                "true creates unlogged tables: faster, and empty after a crash of the server",
            ),
            Param::optional("dry_run", Flag, "true changes nothing"),
        ],
        returns: "array of the changes that were made, or with `dry_run` are to be made: \
                  `{ problem = …, repair = … }`, as of `check`; empty where nothing was to be done",
    };

    const LONG: bool = true;

    type Answer = Vec<Finding>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let (unlogged, dry_run) = (args.flag("unlogged")?, args.flag("dry_run")?);
        Ok(Migrate { unlogged, dry_run, progress: None })
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
        db.tables().forget_info();
        if self.dry_run {
            return Ok(changes(db, self.unlogged)?.iter().map(Change::finding).collect());
        }
        let (unlogged, progress) = (self.unlogged, self.progress.as_deref());
        let mut run = Run { unlogged, progress, made: Vec::new(), failed: Vec::new() };
        while run.next(db)? {}
        run.outcome()
    }
}

/// The steps that have been tried, each as a finding whose repair it is.
struct Run<'a> {
    unlogged: bool,
    progress: Option<&'a (dyn Fn(&Finding) + Send + Sync)>,
    made: Vec<Finding>,
    failed: Vec<(Finding, Fault)>,
}

impl Run<'_> {
    /// Tries the next step. Each is looked for anew, since another process may have changed the tables.
    /// Returns whether there may be more.
    fn next(&mut self, db: &mut Db<'_>) -> Result<bool, Fault> {
        let mut tried = None;
        let mut alone = false;
        let mut result = db.transaction(|db| {
            db.execute(&LOCK, &[])?;
            match self.find(db)? {
                Some((finding, Step::Together(sql))) => {
                    self.begin(&finding);
                    tried = Some(finding);
                    db.batch(&sql)
                }
                found => {
                    alone = found.is_some();
                    Ok(())
                }
            }
        });
        if alone && result.is_ok() {
            result = db.outside_transactions(LOCK_NUMBER, |db| match self.find(db)? {
                Some((finding, Step::Alone(sql))) => {
                    self.begin(&finding);
                    tried = Some(finding);
                    db.batch(&sql)
                }
                _ => Ok(()),
            });
        }
        db.tables().forget_info();
        match (tried, result) {
            (Some(finding), Ok(())) => self.made.push(finding),
            (Some(finding), Err(fault)) if fault.connection == Verdict::Usable => {
                self.failed.push((finding, fault));
            }
            (None, Ok(())) if !alone => return Ok(self.may_try_again(db)),
            (None, Err(fault)) if fault.is_lock() && self.has_begun() && pause(db) => {}
            (_, result) => result?,
        }
        Ok(true)
    }

    fn begin(&self, step: &Finding) {
        if let Some(progress) = self.progress {
            progress(step);
        }
    }

    fn has_begun(&self) -> bool {
        !self.made.is_empty() || !self.failed.is_empty()
    }

    /// Has the steps tried again that met a lock, if there are any and there is time.
    fn may_try_again(&mut self, db: &Db<'_>) -> bool {
        let again = self.failed.iter().any(|(_, fault)| fault.is_lock()) && pause(db);
        if again {
            self.failed.retain(|(_, fault)| !fault.is_lock());
        }
        again
    }

    /// The first step that was not tried, of a change of which none has failed.
    fn find(&self, db: &mut Db<'_>) -> Result<Option<(Finding, Step)>, Fault> {
        db.tables().forget_info();
        let is = |step: &Step, tried: &Finding| tried.repair.as_deref() == Some(step.sql());
        for change in changes(db, self.unlogged)? {
            let Finding { problem, advice, .. } = change.finding();
            let has_failed = |step: &Step| self.failed.iter().any(|(tried, _)| is(step, tried));
            let was_made = |step: &Step| self.made.iter().any(|tried| is(step, tried));
            if !change.steps.iter().any(has_failed)
                && let Some(step) = change.steps.into_iter().find(|step| !was_made(step))
            {
                let repair = Some(step.sql().to_owned());
                return Ok(Some((Finding { problem, repair, advice }, step)));
            }
        }
        Ok(None)
    }

    /// What was made, or an error that says what is left.
    fn outcome(self) -> Result<Vec<Finding>, Fault> {
        let Some((_, first)) = self.failed.first() else {
            return Ok(self.made);
        };
        let code = match &first.error {
            Error::Database { code, .. } => code.clone(),
            _ => SqlState::LOCK_NOT_AVAILABLE.code().into(),
        };
        let left: Vec<String> = self
            .failed
            .iter()
            .map(|(finding, fault)| format!("{} It fails: {}", finding.problem, fault.error))
            .collect();
        let (made, left, count) = (self.made.len(), left.join("; "), self.failed.len());
        let message = format!("changes made: {made}, left: {count}. {left}").into();
        Err(Fault::answer(Error::Database { code, message }))
    }
}

/// Waits before what met a lock is tried again; false where there is no time for that.
fn pause(db: &Db<'_>) -> bool {
    let has_time = db.time_left() > PAUSE;
    if has_time {
        thread::sleep(PAUSE);
    }
    has_time
}
