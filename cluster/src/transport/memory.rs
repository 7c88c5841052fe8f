//! Nodes in one process, and weather between them: delays, losses, cuts and deaths, from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answers, Transport, TransportError};
use crate::{Fut, NodeId, Peer};

/// What happens to what is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// Each request and each answer takes a time from here, so that they overtake each other.
    pub delay: Range<Duration>,
    /// Of a thousand requests or answers, so many are lost.
    pub lost_per_mille: u64,
}

impl Weather {
    pub fn calm() -> Weather {
        Weather { delay: Duration::from_micros(100)..Duration::from_millis(1), lost_per_mille: 0 }
    }
}

/// All the nodes. Clones are the same network.
#[derive(Clone)]
pub struct MemoryNetwork {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    nodes: BTreeMap<NodeId, Weak<dyn Answers>>,
    /// Nothing passes from the first to the second.
    cuts: BTreeSet<(NodeId, NodeId)>,
    weather: Weather,
    chance: u64,
}

pub struct MemoryTransport {
    here: NodeId,
    network: MemoryNetwork,
}

impl MemoryNetwork {
    pub fn new(seed: u64, weather: Weather) -> MemoryNetwork {
        let (nodes, cuts) = (BTreeMap::new(), BTreeSet::new());
        let inner = Inner { nodes, cuts, weather, chance: seed };
        MemoryNetwork { inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn transport(&self, here: NodeId) -> MemoryTransport {
        MemoryTransport { here, network: self.clone() }
    }

    /// From now on the node answers. What was under way to an earlier one of its name reaches this one.
    pub fn attach(&self, node: NodeId, answers: &Arc<impl Answers>) {
        let answers: Weak<dyn Answers> = Arc::downgrade(answers) as Weak<dyn Answers>;
        self.inner.lock().nodes.insert(node, answers);
    }

    /// It answers nothing any more.
    pub fn detach(&self, node: NodeId) {
        self.inner.lock().nodes.remove(&node);
    }

    pub fn set_weather(&self, weather: Weather) {
        self.inner.lock().weather = weather;
    }

    /// Cuts one direction: what the first says does not reach the second.
    pub fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.inner.lock().cuts.insert((from, to));
    }

    pub fn cut(&self, one: NodeId, other: NodeId) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nothing passes between the two sides.
    pub fn partition(&self, side: &[NodeId], other: &[NodeId]) {
        side.iter().for_each(|one| other.iter().for_each(|two| self.cut(*one, *two)));
    }

    pub fn heal(&self) {
        self.inner.lock().cuts.clear();
    }

    /// How long it takes from one to the other, if it arrives.
    fn pass(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let Range { start, end } = inner.weather.delay.clone();
        let span = end.saturating_sub(start).as_micros() as u64;
        let delay = start + Duration::from_micros(inner.draw(span + 1));
        let is_lost = inner.draw(1000) < inner.weather.lost_per_mille;
        (!is_lost && !inner.cuts.contains(&(from, to))).then_some(delay)
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.inner.lock().cuts.contains(&(from, to))
    }

    fn node(&self, node: NodeId) -> Option<Arc<dyn Answers>> {
        self.inner.lock().nodes.get(&node).and_then(Weak::upgrade)
    }
}

impl Inner {
    /// SplitMix64: small, and the same everywhere.
    fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }
}

impl Transport for MemoryTransport {
    fn request(
        &self,
        to: NodeId,
        request: Bytes,
        limit: Duration,
    ) -> Fut<'static, Result<Bytes, TransportError>> {
        let (network, here) = (self.network.clone(), self.here);
        let until = Instant::now() + limit;
        Box::pin(async move {
            let exchange = async {
                let there = network.pass(here, to)?;
                sleep(there).await;
                // A cut stops what is under way, too.
                let answers = network.node(to).filter(|_| !network.is_cut(here, to))?;
                // The peer works on it whether or not we still wait.
                let answer = tokio::spawn(answers.answer(here, request)).await.ok()?;
                sleep(network.pass(to, here)?).await;
                (!network.is_cut(to, here) && network.node(to).is_some()).then_some(answer)
            };
            match timeout_at(until, exchange).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    tokio::time::sleep_until(until).await;
                    Err(TransportError::TimedOut)
                }
                Err(_) => Err(TransportError::TimedOut),
            }
        })
    }

    fn know(&self, _node: NodeId, _peer: &Peer) {}
}
