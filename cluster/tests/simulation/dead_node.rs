//! A node that dies leaves nothing in the others' tables.

use std::time::Duration;

use cluster::{Cluster, NodeId};

use super::sim::{bind, for_seeds, jid};

fn dies(count: u32, seeds: u64) {
    for_seeds(seeds, count, |mut sim| async move {
        for number in 0..3 * u64::from(count) {
            let on = 1 + (number % u64::from(count)) as u32;
            bind(&sim.member(on), &jid(&format!("user{number}@example.org/a"))).await.unwrap();
        }
        let dead = sim.draw_node();
        sim.kill(dead).await;
        sim.within(Duration::from_secs(5), "end of its sessions", |sim| {
            sim.members().all(|(_, m)| m.table().sessions_of(NodeId(dead)).is_empty())
        })
        .await;
        for id in sim.ids() {
            assert_eq!(sim.member(id).table().len(), 3 * (count as usize - 1));
            let gone = sim.told(id).gone.lock().clone();
            assert_eq!(gone.iter().filter(|g| **g == (NodeId(dead), 3)).count(), 1, "told once: {gone:?}");
        }
        // It comes back, as a new boot without sessions.
        sim.start(dead).await;
        let back = sim.member(dead);
        assert!(back.is_up_within(Duration::from_secs(5)).await);
        assert_eq!(back.table().sessions_of(NodeId(dead)).len(), 0);
        assert!(bind(&back, &jid("late@example.org/a")).await.is_some());
        sim.within(Duration::from_secs(5), "agreement", super::sim::Sim::is_same_everywhere).await;
        assert!(back.here().1.0 > 0);
        sim
    });
}

#[test]
fn of_three() {
    dies(3, 4);
}

#[test]
fn of_five() {
    dies(5, 2);
}

#[test]
fn of_nine() {
    dies(9, 1);
}
