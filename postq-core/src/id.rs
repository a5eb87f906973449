//! Identities: each is its own type, so that no id can be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. Version 7, so that ids made later sort later (to the millisecond).
            #[allow(clippy::new_without_default, reason = "every call gives another id")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with these bits: what a store kept, or what a seeded source of ids made.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bits, as a store keeps them.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// Identifies a tenant: whose posts, accounts, schedules and jobs these are.
    TenantId;
    /// Identifies a post.
    PostId;
    /// Identifies an account.
    AccountId;
    /// Identifies a schedule.
    ScheduleId;
    /// Identifies a job.
    JobId;
    /// Identifies a publication.
    PublicationId;
    /// Identifies a token of the API.
    TokenId;
    /// Identifies an endpoint that webhooks are delivered to.
    WebhookId;
    /// Identifies one running process. Always random: never a host name, so that a process that
    /// comes back is not taken for the one that went away.
    NodeId;
}

impl TenantId {
    /// The tenant of an installation that has only one.
    pub const DEFAULT: Self = Self(Uuid::nil());
}
