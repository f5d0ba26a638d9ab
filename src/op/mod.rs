//! What an operation is. Each operation of `crate::ops` implements [`Operation`] in one file; everything
//! else in the library treats operations alike, through [`AnyOperation`] and [`Kind`].

mod answer;
mod args;
mod spec;
mod time;

pub use answer::{Answer, Finding, Outcome, Session, Typed};
#[cfg(feature = "lua-module")]
pub(crate) use args::utf8;
pub use args::{Args, MAX_TEXT_BYTES, Source, Value, key, text};
pub use spec::{Group, Param, ParamKind, Spec};
pub use time::Epoch;

use crate::Error;
use crate::db::{Db, Fault, Tables};
use std::any::{Any, TypeId};
use std::time::Duration;

/// An operation on the storage, with checked arguments.
pub trait Operation: Sized + Send + Sync + 'static {
    /// Its name, its parameters and its documentation.
    const SPEC: Spec;

    /// The longest time that it may wait for a connection, and then again for its answer, if that is
    /// less than the configured timeouts.
    const TIME_LIMIT: Option<Duration> = None;

    /// What it answers.
    type Answer: Typed;

    /// Makes the operation of a caller's arguments, with all checks.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] and [`Error::Text`], which name the parameter.
    fn read(args: &Args<'_>) -> Result<Self, Error>;

    /// The keys of the sessions that it reads or writes: of a set its own and that of the session it
    /// replaces. Operations on a common session keep their order and never share a statement, unless all
    /// of them read.
    fn keys(&self) -> [Option<&str>; 2] {
        [None, None]
    }

    /// Whether it writes the sessions that [`Operation::keys`] names.
    fn writes() -> bool {
        false
    }

    /// About how many bytes its arguments send to the server.
    fn bytes(&self) -> usize {
        self.keys().into_iter().flatten().map(str::len).sum()
    }

    /// Whether it may share a statement with other operations of its kind.
    fn batches(&self, _: &Tables) -> bool {
        false
    }

    /// The largest batch of at most `count` operations that one statement should carry out.
    fn batch_size(count: usize) -> usize {
        count
    }

    /// Carries it out. It may be interrupted at any point and carried out once more.
    ///
    /// # Errors
    ///
    /// A [`Fault`] means that nothing was carried out, or that this is unknown.
    fn run(&self, db: &mut Db<'_>) -> Result<Self::Answer, Fault>;

    /// The same for several operations, where [`Operation::batches`] says yes: an answer for each, in
    /// their order.
    ///
    /// # Errors
    ///
    /// As of [`Operation::run`], for all of them.
    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Vec<Self::Answer>, Fault> {
        batch.iter().map(|operation| operation.run(db)).collect()
    }
}

/// An operation of any type.
pub trait AnyOperation: Any + Send + Sync {
    /// What is true of every operation of its type.
    fn kind(&self) -> &'static Kind;
    /// See [`Operation::keys`].
    fn keys(&self) -> [Option<&str>; 2];
    /// See [`Operation::bytes`].
    fn bytes(&self) -> usize;
    /// See [`Operation::batches`].
    fn batches(&self, tables: &Tables) -> bool;
}

impl<T: Operation> AnyOperation for T {
    fn kind(&self) -> &'static Kind {
        const { &Kind::of::<T>() }
    }

    fn keys(&self) -> [Option<&str>; 2] {
        Operation::keys(self)
    }

    fn bytes(&self) -> usize {
        Operation::bytes(self)
    }

    fn batches(&self, tables: &Tables) -> bool {
        Operation::batches(self, tables)
    }
}

type Read = fn(&Args<'_>) -> Result<Box<dyn AnyOperation>, Error>;
type Run = fn(&[&dyn AnyOperation], &mut Db<'_>) -> Result<Vec<Answer>, Fault>;

/// A type of operations, for code that treats all of them alike.
pub struct Kind {
    /// Tells the type from others.
    pub(crate) id: TypeId,
    /// See [`Operation::SPEC`].
    pub spec: &'static Spec,
    /// Makes an operation of a caller's arguments, with all checks; see [`Operation::read`].
    pub read: Read,
    /// See [`Operation::writes`].
    pub(crate) writes: fn() -> bool,
    /// See [`Operation::batch_size`].
    pub(crate) batch_size: fn(usize) -> usize,
    /// See [`Operation::TIME_LIMIT`].
    pub(crate) time_limit: Option<Duration>,
    /// See [`Operation::run`] and [`Operation::run_batch`]; all operations of the batch are of this kind.
    pub(crate) run: Run,
}

impl Kind {
    /// The kind of a type.
    pub const fn of<T: Operation>() -> Kind {
        Kind {
            id: TypeId::of::<T>(),
            spec: &T::SPEC,
            read: |args| {
                args.check_unused()?;
                Ok(Box::new(T::read(args)?))
            },
            writes: T::writes,
            batch_size: T::batch_size,
            time_limit: T::TIME_LIMIT,
            run: run::<T>,
        }
    }
}

fn run<T: Operation>(batch: &[&dyn AnyOperation], db: &mut Db<'_>) -> Result<Vec<Answer>, Fault> {
    let typed = batch
        .iter()
        .map(|operation| <dyn Any>::downcast_ref(*operation));
    let typed: Option<Vec<&T>> = typed.collect();
    let answers = match typed.as_deref() {
        None => return Err(Fault::defect("a batch of several kinds")),
        Some([one]) => vec![one.run(db)?],
        Some(several) => T::run_batch(several, db)?,
    };
    debug_assert_eq!(answers.len(), batch.len(), "one answer for each operation");
    Ok(answers.into_iter().map(Into::into).collect())
}
