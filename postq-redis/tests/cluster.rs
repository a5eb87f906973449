//! On a Redis Cluster of three nodes: all keys of a prefix are in one slot, wherever that is.

use std::sync::Arc;
use std::time::Duration;

use postq_core::conformance::{cache, eventually, limiter, lock, queue};
use postq_core::error::{ErrorKind, chain};
use postq_core::job::Topic;
use postq_core::queue::{Queue, Reserve};
use postq_redis::{Config, Redis};
use test_servers::Redis as Server;
use uuid::Uuid;

/// Three nodes that share the slots.
async fn cluster() -> Vec<Server> {
    let settings = ["cluster-enabled yes", "cluster-node-timeout 2000"];
    let nodes: Vec<_> = (0..3).map(|_| Server::start_with(&settings)).collect();
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        assert_eq!(node.tell(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK\r\n");
        let meet = format!("CLUSTER MEET 127.0.0.1 {}", node.port());
        assert_eq!(nodes[0].tell(&meet), "+OK\r\n");
    }
    eventually("the nodes know one another", async || {
        let ok = |node: &Server| {
            let info = node.tell("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        nodes.iter().all(ok).then_some(())
    })
    .await;
    nodes
}

fn config(nodes: &[Server]) -> Config {
    let urls: Vec<_> = nodes.iter().map(Server::url).collect();
    let prefix = format!("test-{}", Uuid::new_v4().simple());
    let mut config = Config::new(urls.join(",")).with_prefix(prefix);
    config.cluster = true;
    config
}

/// Runs rules, each in a place of its own.
macro_rules! hold {
    ($nodes:expr, $make:expr, $suite:ident: $($rule:ident)*) => {$(
        let redis = Redis::new(config(&$nodes)).expect("settings that fit");
        $suite::$rule(Arc::new($make(&redis))).await;
    )*};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_holds_on_a_cluster() {
    let nodes = cluster().await;
    let health = Redis::new(config(&nodes)).expect("settings that fit").check().await;
    assert!(health.expect("a cluster").version.starts_with("Redis "));

    hold!(nodes, Redis::queue, queue:
        push_is_idempotent_by_id nothing_is_given_out_early highest_priority_then_earliest
        a_leased_job_has_one_holder an_ended_lease_is_given_out_again a_stale_holder_changes_nothing
        release_puts_it_back_for_later remove_forgets reserve_waits_for_a_push skipped_lanes_wait
        depth_counts_each_job_once topics_are_apart reservers_never_share_a_job
        extending_keeps_the_lease);
    hold!(nodes, Redis::lock, lock:
        a_held_key_is_refused keys_are_decided_one_by_one only_its_holder_releases
        a_key_frees_itself one_of_many_acquires);
    hold!(nodes, Redis::limiter, limiter:
        a_slot_is_never_early a_slot_is_never_in_the_past slots_keep_the_rate
        takers_never_share_a_slot keys_are_apart tightening_holds_back a_reading_never_loosens);
    hold!(nodes, Redis::cache, cache:
        a_value_is_made_once a_value_ends callers_share_one_making nothing_is_not_kept
        forgetting_makes_anew a_dropped_making_hinders_nobody);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_taken_for_one_server_is_told_and_the_other_way_round() {
    let nodes = cluster().await;
    let mut one = Config::new(nodes[0].url());
    let error = Redis::new(one.clone()).expect("settings that fit").check().await;
    let error = error.expect_err("a cluster");
    assert!(chain(&error).contains("POSTQ_REDIS_CLUSTER=true"), "{}", chain(&error));
    // One of the three nodes has the slot, the others send us away.
    let mut refused = 0;
    for node in &nodes {
        one = Config::new(node.url());
        let queue = Redis::new(one.clone()).expect("settings that fit").queue();
        if let Err(error) = queue.reserve(&Reserve::up_to(1, Topic::publish())).await {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(chain(&error).contains("POSTQ_REDIS_CLUSTER=true"), "{}", chain(&error));
            refused += 1;
        }
    }
    assert_eq!(refused, 2);

    let single = Server::start();
    let mut config = Config::new(single.url());
    config.cluster = true;
    let error = Redis::new(config).expect("settings that fit").check().await;
    assert!(chain(&error.expect_err("no cluster")).contains("unset POSTQ_REDIS_CLUSTER"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_costs_no_more_than_the_time_outs() {
    let nodes = cluster().await;
    let mut config = config(&nodes);
    config.response_timeout = Duration::from_millis(300);
    config.connect_timeout = Duration::from_millis(300);
    let queue = Redis::new(config).expect("settings that fit").queue();
    queue.depth(&Topic::publish()).await.expect("depth");
    nodes.iter().for_each(Server::freeze);

    let start = tokio::time::Instant::now();
    let error = queue.depth(&Topic::publish()).await.expect_err("nobody answers");

    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    nodes.iter().for_each(Server::resume);
    eventually("it is used again", async || queue.depth(&Topic::publish()).await.ok()).await;
}
