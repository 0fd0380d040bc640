/// A rule left out, in the engine or in one of the models. Each must be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    #[cfg(feature = "mutants")]
    Engine(engine::Mutant),
    /// Readers lock their tables when they read them, not before the pin.
    LateLocks,
    /// The slot is named after the connector, not after the copy.
    OneSlotName,
    /// The hash of a cut transaction counts what is emitted.
    HashAfterFilter,
    /// A cut transaction is gone on with under other options.
    OptionsAtOnce,
    /// The chunks of a begun table are cut anew.
    ChunksRecomputed,
    /// A table that was rewritten keeps its chunks.
    RewriteIgnored,
    /// The stream up to a pin also tells what comes behind it.
    UntilOverrun,
    /// Idle positions are told before the rows that were received earlier.
    IdleOvertakes,
    /// A chunk is told to be done although its end was not read.
    ChunkEndOnError,
    /// Any process fences any other at any time.
    FreeFencing,
    /// A new epoch is taken on what was seen before it.
    LookedOnce,
    /// A producer is used again after a commit had to be repeated.
    ProducerReused,
    /// The look for another owner reads to the end of the log, where our own dropped transaction may lie undecided.
    LooksToTheEnd,
    /// Who was fenced judges at once whether somebody took over.
    HastyJudgement,
}
