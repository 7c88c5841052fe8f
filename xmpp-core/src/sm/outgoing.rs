//! What was written and not acknowledged.

use std::collections::VecDeque;

use crate::ns;
use crate::stream_error::{StreamCondition, StreamError};
use crate::xml::element::Element;

/// With so many stanzas behind the last `<r/>` another is due, even while there is more to write.
const REQUEST_AFTER_STANZAS: usize = 32;
/// Likewise with so many bytes.
const REQUEST_AFTER_BYTES: usize = 64 * 1024;

/// The stanzas that the peer has not acknowledged, in order, each with its number: the first one written
/// behind `<enabled/>` is 1. A number is given when a stanza is written (messages.md, rule 17).
///
/// Generic over what is kept; its weight is told by the caller.
#[derive(Debug)]
pub struct Outgoing<T> {
    queue: VecDeque<(T, usize)>,
    bytes: usize,
    /// `h` of the last acknowledgement: the number of the stanza before the first in the queue.
    acknowledged: u32,
    /// How many were ever acknowledged, to tell an old `h` from one that is too high.
    ever_acknowledged: u64,
    max_stanzas: usize,
    max_bytes: usize,
    /// Written behind the last `<r/>`.
    unrequested: usize,
    unrequested_bytes: usize,
    /// An `<r/>` is out.
    requested: bool,
}

/// The peer says it has handled what it was never sent (XEP-0198 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandledTooHigh {
    pub h: u32,
    pub sent: u32,
}

impl<T> Outgoing<T> {
    /// Bounds of the queue, in stanzas and bytes.
    pub fn new(max_stanzas: usize, max_bytes: usize) -> Outgoing<T> {
        Outgoing {
            queue: VecDeque::new(),
            bytes: 0,
            acknowledged: 0,
            ever_acknowledged: 0,
            max_stanzas,
            max_bytes,
            unrequested: 0,
            unrequested_bytes: 0,
            requested: false,
        }
    }

    /// A bound is reached: write no stanza until something is acknowledged.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= self.max_stanzas || self.bytes >= self.max_bytes
    }

    /// A stanza is being written; gives its number. Ask `is_full` before: only the last one may exceed
    /// the bound of bytes.
    pub fn push(&mut self, item: T, bytes: usize) -> u32 {
        self.queue.push_back((item, bytes));
        self.bytes += bytes;
        self.unrequested += 1;
        self.unrequested_bytes += bytes;
        self.sent()
    }

    /// Takes an `h` of `<a/>` or `<resume/>` and gives what it acknowledges, in order. One that was said
    /// before, or an older one, acknowledges nothing.
    pub fn acked(&mut self, h: u32) -> Result<Vec<T>, HandledTooHigh> {
        let newly = h.wrapping_sub(self.acknowledged) as usize;
        if newly > self.queue.len() {
            let behind = self.acknowledged.wrapping_sub(h);
            // Where counts wrap, the nearer half is the past.
            let is_old = u64::from(behind) <= self.ever_acknowledged.min(1 << 31);
            return if is_old { Ok(Vec::new()) } else { Err(HandledTooHigh { h, sent: self.sent() }) };
        }
        self.acknowledged = h;
        self.ever_acknowledged += newly as u64;
        self.requested = false;
        let taken: Vec<_> = self.queue.drain(..newly).collect();
        self.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        if self.queue.is_empty() {
            // An idle session keeps no queue.
            self.queue = VecDeque::new();
        }
        Ok(taken.into_iter().map(|(item, _)| item).collect())
    }

    /// Another connection goes on: what `h` acknowledges is given back, what remains (`iter`) is to be
    /// sent again, under the numbers it has.
    pub fn resume(&mut self, h: u32) -> Result<Vec<T>, HandledTooHigh> {
        let taken = self.acked(h)?;
        self.requested = false;
        self.unrequested = self.queue.len();
        self.unrequested_bytes = self.bytes;
        Ok(taken)
    }

    /// Is an `<r/>` to be written now? If so, it counts as written. `idle`: there is nothing more to
    /// write for the moment; then one is asked for unless one is out already, so that a busy stream
    /// carries one per batch and a silent peer is not asked again and again.
    pub fn take_request(&mut self, idle: bool) -> bool {
        let many = self.unrequested >= REQUEST_AFTER_STANZAS || self.unrequested_bytes >= REQUEST_AFTER_BYTES;
        let last = idle && !self.requested && self.unrequested > 0;
        if many || last {
            self.unrequested = 0;
            self.unrequested_bytes = 0;
            self.requested = true;
        }
        many || last
    }

    /// The number of the last stanza written.
    pub fn sent(&self) -> u32 {
        self.acknowledged.wrapping_add(self.queue.len() as u32)
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What is not acknowledged, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|(item, _)| item)
    }

    /// The same, when the session ends.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.queue.into_iter().map(|(item, _)| item)
    }
}

impl HandledTooHigh {
    /// The error that ends the stream (XEP-0198 section 6).
    pub fn stream_error(self) -> StreamError {
        let HandledTooHigh { h, sent } = self;
        let extra = Element::new("handled-count-too-high", ns::SM)
            .attr("h", h.to_string())
            .attr("send-count", sent.to_string());
        StreamError::new(StreamCondition::UndefinedCondition)
            .with_text(format!("You acknowledged {h} stanzas, but only {sent} were sent so far."))
            .with_extra(extra)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn outgoing(items: &[u32]) -> Outgoing<u32> {
        let mut outgoing = Outgoing::new(1_000, 1_000_000);
        for item in items {
            outgoing.push(*item, 10);
        }
        outgoing
    }

    #[test]
    fn numbers_begin_with_one_and_acknowledgements_drain_in_order() {
        let mut outgoing = Outgoing::new(10, 1_000);
        assert_eq!([outgoing.push('a', 1), outgoing.push('b', 2), outgoing.push('c', 3)], [1, 2, 3]);
        assert_eq!(outgoing.acked(0), Ok(vec![]));
        assert_eq!(outgoing.acked(2), Ok(vec!['a', 'b']));
        assert_eq!((outgoing.len(), outgoing.bytes(), outgoing.sent()), (1, 3, 3));
        assert_eq!(outgoing.acked(2), Ok(vec![]), "said twice");
        assert_eq!(outgoing.acked(1), Ok(vec![]), "an older one");
        assert_eq!(outgoing.into_items().collect::<Vec<_>>(), ['c']);
    }

    #[test]
    fn what_was_never_sent_cannot_be_handled() {
        let mut outgoing = outgoing(&[1, 2, 3]);
        assert_eq!(outgoing.acked(4), Err(HandledTooHigh { h: 4, sent: 3 }));
        assert_eq!(outgoing.acked(u32::MAX), Err(HandledTooHigh { h: u32::MAX, sent: 3 }));
        assert_eq!(outgoing.acked(3), Ok(vec![1, 2, 3]), "an error takes nothing");
        assert_eq!(outgoing.acked(4), Err(HandledTooHigh { h: 4, sent: 3 }));
        assert_eq!(outgoing.acked(u32::MAX), Err(HandledTooHigh { h: u32::MAX, sent: 3 }));
        let error = HandledTooHigh { h: 10, sent: 8 }.stream_error();
        assert_eq!(
            String::from_utf8(error.to_xml()).expect("text"),
            "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>\
             You acknowledged 10 stanzas, but only 8 were sent so far.</text>\
             <handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/></stream:error>"
        );
    }

    #[test]
    fn counts_wrap() {
        let mut outgoing = outgoing(&[]);
        outgoing.acknowledged = u32::MAX - 1;
        outgoing.ever_acknowledged = u64::from(u32::MAX) - 1;
        assert_eq!([outgoing.push(1, 1), outgoing.push(2, 1), outgoing.push(3, 1)], [u32::MAX, 0, 1]);
        assert_eq!(outgoing.acked(2), Err(HandledTooHigh { h: 2, sent: 1 }));
        assert_eq!(outgoing.acked(0), Ok(vec![1, 2]));
        assert_eq!(outgoing.acked(u32::MAX - 5), Ok(vec![]), "an older one, across the wrap");
        assert_eq!(outgoing.acked(1), Ok(vec![3]));
    }

    #[test]
    fn both_bounds_hold() {
        let mut by_count = Outgoing::new(2, 1_000);
        by_count.push((), 1);
        assert!(!by_count.is_full());
        by_count.push((), 1);
        assert!(by_count.is_full());
        assert_eq!(by_count.acked(1).map(|taken| taken.len()), Ok(1));
        assert!(!by_count.is_full());
        let mut by_bytes = Outgoing::new(100, 10);
        by_bytes.push((), 11);
        assert!(by_bytes.is_full());
    }

    #[test]
    fn a_request_per_batch_and_one_at_a_time() {
        let mut outgoing = outgoing(&[1, 2]);
        assert!(!outgoing.take_request(false), "more is coming");
        assert!(outgoing.take_request(true));
        assert!(!outgoing.take_request(true), "nothing was written since");
        outgoing.push(3, 10);
        assert!(!outgoing.take_request(true), "one is out");
        assert_eq!(outgoing.acked(2), Ok(vec![1, 2]));
        assert!(outgoing.take_request(true));
        outgoing.push(4, REQUEST_AFTER_BYTES);
        assert!(outgoing.take_request(false), "too much to wait for the end of the batch");
        for item in 0..REQUEST_AFTER_STANZAS as u32 {
            assert!(!outgoing.take_request(false));
            outgoing.push(item, 1);
        }
        assert!(outgoing.take_request(false));
        assert!(!Outgoing::<u32>::new(1, 1).take_request(true), "nothing was ever written");
    }

    #[test]
    fn resumption_keeps_numbers_and_asks_anew() {
        let mut outgoing = outgoing(&[1, 2, 3]);
        assert!(outgoing.take_request(true));
        assert_eq!(outgoing.resume(1), Ok(vec![1]));
        assert_eq!(outgoing.iter().copied().collect::<Vec<_>>(), [2, 3]);
        assert!(outgoing.take_request(true), "the old connection took the request with it");
        assert_eq!(outgoing.push(4, 10), 4);
        assert_eq!(outgoing.acked(4), Ok(vec![2, 3, 4]));
        assert!(outgoing.resume(5).is_err());
    }

    proptest! {
        /// Against a model that never wraps: begin anywhere, write and acknowledge at will.
        #[test]
        fn as_the_model_says(start in any::<u32>(), steps in prop::collection::vec((0..6u32, 0..8u32), 0..60)) {
            let mut outgoing = outgoing(&[]);
            outgoing.acknowledged = start;
            let mut model: VecDeque<u64> = VecDeque::new();
            let (mut sent, mut acknowledged) = (0u64, 0u64);
            for (writes, h) in steps {
                for _ in 0..writes {
                    sent += 1;
                    model.push_back(sent);
                    outgoing.push(sent as u32, 1);
                }
                // From two below what was acknowledged to above what was sent.
                let h = acknowledged as i64 - 2 + i64::from(h);
                let taken = outgoing.acked(start.wrapping_add(h as u32));
                if h > sent as i64 || h < 0 {
                    prop_assert!(taken.is_err());
                } else {
                    let count = (h as u64).saturating_sub(acknowledged);
                    let expected: Vec<u32> = model.drain(..count as usize).map(|item| item as u32).collect();
                    prop_assert_eq!(taken, Ok(expected));
                    acknowledged = acknowledged.max(h as u64);
                }
                prop_assert_eq!(outgoing.len(), model.len());
                prop_assert_eq!(outgoing.bytes(), model.len());
            }
        }
    }
}
