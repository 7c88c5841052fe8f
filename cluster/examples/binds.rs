//! How fast sessions bind through agreement: three nodes in one process, logs on a disk with every
//! commit flushed, over the network in memory (without delays of its own).
//!
//! `cargo run --release -p cluster --example binds [folder]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::transport::{MemoryNetwork, Weather};
use cluster::{Cluster, Disk, Member, MemberParts, NoEvents, NodeId, Peer, Settings};
use xmpp_core::Jid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "/tmp/meerkat-binds".to_owned());
    let _ = std::fs::remove_dir_all(&folder);
    let calm = Weather { delay: Duration::ZERO..Duration::ZERO, lost_per_mille: 0 };
    let network = MemoryNetwork::new(1, calm);
    let mut members = Vec::new();
    for id in 1..=3u32 {
        let parts = MemberParts {
            id: NodeId(id),
            peer: Peer { name: format!("node-{id}"), address: String::new() },
            disk: Disk::Folder(format!("{folder}/{id}").into()),
            transport: Arc::new(network.transport(NodeId(id))),
            settings: Settings::default(),
            seed: u64::from(id),
            start: 1,
            table: Arc::default(),
            events: Arc::new(NoEvents),
        };
        let member = Arc::new(Member::start(parts).await.expect("a node starts"));
        network.attach(NodeId(id), &member.answers());
        if id == 1 {
            member.bootstrap().await.expect("a new cluster");
        } else {
            assert!(member.join(NodeId(1), Duration::from_secs(10)).await);
        }
        assert!(member.is_up_within(Duration::from_secs(10)).await);
        members.push(member);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (name, member) in [("leader", 0), ("follower", 1)] {
        at_rest(name, &members[member]).await;
    }
    for at_once in [64, 256, 1024] {
        storm(&members, at_once).await;
    }
    for member in &members {
        member.stop().await;
    }
}

async fn at_rest(name: &str, member: &Arc<Member>) {
    let mut took = Vec::new();
    for number in 0..500 {
        let jid = Jid::parse(&format!("rest{number}@example.org/{name}")).expect("an address");
        let begun = Instant::now();
        member.open(&jid, member.next_session()).await.expect("a bind");
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    took.sort();
    println!("one bind at rest on a {name}: p50 {:?}, p99 {:?}", took[250], took[495]);
}

/// So many clients at once, on all nodes, each binding one session after the other.
async fn storm(members: &[Arc<Member>], at_once: usize) {
    const BINDS: usize = 60_000;
    let begun = Instant::now();
    let clients = (0..at_once).map(|client| {
        let member = members[client % members.len()].clone();
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for number in 0..BINDS / at_once {
                let jid = Jid::parse(&format!("user{number}of{client}in{at_once}@example.org/phone"));
                let jid = jid.expect("an address");
                let begun = Instant::now();
                member.open(&jid, member.next_session()).await.expect("a bind");
                longest = longest.max(begun.elapsed());
            }
            longest
        })
    });
    let mut longest = Duration::ZERO;
    for client in clients.collect::<Vec<_>>() {
        longest = longest.max(client.await.expect("a client"));
    }
    let took = begun.elapsed();
    let rate = (BINDS / at_once * at_once) as f64 / took.as_secs_f64();
    println!("{at_once} at once: {rate:.0} binds/s, the longest {longest:?}");
}
