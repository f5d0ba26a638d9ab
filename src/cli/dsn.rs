//! libpq's connection strings, both kinds, as keywords and values: `postgres://user@host/database` and
//! `host=… dbname=…`. What a keyword means is told in `connection`. No message holds a value.

/// The keywords of a connection string with their values, in its order.
pub fn parse(dsn: &str) -> Result<Vec<(String, String)>, String> {
    let url = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| dsn.strip_prefix(scheme));
    match url {
        Some(rest) => by_url(rest),
        None => by_pairs(dsn),
    }
}

/// What comes after the scheme: `user:password@host:port,host:port/database?keyword=value&…`, each of
/// it optional.
fn by_url(url: &str) -> Result<Vec<(String, String)>, String> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (person, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    // A password with such a character in it ends where it should not, and is not to be shown.
    let is_port = |(_, port): (_, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    if database.contains('@') || !servers.split(',').map(server).all(is_port) {
        return Err(
            "in a user or a password, / ? # : and @ are written %2F %3F %23 %3A %40".into(),
        );
    }
    let (user, password) = person.split_once(':').unwrap_or((person, ""));
    let mut found = Vec::new();
    let mut add = |keyword: &str, value: &str| -> Result<(), String> {
        let value = decode(value).ok_or_else(|| {
            let keyword = if keyword.is_empty() { "it" } else { keyword };
            format!("{keyword} has a % that is not followed by a character's code")
        })?;
        if !value.is_empty() {
            found.push((keyword.to_owned(), value));
        }
        Ok(())
    };
    add("user", user)?;
    add("password", password)?;
    let (hosts, ports): (Vec<_>, Vec<_>) = servers.split(',').map(server).unzip();
    add("host", &hosts.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        let or_default = |port: &&str| if port.is_empty() { "5432" } else { port }.to_owned();
        let ports: Vec<String> = ports.iter().map(or_default).collect();
        add("port", &ports.join(","))?;
    }
    add("dbname", database)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair
            .split_once('=')
            .ok_or("after its ?, keyword=value is expected")?;
        add(keyword, value)?;
    }
    Ok(found)
}

/// A host and its port; an address of IPv6 is in brackets.
fn server(text: &str) -> (&str, &str) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').unwrap_or(rest));
    }
    text.split_once(':').unwrap_or((text, ""))
}

/// Replaces each `%` and the two hexadecimal digits after it by the byte that they mean.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let code = part.get(..2).filter(|code| !code.starts_with('+'))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

/// `keyword=value keyword='another value'`; a backslash keeps the character after it.
fn by_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let expected = "it is neither a URL nor keyword=value pairs";
        let (keyword, after) = rest.split_once('=').ok_or(expected)?;
        let keyword = keyword.trim_end();
        if keyword.is_empty() || keyword.contains(char::is_whitespace) {
            return Err(expected.to_owned());
        }
        let (value, after) = value(after.trim_start())
            .ok_or_else(|| format!("the value of {keyword} has no end"))?;
        found.push((keyword.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// A value at the beginning of a text, and what comes after it.
fn value(text: &str) -> Option<(String, &str)> {
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
