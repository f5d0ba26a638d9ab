//! The arguments of an operation as an `rsp_request` has them, a field each.

use super::request::rsp_request;
use super::{pointer, time};
use crate::Error;
use crate::manage::Arguments;
use crate::op::{self, Epoch};

/// A request whose texts may be read.
pub(super) struct Fields(rsp_request);

impl Fields {
    /// # Safety
    ///
    /// The request's texts are NULL or valid for reads of their lengths as long as this is used.
    pub(super) unsafe fn new(request: rsp_request) -> Self {
        Fields(request)
    }

    /// Refuses what is given and means nothing to the operation: whoever gives a subject means to
    /// end a subject's sessions, and not everybody's.
    pub(super) fn check_unused(&self, parameters: &[&str]) -> Result<(), Error> {
        let Fields(request) = self;
        let texts = [
            ("key", request.key, request.key_len),
            ("audience", request.audience, request.audience_len),
            ("subject", request.subject, request.subject_len),
            ("except_key", request.except_key, request.except_key_len),
            ("after_key", request.after_key, request.after_key_len),
        ];
        if let Some((name, ..)) = texts
            .iter()
            .find(|(_, data, len)| data.is_null() && *len > 0)
        {
            return Err(Error::argument(name, "NULL has no length"));
        }
        let given = texts.map(|(name, data, _)| (name, !data.is_null()));
        let numbers = [("ttl", request.ttl_s != 0), ("limit", request.limit != 0)];
        let takes_flags = ["estimate", "unlogged"]
            .iter()
            .any(|flag| parameters.contains(flag));
        let unused = given
            .into_iter()
            .chain(numbers)
            .find(|(name, given)| *given && !parameters.contains(name))
            .or((request.flags != 0 && !takes_flags).then_some(("flags", true)));
        match unused {
            Some((name, _)) => Err(Error::argument(name, "this operation takes none")),
            None => Ok(()),
        }
    }

    /// A text by the name of its field; `None` where it is NULL.
    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, Error> {
        let Fields(request) = self;
        let (data, len) = match name {
            "key" => (request.key, request.key_len),
            "audience" => (request.audience, request.audience_len),
            "subject" => (request.subject, request.subject_len),
            "except_key" => (request.except_key, request.except_key_len),
            "after_key" => (request.after_key, request.after_key_len),
            _ => return Err(Error::internal(format!("no field {name}"))),
        };
        // SAFETY: promised to `new`.
        unsafe { pointer::bytes(name, data, len) }
    }

    fn given<T>(
        &self,
        name: &'static str,
        check: fn(&'static str, &[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let bytes = self.bytes(name)?;
        let bytes = bytes.ok_or_else(|| Error::argument(name, "may not be NULL here"))?;
        check(name, bytes)
    }
}

impl Arguments for Fields {
    fn text(&self, name: &'static str) -> Result<String, Error> {
        self.given(name, op::text)
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        let bytes = self.bytes(name)?;
        bytes.map(|bytes| op::text(name, bytes)).transpose()
    }

    fn key(&self, name: &'static str) -> Result<String, Error> {
        self.given(name, op::key)
    }

    fn optional_key(&self, name: &'static str) -> Result<Option<String>, Error> {
        let bytes = self.bytes(name)?;
        bytes.map(|bytes| op::key(name, bytes)).transpose()
    }

    fn seconds(&self, _: &'static str) -> Result<f64, Error> {
        Ok(self.0.ttl_s as f64)
    }

    fn time(&self, _: &'static str) -> Result<Epoch, Error> {
        time("now_s", self.0.now_s)
    }

    fn optional_number(&self, name: &'static str) -> Result<Option<f64>, Error> {
        Ok(match name {
            "current_time" => Some(self.time(name)?.seconds() as f64),
            _ => (self.0.limit != 0).then_some(self.0.limit as f64),
        })
    }

    fn flag(&self, _: &'static str) -> Result<bool, Error> {
        Ok(self.0.flags != 0)
    }

    fn unused_name(&self) -> Result<(), Error> {
        Ok(())
    }
}
