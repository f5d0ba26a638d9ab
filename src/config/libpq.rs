//! What libpq's programs understand: connection strings, as URLs and as `keyword=value` pairs, and
//! environment variables. No error shows a value, since any part may be a password.

use super::{Draft, KEYS, Key, Value};
use crate::Error;
use std::env;

impl Draft {
    /// Sets the keys that a connection string names: `postgres://user@host/database`, or
    /// `host=… dbname=…`. Empty values leave keys unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of `dsn`. The draft is then unchanged.
    pub fn set_dsn(&mut self, dsn: &str) -> Result<(), Error> {
        let mut schemes = ["postgres://", "postgresql://"].iter();
        let pairs = match schemes.find_map(|scheme| dsn.strip_prefix(scheme)) {
            Some(rest) => by_url(rest),
            None => match dsn.split_once("://") {
                Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                    Err(format!("expected postgres:// or postgresql://, got {scheme}://"))
                }
                _ => by_pairs(dsn),
            },
        };
        let with = |draft: Draft, (keyword, value): (String, String)| {
            let key = KEYS.iter().find(|key| key.keyword == Some(&*keyword));
            let key = key.ok_or_else(|| {
                let own = Key::meant(&keyword).and_then(Key::find);
                let meant =
                    own.and_then(|key| key.keyword).map(|word| format!(" (is {word} meant?)"));
                format!("the keyword {keyword} is not supported{}", meant.unwrap_or_default())
            })?;
            draft.with(key, &value).map_err(|reason| format!("{keyword}: {reason}"))
        };
        let changed = pairs.and_then(|pairs| pairs.into_iter().try_fold(self.clone(), with));
        *self = changed.map_err(|reason| Error::config("dsn", reason))?;
        Ok(())
    }

    /// Sets the keys for which libpq reads an environment variable (`PGHOST`, `PGUSER`, …) from
    /// those that are set and not empty.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of the variable. The draft is then unchanged.
    pub fn set_environment(&mut self) -> Result<(), Error> {
        let mut known = KEYS.iter().filter_map(|key| Some((key, key.variable?)));
        *self = known.try_fold(self.clone(), |draft, (key, variable)| {
            let value = env::var_os(variable).unwrap_or_default();
            let set = match value.to_str() {
                Some(value) => draft.with(key, value),
                None => Err("is not valid UTF-8".into()),
            };
            set.map_err(|reason| Error::config(variable, reason))
        })?;
        Ok(())
    }

    /// The same with a key set to a value as libpq writes it.
    fn with(mut self, key: &Key, value: &str) -> Result<Self, String> {
        let mut accepted = key.kind.accepted();
        let value = match (key.name, value) {
            (_, "") => return Ok(self),
            ("connect_timeout", seconds) => {
                accepted = "a whole number of seconds, at most a day".into();
                Value::Number(seconds.parse::<u32>().map_or(f64::NAN, f64::from) * 1000.0)
            }
            // It tries plain text first, and TLS if the server insists; `prefer` tries TLS first.
            ("sslmode", "allow") => Value::Text("prefer".into()),
            (_, value) => Value::Text(value.into()),
        };
        let set = self.set(key.name, &value);
        set.map_err(|_| format!("expected {accepted}")).map(|()| self)
    }
}

type Pairs = Result<Vec<(String, String)>, String>;

/// Reads what follows a URL's scheme, each part optional:
/// `user:password@host:port,host:port/database?keyword=value&…`.
fn by_url(url: &str) -> Pairs {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (hosts, mut ports): (Vec<&str>, Vec<&str>) = servers.split(',').map(host_and_port).unzip();
    // A password with an unescaped character ends too early, and its rest appears in another part.
    let is_early = !authority.contains('@') && query.contains('@');
    if database.contains('@') || is_early {
        let reason = "in a user or a password, write / ? # : and @ as %2F %3F %23 %3A and %40";
        return Err(reason.into());
    }
    let is_port = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !ports.iter().all(is_port) {
        return Err(
            "port: expected a whole number between the host's colon and the next slash".into()
        );
    }
    if ports.iter().any(|port| !port.is_empty()) {
        let unset = ports.iter_mut().filter(|port| port.is_empty());
        unset.for_each(|port| *port = "5432");
    } else {
        ports.clear();
    }
    let (hosts, ports) = (hosts.join(","), ports.join(","));
    let mut pairs = vec![("user", user), ("password", password), ("dbname", database)];
    pairs.extend([("host", &*hosts), ("port", &*ports)]);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let pair = pair.split_once('=');
        pairs.push(pair.ok_or("expected keyword=value after the ?")?);
    }
    let decoded = |(keyword, value): (&str, &str)| match decode(value) {
        Some(value) => Ok((keyword.to_owned(), value)),
        None => Err(format!("{keyword}: a % must precede the two digits of a code")),
    };
    pairs.into_iter().map(decoded).collect()
}

/// Splits a host from its port. An IPv6 address is in brackets.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').unwrap_or(rest));
    }
    text.split_once(':').unwrap_or((text, ""))
}

/// Replaces each `%` and its two hexadecimal digits by the byte that they stand for.
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|code| !code.starts_with('+'))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(part.bytes().skip(2));
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// Reads `keyword=value keyword='another value'`. A backslash keeps the character after it.
fn by_pairs(text: &str) -> Pairs {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let pair = rest.split_once('=');
        let pair = pair.map(|(keyword, after)| (keyword.trim_end(), after.trim_start()));
        let (keyword, after) = pair
            .filter(|(keyword, _)| !keyword.is_empty() && !keyword.contains(char::is_whitespace))
            .ok_or("expected a URL or keyword=value pairs")?;
        let (value, after) =
            quoted_or_bare(after).ok_or_else(|| format!("{keyword}: the value has no end"))?;
        found.push((keyword.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// Takes a value off the front of a text.
fn quoted_or_bare(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(quoted.into());
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            space if !quoted && space.is_whitespace() => return Some((value, &text[at..])),
            other => value.push(other),
        }
    }
    (!quoted).then_some((value, ""))
}
