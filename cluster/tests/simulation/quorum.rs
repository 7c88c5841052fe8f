//! Without a majority nobody can bind, and everybody can be found.

use std::time::Duration;

use cluster::{Cluster, ClusterError, Presence};
use tokio::time::Instant;

use super::sim::{bind, for_seeds, jid};

#[test]
fn a_minority_refuses_binds_and_goes_on_reading() {
    for_seeds(4, 3, |mut sim| async move {
        let (romeo, juliet) = (jid("romeo@montague.example/orchard"), jid("juliet@capulet.example/balcony"));
        let alone = sim.draw_node();
        let others: Vec<u32> = sim.ids().into_iter().filter(|id| *id != alone).collect();
        let member = sim.member(alone);
        let session = bind(&member, &romeo).await.unwrap();
        sim.partition(&[alone], &others);
        let begun = Instant::now();
        let refused = member.open(&juliet, member.next_session()).await;
        assert_eq!(refused, Err(ClusterError::NoQuorum));
        assert!(begun.elapsed() <= sim.settings.quorum_wait + Duration::from_millis(100));
        assert_eq!(member.find(&romeo.bare())[0].session, session, "reads go on");
        assert_eq!(
            member.presence(&romeo, session, Presence::Willing).await,
            Err(ClusterError::NoQuorum),
            "told, and remembered"
        );
        // The others have a majority: within the time of an election they take binds.
        let other = sim.member(others[0]);
        assert!(bind(&other, &juliet).await.is_some());

        sim.network.heal();
        sim.within(Duration::from_secs(10), "agreement", |sim| {
            let found = sim.member(others[0]).find(&romeo.bare());
            found.len() == 1 && found[0].presence == Presence::Willing && sim.is_same_everywhere()
        })
        .await;
        assert_eq!(other.find(&juliet.bare()).len(), 1, "the bind that was refused replaced nobody");
        sim
    });
}

#[test]
fn a_bind_that_was_refused_leaves_nothing() {
    for_seeds(4, 3, |mut sim| async move {
        let romeo = jid("romeo@montague.example/orchard");
        let ids = sim.ids();
        let leader = sim.leader_of(&ids).unwrap();
        let others: Vec<u32> = ids.iter().copied().filter(|id| *id != leader).collect();
        // The leader can still write it into its own log, and a heal may bring it everywhere.
        sim.partition(&[leader], &others);
        let member = sim.member(leader);
        assert_eq!(bind(&member, &romeo).await, None);
        if sim.draw(2) == 0 {
            tokio::time::sleep(Duration::from_millis(sim.draw(3000))).await;
        }
        sim.network.heal();
        assert!(member.is_up_within(Duration::from_secs(10)).await);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(sim.is_same_everywhere());
        assert!(member.find(&romeo.bare()).is_empty());
        sim
    });
}

/// The cut is mended before the node is declared down, so that all it had asked for is still in force.
#[test]
fn a_bind_that_was_refused_replaces_nobody_after_the_heal() {
    for_seeds(4, 3, |sim| async move {
        let juliet = jid("juliet@capulet.example/balcony");
        let ids = sim.ids();
        let leader = sim.leader_of(&ids).unwrap();
        let alone = *ids.iter().find(|id| **id != leader).unwrap();
        let rest: Vec<u32> = ids.iter().copied().filter(|id| *id != alone).collect();
        sim.partition(&[alone], &rest);
        let member = sim.member(alone);
        let refused = tokio::spawn({
            let (member, juliet) = (member.clone(), juliet.clone());
            async move { bind(&member, &juliet).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let new = bind(&sim.member(leader), &juliet).await.unwrap();
        assert_eq!(refused.await.unwrap(), None);
        sim.network.heal();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(sim.told(alone).returned.lock().is_empty(), "it was never declared down");
        assert!(sim.is_same_everywhere());
        let found = member.find(&juliet.bare());
        assert_eq!(found.iter().map(|e| e.session).collect::<Vec<_>>(), [new]);
        sim
    });
}
