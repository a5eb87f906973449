//! The handlers, one file per kind of thing.

mod accounts;
mod dead_letters;
mod events;
mod jobs;
mod operation;
mod posts;
mod publications;
mod schedules;
mod tokens;

use crate::router::Route;

pub(crate) fn routes(add: &mut dyn FnMut(Route)) {
    posts::routes(add);
    schedules::routes(add);
    jobs::routes(add);
    dead_letters::routes(add);
    accounts::routes(add);
    publications::routes(add);
    events::routes(add);
    operation::routes(add);
    tokens::routes(add);
}
