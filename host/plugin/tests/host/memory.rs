//! Old versions go, all of them and completely.

use std::fs;

use gantry_plugin::Verdict::{Deliver, Skip};

use crate::rig::{Message, Rig, guests, variant, views};

#[test]
fn a_thousand_swaps_leave_no_memory_behind() {
    let rig = Rig::alone();
    let file = rig.put("p.wasm", &guests().property_filter);
    rig.bind(&file, &[("property", "region"), ("equals", "eu")]);
    rig.until_serving(&guests().property_filter);
    let messages = ["eu", "us", "eu"].map(|region| Message::new(&[("region", region)]));
    let swap = |count: usize, compile: bool| {
        for number in 0..count {
            if compile {
                fs::write(&file, variant(&guests().property_filter, number as u32)).unwrap();
            }
            let old = rig.pin();
            let label = rig.host.reload("p").unwrap();
            assert_eq!(rig.pin().label(), label);
            // The old one still answers its holder.
            let mut verdicts = Vec::new();
            { old }.judge(&views(&messages), &mut verdicts);
            assert_eq!(verdicts, [Deliver, Skip, Deliver]);
        }
    };
    // Warm: allocators keep what they once had.
    swap(60, false);
    swap(6, true);
    let before = resident_kib();
    swap(970, false);
    swap(30, true);
    let grown = resident_kib().saturating_sub(before);
    println!("{before} KiB before, {grown} KiB more after 1000 swaps, 30 of them compiled");
    // A version that stayed would be 2 instances of 24 KiB, or 500 KiB of code: 48 MiB and 15 MiB.
    assert!(grown < 8 * 1024, "{grown} KiB were left behind");
}

fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}
