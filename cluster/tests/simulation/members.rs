//! Nodes come, go, and are brought up to date.

use std::time::Duration;

use cluster::{Cluster, NodeId, Role};

use super::sim::{Sim, bind, for_seeds, jid};

fn voters(sim: &Sim, id: u32) -> usize {
    sim.member(id).status().nodes.iter().filter(|n| n.role != Role::Learner).count()
}

#[test]
fn a_node_that_was_away_for_long_is_sent_a_snapshot() {
    for_seeds(3, 3, |mut sim| async move {
        let ids = sim.ids();
        let leader = sim.leader_of(&ids).unwrap();
        let away = *ids.iter().find(|id| **id != leader).unwrap();
        let member = sim.member(leader);
        sim.kill(away).await;
        // More entries than are kept behind a snapshot.
        for number in 0..400 {
            bind(&member, &jid(&format!("user{number}@example.org/a"))).await.unwrap();
        }
        member.snapshot().await;
        let limit = Duration::from_secs(5);
        sim.within(limit, "snapshot", |sim| sim.member(leader).status().snapshot > 0).await;
        sim.start(away).await;
        sim.within(Duration::from_secs(10), "agreement", |sim| {
            sim.member(away).table().len() == 400 && sim.is_same_everywhere()
        })
        .await;
        assert!(bind(&sim.member(away), &jid("late@example.org/a")).await.is_some());
        sim
    });
}

#[test]
fn votes_follow_the_nodes_that_come_and_go() {
    for_seeds(2, 5, |mut sim| async move {
        let limit = Duration::from_secs(20);
        for (gone, left) in [(5, 3), (4, 3), (3, 1)] {
            let asked = sim.member(1);
            assert!(asked.remove(NodeId(gone), limit).await, "{gone} is removed");
            sim.kill(gone).await;
            sim.within(limit, "other voters", |sim| voters(sim, 1) == left).await;
            assert!(bind(&asked, &jid("romeo@montague.example/orchard")).await.is_some());
        }
        assert_eq!(sim.member(1).status().nodes.len(), 2);
        sim
    });
}

#[test]
fn the_vote_of_a_voter_that_is_lost_passes_to_another() {
    for_seeds(2, 9, |mut sim| async move {
        assert_eq!(voters(&sim, 1), 5);
        let status = sim.member(1).status();
        let voter =
            status.nodes.iter().find(|n| n.role == Role::Voter && n.node != NodeId(1)).unwrap().node.0;
        sim.kill(voter).await;
        let limit = sim.settings.replace_voter_after + Duration::from_secs(10);
        sim.within(limit, "another voter", |sim| {
            let nodes = sim.member(1).status().nodes;
            let is_learner = nodes.iter().any(|n| n.node.0 == voter && n.role == Role::Learner);
            is_learner && voters(sim, 1) == 5
        })
        .await;
        sim
    });
}

#[test]
fn the_whole_cluster_is_stopped_and_started_in_any_order() {
    for_seeds(4, 3, |mut sim| async move {
        let romeo = jid("romeo@montague.example/orchard");
        bind(&sim.member(2), &romeo).await.unwrap();
        for id in sim.ids() {
            sim.kill(id).await;
        }
        let mut order = vec![1, 2, 3];
        order.rotate_left(sim.draw(3) as usize);
        for id in order {
            sim.start(id).await;
            tokio::time::sleep(Duration::from_millis(sim.draw(3000))).await;
        }
        for id in sim.ids() {
            assert!(sim.member(id).is_up_within(Duration::from_secs(10)).await);
        }
        sim.within(Duration::from_secs(5), "agreement", Sim::is_same_everywhere).await;
        assert!(sim.member(1).find(&romeo.bare()).is_empty(), "its process ended");
        sim
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let runs: parking_lot::Mutex<Vec<String>> = parking_lot::Mutex::default();
    for _ in 0..2 {
        for_seeds(1, 3, |mut sim| async {
            for number in 0..30 {
                let on = sim.draw_node();
                let session = bind(&sim.member(on), &jid(&format!("user{number}@example.org/a"))).await;
                assert!(session.is_some());
            }
            let ids = sim.ids();
            let leader = sim.leader_of(&ids).unwrap();
            sim.kill(leader).await;
            tokio::time::sleep(Duration::from_secs(7)).await;
            let statuses: Vec<_> = sim.members().map(|(_, m)| format!("{:?}", m.status())).collect();
            runs.lock().push(format!("{statuses:?} {:?}", sim.tables()));
            sim
        });
    }
    let runs = runs.lock();
    let (first, second) = runs.split_at(runs.len() / 2);
    assert_eq!(first, second);
}
