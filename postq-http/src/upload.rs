//! How long the sending of a file may take.

use std::time::Duration;

/// The slowest line that a file is sent on, in bytes a second: 2 Mbit/s.
const SLOWEST: u64 = 256_000;
/// The longest that one file is waited for.
const LONGEST: Duration = Duration::from_secs(3 * 3_600);

/// How long the call may take that sends so many bytes, where a call without a file has `usual`: a second more for
/// each 256 kB, 3 h at most. So a line that is slower than 2 Mbit/s sends no large file.
pub fn time_to_send(bytes: u64, usual: Duration) -> Duration {
    (usual + Duration::from_secs(bytes / SLOWEST)).min(LONGEST.max(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_file_has_more_time_within_a_bound() {
        let usual = Duration::from_secs(30);
        let seconds = |bytes| time_to_send(bytes, usual).as_secs();

        assert_eq!(seconds(0), 30);
        assert_eq!(seconds(1_000_000), 33);
        assert_eq!(seconds(100_000_000), 420);
        assert_eq!(seconds(2_000_000_000), 7_842);
        assert_eq!(seconds(u64::MAX), 10_800);
        assert_eq!(time_to_send(9, LONGEST * 2), LONGEST * 2);
    }
}
