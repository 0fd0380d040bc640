//! Where we do not write what Debezium 3.6.1 writes, and why.

use super::Found;

/// A declared difference: of which topics, at which places, and the reason.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// The table's topic without the prefix; `*`: any.
    pub topic: &'static str,
    /// Words that the place must all contain, separated by spaces; `^` before the first: the place begins with it.
    pub place: &'static str,
    pub reason: &'static str,
}

impl Difference {
    pub fn covers(&self, found: &Found) -> bool {
        let topic = self.topic == "*" || self.topic == found.topic;
        topic
            && self.place.split(' ').all(|word| match word.strip_prefix('^') {
                Some(word) => found.place.starts_with(word),
                None => match word.strip_suffix('$') {
                    Some(word) => found.place.ends_with(word),
                    None => found.place.contains(word),
                },
            })
    }
}

pub const DIFFERENCES: &[Difference] = &[
    Difference {
        topic: "*",
        place: "^value source.version$",
        reason: "the version is that of the connector",
    },
    Difference {
        topic: "*",
        place: "^value source.snapshot$",
        reason: "readers copy side by side and resume, so no row is known to be the first or the last",
    },
    Difference {
        topic: "*",
        place: "^value ts_",
        reason: "the time at which each connector handled the change",
    },
];
