//! Who has a vote.

use std::collections::{BTreeMap, BTreeSet};

use crate::NodeId;

/// How much a node can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Away, but not for long enough to lose its vote.
    Missed,
    Lost,
}

/// One voter of two nodes, three of three or four, five of more; or as many as were pinned, if there are
/// so many nodes. Those that have a vote keep it while they are not lost; then those that are up,
/// in the order of their ids. The vote of a lost node passes to one that is up, or stays.
pub fn choose_voters(
    nodes: &BTreeMap<NodeId, Health>,
    voters: &BTreeSet<NodeId>,
    leader: NodeId,
    pinned: Option<usize>,
) -> BTreeSet<NodeId> {
    let most = pinned.unwrap_or(5);
    let wanted = match nodes.len() {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    };
    let wanted = wanted.min(most);
    let rank = |node: &NodeId, health: Health| match (voters.contains(node), health) {
        // It leads: taking its vote would cost an election.
        _ if *node == leader => 0,
        (true, Health::Up) => 1,
        (true, Health::Missed) => 2,
        (false, Health::Up) => 3,
        (true, Health::Lost) => 4,
        (false, Health::Missed | Health::Lost) => 5,
    };
    let mut ranked: Vec<(u8, NodeId)> =
        nodes.iter().map(|(node, health)| (rank(node, *health), *node)).collect();
    ranked.sort_unstable();
    let chosen: BTreeSet<NodeId> = ranked.iter().take(wanted).map(|(_, node)| *node).collect();
    // A vote for a node that is away takes from what a majority can be made of.
    let is_sound = |node: &NodeId| voters.contains(node) || nodes.get(node) == Some(&Health::Up);
    if chosen.iter().all(is_sound) { chosen } else { voters.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u32]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    fn all_up(count: u32) -> BTreeMap<NodeId, Health> {
        (1..=count).map(|id| (NodeId(id), Health::Up)).collect()
    }

    #[test]
    fn as_nodes_come_there_are_one_three_and_five() {
        let mut voters = ids(&[1]);
        for (count, wanted) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (9, 5)] {
            voters = choose_voters(&all_up(count), &voters, NodeId(1), None);
            assert_eq!(voters.len(), wanted, "of {count}");
        }
        assert_eq!(choose_voters(&all_up(4), &voters, NodeId(4), None).len(), 3);
        assert_eq!(choose_voters(&all_up(2), &ids(&[1, 2]), NodeId(2), None), ids(&[2]), "the leader stays");
        assert_eq!(choose_voters(&all_up(9), &ids(&[1]), NodeId(1), Some(3)).len(), 3, "pinned");
    }

    #[test]
    fn a_lost_voter_gives_its_vote_to_one_that_is_up() {
        let mut nodes = all_up(7);
        let voters = ids(&[1, 2, 3, 4, 5]);
        nodes.insert(NodeId(3), Health::Missed);
        assert_eq!(choose_voters(&nodes, &voters, NodeId(1), None), voters, "it may come back");
        nodes.insert(NodeId(3), Health::Lost);
        assert_eq!(choose_voters(&nodes, &voters, NodeId(1), None), ids(&[1, 2, 4, 5, 6]));
        let mut three = all_up(3);
        three.insert(NodeId(2), Health::Lost);
        assert_eq!(choose_voters(&three, &ids(&[1, 2, 3]), NodeId(1), None), ids(&[1, 2, 3]), "nobody else");
        assert_eq!(
            choose_voters(&three, &ids(&[1]), NodeId(1), None),
            ids(&[1]),
            "not with one that is away"
        );
    }
}
