//! What communities say of themselves.

use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{answer, plain};
use crate::server::World;

/// What is asked of a community, by its place in what was set.
pub(crate) enum Ask {
    About,
    Requirements,
    Flairs,
    Rules,
}

/// Answers what a community that is not set otherwise asks nothing; null is what a user may not see.
pub(crate) fn told(ask: &Ask, name: &str, world: &World) -> Answer {
    let (name, none) = (name.to_ascii_lowercase(), [json!({}), json!({}), json!([])]);
    let [about, requirements, flairs] = world.communities.get(&name).unwrap_or(&none);
    let told: &Value = match ask {
        Ask::About => about,
        Ask::Requirements => requirements,
        Ask::Flairs => flairs,
        Ask::Rules => world.rules.get(&name).unwrap_or(&none[2]),
    };
    match (ask, told) {
        (_, Value::Null) => plain(403, "Forbidden"),
        (Ask::About, told) => answer(200, &json!({ "kind": "t5", "data": told })),
        (Ask::Rules, told) => {
            let site = json!(["Spam", "Personal and confidential information"]);
            answer(200, &json!({ "rules": told, "site_rules": site, "site_rules_flow": [] }))
        }
        (_, told) => answer(200, told),
    }
}
