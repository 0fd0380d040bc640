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
    Difference {
        topic: "*",
        place: "^value (r) source.",
        reason: "each has copied at another moment",
    },
    Difference {
        topic: "*",
        place: "^value source.sequence$",
        reason: "the first part is where the log was read up to, which without changes goes on with the log",
    },
    Difference {
        topic: "public.arrays",
        place: "a_bit",
        reason: "an array of bit strings is an array, not one that is always null",
    },
    Difference {
        topic: "public.arrays",
        place: "^value a_money$",
        reason: "an array of amounts is told, not left out",
    },
    Difference {
        topic: "public.arrays",
        place: "^value a_pt$",
        reason: "an array of points is told, not left out",
    },
    Difference {
        topic: "public.arrays",
        place: "after.a_time$",
        reason: "times in arrays keep their microseconds",
    },
    Difference {
        topic: "public.texts",
        place: "after.nm$",
        reason: "a `name` keeps its value in the stream",
    },
    Difference {
        topic: "public.texts_required",
        place: "(d) before.hs$",
        reason: "what stands for an hstore that the log does not have is what stands for any JSON",
    },
    Difference {
        topic: "public.toast",
        place: "after.hs$",
        reason: "what stands for an hstore that was not touched is what stands for any JSON",
    },
    Difference {
        topic: "public.numbers",
        place: "nneg",
        reason: "a negative scale is that scale, not 2048 more",
    },
    Difference {
        topic: "public.defaults",
        place: "^value f_nan",
        reason: "Avro has no default for what is not a number",
    },
];
