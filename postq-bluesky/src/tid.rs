//! Record keys: each post's own, made of the key that it is sent under.
//!
//! A post's record key must be a TID: 64 bits in 13 characters, of which one is 0, 53 are microseconds since 1970
//! and 10 tell writers apart. The platform key is the same for every attempt at a part, and so is what is
//! made of it: a second write is the same record.

use postq_core::intent::PlatformKey;
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
/// The bits that the hash gives: of the time all that is finer than 19 hours, and those of the writer. So no
/// two of 10,000 posts that were planned on one day share a key, but for a chance of one in a million.
const HASHED: u32 = 46;

/// The record key of what is sent under this key.
pub(crate) fn of_key(key: &PlatformKey) -> String {
    let hash = Sha256::digest(key.as_str());
    let low = hash[..8].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mask = (1 << HASHED) - 1;
    let value = ((micros(key) << 10) & !mask & !(1 << 63)) | (low & mask);
    encode(value)
}

/// When the job behind a key was made, as its id says; 0 where it says nothing.
fn micros(key: &PlatformKey) -> u64 {
    let id = key.as_str().get(..32).and_then(|id| u128::from_str_radix(id, 16).ok());
    // Of a UUID, version 7 alone begins with a time: 48 bits of milliseconds.
    let id = id.filter(|id| (id >> 76) & 0xf == 7);
    id.map_or(0, |id| u64::try_from(id >> 80).unwrap_or(0) * 1_000)
}

fn encode(value: u64) -> String {
    let digit = |place: u32| ALPHABET[((value >> (5 * place)) & 31) as usize];
    (0..13).rev().map(digit).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use postq_core::id::JobId;
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;

    /// When a TID says that it was made, in microseconds, and by whom.
    fn decode(tid: &str) -> (u64, u64) {
        let digit = |c: u8| ALPHABET.iter().position(|other| *other == c).expect("a digit") as u64;
        let value = tid.bytes().fold(0_u64, |value, c| value << 5 | digit(c));
        (value >> 10, value & 1_023)
    }

    fn job(seconds: u64) -> JobId {
        JobId::from_uuid(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)))
    }

    #[test]
    fn a_tid_is_written_as_the_protocol_says() {
        assert_eq!(encode(0), "2222222222222");
        assert_eq!(encode(1), "2222222222223");
        assert_eq!(encode(u64::MAX >> 1), "bzzzzzzzzzzzz");
        // The specification's own example.
        assert_eq!(
            encode(decode("3jzfcijpj2z2a").0 << 10 | decode("3jzfcijpj2z2a").1),
            "3jzfcijpj2z2a"
        );
    }

    #[test]
    fn a_key_has_one_tid_for_ever() {
        let key = PlatformKey::from_raw("019abcde12347abc8def0123456789ab-0");

        assert_eq!(of_key(&key), of_key(&key.clone()));
        assert_eq!(of_key(&key), TID_OF_KEY, "a deployed key must keep its record");
    }

    #[test]
    fn a_tid_is_of_about_the_time_of_its_job() {
        let seconds = 1_795_000_000;
        for part in [0, 1, 99] {
            let tid = of_key(&PlatformKey::derive(job(seconds), part));

            let (micros, _) = decode(&tid);
            assert!((micros / 1_000_000).abs_diff(seconds) < 20 * 3_600, "{tid} {micros}");
            assert!(tid.len() == 13 && tid.as_bytes()[0] < b'k', "{tid}");
        }
    }

    #[test]
    fn posts_and_parts_have_tids_of_their_own() {
        let one = job(1_795_000_000);
        let parts = (0..2_000).map(|part| PlatformKey::derive(one, part));
        let jobs = (0..2_000).map(|_| PlatformKey::derive(job(1_795_000_000), 0));

        let tids: BTreeSet<String> = parts.chain(jobs).map(|key| of_key(&key)).collect();

        assert_eq!(tids.len(), 4_000);
    }

    #[test]
    fn a_key_of_any_kind_has_a_tid() {
        for raw in ["", "é", "not-a-uuid", &"f".repeat(38)] {
            let tid = of_key(&PlatformKey::from_raw(raw));
            assert_eq!(tid.len(), 13, "{raw}");
            assert!(tid.as_bytes()[0] < b'k', "{tid}");
        }
    }

    const TID_OF_KEY: &str = "3m6jpsqhjoj7b";
}
