//! There is a leader again within five seconds of the last one's end.

use std::time::Duration;

use super::sim::{bind, for_seeds, jid};

#[test]
fn two_hundred_leaders_of_three_nodes_are_killed() {
    for_seeds(1, 3, |mut sim| async move {
        let (mut longest, mut total) = (Duration::ZERO, Duration::ZERO);
        for kill in 0..200 {
            let ids = sim.ids();
            let leader = sim.leader_of(&ids).unwrap();
            sim.kill(leader).await;
            let rest: Vec<u32> = ids.into_iter().filter(|id| *id != leader).collect();
            let limit = Duration::from_secs(5);
            let took = sim.within(limit, "leader", |sim| sim.leader_of(&rest).is_some()).await;
            (longest, total) = (longest.max(took), total + took);
            sim.start(leader).await;
            let all = sim.ids();
            sim.within(limit, "leader of all", |sim| {
                let led_by = sim.leader_of(&all);
                sim.members().all(|(_, m)| m.status().leader.map(|l| l.0) == led_by && led_by.is_some())
            })
            .await;
            // It is a leader only if something comes of it.
            if kill % 20 == 0 {
                let member = sim.member(leader);
                assert!(member.is_up_within(Duration::from_secs(5)).await);
                assert!(bind(&member, &jid("romeo@montague.example/orchard")).await.is_some());
            }
        }
        println!("longest {longest:?}, on average {:?}", total / 200);
        sim
    });
}
