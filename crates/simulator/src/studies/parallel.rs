//! Independent runs on all cores. Each run has one thread to itself, so what it comes to does not
//! depend on how many others there are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Does `work` on each of `items`, on all cores, and returns what came of them in the items' order.
/// `told` sees each result when it is there, in any order. When it says no, no further item is
/// begun, and those that were not begun are missing from the answer.
pub(super) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    told: impl FnMut(&R) -> bool + Send,
) -> Vec<R> {
    let (told, stopped) = (Mutex::new(told), AtomicBool::new(false));
    let one = |item| {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        let result = work(item);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told(&result) {
            stopped.store(true, Ordering::Relaxed);
        }
        Some(result)
    };
    items.par_iter().with_max_len(1).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let mut told = 0;
        let squares = map(
            &items,
            |item| item * item,
            |_| {
                told += 1;
                true
            },
        );
        assert_eq!(told, 100);
        assert!(squares.iter().enumerate().all(|(at, square)| *square == (at * at) as u64));
    }

    #[test]
    fn nothing_is_begun_after_a_no() {
        let items: Vec<u64> = (0..10_000).collect();
        let done = map(
            &items,
            |item| std::thread::sleep(std::time::Duration::from_micros(*item)),
            |()| false,
        );
        assert!(done.len() < 1_000, "{} were done", done.len());
    }
}
