//! Careless readings of the protocol, each put in by the simulation to show that it would be caught. Without
//! the feature `mutants` no setting chooses one, and the compiler leaves them all out.

/// A rule left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "public with the feature"))]
pub enum Mutant {
    /// The stream up to a new pin only emits tables of which rows, not chunks, were sent.
    BegunByRows,
    /// The server hears of the new pin before everything up to it is stored.
    FlushAtPin,
    /// Absent cells streamed during a copy are forgotten.
    NoHoles,
    /// A later pin is asked for while the stream goes on.
    PinBesideStream,
    /// A definite stop without proof of ownership.
    StopWithoutProof,
    /// A table that starts again is left out of the stream until it is copied.
    BegunLost,
    /// Whatever the source plans for a begun table is taken.
    PlanUnchecked,
    /// A table that was removed is copied again as if it were new.
    ReaddedSilently,
    /// The server hears of a position before it is committed.
    ConfirmBeforeCommit,
    /// Copies the rest at the new pin and drops what the stream said before it.
    CopyWithoutCatchingUp,
    /// A cut transaction is stored without saying where it was cut.
    ForgetOpen,
    /// Rows are committed without the position behind them: it comes with the next ones.
    PositionLater,
    /// A chunk is told to be done with its first rows.
    ChunkDoneEarly,
}
