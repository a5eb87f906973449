//! Time since boot: what leases are measured in.
//!
//! It is the same for all processes of a host, goes on while the host sleeps, and nobody can set
//! it. After a reboot it starts again at zero, so the boot that the leases belong to is remembered.

use rustix::time::{ClockId, clock_gettime};

use crate::error::Fault;
use crate::writer::Tx;

#[cfg(any(target_os = "linux", target_os = "android"))]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// Milliseconds since boot.
pub(crate) fn millis() -> i64 {
    let time = clock_gettime(SINCE_BOOT);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// Tells this boot from every other; `unknown` where the system does not say.
fn id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Ends all leases if the host was booted since they were given.
pub(crate) fn end_leases_of_earlier_boots(tx: &Tx<'_>) -> Result<(), Fault> {
    let (id, now) = (id(), tx.boot);
    let known = |key| tx.get("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0));
    let known_id: Option<String> = known("boot_id")?;
    let seen: Option<String> = known("boot_millis")?;
    // Where the system gives no id, a time that went back tells of a reboot.
    let went_back = seen.and_then(|seen| seen.parse::<i64>().ok()).is_some_and(|seen| now < seen);
    if known_id.as_ref().is_some_and(|known| *known != id) || went_back {
        tracing::info!("the host was booted since: every lease has ended");
        tx.run("UPDATE leases SET ends_at = 0", [])?;
        tx.run("UPDATE queue SET leased_until = 0 WHERE leased_until IS NOT NULL", [])?;
    }
    let set = "INSERT INTO meta (key, value) VALUES (?, ?)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.run(set, ["boot_id", &id])?;
    tx.run(set, ["boot_millis", &now.to_string()])?;
    Ok(())
}
