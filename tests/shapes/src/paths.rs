//! Where fields are: those that are listed, and those that a request has.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Sent, Shapes, body};

impl Shapes {
    /// Everything that is listed, as operation and place.
    pub(crate) fn listed(&self) -> BTreeSet<String> {
        let mut listed = BTreeSet::new();
        for (name, operation) in &self.operations {
            listed.insert(name.clone());
            for part in ["query", "headers"] {
                let names = operation[part].as_object().into_iter().flatten();
                listed.extend(names.map(|(of, _)| format!("{name} {part} {of}")));
            }
            if let Some(shape) = operation["body"].as_str().filter(|shape| *shape != "bytes") {
                let mut places = Vec::new();
                self.places(&self.shapes[shape], "body", &mut places);
                listed.extend(places.into_iter().map(|place| format!("{name} {place}")));
            }
        }
        listed
    }

    /// What of it a request has.
    pub(crate) fn used(&self, name: &str, operation: &Value, sent: Sent<'_>) -> Vec<String> {
        let mut used = vec![name.to_owned()];
        used.extend(sent.query().into_iter().map(|(of, _)| format!("{name} query {of}")));
        used.extend(sent.headers.iter().map(|(of, _)| format!("{name} headers {of}")));
        let shape = operation["body"].as_str().filter(|shape| *shape != "bytes");
        if let (Some(shape), Some(body)) = (shape, body::read(sent)) {
            let mut places = Vec::new();
            self.places_of(&body, &self.shapes[shape], "body", &mut places);
            used.extend(places.into_iter().map(|place| format!("{name} {place}")));
        }
        used
    }

    fn places(&self, shape: &Value, at: &str, places: &mut Vec<String>) {
        if let Some(name) = shape["shape"].as_str() {
            return self.places(&self.shapes[name], at, places);
        }
        if let Some(one) = shape["one"].as_object() {
            for (kind, shape) in one {
                self.places(shape, &format!("{at}({kind})"), places);
            }
            return;
        }
        places.push(at.to_owned());
        for (name, shape) in shape["properties"].as_object().into_iter().flatten() {
            self.places(shape, &format!("{at}.{name}"), places);
        }
        if let Some(items) = shape.get("items") {
            self.places(items, &format!("{at}[]"), places);
        }
    }

    fn places_of(&self, value: &Value, shape: &Value, at: &str, places: &mut Vec<String>) {
        let Ok((shape, at)) = self.resolved(value, shape, at) else { return };
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let shape = &shape["properties"][name.as_str()];
                    self.places_of(value, shape, &format!("{at}.{name}"), places);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.places_of(item, &shape["items"], &format!("{at}[]"), places);
                }
            }
            _ => {}
        }
        places.push(at);
    }
}
