//! Whether the log that a position was read in leads to the log that the server writes now.

use connector::Failure;
use postgres_replication::Lsn;

use crate::PostgresPosition;
use crate::client::Client;
use crate::failure::{Doing, Stop};
use crate::source::Server;

const DOING: &str = "following the server's timelines";

/// A promotion begins a new timeline at some place. What was read before that place is part of it; what was read on the
/// old timeline behind it never happened there.
pub(crate) async fn check(
    replication: &mut Client,
    stored: &PostgresPosition,
    server: &Server,
) -> Result<(), Failure> {
    if stored.timeline == server.timeline {
        return Ok(());
    }
    let other =
        || Stop::OtherTimeline { stored: stored.timeline, now: server.timeline }.failure(DOING);
    if stored.timeline > server.timeline {
        return Err(other());
    }
    let command = format!("TIMELINE_HISTORY {}", server.timeline);
    let rows = replication.simple_one(&command).await.doing(DOING)?;
    let history = rows.first().and_then(|row| row.get("content")).unwrap_or_default();
    match switched(history, stored.timeline) {
        None => Err(other()),
        Some(switched) if switched < stored.lsn => {
            Err(Stop::TimelineSwitched { stored: stored.lsn, switched }.failure(DOING))
        }
        Some(_) => Ok(()),
    }
}

/// Where `timeline` was left, by a history file: a line `timeline TAB place TAB reason` for each ancestor.
fn switched(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let ancestor: u32 = words.next()?.parse().ok()?;
        let place = words.next()?.parse().ok()?;
        (ancestor == timeline).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_says_where_each_ancestor_was_left() {
        let history =
            "1\t0/5000000\tno recovery target specified\n\n2\t0/9000060\tat restore point \"x\"\n";
        assert_eq!(switched(history, 1), Some(Lsn(0x500_0000)));
        assert_eq!(switched(history, 2), Some(Lsn(0x900_0060)));
        assert_eq!(switched(history, 3), None);
        assert_eq!(switched("", 1), None);
    }
}
