//! Ten seconds after everybody can be reached again, everybody has the same table.

use std::time::Duration;

use cluster::transport::Weather;
use cluster::{Cluster, NodeId, Presence};
use tokio::time::sleep;

use super::sim::{Sim, bind, for_seeds, jid};

/// Binds, presences and ends on all nodes in bad weather, with a partition long enough that nodes are
/// declared down while they live.
fn stormy(count: u32, seeds: u64) {
    for_seeds(seeds, count, |mut sim| async move {
        let delay = Duration::from_micros(100)..Duration::from_millis(40);
        sim.network.set_weather(Weather { delay, lost_per_mille: 20 });
        let mut clients = Vec::new();
        for id in sim.ids() {
            let member = sim.member(id);
            clients.push(tokio::spawn(async move {
                for number in 0..25 {
                    let address = jid(&format!("user{}@example.org/of-{id}", number % 10));
                    let Some(session) = bind(&member, &address).await else { continue };
                    let _ = member.presence(&address, session, Presence::Willing).await;
                    if number % 3 == 0 {
                        let _ = member.close(&address, session).await;
                    }
                    sleep(Duration::from_millis(150)).await;
                }
            }));
        }
        sleep(Duration::from_millis(sim.draw(2000))).await;
        let one = sim.draw_node();
        let size = 1 + sim.draw(u64::from(count) - 1) as usize;
        let mut ids = sim.ids();
        ids.rotate_left(one as usize % count as usize);
        let (side, other) = ids.split_at(size);
        sim.partition(side, other);
        sleep(Duration::from_millis(4000 + sim.draw(8000))).await;
        sim.network.heal();
        sim.network.set_weather(Weather::calm());
        for client in clients {
            client.await.unwrap();
        }
        let all_up = |sim: &Sim| {
            let up = |id: u32| sim.member(1).table().node(NodeId(id)).is_some_and(|seen| seen.is_up);
            sim.ids().into_iter().all(up)
        };
        sim.within(Duration::from_secs(10), "agreement", |sim| sim.is_same_everywhere() && all_up(sim)).await;
        sim
    });
}

#[test]
fn of_three() {
    stormy(3, 4);
}

#[test]
fn of_five() {
    stormy(5, 2);
}

#[test]
fn of_nine() {
    stormy(9, 1);
}

#[test]
fn a_node_declared_down_while_it_lived_brings_its_sessions_back() {
    for_seeds(6, 3, |mut sim| async move {
        let ids = sim.ids();
        let leader = sim.leader_of(&ids).unwrap();
        let away = *ids.iter().find(|id| **id != leader).unwrap();
        let rest: Vec<u32> = ids.iter().copied().filter(|id| *id != away).collect();
        let member = sim.member(away);
        let (kept, taken) = (jid("romeo@montague.example/orchard"), jid("juliet@capulet.example/balcony"));
        let one = bind(&member, &kept).await.unwrap();
        let two = bind(&member, &taken).await.unwrap();
        member.presence(&kept, one, Presence::Willing).await.unwrap();
        sim.partition(&[away], &rest);
        sim.within(Duration::from_secs(5), "end", |sim| sim.member(leader).table().is_empty()).await;
        let new = bind(&sim.member(leader), &taken).await.unwrap();
        let delay = Duration::from_millis(sim.draw(5000));
        sleep(delay).await;
        sim.network.heal();
        sim.within(Duration::from_secs(10), "return", |sim| !sim.told(away).returned.lock().is_empty()).await;
        let (boot, sessions) = sim.told(away).returned.lock()[0].clone();
        assert_eq!(sessions.iter().map(|s| s.number).collect::<Vec<_>>(), [one.number]);
        assert_eq!(*sim.told(away).replaced.lock(), [two], "closed with conflict");
        assert!(boot > one.boot);
        sim.within(Duration::from_secs(2), "agreement", Sim::is_same_everywhere).await;
        let found = sim.member(leader).find(&kept.bare());
        assert_eq!((found[0].session.boot, found[0].presence), (boot, Presence::Willing));
        assert_eq!(sim.member(away).find(&taken.bare())[0].session, new);
        // Its old id still means the session.
        assert!(member.close(&kept, one).await.is_ok());
        assert!(member.find(&kept.bare()).is_empty());
        sim
    });
}
