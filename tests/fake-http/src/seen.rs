//! A request that came in, as it is remembered.

use test_shapes::{Sent, form};

use crate::Call;

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place among all requests.
    pub number: u64,
    /// Its method.
    pub method: String,
    /// Its path, and its query as it was sent.
    pub target: String,
    /// Its headers, by name in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, as far as it is text and not too long.
    pub body: String,
    /// Status and body of its answer, where the server remembers them; none until it is made, and where the connection
    /// was cut.
    pub answer: Option<(u16, String)>,
}

impl Seen {
    /// A request, with so much of its body.
    pub(crate) fn of(call: &Call, number: u64, most_of_body: usize) -> Self {
        let headers = call.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let body = &call.body[..call.body.len().min(most_of_body)];
        Self {
            number,
            method: call.method.clone(),
            target: call.target(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            answer: None,
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Its query, as it was sent; empty if it has none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Its method and the last part of its path: `POST feed`.
    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path().rsplit('/').next().unwrap_or_default())
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let own = self.headers.iter().filter(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).collect()
    }

    /// The fields of its form, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        form(&self.body)
    }

    /// It as what a table of shapes is asked about.
    pub fn sent(&self) -> Sent<'_> {
        let Self { method, target, headers, body, .. } = self;
        Sent { method, target, headers, body }
    }
}
