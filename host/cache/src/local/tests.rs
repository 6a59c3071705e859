//! What is kept, for how long, and in how many bytes.

use std::collections::VecDeque;

use nereid_inference::NamedTensor;
use nereid_seeds::for_every_random;
use nereid_tensor::Tensor;

use super::*;

fn response(bytes: usize, mark: u8) -> InferResponse {
    let tensor = Tensor::from_elements([bytes as u64], &vec![mark; bytes]).unwrap();
    InferResponse::new(vec![NamedTensor::new("Y", tensor)])
}

fn size_of(bytes: usize) -> usize {
    Entry::copy_of(&response(bytes, 0), usize::MAX).unwrap().size_bytes
}

/// The mark of what is kept under a number.
fn found(cache: &LocalCache, number: u64) -> Option<u8> {
    match cache.lookup(&CacheKey::of_number(number)) {
        Lookup::Hit(response) => response.output("Y")?.buffer().as_slice().first().copied(),
        _ => None,
    }
}

#[test]
fn the_least_recently_used_leaves_first() {
    let cache = LocalCache::new(3 * size_of(64), &CacheLimits::default());
    for number in 0..3 {
        cache.insert(&CacheKey::of_number(number), &response(64, number as u8));
    }
    assert_eq!(found(&cache, 0), Some(0));
    cache.insert(&CacheKey::of_number(3), &response(64, 3));
    assert_eq!([0, 1, 2, 3].map(|number| found(&cache, number)), [Some(0), None, Some(2), Some(3)]);
}

#[test]
fn what_does_not_fit_pushes_nothing_out() {
    let limits = CacheLimits { entry_bytes_max: 128, ..CacheLimits::default() };
    let cache = LocalCache::new(2 * size_of(64), &limits);
    cache.insert(&CacheKey::of_number(0), &response(64, 9));
    cache.insert(&CacheKey::of_number(1), &response(129, 1));
    cache.insert(&CacheKey::of_number(2), &response(1_000_000, 1));
    assert_eq!([0, 1, 2].map(|number| found(&cache, number)), [Some(9), None, None]);
    let tiny = LocalCache::new(100, &CacheLimits::default());
    tiny.insert(&CacheKey::of_number(0), &response(64, 1));
    assert_eq!((found(&tiny, 0), tiny.kept.lock().size_bytes), (None, 0));
}

#[test]
fn the_same_key_again_replaces_and_is_counted_once() {
    let cache = LocalCache::new(10 * size_of(64), &CacheLimits::default());
    cache.insert(&CacheKey::of_number(0), &response(640, 1));
    cache.insert(&CacheKey::of_number(0), &response(64, 2));
    assert_eq!((found(&cache, 0), cache.kept.lock().size_bytes), (Some(2), size_of(64)));
}

/// Random inserts and look-ups beside a plain list that does the same in O(n).
#[test]
fn it_keeps_what_a_list_in_order_of_use_would() {
    for_every_random(300, |random| {
        let budget_bytes = 4 * size_of(64) + random.below(2_000) as usize;
        let cache = LocalCache::new(budget_bytes, &CacheLimits::default());
        let mut model: VecDeque<(u64, usize)> = VecDeque::new();
        for _ in 0..200 {
            let number = random.below(12);
            if random.chance(50) {
                let bytes = random.below(1_200) as usize;
                cache.insert(&CacheKey::of_number(number), &response(bytes, number as u8));
                if size_of(bytes) <= budget_bytes {
                    model.retain(|(other, _)| *other != number);
                    model.push_back((number, size_of(bytes)));
                    while model.iter().map(|(_, size)| size).sum::<usize>() > budget_bytes {
                        model.pop_front();
                    }
                }
            } else if matches!(cache.lookup(&CacheKey::of_number(number)), Lookup::Hit(_)) {
                let position = model.iter().position(|(other, _)| *other == number).expect("it must have left");
                let used = model.remove(position).unwrap();
                model.push_back(used);
            } else {
                assert!(!model.iter().any(|(other, _)| *other == number), "{number} must be there");
            }
            let kept = cache.kept.lock();
            assert_eq!(kept.size_bytes, model.iter().map(|(_, size)| size).sum::<usize>());
            assert_eq!(kept.entries.len(), model.len());
        }
    });
}
