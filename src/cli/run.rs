//! Carries commands out. Some are several calls: pages of a list, steps of a clean-up, the forms of a
//! subject.

use crate::Failure;
use crate::commands::Request;
use crate::output::{self, Output};
use crate::stderr;
use crate::subjects::{self, Form};
use resty_session_postgres::op::{Answer, Operation, Session, Value};
use resty_session_postgres::ops::{List, Migrate, Revoke, RevokeAudience};
use resty_session_postgres::{Epoch, Error, Storage};
use std::collections::HashSet;

/// Sessions that one call of a long clean-up deletes.
const STEP: u32 = 20_000;

/// Carries a command out and prints what it has answered; false where `check` finds something, or there
/// is no such session.
pub fn run(request: Request<'_>, storage: &Storage) -> Result<bool, Failure> {
    let mut output = Output::new(request.flag("json"));
    let spec = request.kind.spec;
    let dry = request.flag("dry_run");
    let answer = match spec.name {
        "list" => return list(&request, storage, &mut output),
        "revoke" | "revoke_audience" if dry => {
            let list = request.of_kind("list").ok_or("there is no list")?;
            return self::list(&list, storage, &mut output);
        }
        "revoke" | "revoke_audience" => Answer::Count(revoke(&request, storage)?),
        "count" if request.text("audience").is_some() => Answer::Count(count(&request, storage)?),
        "cleanup" if !dry => Answer::Count(cleanup(request, storage)?),
        "migrate" if !dry => {
            let migrate = Migrate::read(&request.args())?.on_progress(|step| {
                stderr::progress(step.repair.clone().unwrap_or_default());
            });
            Answer::Findings(storage.call(migrate)?)
        }
        _ => request.call(storage)?,
    };
    stderr::end();
    let good = output.answer(spec, &answer, dry)?;
    output.flush()?;
    Ok(good)
}

/// Prints all sessions, or as many as the limit allows.
fn list(request: &Request<'_>, storage: &Storage, output: &mut Output) -> Result<bool, Failure> {
    each_page(request, storage, |page| {
        output.sessions(&page)?;
        // A page is shown as soon as it is there.
        output.flush()?;
        Ok(output.is_read())
    })?;
    output.end_list()?;
    output.flush()?;
    stderr::end();
    Ok(true)
}

/// Ends the sessions of each form. Returns how many of them were alive.
fn revoke(request: &Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    let forms = subjects::forms(request);
    let (mut ended, mut matched) = (0, Vec::new());
    for form in &forms {
        match revoke_form(&form.request, storage, ended) {
            Ok(0) => {}
            Ok(count) => {
                ended += count;
                matched.push(form.name);
            }
            Err(error) if ended > 0 => {
                let before = output::counted("revoke", ended, false);
                return Err(format!("{before}, then: {error}").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    subjects::remark(forms.len(), &matched);
    Ok(ended)
}

/// Ends those of one form, after so many of others.
fn revoke_form(request: &Request<'_>, storage: &Storage, before: u64) -> Result<u64, Error> {
    let show = move |ended| stderr::progress(output::counted("revoke", before + ended, false));
    let args = request.args();
    match request.kind.spec.name {
        "revoke" => storage.call(Revoke::read(&args)?.on_progress(show)),
        _ => storage.call(RevokeAudience::read(&args)?.on_progress(show)),
    }
}

/// Counts the sessions of each form. One that is found in several forms is one.
fn count(request: &Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    let forms = subjects::forms(request);
    let (mut counted, mut matched) = (0, Vec::new());
    for form in &forms {
        if let Answer::Count(count @ 1..) = form.request.call(storage)? {
            counted += count;
            matched.push(form.name);
        }
    }
    if matched.len() < 2 {
        subjects::remark(forms.len(), &matched);
        return Ok(counted);
    }
    let list = request.of_kind("list").ok_or("there is no list")?;
    let mut counted = 0;
    each_page(&list, storage, |page| {
        counted += page.len() as u64;
        Ok(true)
    })?;
    Ok(counted)
}

/// Hands over the sessions of each form, page by page, and each but once, as long as `show` wants more and
/// the limit allows.
fn each_page(
    request: &Request<'_>,
    storage: &Storage,
    mut show: impl FnMut(Vec<Session>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let forms = subjects::forms(request);
    let several = forms.len();
    let except = request.text("except_key").map(str::to_owned);
    let mut left = request.number("limit").unwrap_or(f64::INFINITY);
    let (mut seen, mut matched) = (HashSet::new(), Vec::new());
    let mut wanted = true;
    for Form { mut request, name } in forms {
        let mut found = false;
        while wanted && left > 0.0 {
            let page_size = left.min(List::PAGE.into());
            request.set("limit", Value::Number(page_size));
            let Answer::Sessions(mut page) = request.call(storage)? else {
                break;
            };
            let full = page.len() as f64 >= page_size;
            if let Some(last) = page.last() {
                request.set("after_key", Value::Text(last.key.clone().into_bytes()));
            }
            found |= !page.is_empty();
            page.retain(|session| Some(&session.key) != except.as_ref());
            if several > 1 {
                page.retain(|session| seen.insert(session.key.clone()));
            }
            left -= page.len() as f64;
            wanted = show(page)?;
            if !full {
                break;
            }
        }
        if found {
            matched.push(name);
        }
    }
    if wanted {
        subjects::remark(several, &matched);
    }
    Ok(())
}

/// Deletes what has expired now, or as much of it as the limit allows.
fn cleanup(mut request: Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    // On a busy site sessions expire all the time: those that expire from now on are left.
    if request.number("current_time").is_none() {
        let now = Epoch::now().seconds();
        request.set("current_time", Value::Number(now as f64));
    }
    let limit = request.number("limit").unwrap_or(f64::INFINITY);
    let total = stderr::shows_progress().then(|| expired(&request, storage)).flatten();
    let mut removed = 0;
    loop {
        let left = limit - removed as f64;
        if left <= 0.0 {
            return Ok(removed);
        }
        request.set("limit", Value::Number(left.min(STEP.into())));
        // A step may end early, when its time does; the last one finds nothing.
        match request.call(storage) {
            Ok(Answer::Count(count @ 1..)) => removed += count,
            Err(error) if removed > 0 => {
                let before = output::counted("cleanup", removed, false);
                return Err(format!("{before}, then: {error}").into());
            }
            last => return Ok(last.map(|_| removed)?),
        }
        let of = total.filter(|total| *total >= removed);
        let of = of.map_or(String::new(), |total| format!(" of {total}"));
        stderr::progress(format!("{removed}{of} sessions deleted"));
    }
}

/// How many there are to delete, counted: PostgreSQL's statistics may be old, or missing.
fn expired(request: &Request<'_>, storage: &Storage) -> Option<u64> {
    stderr::progress("counting the expired sessions".to_owned());
    let mut request = request.clone();
    request.set("dry_run", Value::Flag(true));
    match request.call(storage) {
        Ok(Answer::Count(count)) => Some(count),
        _ => None,
    }
}
