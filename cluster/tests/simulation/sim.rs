//! The nodes, what happens to them, and what is asked of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cluster::transport::{MemoryNetwork, Weather};
use cluster::{
    Boot, Cluster, Disk, Events, Member, MemberParts, MemoryDisk, NodeId, Peer, SessionId, SessionTable,
    Settings,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use xmpp_core::Jid;

pub struct Sim {
    pub network: MemoryNetwork,
    pub settings: Settings,
    nodes: BTreeMap<u32, Node>,
    disks: BTreeMap<u32, MemoryDisk>,
    seed: u64,
    chance: u64,
    starts: u64,
}

pub struct Node {
    pub member: Arc<Member>,
    pub told: Arc<Told>,
}

/// What a node was told by events.
#[derive(Default)]
pub struct Told {
    pub replaced: Mutex<Vec<SessionId>>,
    pub returned: Mutex<Vec<(Boot, Vec<SessionId>)>>,
    pub gone: Mutex<Vec<(NodeId, usize)>>,
}

impl Events for Told {
    fn replaced(&self, session: SessionId) {
        self.replaced.lock().push(session);
    }

    fn gone(&self, node: NodeId, gone: &[cluster::Gone]) {
        self.gone.lock().push((node, gone.len()));
    }

    fn returned(&self, boot: Boot, kept: &[SessionId]) {
        self.returned.lock().push((boot, kept.to_vec()));
    }
}

/// Runs the play once for each seed. Several nodes, the first of which made the cluster.
pub fn for_seeds<F>(seeds: u64, count: u32, play: impl Fn(Sim) -> F)
where
    F: Future<Output = Sim>,
{
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds = match (number("MEERKAT_SEED"), number("MEERKAT_SEEDS")) {
        (Some(one), _) => one..one + 1,
        (None, wanted) => 1..wanted.unwrap_or(seeds) + 1,
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        let run = || {
            runtime.block_on(async {
                let mut sim = Sim::new(seed);
                sim.form(count).await;
                let sim = play(sim).await;
                sim.end().await;
            });
        };
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("{count} nodes, MEERKAT_SEED={seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

impl Sim {
    fn new(seed: u64) -> Sim {
        Sim {
            network: MemoryNetwork::new(seed, Weather::calm()),
            settings: Settings::default(),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            seed,
            chance: seed,
            starts: 1_000_000,
        }
    }

    /// Node 1 makes a cluster, the others are taken in, and everybody is up.
    async fn form(&mut self, count: u32) {
        for id in 1..=count {
            self.start(id).await;
        }
        self.member(1).bootstrap().await.unwrap();
        for id in 2..=count {
            assert!(self.member(id).join(NodeId(1), Duration::from_secs(10)).await, "{id} joins");
        }
        let wanted = match count {
            1..=2 => 1,
            3..=4 => 3,
            _ => 5,
        };
        self.within(Duration::from_secs(20), "a cluster", |sim| {
            sim.members().all(|(_, m)| {
                let status = m.status();
                let voters = status.nodes.iter().filter(|n| n.role != cluster::Role::Learner).count();
                let up = status.nodes.iter().filter(|n| n.is_up).count();
                (up, voters) == (count as usize, wanted)
            })
        })
        .await;
    }

    pub async fn start(&mut self, id: u32) {
        self.starts += 1;
        let told = Arc::new(Told::default());
        let parts = MemberParts {
            id: NodeId(id),
            peer: Peer { name: format!("meerkat@meerkat-{id}"), address: String::new() },
            disk: Disk::Memory(self.disks.entry(id).or_default().clone()),
            transport: Arc::new(self.network.transport(NodeId(id))),
            settings: self.settings.clone(),
            seed: self.seed.wrapping_mul(1000) + self.starts,
            start: self.starts,
            table: Arc::new(SessionTable::seeded(self.seed)),
            events: told.clone(),
        };
        let member = Arc::new(Member::start(parts).await.unwrap());
        self.network.attach(NodeId(id), &member.answers());
        self.nodes.insert(id, Node { member, told });
    }

    /// Its process ends, its disk stays.
    pub async fn kill(&mut self, id: u32) {
        self.network.detach(NodeId(id));
        if let Some(node) = self.nodes.remove(&id) {
            node.member.stop().await;
        }
    }

    async fn end(mut self) {
        let ids: Vec<u32> = self.nodes.keys().copied().collect();
        for id in ids {
            self.kill(id).await;
        }
    }

    pub fn member(&self, id: u32) -> Arc<Member> {
        self.nodes[&id].member.clone()
    }

    pub fn told(&self, id: u32) -> Arc<Told> {
        self.nodes[&id].told.clone()
    }

    pub fn members(&self) -> impl Iterator<Item = (u32, &Arc<Member>)> {
        self.nodes.iter().map(|(id, node)| (*id, &node.member))
    }

    pub fn ids(&self) -> Vec<u32> {
        self.nodes.keys().copied().collect()
    }

    /// A number below that one.
    pub fn draw(&mut self, below: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % below
    }

    pub fn draw_node(&mut self) -> u32 {
        let ids = self.ids();
        ids[self.draw(ids.len() as u64) as usize]
    }

    /// The two sides no longer hear each other.
    pub fn partition(&self, side: &[u32], other: &[u32]) {
        let nodes = |ids: &[u32]| ids.iter().map(|id| NodeId(*id)).collect::<Vec<_>>();
        self.network.partition(&nodes(side), &nodes(other));
    }

    /// Who leads, by the word of most of these.
    pub fn leader_of(&self, ids: &[u32]) -> Option<u32> {
        let said = ids.iter().filter_map(|id| self.nodes.get(id)).filter_map(|n| n.member.status().leader);
        let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
        said.for_each(|leader| *votes.entry(leader.0).or_default() += 1);
        let most = votes.into_iter().filter(|(_, votes)| votes * 2 > ids.len());
        most.map(|(leader, _)| leader).find(|leader| ids.contains(leader))
    }

    /// Waits until it holds, or fails after this simulated time. Says how long it took.
    pub async fn within(&self, limit: Duration, what: &str, holds: impl Fn(&Sim) -> bool) -> Duration {
        let begun = Instant::now();
        while !holds(self) {
            if begun.elapsed() > limit {
                let all = self.members().map(|(id, m)| format!("{id}: {:?}\n", m.status()));
                panic!("no {what} within {limit:?}\n{}", all.collect::<String>());
            }
            sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// The tables of all nodes, as text that is the same for equal tables.
    pub fn tables(&self) -> BTreeMap<u32, String> {
        self.members().map(|(id, member)| (id, listing(member.table()))).collect()
    }

    pub fn is_same_everywhere(&self) -> bool {
        let tables = self.tables();
        let first = tables.values().next();
        tables.values().all(|table| Some(table) == first)
    }
}

pub fn listing(table: &SessionTable) -> String {
    let mut lines = Vec::new();
    for (node, seen) in table.nodes() {
        lines.push(format!("{node:?} {seen:?}"));
        let of_node = table.sessions_of(node);
        let mut of_node: Vec<String> = of_node.iter().map(|entry| format!("{entry:?}")).collect();
        of_node.sort();
        lines.append(&mut of_node);
    }
    lines.join("\n")
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// Binds on a node: the session, if it was taken.
pub async fn bind(member: &Member, jid: &Jid) -> Option<SessionId> {
    let session = member.next_session();
    member.open(jid, session).await.ok().map(|_| session)
}
