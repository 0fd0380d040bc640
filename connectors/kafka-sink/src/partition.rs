//! Which partition a message goes to: the one that Java's clients would choose, so that rows stay where readers of
//! other engines' topics expect them.

use crate::Partitioner;

/// Magic byte and number of the schema.
const FRAMING_BYTES: usize = 5;

/// The partition of a message with `key`, or of all messages of `topic` when there is none: rows without a key keep
/// their order only inside one partition.
pub(crate) fn partition(
    partitioner: Partitioner,
    key: Option<&[u8]>,
    subject: &str,
    partitions: i32,
) -> i32 {
    let bytes = match (key, partitioner) {
        (None, _) => subject.as_bytes(),
        (Some(key), Partitioner::Murmur2) => key,
        (Some(key), Partitioner::Stable) => key.get(FRAMING_BYTES..).unwrap_or(key),
    };
    (murmur2(bytes) & 0x7fff_ffff).cast_signed() % partitions.max(1)
}

/// 32-bit MurmurHash2 with the seed of Java's clients.
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).expect("a key is smaller than 4 GiB");
    let mut hash = SEED ^ length;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes as Java's `Utils.murmur2` gives them.
    #[test]
    fn hashes_equal_javas() {
        let cases: &[(&[u8], i32)] = &[
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"ab", 316_155_434),
            (b"a", -1_563_381_124),
            (b"", 275_646_681),
        ];
        for (bytes, hash) in cases {
            assert_eq!(murmur2(bytes).cast_signed(), *hash, "{bytes:?}");
        }
    }

    #[test]
    fn partitions_follow_the_key_and_its_framing() {
        let check = |partitioner, key: Option<&[u8]>, partitions, expected| {
            assert_eq!(partition(partitioner, key, "shop.public.logs", partitions), expected);
        };
        // -973932308 & 0x7fffffff = 1173551340
        check(Partitioner::Murmur2, Some(b"21"), 7, 1_173_551_340 % 7);
        check(Partitioner::Stable, Some(b"\0\0\0\0\x0921"), 7, 1_173_551_340 % 7);
        check(Partitioner::Stable, Some(b"21"), 7, 1_173_551_340 % 7);
        check(Partitioner::Murmur2, Some(b"21"), 1, 0);
        let keyless = partition(Partitioner::Murmur2, None, "shop.public.logs", 12);
        check(Partitioner::Stable, None, 12, keyless);
    }
}
