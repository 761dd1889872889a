//! A filter whose verdicts depend on a number inside its own bytes: a campaign patches the digits of [`MARK`], so that every
//! reload brings a file that was never seen before and judges otherwise than the last.

use gantry_plugin_sdk::prelude::*;

/// Found by its text and patched: the last twelve digits are the version.
static MARK: [u8; 32] = *b"gantry-swap-version:000000000000";

#[derive(Columns)]
struct Numbered {
    n: Option<i64>,
}

struct Versioned {
    skipped: i64,
}

#[filter]
impl Filter for Versioned {
    type Row<'m> = Numbered;

    fn open(_: &Subscription) -> Result<Self, String> {
        // Opaque to the optimiser, which would otherwise fold the unpatched digits into the code.
        let mark = std::hint::black_box(&MARK);
        let version = mark[20..].iter().fold(0, |version, digit| version * 10 + i64::from(digit - b'0'));
        Ok(Versioned { skipped: version % 7 })
    }

    /// Version v skips the numbers whose remainder by 7 is v's.
    fn keep(&self, message: &Numbered) -> bool {
        message.n.is_some_and(|n| n % 7 != self.skipped)
    }
}
