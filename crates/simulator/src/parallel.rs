//! Independent runs on all cores. Each run has one thread of its own, so what it comes to does
//! not depend on how many others there are.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Does `work` on each of `items`, on as many threads as there are cores, and returns what came of
/// them in the items' order. `told` sees each result when it is there, in any order; when it says
/// no, no further item is begun and those that were not are missing from the answer.
pub fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut told: impl FnMut(&R) -> bool,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len());
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::channel();
    let mut done: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while !stopped.load(Ordering::Relaxed) {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(position) else { return };
                    // The receiver is there until all senders are gone.
                    let _ = sender.send((position, work(item)));
                }
            });
        }
        drop(sender);
        for (position, result) in results {
            if !told(&result) {
                stopped.store(true, Ordering::Relaxed);
            }
            done[position] = Some(result);
        }
    });
    done.into_iter().flatten().collect()
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
        let done =
            map(&items, |item| thread::sleep(std::time::Duration::from_micros(*item)), |()| false);
        assert!(done.len() < 1_000, "{} were done", done.len());
    }
}
