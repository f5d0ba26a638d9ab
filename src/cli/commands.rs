//! The commands and their options, made from the library's table of operations, and the options that were
//! given, as an operation's arguments.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use resty_session_postgres::op::{Answer, Args, Kind, Param, ParamKind, Source, Spec, Value};
use resty_session_postgres::ops::KINDS;
use resty_session_postgres::{Error, Storage};

/// A name as the command line writes it. It lives as long as the process, as clap's names do.
fn dashed(name: &str) -> &'static str {
    name.replace('_', "-").leak()
}

/// A text of the reference as plain text.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

pub fn command() -> Command {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("resty-session-postgres")
        .version(resty_session_postgres::VERSION)
        .about("Looks after the tables of resty.session.postgres")
        .after_help(
            "What --dsn leaves open is read from PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, \
             PGSSLROOTCERT and libpq's other variables. Other users of the machine can see a \
             password on a command line, but not in PGPASSWORD, PGPASSFILE or ~/.pgpass.\n\nExit \
             codes: 0 success, 1 failure, 2 wrong usage, 3 check found something, or there is no \
             such session.",
        )
        .subcommand_required(true)
        .args([
            option("dsn", "postgres://user@host/database, or host=… dbname=…").global(true),
            option("table", "Sessions table, also schema.table").global(true),
            option("table-meta", "Metadata table, also schema.table").global(true),
            option("timeout", "Seconds that a statement may take")
                .global(true)
                .default_value("3600")
                .value_parser(value_parser!(u32).range(1..=86_400)),
            option("json", "Print JSON").action(ArgAction::SetTrue).global(true),
        ])
        .subcommands(KINDS.iter().map(|kind| subcommand(kind.spec)))
}

fn subcommand(spec: &'static Spec) -> Command {
    let used = spec.params.iter();
    let used = used.filter(|param| param.kind != ParamKind::Unused);
    let mut command = Command::new(dashed(spec.name))
        .about(plain(spec.summary))
        .long_about(plain(format!("{}\n\n{}", spec.summary, spec.details).trim_end()))
        .args(used.map(argument));
    let switch =
        |name, help| Arg::new(name).long(dashed(name)).action(ArgAction::SetTrue).help(help);
    if matches!(spec.name, "revoke" | "revoke_audience" | "list" | "count") {
        let help = "Audience and subject are the bytes that were saved. Without it they are also looked \
                    for as lua-resty-session saves them: in base64url, the subject also as it is or hashed";
        command = command.arg(switch("exact", help));
    }
    if spec.name.starts_with("revoke") {
        command =
            command.arg(switch("dry_run", "List the sessions that would be ended, and end none"));
    }
    command
}

fn argument(param: &'static Param) -> Arg {
    let arg = Arg::new(param.name)
        .long(dashed(param.name))
        .help(plain(param.doc))
        .required(!param.optional);
    match param.kind {
        ParamKind::Flag => arg.action(ArgAction::SetTrue),
        ParamKind::Seconds | ParamKind::Time | ParamKind::Count => {
            arg.value_parser(value_parser!(f64)).allow_negative_numbers(true).value_name("NUMBER")
        }
        ParamKind::Pairs => arg
            .num_args(2)
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .value_names(["AUDIENCE", "SUBJECT"]),
        // A key in base64url may begin with a dash.
        ParamKind::Text | ParamKind::Key | ParamKind::Unused => {
            arg.allow_hyphen_values(true).value_name("TEXT")
        }
    }
}

/// The operation that was asked for: the options that were given, and what is set in their place.
#[derive(Clone)]
pub struct Request<'a> {
    pub kind: &'static Kind,
    pub options: &'a ArgMatches,
    set: Vec<(&'static str, Value)>,
}

impl<'a> Request<'a> {
    pub fn of(matches: &'a ArgMatches) -> Option<Self> {
        let (command, options) = matches.subcommand()?;
        let name = command.replace('-', "_");
        let kind = KINDS.iter().find(|kind| kind.spec.name == name)?;
        let set = Vec::new();
        Some(Request { kind, options, set })
    }

    /// Sets a parameter in place of its option.
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.set.retain(|(known, _)| *known != name);
        self.set.push((name, value));
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.options.try_get_one(name).ok().flatten().copied()
    }

    /// The text of an option, if the command has it and it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        let given = self.options.try_get_one::<String>(name).ok().flatten();
        given.map(String::as_str)
    }

    /// A switch; false for a command that has none.
    pub fn flag(&self, name: &str) -> bool {
        self.options.try_get_one(name).ok().flatten().copied().unwrap_or(false)
    }

    /// The operation of that name, with the same options.
    pub fn of_kind(&self, name: &str) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| kind.spec.name == name)?;
        Some(Request { kind, ..self.clone() })
    }

    pub fn call(&self, storage: &Storage) -> Result<Answer, Error> {
        storage.call_any((self.kind.read)(&Args::new(self.kind.spec, self))?)
    }
}

impl Source for Request<'_> {
    fn value(&self, place: usize, kind: ParamKind) -> Result<Value, Error> {
        let name = self.kind.spec.params[place].name;
        if let Some((_, value)) = self.set.iter().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let text = |text: &String| text.clone().into_bytes();
        let value = match kind {
            ParamKind::Unused => None,
            ParamKind::Flag => Some(Value::Flag(self.flag(name))),
            ParamKind::Seconds | ParamKind::Time | ParamKind::Count => {
                self.number(name).map(Value::Number)
            }
            ParamKind::Pairs => self.options.get_occurrences(name).map(|given| {
                let pair = given.map(|pair| pair.map(text).collect::<Vec<_>>());
                let pair = pair.filter_map(|pair| <[_; 2]>::try_from(pair).ok());
                Value::Pairs(pair.map(Into::into).collect())
            }),
            ParamKind::Text | ParamKind::Key => {
                self.text(name).map(|given| Value::Text(given.as_bytes().to_vec()))
            }
        };
        Ok(value.unwrap_or(Value::Nothing))
    }
}
