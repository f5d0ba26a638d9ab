//! The forms in which audience and subject may have been saved. People know them as they are;
//! lua-resty-session saves them encoded.

use crate::commands::Request;
use crate::stderr;
use openssl::{base64, sha};
use resty_session_postgres::op::Value;

/// An operation on the sessions of one form.
pub struct Form<'a> {
    pub request: Request<'a>,
    /// What the form is, for people.
    pub name: &'static str,
}

/// How many bytes of its SHA-256 stand for a subject that lua-resty-session hashes.
const HASHED: usize = 16;

/// The forms of the audience and the subject that a request names: as they are, and as lua-resty-session
/// saves them. Only as they are with `--exact`, or where there is no audience.
pub fn forms<'a>(request: &Request<'a>) -> Vec<Form<'a>> {
    let form = |name, audience: Option<String>, subject: Option<String>| {
        let mut request = request.clone();
        let given = [("audience", audience), ("subject", subject)];
        for (param, text) in given.into_iter().filter_map(|(param, text)| Some((param, text?))) {
            request.set(param, Value::Text(text.into_bytes()));
        }
        Form { request, name }
    };
    let mut forms = vec![form("as given", None, None)];
    let audience = request.text("audience").filter(|_| !request.flag("exact"));
    if let Some(audience) = audience.map(|audience| base64url(audience.as_bytes())) {
        let audience = || Some(audience.clone());
        match request.text("subject") {
            None => forms.push(form("base64url", audience(), None)),
            Some(subject) => {
                let bytes = subject.as_bytes();
                let hash = &sha::sha256(bytes)[..HASHED];
                forms.push(form("both in base64url", audience(), Some(base64url(bytes))));
                forms.push(form("audience in base64url", audience(), None));
                let hashed = "audience in base64url, subject hashed";
                forms.push(form(hashed, audience(), Some(base64url(hash))));
            }
        }
    }
    forms
}

/// Without padding.
fn base64url(bytes: &[u8]) -> String {
    let text = base64::encode_block(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

/// Says in which forms there were sessions, or that there were none in any, where there are several.
pub fn remark(forms: usize, matched: &[&str]) {
    match matched {
        _ if forms < 2 => {}
        [] => stderr::remark(
            "no session has this audience and subject, neither as given nor as lua-resty-session saves \
             them (base64url, or hashed)",
        ),
        matched => stderr::remark(&format!("found {}", matched.join("; "))),
    }
}
