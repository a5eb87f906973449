//! `/api/notifications`.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use postq_core::error::chain;
use postq_core::id::JobId;
use postq_core::notifier::{Notice, NoticeKind, Notifier};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::router::{Route, route};
use crate::web::App;

/// So many tests at once,
pub(crate) const AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("it is not 0");

/// and then one in each such time: a mailbox is quickly filled.
pub(crate) const EVERY: Duration = Duration::from_secs(12);

/// A channel is waited for so long in a test: less than a request may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// What a test says.
const MESSAGE: &str =
    "this is a test: somebody asked whether notices arrive, and nothing is wrong with any post";

/// What people are told of: the kind, when, and how often.
const NOTICES: [(NoticeKind, &str, &str); 8] = [
    (
        NoticeKind::AccountNeedsAttention,
        "a platform refuses the credentials of an account; its posts wait",
        "once for these credentials, however many posts wait",
    ),
    (
        NoticeKind::TokenNotRenewed,
        "an account's token has ended and could not be renewed for an hour, though the platform did not refuse it; its posts wait",
        "once for each token",
    ),
    (
        NoticeKind::OutcomeUnknown,
        "a post may or may not be out, and the platform cannot tell",
        "once for each such end of a job",
    ),
    (NoticeKind::JobDead, "a job gave up", "once for each such end of a job"),
    (
        NoticeKind::AppNeedsAttention,
        "an app has no credits left; all its accounts wait",
        "once a day",
    ),
    (
        NoticeKind::WebhookPaused,
        "an endpoint of outgoing webhooks no longer gets any",
        "once for each pause",
    ),
    (
        NoticeKind::BudgetUsedUp,
        "the month's budget is used up: metrics that cost are read no more, or everything stops if that is set",
        "once for each month and budget",
    ),
    (
        NoticeKind::PostNotShown,
        "a platform no longer shows a post that came out within the last day",
        "once for each post",
    ),
];

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(notifications));
    add(route!(test));
}

/// Who is told, and of what.
#[derive(Debug, Serialize, ToSchema)]
struct Notifications {
    /// The channels that are set on the node that answers; each is told of everything.
    channels: Vec<ChannelView>,
    /// What they are told of.
    notices: Vec<NoticeView>,
}

/// A channel by which people are told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
struct ChannelView {
    /// `log`, `webhook`, `slack` or `mail`.
    channel: String,
    /// Hosts or addresses; no path and no password. Empty for the log.
    to: Vec<String>,
}

/// What people are told of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notice)]
struct NoticeView {
    #[schema(example = "job_dead")]
    kind: &'static str,
    when: &'static str,
    how_often: &'static str,
}

/// Shows by which channels people are told when something needs them, and of what.
#[utoipa::path(get, path = "/api/notifications", tag = "operation",
    operation_id = "notifications", security(("token" = ["admin"])),
    responses((status = 200, description = "who is told of what", body = Notifications)))]
async fn notifications(State(app): State<App>) -> Json<Notifications> {
    let channels = app.web.channels.iter().map(|channel| ChannelView {
        channel: channel.notifier.channel().to_owned(),
        to: channel.to.clone(),
    });
    let notices =
        NOTICES.map(|(kind, when, how_often)| NoticeView { kind: kind.as_str(), when, how_often });
    Json(Notifications { channels: channels.collect(), notices: notices.into() })
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
struct Tested {
    items: Vec<TestedChannel>,
}

/// What came of a test, of one channel.
#[derive(Debug, Serialize, ToSchema)]
struct TestedChannel {
    channel: String,
    /// Whether it took the notice.
    delivered: bool,
    /// Why not; null if it did.
    #[schema(required)]
    error: Option<String>,
}

/// Sends a test by each channel, and tells what came of it within 25 s.
///
/// Five times at once, then once in twelve seconds.
#[utoipa::path(post, path = "/api/notifications/test", tag = "operation",
    operation_id = "test_notifications", security(("token" = ["admin"])),
    responses((status = 200, description = "what came of it", body = Tested)))]
async fn test(State(app): State<App>) -> Result<Json<Tested>, Problem> {
    app.tests.take("all", Instant::now()).map_err(Problem::too_many)?;
    let notice = Notice::new(NoticeKind::Test, MESSAGE);
    let mut tests = JoinSet::new();
    for (place, channel) in app.web.channels.iter().enumerate() {
        let (notifier, notice) = (channel.notifier.clone(), notice.clone());
        tests.spawn(async move { (place, tried(&*notifier, &notice).await) });
    }
    // In the order of the channels; one that broke down is told as such.
    let mut items: Vec<TestedChannel> = Vec::new();
    for channel in &app.web.channels {
        let (channel, error) = (channel.notifier.channel().to_owned(), "it broke down".to_owned());
        items.push(TestedChannel { channel, delivered: false, error: Some(error) });
    }
    while let Some(ended) = tests.join_next().await {
        if let Ok((place, error)) = ended {
            items[place].delivered = error.is_none();
            items[place].error = error;
        }
    }
    Ok(Json(Tested { items }))
}

/// Tells by this channel; answers why that did not work.
async fn tried(notifier: &dyn Notifier, notice: &Notice) -> Option<String> {
    match tokio::time::timeout(PATIENCE, notifier.notify(JobId::new(), notice)).await {
        Ok(told) => told.err().map(|error| chain(&error)),
        Err(_) => Some(format!("no answer within {PATIENCE:?}")),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use postq_core::error::NotifyError;

    use super::*;

    /// Never done.
    #[derive(Debug)]
    struct Frozen;

    #[async_trait]
    impl Notifier for Frozen {
        fn channel(&self) -> &str {
            "frozen"
        }

        async fn notify(&self, _: JobId, _: &Notice) -> Result<(), NotifyError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_is_not_waited_for_for_long() {
        let notice = Notice::new(NoticeKind::Test, MESSAGE);

        let came = tried(&Frozen, &notice).await;

        assert_eq!(came.as_deref(), Some("no answer within 25s"));
    }

    #[test]
    fn the_documents_tell_of_the_same_notices() {
        let page = include_str!("../../../docs/notifications.md");
        let told = page.split("## Where it is told").next().unwrap_or_default();
        let rows: Vec<&str> = told.lines().filter(|line| line.starts_with("| `")).collect();

        let known = NOTICES.map(|(kind, when, how_often)| {
            format!("| `{}` | {when} | {how_often} |", kind.as_str())
        });
        assert_eq!(rows, known);
    }
}
