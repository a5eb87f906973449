//! [`Metrics`] for Pinterest: one call for each Pin.
//!
//! There is a call for a hundred Pins, but not for every app, and it does not tell which of them are gone. Counts
//! are those of a Pin's whole life; Pinterest has these for Pins since 20 March 2023, and for others those of the
//! last 90 days.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::failure::Failure;
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, MetricKind, Metrics, Pace,
};
use serde_json::{Map, Value};

use crate::client::{Caller, MOST_OF_ONE, Pinterest, Texts, is_id};
use crate::error::not_published;
use crate::pin::ShownPin;

/// Pins in one batch: as many calls one after the other.
const BATCH: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");

const fn field(name: &'static str, kind: MetricKind, public: bool) -> MetricField {
    MetricField { name, kind, public }
}

/// What Pinterest counts. A click on the Pin opens it; a click-through leads to its link.
const FIELDS: &[MetricField] = &[
    field("impression", MetricKind::Reach, false),
    field("save", MetricKind::Engagement, true),
    field("reaction", MetricKind::Engagement, true),
    field("comment", MetricKind::Engagement, true),
    field("pin_click", MetricKind::Other, false),
    field("clickthrough", MetricKind::Other, false),
];

/// Other names of the same counts, as Pinterest's analytics have them.
const ALIASES: &[(&str, &str)] = &[
    ("impressions", "impression"),
    ("saves", "save"),
    ("reactions", "reaction"),
    ("total_reactions", "reaction"),
    ("comments", "comment"),
    ("total_comments", "comment"),
    ("pin_clicks", "pin_click"),
    ("clickthroughs", "clickthrough"),
    ("outbound_click", "clickthrough"),
    ("outbound_clicks", "clickthrough"),
];

#[async_trait]
impl Metrics for Pinterest {
    fn batch(&self) -> usize {
        BATCH.get()
    }

    fn fields(&self) -> &'static [MetricField] {
        FIELDS
    }

    fn pace(&self) -> Pace {
        let (app, account) = self.config.access.reading();
        let limited = self.config.rate_limit;
        Pace {
            daily: None,
            app: app.filter(|_| limited),
            account: account.filter(|_| limited),
            send_timeout: self.config.send_timeout,
        }
    }

    async fn fetch(
        &self,
        who: &Identity,
        asked: &[Asked],
        _now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure> {
        let caller = self.caller(who, Texts::default())?;
        let mut told = Vec::with_capacity(asked.len());
        for one in asked.iter().take(BATCH.get()) {
            // Nothing was to be created, so nothing can be out: whatever happened, it is known.
            told.push(caller.counts(&one.remote_id).await.map_err(not_published)?);
        }
        told.resize(asked.len(), Fetched::Untold);
        Ok(told)
    }
}

impl Caller<'_> {
    async fn counts(&self, id: &str) -> Result<Fetched, Failure> {
        // What cannot be an id is asked for nowhere.
        if !is_id(id) {
            return Ok(Fetched::Untold);
        }
        let asked = self.get(&format!("/pins/{id}"), &[("pin_metrics", "true")], MOST_OF_ONE).await;
        let answer = asked.map_err(|lost| lost.into_failure(self.hidden()))?;
        match answer.status.as_u16() {
            404 => return Ok(Fetched::Gone),
            403 => return Ok(Fetched::Hidden),
            _ => {}
        }
        let pin: Option<ShownPin> = answer.read().filter(|_| answer.status.is_success());
        let pin = pin.filter(|pin| pin.id == id).ok_or_else(|| self.unread(&answer))?;
        Ok(pin.pin_metrics.map_or(Fetched::Untold, |metrics| told(&metrics)))
    }
}

/// The counts of a Pin's whole life, else those of 90 days.
fn told(metrics: &Value) -> Fetched {
    let of =
        |span: &str| metrics.get(span).and_then(Value::as_object).filter(|all| !all.is_empty());
    let Some(counted) = of("lifetime_metrics").or_else(|| of("90d")) else {
        return Fetched::Untold;
    };
    let counts = |public| by_field(counted, public);
    Fetched::Counts { public: counts(true), private: counts(false) }
}

/// By the names of the fields; what is none of them, or no count, is left out.
fn by_field(counted: &Map<String, Value>, public: bool) -> Counts {
    let counts = counted.iter().filter_map(|(name, count)| {
        let name = name.to_ascii_lowercase();
        let known = ALIASES.iter().find(|(other, _)| *other == name).map(|(_, own)| *own);
        let name = known.unwrap_or(&name);
        let field = FIELDS.iter().find(|field| field.name == name && field.public == public)?;
        Some((field.name.to_owned(), count.as_u64()?))
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_whole_life_counts_before_ninety_days() {
        let lifetime = json!({ "pin_click": 7, "impression": 9, "reaction": 10, "comment": 2 });
        let days = json!({ "pin_click": 1, "impression": 2, "clickthrough": 3, "save": 4 });
        let life = Fetched::Counts {
            public: counts(&[("reaction", 10), ("comment", 2)]),
            private: counts(&[("pin_click", 7), ("impression", 9)]),
        };
        let recent = Fetched::Counts {
            public: counts(&[("save", 4)]),
            private: counts(&[("pin_click", 1), ("impression", 2), ("clickthrough", 3)]),
        };

        assert_eq!(told(&json!({ "90d": days, "lifetime_metrics": lifetime })), life);
        assert_eq!(told(&json!({ "90d": days, "lifetime_metrics": {} })), recent);
        assert_eq!(told(&json!({ "90d": days, "lifetime_metrics": null })), recent);
        assert_eq!(told(&json!({})), Fetched::Untold);
    }

    #[test]
    fn each_count_has_one_name_and_what_is_no_count_is_left_out() {
        let other = json!({ "IMPRESSION": 1, "OUTBOUND_CLICK": 2, "TOTAL_REACTIONS": 3,
                            "SAVE_RATE": 0.5, "comment": "many", "new_thing": 4 });

        let expected = Fetched::Counts {
            public: counts(&[("reaction", 3)]),
            private: counts(&[("impression", 1), ("clickthrough", 2)]),
        };
        assert_eq!(told(&json!({ "lifetime_metrics": other })), expected);
        for (_, own) in ALIASES {
            assert!(FIELDS.iter().any(|field| field.name == *own), "{own}");
        }
    }
}
