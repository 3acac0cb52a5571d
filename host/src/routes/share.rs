//! A share of an agent's requests for another version, so that raising it moves keys one way only.

use super::target::Served;

/// Into how many parts the requests of an agent are divided: hundredths of a per cent, far below any share's meaning.
pub const POINTS: u64 = 10_000;

/// A version that gets a share of the requests.
#[derive(Debug, Clone)]
pub struct Share {
    /// Who gets it.
    pub served: Served,
    /// Per cent, 1 to 99.
    pub percent: u8,
    /// Stands for the candidate's identity: each candidate gets other keys, the same candidate the same ones.
    pub salt: u64,
}

impl Share {
    /// Whether a request belongs to the share: by its key, or where it has none by the number that was drawn for it.
    pub(crate) fn takes(&self, key: Option<u64>, drawn: u64) -> bool {
        let point = match key {
            Some(key) => point(self.salt, key),
            None => drawn % POINTS,
        };
        point < u64::from(self.percent) * (POINTS / 100)
    }
}

/// A random number for a request, from a generator of the thread's own: no lock, and nothing to keep secret.
pub(crate) fn draw() -> u64 {
    fastrand::u64(..)
}

/// Where a key stands among [`POINTS`] for the candidate with that salt: the same in every process and every version of
/// the host, since a share that is held over a restart must go to the same callers.
///
/// A key belongs to a share when its point lies below it, and the point knows no share: whoever belongs to 10 per cent
/// belongs to 25. FNV-1a leaves the high bits of similar keys similar, so both numbers are spread over all bits first,
/// and once more when they are joined.
fn point(salt: u64, key: u64) -> u64 {
    spread(spread(salt) ^ spread(key.wrapping_add(GOLDEN))) % POINTS
}

/// 2⁶⁴ divided by the golden ratio. It keeps a key that equals its salt from cancelling it out.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: every bit of the number decides over every bit of the result, and no two collide.
fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::routes::Affinity;

    const KEYS: u32 = 10_000;
    const SALTS: u64 = 20;
    const SHARES: [u8; 3] = [10, 25, 50];

    fn takes(percent: u8, point: u64) -> bool {
        point < u64::from(percent) * (POINTS / 100)
    }

    /// Keys as callers write them: alike but for a number at the end.
    fn keys() -> Vec<u64> {
        let key = |number: u32| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(format!("user-{number}")).unwrap();
            headers.insert("x-caxton-key", value);
            Affinity::default().key(&headers).unwrap()
        };
        (0..KEYS).map(key).collect()
    }

    /// As salts are made of digests, and the worst that could be: neighbours.
    fn salts() -> impl Iterator<Item = u64> {
        let spread_out = (0..SALTS).map(|salt| salt.wrapping_mul(0x0123_4567_89ab_cdef));
        spread_out.chain(0..SALTS)
    }

    fn is_within_three_deviations(hits: usize, percent: u8) -> bool {
        let (n, p) = (f64::from(KEYS), f64::from(percent) / 100.0);
        let off = (hits as f64 - n * p).abs();
        off <= 3.0 * (n * p * (1.0 - p)).sqrt()
    }

    #[test]
    fn raising_a_share_moves_keys_one_way_only() {
        let keys = keys();
        for salt in salts() {
            for key in &keys {
                let point = point(salt, *key);
                let mut before = false;
                for percent in 1..=99 {
                    let now = takes(percent, point);
                    assert!(now || !before, "{key} moved back at {percent}");
                    before = now;
                }
            }
        }
    }

    #[test]
    fn measured_shares_of_keys_are_what_was_asked_for() {
        let keys = keys();
        let salts: Vec<u64> = salts().collect();
        for salts in salts.chunks(usize::try_from(SALTS).unwrap()) {
            for percent in SHARES {
                let hits = |salt: &u64| {
                    let taken = |key: &&u64| takes(percent, point(*salt, **key));
                    keys.iter().filter(taken).count()
                };
                let within = salts
                    .iter()
                    .filter(|salt| is_within_three_deviations(hits(salt), percent))
                    .count();
                assert!(within >= 19, "{percent} per cent: {within} of 20 salts");
            }
        }
    }

    #[test]
    fn another_candidate_gets_other_keys() {
        let keys = keys();
        let both = |salt| {
            let both = |key: &&u64| takes(50, point(0, **key)) && takes(50, point(salt, **key));
            keys.iter().filter(both).count()
        };
        for salt in salts().filter(|salt| *salt != 0) {
            // Independent halves meet in a quarter; this is seven standard deviations on either side.
            assert!((2_200..2_800).contains(&both(salt)), "{salt}");
        }
    }

    #[test]
    fn a_key_has_one_point_for_ever() {
        // Whoever changes these moves callers between versions on the next start.
        assert_eq!(
            [point(0, 0), point(1, 0), point(0, 1), point(7, 7)],
            [7871, 6748, 1944, 4924]
        );
    }

    #[test]
    fn drawn_shares_are_what_was_asked_for() {
        for percent in SHARES {
            let within = (0..SALTS)
                .filter(|_| {
                    let hits = (0..KEYS).filter(|_| takes(percent, draw() % POINTS));
                    is_within_three_deviations(hits.count(), percent)
                })
                .count();
            // Chance alone puts 1 of 370 outside: six of twenty once in ten thousand million runs.
            assert!(within >= 15, "{percent} per cent: {within} of 20");
        }
    }
}
