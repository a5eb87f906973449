//! Times and paces that an adapter is set to: what could publish twice, or never end, is refused.

use std::time::Duration;

use crate::base::{Base, ConfigError};

/// No post becomes visible so long after its call.
const MOST_SETTLE_TIME: Duration = Duration::from_secs(3_600);
const SEND_TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));

/// Checks `settle_time`: at most an hour, and less than the platform's least only on loopback.
///
/// # Errors
///
/// Of this setting.
pub fn ensure_settles(
    base: &Base,
    settle_time: Duration,
    least: Duration,
) -> Result<(), ConfigError> {
    if settle_time < least && !base.is_loopback {
        let problem = format!(
            "less than {} s could publish twice, so it is only allowed with an address on loopback",
            least.as_secs()
        );
        return Err(ConfigError::new("settle_time", problem));
    }
    if settle_time > MOST_SETTLE_TIME {
        return Err(ConfigError::new("settle_time", "expected at most 3,600 s"));
    }
    Ok(())
}

/// Checks `send_timeout`: 100 ms to 300 s.
///
/// # Errors
///
/// Of this setting.
pub fn ensure_ends(send_timeout: Duration) -> Result<(), ConfigError> {
    let (least, most) = SEND_TIMEOUT;
    if send_timeout < least || send_timeout > most {
        return Err(ConfigError::new("send_timeout", "expected 100 ms to 300 s"));
    }
    Ok(())
}

/// Checks `rate_limit`: off only on loopback.
///
/// # Errors
///
/// Of this setting.
pub fn ensure_paced(base: &Base, rate_limit: bool) -> Result<(), ConfigError> {
    if !rate_limit && !base.is_loopback {
        let problem = "it can only be switched off with an address on loopback";
        return Err(ConfigError::new("rate_limit", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(host: &str) -> Base {
        Base::parse("base_url", &format!("https://{host}"), "").expect("a base")
    }

    #[test]
    fn what_could_publish_twice_is_for_loopback_alone() {
        let (there, here) = (base("api.example.com"), base("127.0.0.1:1"));
        let (least, less) = (Duration::from_secs(300), Duration::from_secs(299));

        assert_eq!(ensure_settles(&there, least, least), Ok(()));
        assert_eq!(ensure_settles(&here, less, least), Ok(()));
        assert_eq!(ensure_paced(&here, false), Ok(()));
        assert_eq!(ensure_paced(&there, true), Ok(()));
        let error = ensure_settles(&there, less, least).expect_err("too short");
        assert!(error.to_string().starts_with("settle_time: less than 300 s"), "{error}");
        assert_eq!(ensure_paced(&there, false).expect_err("unpaced").setting, "rate_limit");
    }

    #[test]
    fn nothing_takes_for_ever() {
        let here = base("127.0.0.1:1");
        let hour = Duration::from_secs(3_600);

        assert_eq!(ensure_settles(&here, hour, Duration::ZERO), Ok(()));
        assert!(ensure_settles(&here, hour + Duration::from_secs(1), Duration::ZERO).is_err());
        for good in [100, 300_000] {
            assert_eq!(ensure_ends(Duration::from_millis(good)), Ok(()));
        }
        for bad in [99, 300_001] {
            assert!(ensure_ends(Duration::from_millis(bad)).is_err(), "{bad}");
        }
    }
}
