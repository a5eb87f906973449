//! `postqd node`: the processes that share a store.

use crate::api::Api;
use crate::api::shown::{Node as Told, Nodes, Shown};
use crate::cli::Node;
use crate::output::{Output, cut};

pub(super) async fn run(api: &Api, output: Output, command: Node) -> anyhow::Result<()> {
    let Node::List = command;
    let nodes: Shown<Nodes> = api.get("/api/nodes").await?;
    let columns = ["id", "state", "host", "roles", "version", "seen at", "running", "loops"];
    output.list(columns, &nodes.items, |node| row(node));
    Ok(())
}

fn row(node: &Told) -> [String; 8] {
    [
        node.id.to_string(),
        node.state.clone(),
        format!("{}:{}", node.host, node.pid),
        node.roles.join(", "),
        node.version.clone(),
        node.seen_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        node.running.to_string(),
        loops(node),
    ]
}

/// The loops that do not do well.
fn loops(node: &Told) -> String {
    let troubled = node.loops.iter().filter(|one| !one.fresh || one.error.is_some());
    let troubled: Vec<String> = troubled
        .map(|one| match &one.error {
            Some(error) => format!("{}: {}", one.name, cut(error, 60)),
            None => format!("{}: late", one.name),
        })
        .collect();
    if troubled.is_empty() { "good".to_owned() } else { troubled.join("; ") }
}
