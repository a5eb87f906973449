//! What is wrong with a value.

use serde_json::{Map, Value};

use crate::Shapes;

impl Shapes {
    /// What is wrong with a value; the first thing, with where it is.
    pub(crate) fn problem(&self, value: &Value, shape: &Value, at: &str) -> Option<String> {
        let (shape, at) = match self.resolved(value, shape, at) {
            Ok(resolved) => resolved,
            Err(problem) => return Some(problem),
        };
        if value.is_null() && shape["nullable"] == true {
            return None;
        }
        let is = match shape["type"].as_str().unwrap_or_default() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            other => panic!("{at}: no type {other:?} in the table"),
        };
        if !is {
            return Some(format!("{at}: {} is no {}", cut(value), shape["type"]));
        }
        bounds(value, shape, &at).or_else(|| match value {
            Value::Object(object) => self.fields(object, shape, &at),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(n, item)| self.problem(item, &shape["items"], &format!("{at}[{n}]"))),
            _ => None,
        })
    }

    /// A field that is not listed, by its name alone; with where it is.
    pub(crate) fn unlisted_field(&self, value: &Value, shape: &Value, at: &str) -> Option<String> {
        let (shape, at) = match self.resolved(value, shape, at) {
            Ok(resolved) => resolved,
            Err(problem) => return Some(problem),
        };
        match value {
            Value::Object(object) => {
                let listed = shape["properties"].as_object()?;
                object.iter().find_map(|(name, value)| match listed.get(name) {
                    Some(shape) => self.unlisted_field(value, shape, &format!("{at}.{name}")),
                    None => Some(format!("{at}.{name}")),
                })
            }
            Value::Array(items) => {
                items.iter().find_map(|item| self.unlisted_field(item, &shape["items"], &at))
            }
            _ => None,
        }
    }

    /// The shape behind names and choices, and where it is.
    pub(crate) fn resolved<'a>(
        &'a self,
        value: &Value,
        shape: &'a Value,
        at: &str,
    ) -> Result<(&'a Value, String), String> {
        if let Some(name) = shape.get("shape").and_then(Value::as_str) {
            return self.resolved(value, &self.shapes[name], at);
        }
        let Some(by) = shape.get("by").and_then(Value::as_str) else {
            return Ok((shape, at.to_owned()));
        };
        let kind = value.get(by).and_then(Value::as_str).unwrap_or_default();
        match shape["one"].get(kind) {
            Some(shape) => self.resolved(value, shape, &format!("{at}({kind})")),
            None => Err(format!("{at}: {by} is {kind:?}")),
        }
    }

    fn fields(&self, object: &Map<String, Value>, shape: &Value, at: &str) -> Option<String> {
        // Without a list of fields anything may be in it.
        let listed = shape["properties"].as_object()?;
        let required = shape["required"].as_array().into_iter().flatten();
        let missing = required
            .filter_map(Value::as_str)
            .filter(|name| !object.contains_key(*name))
            .map(|name| format!("{at}: {name} is missing"));
        let wrong = object.iter().filter_map(|(name, value)| match listed.get(name) {
            Some(shape) => self.problem(value, shape, &format!("{at}.{name}")),
            None => Some(format!("{at}: {name} is not listed")),
        });
        missing.chain(wrong).next()
    }
}

fn bounds(value: &Value, shape: &Value, at: &str) -> Option<String> {
    let limit = |name: &str| shape.get(name).and_then(Value::as_u64);
    let long = value.as_str().map(|text| text.chars().count() as u64);
    let many = value.as_array().map(|items| items.len() as u64);
    let number = value.as_u64();
    let over = |actual: Option<u64>, name| actual.zip(limit(name)).is_some_and(|(a, l)| a > l);
    let under = |actual: Option<u64>, name| actual.zip(limit(name)).is_some_and(|(a, l)| a < l);
    let unlisted = shape["enum"].as_array().is_some_and(|listed| !listed.contains(value));
    let unlike = shape["pattern"]
        .as_str()
        .is_some_and(|pattern| !fits(value.as_str().unwrap_or_default(), pattern));
    let wrong = over(long, "maxLength")
        || under(long, "minLength")
        || over(many, "maxItems")
        || under(many, "minItems")
        || over(number, "maximum")
        || under(number, "minimum")
        || unlisted
        || unlike;
    wrong.then(|| format!("{at}: {} is not within {shape}", cut(value)))
}

fn fits(text: &str, pattern: &str) -> bool {
    let allowed: fn(u8) -> bool = match pattern {
        r"^\d+$" => |c| c.is_ascii_digit(),
        "^[a-zA-Z0-9+/=]+$" => |c| c.is_ascii_alphanumeric() || b"+/=".contains(&c),
        other => panic!("the pattern {other} is not known to this test"),
    };
    !text.is_empty() && text.bytes().all(allowed)
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}
