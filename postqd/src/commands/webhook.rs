//! `postqd webhook`: who is told over HTTP of what happens.

use anyhow::bail;
use postq_core::webhook::EventKind;
use serde_json::json;

use super::more;
use crate::api::Api;
use crate::api::shown::{Delivery, Shown, Webhook as Endpoint, WebhookTried, WebhookWithSecret};
use crate::cli::Webhook;
use crate::output::{Output, Usage, cut};

pub(super) async fn run(api: &Api, output: Output, command: Webhook) -> anyhow::Result<()> {
    match command {
        Webhook::Add { url, events } => {
            let new = json!({ "url": url, "events": words(&events) });
            let made = api.post("/api/webhooks", new).await?;
            secret(output, &made, "is made")
        }
        Webhook::List => {
            let all = api.all::<Endpoint>("/api/webhooks", &[]).await?;
            output.list(["id", "url", "events", "state"], &all, |endpoint| row(endpoint));
            Ok(())
        }
        Webhook::Show { id } => {
            let endpoint: Shown<Endpoint> = api.get(&format!("/api/webhooks/{id}")).await?;
            tell(output, &endpoint);
            Ok(())
        }
        Webhook::Edit { id, url, events, all_events } => {
            if url.is_none() && events.is_empty() && !all_events {
                return Err(
                    Usage("nothing to change: --url, --event or --all-events".into()).into()
                );
            }
            let mut change = json!({});
            if let Some(url) = url {
                change["url"] = json!(url);
            }
            if all_events || !events.is_empty() {
                change["events"] = json!(words(&events));
            }
            let path = format!("/api/webhooks/{id}");
            tell(output, &api.patch::<Endpoint>(&path, None, change).await?);
            Ok(())
        }
        Webhook::Rotate { id } => {
            let made = api.post(&format!("/api/webhooks/{id}/secret"), json!({})).await?;
            secret(output, &made, "has a new secret; the old one signs beside it for 24 h")
        }
        Webhook::Remove { id } => {
            api.delete(&format!("/api/webhooks/{id}")).await?;
            let value = json!({ "webhook": id, "done": "removed" });
            output.tell(format!("webhook {id}: taken away"), &value);
            Ok(())
        }
        Webhook::Pause { id, note } => {
            let path = format!("/api/webhooks/{id}/pause");
            tell(output, &api.post::<Endpoint>(&path, json!({ "note": note })).await?);
            Ok(())
        }
        Webhook::Resume { id } => {
            let path = format!("/api/webhooks/{id}/resume");
            tell(output, &api.post::<Endpoint>(&path, json!({})).await?);
            Ok(())
        }
        Webhook::Deliveries { id, paging } => {
            let path = format!("/api/webhooks/{id}/deliveries");
            let all = api.list::<Delivery>(&path, &[], &paging).await?;
            let columns = ["id", "made at", "event", "state", "attempt", "reason"];
            output.list(columns, &all, |delivery| delivered(delivery));
            more(output, &paging, all.len(), all.last().map(|delivery| delivery.id));
            Ok(())
        }
        Webhook::Resend { id, delivery } => {
            let path = format!("/api/webhooks/{id}/deliveries/{delivery}/resend");
            let by: Shown<Delivery> = api.post(&path, json!({})).await?;
            output.tell(format!("delivery {}: due now; postqd serve sends it", by.id), &by);
            Ok(())
        }
        Webhook::Test { id } => {
            let path = format!("/api/webhooks/{id}/test");
            tried(output, &api.post(&path, json!({})).await?)
        }
    }
}

/// Shows a secret, this once.
fn secret(output: Output, made: &Shown<WebhookWithSecret>, what: &str) -> anyhow::Result<()> {
    let id = made.id;
    let Some(text) = &made.secret else {
        bail!(
            "webhook {id} {what}, and its secret was lost on its way here; postqd webhook rotate \
             {id} makes another one"
        );
    };
    output.note(format!("webhook {id} {what}; the secret is shown this once:"));
    output.tell(text, made);
    Ok(())
}

fn tried(output: Output, tried: &Shown<WebhookTried>) -> anyhow::Result<()> {
    let said = match tried.status {
        Some(status) => format!("it answered {status} after {} ms", tried.took_ms),
        None => "it did not answer".to_owned(),
    };
    let why = if tried.answer.is_empty() { String::new() } else { format!(": {}", tried.answer) };
    output.tell(format!("{said}{why}"), tried);
    if !tried.taken {
        bail!("the endpoint did not take the ping; it has to answer with a 2xx status");
    }
    Ok(())
}

fn tell(output: Output, endpoint: &Shown<Endpoint>) {
    let [id, url, events, state] = row(endpoint);
    let paused = endpoint.paused.as_ref();
    let why = paused.map(|paused| format!(" since {}: {}", time(paused.at), paused.why));
    let why = why.unwrap_or_default();
    output.tell(format!("webhook {id} to {url}, told of {events}: {state}{why}"), endpoint);
}

fn row(endpoint: &Endpoint) -> [String; 4] {
    let everything = || "everything".to_owned();
    let events = Some(endpoint.events.join(", ")).filter(|events| !events.is_empty());
    let state = if endpoint.paused.is_some() { "paused" } else { "told" };
    let url = cut(&endpoint.url, 80);
    [endpoint.id.to_string(), url, events.unwrap_or_else(everything), state.to_owned()]
}

fn delivered(delivery: &Delivery) -> [String; 6] {
    [
        delivery.id.to_string(),
        time(delivery.made_at),
        delivery.event.clone().unwrap_or_default(),
        delivery.state.to_string(),
        format!("{}/{}", delivery.attempt, delivery.max_attempts),
        cut(delivery.reason.as_deref().unwrap_or_default(), 60),
    ]
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn words(events: &[EventKind]) -> Vec<&'static str> {
    events.iter().map(|event| event.as_str()).collect()
}
