//! What is to be deleted: a function of what is known, without effects.

use gantry_base::disk::Space;

use super::{Reason, RetentionOptions};

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) base: u64,
    pub(crate) end: u64,
    /// No record in it is newer, ms since 1970; `None` when that is not known.
    pub(crate) newest_ms: Option<u64>,
}

/// What is known when it is decided.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Oldest first, without gaps; the last is being written.
    pub(crate) segments: Vec<SegmentFacts>,
    /// Where the log ends.
    pub(crate) log_end: u64,
    pub(crate) now_ms: u64,
    /// Local hour of the day.
    pub(crate) hour: u8,
    /// `None` when the disk did not say.
    pub(crate) space: Option<Space>,
}

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Everything before: the end of a segment, or the beginning of the log.
    pub(crate) below: u64,
    /// Why the last of it goes; `None` when nothing does.
    pub(crate) reason: Option<Reason>,
}

/// The segments that are due, oldest first up to the first that is not; at most so many as one pass deletes, and never the
/// one that is being written.
pub(crate) fn decide(facts: &Facts, retention: &RetentionOptions) -> Decision {
    let begin = facts.segments.first().map_or(0, |first| first.base);
    let mut decision = Decision { below: begin, reason: None };
    let sealed = facts.segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
    for segment in sealed.iter().take(retention.segments_per_pass_max as usize) {
        let Some(reason) = due(facts, retention, segment, decision.below - begin) else { break };
        decision = Decision { below: segment.end, reason: Some(reason) };
    }
    decision
}

/// Why a segment is to go when `freed` bytes before it go too.
fn due(facts: &Facts, retention: &RetentionOptions, segment: &SegmentFacts, freed: u64) -> Option<Reason> {
    if freed < over_bytes(facts.space, retention.disk_force_percent) {
        return Some(Reason::DiskForced);
    }
    if retention.size_bytes > 0 && facts.log_end.saturating_sub(segment.base) > retention.size_bytes {
        return Some(Reason::Size);
    }
    let expired = |newest_ms: u64| newest_ms.saturating_add(retention.age_ms) < facts.now_ms;
    if retention.age_ms == 0 || !segment.newest_ms.is_some_and(expired) {
        return None;
    }
    if retention.hours.is_empty() || retention.hours.contains(&facts.hour) {
        return Some(Reason::Age);
    }
    (freed < over_bytes(facts.space, retention.disk_clean_percent)).then_some(Reason::DiskClean)
}

/// Bytes that must go for the disk's use to fall below `percent`; 0 when it is there, or nothing is known.
fn over_bytes(space: Option<Space>, percent: u8) -> u64 {
    let Some(space) = space else { return 0 };
    // The share in use is rounded up.
    let below = u128::from(space.total_bytes()) * u128::from(percent.saturating_sub(1)) / 100;
    u64::try_from(u128::from(space.used_bytes).saturating_sub(below)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SEGMENT: u64 = 1000;
    const HOUR_MS: u64 = 3_600_000;

    /// Segments whose newest records are so many hours old; a day has passed since 1970 then.
    fn facts(ages_hours: &[u64], percent: Option<u64>) -> Facts {
        let now_ms = 1_000 * HOUR_MS;
        let segment = |(index, age): (usize, &u64)| SegmentFacts {
            base: 5_000 + index as u64 * SEGMENT,
            end: 6_000 + index as u64 * SEGMENT,
            newest_ms: Some(now_ms - age * HOUR_MS),
        };
        let segments: Vec<_> = ages_hours.iter().enumerate().map(segment).collect();
        let log_end = segments.last().map_or(0, |last| last.base + SEGMENT / 2);
        let space = percent.map(|percent| Space { used_bytes: percent * 100, available_bytes: (100 - percent) * 100 });
        Facts { segments, log_end, now_ms, hour: 12, space }
    }

    fn deleted(facts: &Facts, retention: &RetentionOptions) -> (u64, Option<Reason>) {
        let decision = decide(facts, retention);
        ((decision.below - facts.segments[0].base) / SEGMENT, decision.reason)
    }

    #[test]
    fn what_is_old_goes_at_its_hour() {
        let defaults = RetentionOptions::default();
        let mut old = facts(&[100, 90, 73, 71, 1], Some(50));
        assert_eq!(deleted(&old, &defaults), (0, None), "12 o'clock is not the hour");
        old.hour = 4;
        assert_eq!(deleted(&old, &defaults), (3, Some(Reason::Age)));
        old.hour = 12;
        let any = RetentionOptions { hours: vec![], ..defaults };
        assert_eq!(deleted(&old, &any), (3, Some(Reason::Age)));
        let few = RetentionOptions { segments_per_pass_max: 2, ..any.clone() };
        assert_eq!(deleted(&old, &few), (2, Some(Reason::Age)));
        let never = RetentionOptions { age_ms: 0, ..any.clone() };
        assert_eq!(deleted(&old, &never), (0, None));
        old.segments[1].newest_ms = None;
        assert_eq!(deleted(&old, &any), (1, Some(Reason::Age)), "what is not known to be old stays");
        assert_eq!(deleted(&facts(&[100], Some(50)), &any), (0, None), "the only one is being written");
    }

    #[test]
    fn a_full_disk_deletes_what_is_old_at_any_hour_and_then_what_is_not() {
        let defaults = RetentionOptions::default();
        assert_eq!(deleted(&facts(&[100, 90, 1, 1], Some(74)), &defaults), (0, None));
        // Each segment is a tenth of this disk.
        assert_eq!(deleted(&facts(&[100, 90, 1, 1], Some(75)), &defaults), (1, Some(Reason::DiskClean)));
        assert_eq!(deleted(&facts(&[100, 90, 1, 1], Some(84)), &defaults), (1, Some(Reason::DiskClean)));
        assert_eq!(deleted(&facts(&[1, 1, 1, 1], Some(84)), &defaults), (0, None));
        assert_eq!(deleted(&facts(&[1, 1, 1, 1], Some(85)), &defaults), (1, Some(Reason::DiskForced)));
        assert_eq!(deleted(&facts(&[1, 1, 1, 1], Some(99)), &defaults), (2, Some(Reason::DiskForced)));
        assert_eq!(deleted(&facts(&[1, 1], Some(99)), &defaults), (1, Some(Reason::DiskForced)));
        assert_eq!(deleted(&facts(&[1, 1, 1], None), &defaults), (0, None), "the disk does not say");
    }

    #[test]
    fn a_log_over_its_size_loses_whole_segments() {
        let of = |size_bytes| RetentionOptions { size_bytes, ..RetentionOptions::default() };
        let five = facts(&[1; 5], Some(10));
        // 4500 bytes are in the log.
        assert_eq!(deleted(&five, &of(4500)), (0, None));
        assert_eq!(deleted(&five, &of(4499)), (1, Some(Reason::Size)));
        assert_eq!(deleted(&five, &of(1)), (4, Some(Reason::Size)));
        assert_eq!(deleted(&five, &of(0)), (0, None), "no bound");
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let ages = vec(0..200_u64, 1..30);
        (ages, prop::option::of(0..=100_u64), 0..24_u8).prop_map(|(mut ages, percent, hour)| {
            // Within the log, time does not fall.
            ages.sort_unstable_by(|a, b| b.cmp(a));
            Facts { hour, ..facts(&ages, percent) }
        })
    }

    fn any_retention() -> impl Strategy<Value = RetentionOptions> {
        let hours = prop_oneof![Just(vec![]), Just(vec![4]), Just(vec![2, 12])];
        (0..150_u64, 0..40_000_u64, hours, 1..12_u32, 10..=95_u8).prop_map(|(age, size_bytes, hours, most, clean)| {
            RetentionOptions {
                age_ms: age * HOUR_MS,
                size_bytes,
                hours,
                segments_per_pass_max: most,
                disk_clean_percent: clean,
                ..RetentionOptions::default()
            }
        })
    }

    proptest! {
        #[test]
        fn whole_segments_and_never_the_one_in_use(facts in any_facts(), retention in any_retention()) {
            let decision = decide(&facts, &retention);
            let (first, last) = (facts.segments[0], facts.segments[facts.segments.len() - 1]);
            prop_assert!(decision.below >= first.base && decision.below <= last.base);
            prop_assert_eq!((decision.below - first.base) % SEGMENT, 0);
            prop_assert!((decision.below - first.base) / SEGMENT <= u64::from(retention.segments_per_pass_max));
            prop_assert_eq!(decision.reason.is_some(), decision.below > first.base);
        }

        #[test]
        fn nothing_goes_without_a_cause(facts in any_facts(), retention in any_retention()) {
            let calm = Facts { space: facts.space.map(|_| Space { used_bytes: 0, available_bytes: 1 }), ..facts.clone() };
            let none = RetentionOptions { age_ms: 0, size_bytes: 0, ..retention.clone() };
            prop_assert_eq!(decide(&calm, &none).reason, None);
            let decision = decide(&calm, &retention);
            for gone in facts.segments.iter().take_while(|segment| segment.end <= decision.below) {
                let old = retention.age_ms > 0
                    && gone.newest_ms.is_some_and(|newest| newest + retention.age_ms < facts.now_ms);
                let large = retention.size_bytes > 0 && facts.log_end - gone.base > retention.size_bytes;
                prop_assert!(old || large, "{:?}", gone);
            }
        }

        #[test]
        fn a_fuller_disk_and_a_later_day_never_delete_less(facts in any_facts(), retention in any_retention()) {
            let now = decide(&facts, &retention).below;
            let later = Facts { now_ms: facts.now_ms + 10 * HOUR_MS, ..facts.clone() };
            prop_assert!(decide(&later, &retention).below >= now);
            let fuller = facts.space.map(|space| Space {
                used_bytes: space.used_bytes + space.available_bytes / 2,
                available_bytes: space.available_bytes - space.available_bytes / 2,
            });
            let fuller = Facts { space: fuller, ..facts };
            prop_assert!(decide(&fuller, &retention).below >= now);
        }
    }
}
