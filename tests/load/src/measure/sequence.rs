//! The numbers of one flow as they arrive: what is missing, what came twice, what came late.

use std::collections::VecDeque;
use std::ops::Range;

/// More gaps than this at a time are not remembered; their messages count as lost even if they come late.
const MOST_GAPS: usize = 4096;

#[derive(Default)]
pub struct Sequence {
    /// The smallest number that is larger than all that arrived.
    next: u64,
    /// Numbers below `next` that have not arrived, in order.
    missing: VecDeque<Range<u64>>,
    forgotten: u64,
    pub unique: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
}

impl Sequence {
    /// Returns whether this number arrives for the first time.
    pub fn arrived(&mut self, number: u64) -> bool {
        if number >= self.next {
            if number > self.next {
                self.remember(self.next..number);
            }
            self.next = number + 1;
        } else if self.fill(number) {
            self.out_of_order += 1;
        } else {
            self.duplicated += 1;
            return false;
        }
        self.unique += 1;
        true
    }

    /// How many of the first `sent` numbers did not arrive.
    pub fn lost(&self, sent: u64) -> u64 {
        let missing: u64 = self.missing.iter().map(|gap| gap.end - gap.start).sum();
        missing + self.forgotten + sent.saturating_sub(self.next)
    }

    fn remember(&mut self, gap: Range<u64>) {
        if self.missing.len() >= MOST_GAPS
            && let Some(oldest) = self.missing.pop_front()
        {
            self.forgotten += oldest.end - oldest.start;
        }
        self.missing.push_back(gap);
    }

    /// Takes the number out of the missing ones, if it is one.
    fn fill(&mut self, number: u64) -> bool {
        let Some(place) = self.missing.iter().position(|gap| gap.contains(&number)) else { return false };
        let Some(gap) = self.missing.remove(place) else { return false };
        if number + 1 < gap.end {
            self.missing.insert(place, number + 1..gap.end);
        }
        if gap.start < number {
            self.missing.insert(place, gap.start..number);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64]) -> Sequence {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.arrived(*number);
        }
        sequence
    }

    #[test]
    fn in_order_is_without_fault() {
        let sequence = after(&[0, 1, 2, 3]);
        assert_eq!((sequence.unique, sequence.duplicated, sequence.out_of_order), (4, 0, 0));
        assert_eq!((sequence.lost(4), sequence.lost(6)), (0, 2));
    }

    #[test]
    fn a_gap_that_is_filled_late_is_disorder_and_not_loss() {
        let sequence = after(&[0, 4, 2, 1]);
        assert_eq!((sequence.unique, sequence.duplicated, sequence.out_of_order), (4, 0, 2));
        assert_eq!(sequence.lost(5), 1);
    }

    #[test]
    fn the_second_time_is_a_duplicate() {
        let sequence = after(&[0, 0, 1, 3, 3, 2, 2]);
        assert_eq!((sequence.unique, sequence.duplicated, sequence.out_of_order), (4, 3, 1));
        assert_eq!(sequence.lost(4), 0);
    }

    #[test]
    fn gaps_are_bounded_and_forgotten_ones_are_lost() {
        let odd: Vec<u64> = (0..=2 * MOST_GAPS as u64 + 10).filter(|number| number % 2 == 1).collect();
        let sequence = after(&odd);
        assert_eq!(sequence.missing.len(), MOST_GAPS);
        assert_eq!(sequence.lost(odd.len() as u64 * 2), odd.len() as u64);
    }
}
