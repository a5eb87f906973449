//! Insights: counts that are told to whose post it is.

use std::time::Instant;

use postq_core::failure::Failure;
use postq_core::platform::Counts;
use postq_http::{Hidden, NoAnswer};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Graph, MOST_OF_ONE, Token};
use crate::error::{Problem, unread};

/// What Meta says of one thing that is asked for.
pub(crate) enum Told<T> {
    Here(T),
    /// There is no such object, or none that the token may see.
    Missing,
    /// It refuses the question: one of the names is unknown today, or does not fit.
    Refused,
}

impl Graph {
    /// Reads something that may be gone. What is asked for publishes nothing: whatever happened, it is known.
    pub(crate) async fn told<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        until: Instant,
    ) -> Result<Told<T>, Failure> {
        let hidden = Hidden::secret(token.expose());
        let lost = |lost: NoAnswer| crate::error::not_published(lost.into_failure(hidden));
        let answer = self.get(path, query, token, (MOST_OF_ONE, until)).await.map_err(lost)?;
        if let Some(read) = answer.read().filter(|_| answer.status.is_success()) {
            return Ok(Told::Here(read));
        }
        match Problem::read(&answer).filter(|_| answer.status.is_client_error()) {
            Some(problem) if problem.is_missing() => Ok(Told::Missing),
            Some(problem) if problem.is_bad_question() => Ok(Told::Refused),
            _ => Err(unread(&answer, (self.name, hidden))),
        }
    }

    /// Reads groups of metrics, each by itself: one name that is unknown today fails a whole request, and
    /// must cost no more than its group.
    pub(crate) async fn insights(
        &self,
        id: &str,
        groups: &[&[&str]],
        token: &Token,
        until: Instant,
    ) -> Result<Counts, Failure> {
        let mut counts = Counts::new();
        for group in groups {
            let names = group.join(",");
            let path = format!("/{id}/insights");
            let told = self.told::<Insights>(&path, &[("metric", &names)], token, until).await?;
            if let Told::Here(insights) = told {
                let known = insights.data.iter().filter(|one| group.contains(&one.name.as_str()));
                counts.extend(known.filter_map(|one| Some((one.name.clone(), one.count()?))));
            }
        }
        Ok(counts)
    }
}

#[derive(Deserialize)]
struct Insights {
    /// Empty, at times, instead of zeros.
    #[serde(default)]
    data: Vec<Insight>,
}

#[derive(Deserialize)]
struct Insight {
    name: String,
    #[serde(default)]
    values: Vec<Measured>,
    total_value: Option<Measured>,
}

#[derive(Deserialize)]
struct Measured {
    value: Value,
}

impl Insight {
    fn count(&self) -> Option<u64> {
        self.values.last().or(self.total_value.as_ref())?.value.as_u64()
    }
}
