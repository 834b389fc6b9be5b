//! What items of lists became, kept from one answer to the next: engines are polled, and most items of a list are
//! the same bytes as the last time.
//!
//! What an item becomes depends on its bytes and on the plan alone, and a memo has one plan. An item is taken for a
//! known one only if every byte is the same: a hash says just where to look, so that one that collides gains
//! nothing. What fails is not kept, and neither is what a request decides (`limit`, other objects that are named).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::stats::LeftOut;

/// How many bytes of items, and of what they became, are kept together.
pub const MAX_KEPT: usize = 96 * 1024;

/// How long an item may be that is kept, in bytes; as long as a memo is locked, at most that much is copied.
const MAX_ITEM: usize = 16 * 1024;

/// How many bytes at the beginning of an item say where to look for it. They hold its id or its name; an item with
/// fewer is not kept.
const HEAD: usize = 128;

/// Of what no answer had for so many answers room is made for other items.
const MAX_AGE: u64 = 32;

/// An item and what became of it.
#[derive(Debug)]
pub(super) struct Known {
    item: Box<[u8]>,
    /// `None` if it is not visible.
    shown: Option<Box<[u8]>>,
    left_out: LeftOut,
    /// The number of the last answer that had it.
    last: AtomicU64,
}

impl Known {
    /// How long the item is.
    pub(super) fn len(&self) -> usize {
        self.item.len()
    }

    /// What goes on of it; `None` if it is not visible.
    pub(super) fn shown(&self) -> Option<&[u8]> {
        self.shown.as_deref()
    }

    /// What of it does not.
    pub(super) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    fn size(&self) -> usize {
        self.item.len() + self.shown.as_ref().map_or(0, |shown| shown.len())
    }
}

/// What one filter keeps of the lists that pass it.
#[derive(Debug, Default)]
pub struct Memo {
    kept: Mutex<Kept>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Kept {
    items: HashMap<u64, Arc<Known>, RandomState>,
    /// Their bytes, and those of what they became.
    size: usize,
    /// How many answers there were so far.
    answers: u64,
    /// The number of the answer for which room was made last.
    made_room: u64,
}

/// A memo in the hands of one answer's pass.
#[derive(Debug)]
pub struct Recall {
    memo: Arc<Memo>,
    /// The number of the answer.
    answer: u64,
    /// Of what was asked for: a container is written otherwise for another version of the API.
    request: u64,
}

impl Memo {
    /// The memo for the pass over the next answer. Answers to the same `request` have most items in common.
    pub fn recall(self: &Arc<Self>, request: impl Hash) -> Recall {
        let mut kept = self.lock();
        kept.answers += 1;
        Recall { memo: Arc::clone(self), answer: kept.answers, request: self.hasher.hash_one(request) }
    }

    /// Never held for longer than an item is compared or copied.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recall {
    /// The known item that `bytes` begin with. As a complete object it is the item that they begin with.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Arc<Known>> {
        let place = self.place(bytes)?;
        let known = self.memo.lock().items.get(&place).map(Arc::clone)?;
        if !bytes.starts_with(&known.item) {
            return None;
        }
        known.last.fetch_max(self.answer, Ordering::Relaxed);
        Some(known)
    }

    /// Keeps what a complete object became, in the place of one with the same beginning, if there is room.
    pub(super) fn keep(&self, item: &[u8], shown: Option<&[u8]>, left_out: LeftOut) {
        let Some(place) = self.place(item).filter(|_| item.len() <= MAX_ITEM) else { return };
        let size = item.len() + shown.map_or(0, <[u8]>::len);
        let mut kept = self.memo.lock();
        if kept.make_room(place, size, self.answer) {
            let last = AtomicU64::new(self.answer);
            let known = Known { item: item.into(), shown: shown.map(Box::from), left_out, last };
            kept.size += size;
            kept.items.insert(place, Arc::new(known));
        }
    }

    fn place(&self, item: &[u8]) -> Option<u64> {
        Some(self.memo.hasher.hash_one((self.request, item.get(..HEAD)?)))
    }
}

impl Kept {
    /// Whether there is room for so many bytes in a place, which is empty then. Once an answer, items make room that
    /// have not come for long. Those that still come stay: of a list that is too long the beginning is known each
    /// time.
    fn make_room(&mut self, place: u64, size: usize, answer: u64) -> bool {
        self.size -= self.items.remove(&place).map_or(0, |before| before.size());
        if self.size + size > MAX_KEPT && self.made_room < answer {
            self.made_room = answer;
            self.items.retain(|_, known| known.last.load(Ordering::Relaxed) + MAX_AGE >= answer);
            self.size = self.items.values().map(|known| known.size()).sum();
        }
        self.size + size <= MAX_KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: usize, rest: &str) -> Vec<u8> {
        format!("{{\"Id\":\"{id:0120}\",\"rest\":\"{rest}\"}}").into_bytes()
    }

    fn shown(recall: &Recall, bytes: &[u8]) -> Option<Option<Vec<u8>>> {
        recall.find(bytes).map(|known| known.shown().map(<[u8]>::to_vec))
    }

    #[test]
    fn an_item_is_known_by_all_of_its_bytes() {
        let memo = Arc::new(Memo::default());
        let recall = memo.recall("");
        recall.keep(&item(1, "a"), Some(b"one"), LeftOut::default());
        recall.keep(&item(2, "a"), None, LeftOut::default());
        assert_eq!(shown(&recall, &[&item(1, "a")[..], b",{"].concat()), Some(Some(b"one".to_vec())));
        assert_eq!(shown(&recall, &item(2, "a")), Some(None));
        assert_eq!(shown(&recall, &item(1, "b")), None);
        assert_eq!(shown(&recall, &item(3, "a")), None);
        for end in 0..item(1, "a").len() {
            assert_eq!(shown(&recall, &item(1, "a")[..end]), None);
        }
        assert_eq!(shown(&memo.recall("another"), &item(1, "a")), None);
    }

    #[test]
    fn the_last_of_several_with_the_same_beginning_is_known() {
        let recall = Arc::new(Memo::default()).recall("");
        recall.keep(&item(1, "a"), Some(b"one"), LeftOut::default());
        recall.keep(&item(1, "b"), Some(b"two"), LeftOut::default());
        assert_eq!(shown(&recall, &item(1, "a")), None);
        assert_eq!(shown(&recall, &item(1, "b")), Some(Some(b"two".to_vec())));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_still_comes_stays() {
        let memo = Arc::new(Memo::default());
        let size = |memo: &Memo| {
            let kept = memo.lock();
            assert_eq!(kept.size, kept.items.values().map(|known| known.size()).sum::<usize>());
            assert!(kept.size <= MAX_KEPT);
            kept.size
        };
        let long = "x".repeat(1000);
        let known_of = |from: usize| {
            let recall = memo.recall("");
            let of_each = (from..from + 1000).map(|id| {
                let is_known = recall.find(&item(id, &long)).is_some();
                recall.keep(&item(id, &long), Some(long.as_bytes()), LeftOut::default());
                size(&memo);
                usize::from(is_known)
            });
            of_each.sum::<usize>()
        };
        assert_eq!(known_of(0), 0);
        assert!(size(&memo) > MAX_KEPT - 3000);
        let fit = known_of(0);
        assert!(fit > 40);
        // Others find no room as long as these come; then they do.
        for _ in 0..3 {
            assert_eq!((known_of(5000), known_of(0)), (0, fit));
        }
        for _ in 0..=MAX_AGE {
            assert_eq!(known_of(5000), 0);
        }
        assert_eq!((known_of(5000), known_of(0)), (fit, 0));
    }

    #[test]
    fn an_item_that_is_too_long_or_too_short_is_not_kept() {
        let recall = Arc::new(Memo::default()).recall("");
        for item in [item(1, &"x".repeat(MAX_ITEM)), br#"{"Id":"1"}"#.to_vec()] {
            recall.keep(&item, None, LeftOut::default());
            assert_eq!(shown(&recall, &item), None);
        }
    }
}
