//! One full address has one session: in every table at every time, and among those who were told that
//! they have it, when everybody agrees.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::SessionId;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::sim::{Sim, bind, for_seeds, jid};

/// Several nodes bind the same few addresses at once, while links are cut and mended.
fn contended(count: u32, seeds: u64) {
    for_seeds(seeds, count, |mut sim| async move {
        let addresses: Vec<_> = (0..3).map(|n| jid(&format!("user{n}@example.org/phone"))).collect();
        let bound: std::sync::Arc<Mutex<Vec<(u32, SessionId)>>> = Default::default();
        let mut binders = Vec::new();
        for id in sim.ids() {
            let (member, bound, addresses) = (sim.member(id), bound.clone(), addresses.clone());
            binders.push(tokio::spawn(async move {
                for round in 0..12 {
                    let address = &addresses[(round + id as usize) % addresses.len()];
                    if let Some(session) = bind(&member, address).await {
                        bound.lock().push((id, session));
                    }
                    sleep(Duration::from_millis(u64::from(id) * 7 % 40)).await;
                }
            }));
        }
        for _ in 0..4 {
            sleep(Duration::from_millis(sim.draw(1500))).await;
            let (one, other) = (sim.draw_node(), sim.draw_node());
            match sim.draw(3) {
                0 => sim.network.cut_one_way(cluster::NodeId(one), cluster::NodeId(other)),
                1 => {
                    let rest: Vec<u32> = sim.ids().into_iter().filter(|id| *id != one).collect();
                    sim.partition(&[one], &rest);
                }
                _ => sim.network.heal(),
            }
            assert_one_each(&sim);
        }
        sim.network.heal();
        for binder in binders {
            binder.await.unwrap();
        }
        sim.within(Duration::from_secs(15), "agreement", Sim::is_same_everywhere).await;
        assert_one_each(&sim);
        check_sockets(&sim, &bound.lock());
        sim
    });
}

fn assert_one_each(sim: &Sim) {
    for (id, member) in sim.members() {
        let sessions = member.table().nodes().into_iter().flat_map(|(n, _)| member.table().sessions_of(n));
        let mut seen = BTreeSet::new();
        for entry in sessions {
            assert!(seen.insert(entry.jid.to_string()), "{} twice on {id}", entry.jid);
        }
    }
}

/// Who was told that it is bound has its place in the table, or was told that it lost it.
fn check_sockets(sim: &Sim, bound: &[(u32, SessionId)]) {
    for (id, session) in bound {
        let told = sim.told(*id);
        let is_there = sim.member(*id).table().sessions_of(cluster::NodeId(*id)).iter().any(|e| {
            // The same session, under the boot that its node came back with.
            e.session.number == session.number
        });
        let was_replaced = told.replaced.lock().iter().any(|lost| lost.number == session.number);
        assert!(is_there || was_replaced, "{session:?} of {id} believes that it is bound");
    }
}

#[test]
fn of_three() {
    contended(3, 6);
}

#[test]
fn of_five() {
    contended(5, 3);
}

#[test]
fn of_nine() {
    contended(9, 1);
}
