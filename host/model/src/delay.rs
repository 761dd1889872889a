//! Delay levels: the 18 fixed delays of RocketMQ 4, also the back-off of retries. Source: `messageDelayLevel`.

/// Delay of levels 1 to 18 in milliseconds.
pub const LEVELS_MS: [u64; 18] = {
    const S: u64 = 1_000;
    const M: u64 = 60 * S;
    const H: u64 = 60 * M;
    [
        S,
        5 * S,
        10 * S,
        30 * S,
        M,
        2 * M,
        3 * M,
        4 * M,
        5 * M,
        6 * M,
        7 * M,
        8 * M,
        9 * M,
        10 * M,
        20 * M,
        30 * M,
        H,
        2 * H,
    ]
};

/// A delay level, 1 to 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DelayLevel(u8);

impl DelayLevel {
    /// The level asked for; one above the last is the last, zero or less is none.
    pub fn clamped(level: i64) -> Option<Self> {
        (level > 0).then(|| DelayLevel(level.min(LEVELS_MS.len() as i64) as u8))
    }

    /// The level of a queue of the schedule topic.
    pub fn of_queue(queue_id: u32) -> Option<Self> {
        ((queue_id as usize) < LEVELS_MS.len()).then(|| DelayLevel(queue_id as u8 + 1))
    }

    /// 1 to 18.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Queue of the schedule topic that holds this level.
    pub fn queue_id(self) -> u32 {
        u32::from(self.0) - 1
    }

    /// How long it waits, in milliseconds.
    pub fn delay_ms(self) -> u64 {
        LEVELS_MS[usize::from(self.0) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_clamped() {
        assert_eq!(DelayLevel::clamped(0), None);
        assert_eq!(DelayLevel::clamped(-1), None);
        assert_eq!(DelayLevel::clamped(3).map(DelayLevel::delay_ms), Some(10_000));
        assert_eq!(DelayLevel::clamped(99).map(DelayLevel::delay_ms), Some(7_200_000));
        assert_eq!(DelayLevel::of_queue(17).map(DelayLevel::number), Some(18));
        assert_eq!(DelayLevel::of_queue(18), None);
    }
}
