//! The record of one call, written when its answer is known, or when its caller has gone before.

use std::sync::Arc;
use std::time::Instant;

use tonic::{Response, Status};

use super::Calls;
use crate::audit::Entry;
use crate::control::gate::Admitted;
use crate::control::guarded::Origin;
use crate::control::status::Refusal;

/// A call that is being answered.
pub(in crate::control) struct Record {
    calls: Arc<Calls>,
    call: &'static str,
    uid: String,
    caller: Admitted,
    is_written: bool,
}

impl Record {
    pub(in crate::control) fn begin(
        calls: &Arc<Calls>,
        call: &'static str,
        uid: &str,
        caller: &Admitted,
    ) -> Self {
        Self {
            calls: Arc::clone(calls),
            call,
            uid: uid.to_owned(),
            caller: caller.clone(),
            is_written: false,
        }
    }

    /// The session, where we chose its uid.
    pub(in crate::control) fn name(&mut self, uid: String) {
        self.uid = uid;
    }

    /// Writes what came of it, and makes it the answer.
    pub(in crate::control) fn end<T>(
        mut self,
        outcome: Result<T, Refusal>,
    ) -> Result<Response<T>, Status> {
        match outcome {
            Ok(answer) => {
                self.write("OK", "");
                Ok(Response::new(answer))
            }
            Err(refusal) => {
                self.write(refusal.code(), &refusal.to_string());
                Err(refusal.to_status())
            }
        }
    }

    fn write(&mut self, result: &str, message: &str) {
        self.is_written = true;
        self.calls.counts.count(self.call, result);
        let subject = &self.caller.subject;
        self.calls.audit.record(&Entry {
            call: self.call,
            who: Some(&subject.id),
            name: subject.name.as_deref(),
            uid: &self.uid,
            result,
            message,
            from: Some(self.caller.origin.peer),
            took: self.caller.began.elapsed(),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_written {
            self.write("CANCELLED", "the caller went away before the answer");
        }
    }
}

impl Calls {
    /// Keeps a record of a call whose caller is not known; its message was not read.
    pub(in crate::control) fn record_refused(
        &self,
        method: &str,
        origin: &Origin,
        refusal: &Refusal,
        began: Instant,
    ) {
        self.counts.count(method, refusal.code());
        self.audit.record(&Entry {
            call: method,
            who: None,
            name: None,
            uid: "",
            result: refusal.code(),
            message: &refusal.to_string(),
            from: Some(origin.peer),
            took: began.elapsed(),
        });
    }
}
