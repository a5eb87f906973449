//! The handlers, one file per kind of thing.

mod accounts;
mod analytics;
mod calendar;
mod connect;
mod dead_letters;
mod events;
pub(crate) mod import;
mod incoming;
mod jobs;
mod limits;
pub(crate) mod media;
mod nodes;
pub(crate) mod notifications;
mod operation;
mod platforms;
mod posts;
mod preview;
mod publications;
mod schedules;
pub(crate) mod session;
mod slots;
mod tokens;
mod webhooks;

pub(crate) use self::incoming::PlatformHappened;
use crate::router::Route;

pub(crate) fn routes(add: &mut dyn FnMut(Route)) {
    posts::routes(add);
    schedules::routes(add);
    preview::routes(add);
    calendar::routes(add);
    import::routes(add);
    jobs::routes(add);
    dead_letters::routes(add);
    accounts::routes(add);
    connect::routes(add);
    slots::routes(add);
    limits::routes(add);
    platforms::routes(add);
    media::routes(add);
    publications::routes(add);
    analytics::routes(add);
    events::routes(add);
    incoming::routes(add);
    operation::routes(add);
    nodes::routes(add);
    notifications::routes(add);
    session::routes(add);
    tokens::routes(add);
    webhooks::routes(add);
}
