//! The commands and their options, made from the library's table of operations, and the options that were
//! given, as an operation's arguments.

use crate::numbers::{is_whole, number};
use crate::top;
use clap::{Arg, ArgAction, ArgMatches, Command};
use resty_session_postgres::config::Key;
use resty_session_postgres::op::{Answer, Args, Kind, Param, ParamKind, Source, Spec, Value};
use resty_session_postgres::ops::{self, KINDS};
use resty_session_postgres::{Error, Storage};

pub const NAME: &str = "resty-session-postgres";

/// The most seconds that a statement may take, and how many it may take by default.
const TIMEOUT: (f64, &str) = (86_400.0, "3600");

/// A name as the command line writes it. It lives as long as the process, as clap's names do.
fn dashed(name: &str) -> &'static str {
    name.replace('_', "-").leak()
}

/// A text of the reference as plain text, with commands and options as they are written here.
fn plain(text: &str, spec: &Spec) -> String {
    let parts = text.split('`').enumerate();
    let plain = parts.map(|(at, part)| match at % 2 {
        1 if spec.params.iter().any(|param| param.name == part) => format!("--{}", dashed(part)),
        1 if ops::find(part).is_some() => dashed(part).to_owned(),
        _ => part.to_owned(),
    });
    plain.collect()
}

/// The same as a sentence begins.
fn sentence(text: &str, spec: &Spec) -> String {
    let text = plain(text, spec);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What holds where neither the DSN nor a variable says anything else.
fn where_else() -> String {
    let default = |key| Key::find(key).and_then(|key| key.default.ok()).unwrap_or_default();
    let [user, host, port] = ["username", "host", "port"].map(default);
    format!(
        "postgres://user@host/database, or host=… dbname=…. What it leaves open is read from PGHOST, \
         PGPORT, PGUSER, PGDATABASE and so on. Without these it is {user}@{host}:{port}, and the database \
         of the user's name"
    )
}

pub fn command() -> Command {
    let option = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).global(true).help_heading("Database")
    };
    let switch = |name, help| option(name, help).action(ArgAction::SetTrue).help_heading("Output");
    Command::new(NAME)
        .version(resty_session_postgres::VERSION)
        .about("Looks after the tables of resty.session.postgres")
        .after_help(
            "The variables are those of libpq, with PGPASSWORD, PGPASSFILE, PGSSLMODE, PGSSLROOTCERT, \
             PGCONNECT_TIMEOUT and others. Where none of them says otherwise, TLS is used if the server \
             has it (PGSSLMODE=prefer), and passwords are read from ~/.pgpass. Other users of the \
             machine can see a password on a command line, but not in PGPASSWORD, PGPASSFILE or \
             ~/.pgpass.\n\nExit codes: 0 success, 1 failure, 2 wrong usage, 3 check found something, or \
             there is no such session, 130 interrupted (143 by SIGTERM).",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args([
            option("dsn", where_else().leak()).value_name("DSN"),
            option("table", "Sessions table, also schema.table [default: sessions]")
                .value_name("TABLE"),
            option("table-meta", "Metadata table, also schema.table [default: TABLE_meta]")
                .value_name("TABLE"),
            option("timeout", "Seconds that a statement may take")
                .value_name("SECONDS")
                .default_value(TIMEOUT.1)
                .allow_negative_numbers(true)
                .value_parser(|text: &str| {
                    let expected = format!("a whole number from 1 to {}", TIMEOUT.0);
                    number(text, &expected, |number| is_whole(number, TIMEOUT.0))
                }),
            switch("json", "Print one JSON object"),
            switch("quiet", "Print results and errors only: no progress, no remarks").short('q'),
        ])
        .subcommands(KINDS.iter().map(|kind| subcommand(kind.spec)))
        .subcommand(top::subcommand())
}

fn subcommand(spec: &'static Spec) -> Command {
    let used = spec.params.iter();
    let used = used.filter(|param| param.kind != ParamKind::Unused);
    let about = format!("{}\n\n{}", spec.summary, spec.details);
    let mut command = Command::new(dashed(spec.name))
        .about(plain(spec.summary, spec))
        .long_about(plain(about.trim_end(), spec))
        .args(used.map(|param| argument(param, spec)));
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

fn argument(param: &'static Param, spec: &'static Spec) -> Arg {
    let help = match (spec.name, param.name) {
        // It takes one page after the other.
        ("list", "limit") => "Sessions at most (defaults to all)".to_owned(),
        ("set", "metadata") => {
            "An audience and a subject of the session; also several times".to_owned()
        }
        // A switch says what it does.
        _ if param.kind == ParamKind::Flag => {
            sentence(param.doc.strip_prefix("true ").unwrap_or(param.doc), spec)
        }
        _ => sentence(param.doc, spec),
    };
    let arg = Arg::new(param.name).long(dashed(param.name)).help(help).required(!param.optional);
    let number_of = |expected, accepts: fn(f64) -> bool| {
        let parse = move |text: &str| number(text, expected, accepts);
        arg.clone().value_parser(parse).allow_negative_numbers(true).value_name("NUMBER")
    };
    match param.kind {
        ParamKind::Flag => arg.action(ArgAction::SetTrue),
        ParamKind::Count => {
            number_of("a whole number from 1 on", |number| is_whole(number, u32::MAX.into()))
        }
        ParamKind::Seconds => number_of("a number of seconds", f64::is_finite),
        ParamKind::Time => number_of("a time in seconds since 1970", f64::is_finite),
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
        let kind = ops::find(&command.replace('-', "_"))?;
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
        let kind = ops::find(name)?;
        Some(Request { kind, ..self.clone() })
    }

    /// The operation's arguments.
    pub fn args(&self) -> Args<'_> {
        Args::new(self.kind.spec, self)
    }

    pub fn call(&self, storage: &Storage) -> Result<Answer, Error> {
        storage.call_any((self.kind.read)(&self.args())?)
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
