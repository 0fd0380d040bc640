use std::time::Duration;

use rand::{Rng, RngExt};

use crate::Backoff;

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(crate) struct Pauses {
    limits: Backoff,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(limits: Backoff) -> Self {
        let next = limits.first;
        Self { limits, next }
    }

    /// Something was made durable: the next failure is a new one.
    pub(crate) fn calm(&mut self) {
        self.next = self.limits.first;
    }

    /// Between half of the pause and all of it, so that many connectors do not come back at one moment.
    pub(crate) fn take(&mut self, rng: &mut impl Rng) -> Duration {
        let pause = self.next.min(self.limits.most);
        self.next = (pause * 2).min(self.limits.most);
        pause.mul_f64(rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_small_again_after_progress() {
        let mut rng = StdRng::seed_from_u64(1);
        let limits = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(1) };
        let mut pauses = Pauses::new(limits);
        for bound in [200, 400, 800, 1000, 1000] {
            let pause = pauses.take(&mut rng).as_millis();
            assert!((bound / 2..=bound).contains(&pause), "{pause} ms, bound {bound}");
        }
        pauses.calm();
        assert!(pauses.take(&mut rng).as_millis() <= 200);
    }
}
