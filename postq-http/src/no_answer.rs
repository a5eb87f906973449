//! Why there is no answer: the one place that decides whether a call surely never left.

use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};

use crate::hide::Hidden;

/// Why there is no answer, in words without the address.
///
/// The difference decides whether a post may be sent again at once or has to be looked for first, so whatever is
/// not sure is [`Lost`](NoAnswer::Lost).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// There was no connection, or no time to make one: the request surely never left.
    NeverSent(String),
    /// The request may have left, in whole or in part: nobody knows what was done.
    Lost(String),
}

impl NoAnswer {
    /// What an error before the first byte of an answer says.
    ///
    /// Only where no connection was made (refused, no such host, no TLS, none in the time for connecting) nothing
    /// was sent. Where the time of the whole call ran out, nobody tells what it was spent on. A request that could
    /// not be read to its end has left in part.
    pub(crate) fn before_answer(platform: &str, error: reqwest::Error) -> Self {
        let (connect, timeout) = (error.is_connect(), error.is_timeout());
        // The address may be signed, or have a secret in it.
        let cause = chain(&error.without_url());
        match (connect, timeout) {
            (true, _) => Self::NeverSent(format!("{platform} could not be reached: {cause}")),
            (false, true) => Self::Lost(format!("{platform} did not answer in time")),
            (false, false) => Self::Lost(format!("the connection to {platform} was cut: {cause}")),
        }
    }

    /// What an error within an answer says: cut in the middle, even of a refusal, so not believed.
    pub(crate) fn within_answer(platform: &str, error: reqwest::Error) -> Self {
        match Self::before_answer(platform, error) {
            Self::NeverSent(why) | Self::Lost(why) => Self::Lost(why),
        }
    }

    /// What a call is that there was no time for.
    pub(crate) fn no_time(platform: &str) -> Self {
        Self::NeverSent(format!("there was no time left to ask {platform}"))
    }

    /// The failure of a call that creates something, of class `network`: surely not published, or unknown.
    pub fn into_failure(self, hidden: Hidden<'_>) -> Failure {
        match self {
            Self::NeverSent(why) => {
                Failure::not_published(FailureClass::Network, hidden.hide(&why))
            }
            Self::Lost(why) => Failure::unknown(FailureClass::Network, hidden.hide(&why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use postq_core::failure::Outcome;

    use super::*;

    #[test]
    fn only_what_never_left_is_surely_not_published() {
        let never = NoAnswer::no_time("x").into_failure(Hidden::default());
        let lost = NoAnswer::Lost("cut, with tok-1".into()).into_failure(Hidden::secret("tok-1"));

        assert_eq!((never.class, never.outcome), (FailureClass::Network, Outcome::NotPublished));
        assert_eq!(never.message, "there was no time left to ask x");
        assert_eq!((lost.class, lost.outcome), (FailureClass::Network, Outcome::Unknown));
        assert_eq!(lost.message, "cut, with …");
    }
}
