//! A place between two transactions of the write-ahead log.

use connector::Position;
use postgres_replication::Lsn;
use serde::{Deserialize, Serialize};

/// The end of a commit record (or of a stretch without commits), and the timeline it was read on.
///
/// A server that was promoted goes on with the same numbers on a new timeline. Whether the old numbers lead there is
/// looked up when a connector opens; from then on all positions of a process are on one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresPosition {
    pub lsn: Lsn,
    pub timeline: u32,
}

impl Position for PostgresPosition {
    fn covers(&self, other: &Self) -> bool {
        self.lsn >= other.lsn && self.timeline >= other.timeline
    }

    fn text(&self) -> String {
        format!("{} on timeline {}", self.lsn, self.timeline)
    }

    fn bytes_since(&self, earlier: &Self) -> Option<u64> {
        self.lsn.0.checked_sub(earlier.lsn.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_place_covers_an_earlier_one() {
        let at = |lsn, timeline| PostgresPosition { lsn: Lsn(lsn), timeline };
        let cases = [
            (at(2, 1), at(1, 1), true),
            (at(1, 1), at(1, 1), true),
            (at(1, 1), at(2, 1), false),
            (at(2, 2), at(1, 1), true),
            (at(2, 1), at(1, 2), false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(a.covers(&b), expected, "{a:?} {b:?}");
        }
        let stored = serde_json::to_string(&at(0x16_B374_D848, 3)).unwrap();
        assert_eq!(stored, r#"{"lsn":"16/B374D848","timeline":3}"#);
    }
}
