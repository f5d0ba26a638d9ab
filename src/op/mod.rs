//! What an operation is, and how it describes itself. Each operation of `crate::ops` implements
//! [`Operation`] in one file; everything else in the library treats operations alike, through
//! [`AnyOperation`], [`Kind`] and [`Spec`].

mod answer;
mod args;
mod time;

pub use answer::{Answer, Finding, Outcome, Session, Typed};
#[cfg(any(feature = "lua-module", feature = "capi"))]
pub(crate) use args::utf8;
pub use args::{Args, MAX_TEXT_BYTES, Source, Value, key, text};
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

    /// Whether it writes the sessions that [`Operation::keys`] names.
    const WRITES: bool = false;

    /// Whether it may take long. Such operations do not wait in the queue of the others and have a part of
    /// the threads, so that the others never wait for them. Their order among others is not kept, so they
    /// have no [`Operation::keys`].
    const LONG: bool = false;

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
    /// A fault means that nothing was carried out, or that this is unknown.
    fn run(&self, db: &mut Db<'_>) -> Result<Self::Answer, Fault>;

    /// The same for several operations, where [`Operation::batches`] says yes: an answer for each, in
    /// their order, or a fault of its own.
    ///
    /// # Errors
    ///
    /// As of [`Operation::run`], for all of them.
    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<Self::Answer>, Fault> {
        Ok(batch.iter().map(|operation| operation.run(db)).collect())
    }
}

/// An answer for each operation of a batch, or its fault.
pub type Answers<A> = Vec<Result<A, Fault>>;

/// An operation's description, which the Lua methods, the C requests, the command line, the statistics and
/// the generated reference read.
#[derive(Debug)]
pub struct Spec {
    /// Its name: a method's in Lua, a request's in C, a command's on the command line (with dashes).
    pub name: &'static str,
    /// Where the reference lists it.
    pub group: Group,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What else a caller should know; paragraphs are separated by an empty line.
    pub details: &'static str,
    /// Its parameters, in the order of the Lua method's arguments.
    pub params: &'static [Param],
    /// What it answers.
    pub returns: &'static str,
}

/// A part of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What `resty.session` calls. Further arguments are ignored, as upstream ignores them.
    Storage,
    /// What the people who run a site call. An argument too many is refused.
    Administration,
}

/// A parameter.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it means, with its unit and its default.
    pub doc: &'static str,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// A text that PostgreSQL can store.
    Text,
    /// A session's key: a text that is not empty.
    Key,
    /// A number of seconds, possibly fractional.
    Seconds,
    /// Seconds since 1970, possibly fractional; now where it is left out.
    Time,
    /// A whole number from 1 on.
    Count,
    /// A boolean; false where it is left out.
    Flag,
    /// Pairs of an audience and a subject.
    Pairs,
    /// A text that is accepted for upstream's callers and not used.
    Unused,
}

/// cbindgen:ignore
impl Param {
    /// The key of the session that the operation is about.
    pub const KEY: Self = Param::new("key", ParamKind::Key, "session key");

    /// For how long a session lives.
    pub const TTL: Self = {
        let doc = "seconds from `current_time` until the session expires";
        Param::new("ttl", ParamKind::Seconds, doc)
    };

    /// The clock of the caller.
    pub const CURRENT_TIME: Self = {
        let doc = "seconds since 1970 (defaults to now)";
        Param::optional("current_time", ParamKind::Time, doc)
    };

    /// The cookie's name, where it is not used: keys are unique without it.
    pub const UNUSED_NAME: Self =
        Param::optional("name", ParamKind::Unused, "cookie name; not used");

    /// A parameter that must be given.
    pub const fn new(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        Param { name, kind, optional: false, doc }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        let mut param = Param::new(name, kind, doc);
        param.optional = true;
        param
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
type Run = fn(&[&dyn AnyOperation], &mut Db<'_>) -> Result<Answers<Answer>, Fault>;

/// A type of operations, for code that treats all of them alike.
pub struct Kind {
    /// Tells the type from others.
    pub(crate) id: TypeId,
    /// See [`Operation::SPEC`].
    pub spec: &'static Spec,
    /// Makes an operation of a caller's arguments, with all checks; see [`Operation::read`].
    pub read: Read,
    /// See [`Operation::WRITES`].
    pub(crate) writes: bool,
    /// See [`Operation::LONG`].
    pub(crate) long: bool,
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
            writes: T::WRITES,
            long: T::LONG,
            batch_size: T::batch_size,
            time_limit: T::TIME_LIMIT,
            run: run::<T>,
        }
    }
}

fn run<T: Operation>(
    batch: &[&dyn AnyOperation],
    db: &mut Db<'_>,
) -> Result<Answers<Answer>, Fault> {
    let typed = batch.iter().map(|operation| <dyn Any>::downcast_ref(*operation));
    let typed: Option<Vec<&T>> = typed.collect();
    let answers = match typed.as_deref() {
        None => return Err(Fault::defect("a batch of several kinds")),
        Some([one]) => vec![Ok(one.run(db)?)],
        Some(several) => T::run_batch(several, db)?,
    };
    debug_assert_eq!(answers.len(), batch.len(), "one answer for each operation");
    Ok(answers.into_iter().map(|answer| answer.map(Into::into)).collect())
}
