use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The ids that were answered. A table's versions are few, so nothing is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    by_subject: Mutex<HashMap<String, HashMap<String, u32>>>,
}

impl Cache {
    pub(crate) fn id(&self, subject: &str, schema: &str) -> Option<u32> {
        // A poisoned lock guards a map that is whole: inserting cannot be seen half done.
        let by_subject = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        by_subject.get(subject)?.get(schema).copied()
    }

    pub(crate) fn keep(&self, subject: &str, schema: &str, id: u32) {
        let mut by_subject = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        by_subject.entry(subject.to_owned()).or_default().insert(schema.to_owned(), id);
    }
}
