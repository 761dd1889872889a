//! Which keys are in a sample was computed with the Python of the crate's documentation.

use gantry_plugin_sdk::testing::{TestFilter, TestHost, TestMessage};

use super::PercentageSampler;

fn open(params: &[(&str, &str)]) -> Result<TestFilter<PercentageSampler>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open()
}

/// Which of customers 1 to 12 are in the sample, by the property "customer".
fn customers(params: &[(&str, &str)]) -> Vec<u32> {
    let plugin = open(&[&[("property", "customer")], params].concat()).unwrap();
    let customer = |number: &u32| TestMessage::new().property("customer", &format!("customer-{number}"));
    (1..=12).filter(|number| plugin.keeps(customer(number))).collect()
}

#[test]
fn the_sample_is_the_documented_one() {
    assert_eq!(customers(&[("percent", "30")]), [3]);
    assert_eq!(customers(&[("percent", "60")]), [2, 3, 5, 8]);
    assert_eq!(customers(&[("percent", "30"), ("salt", "spring")]), [11]);
    // Customer 3 is at 0.27328894…
    assert_eq!(customers(&[("percent", "27.3288")]), [] as [u32; 0]);
    assert_eq!(customers(&[("percent", "27.3289")]), [3]);
    assert_eq!(customers(&[("percent", "0")]).len(), 0);
    assert_eq!(customers(&[("percent", "100")]).len(), 12);
}

#[test]
fn a_share_is_what_it_says_of_many_keys() {
    let taken = |percent: &str| {
        let plugin = open(&[("percent", percent)]).unwrap();
        (0..10_000).filter(|number| plugin.keeps(TestMessage::new().keys(&format!("order-{number}")))).count()
    };
    assert_eq!((taken("5"), taken("0.5")), (508, 56));
}

#[test]
fn all_keys_are_one_text_and_tags_do_not_matter() {
    // "k1 k2" is at 0.3057.
    let keeps = |percent: &str| open(&[("percent", percent)]).unwrap().keeps(TestMessage::new().tag("t").keys("k1 k2"));
    assert_eq!((keeps("30.5"), keeps("30.6")), (false, true));
}

#[test]
fn the_rest_is_everything_else_and_messages_without_a_key_are_in_it() {
    assert_eq!(customers(&[("percent", "60"), ("rest", "true")]), [1, 4, 6, 7, 9, 10, 11, 12]);
    let keeps = |rest: &str| open(&[("percent", "99"), ("rest", rest)]).unwrap().keeps(TestMessage::new());
    assert_eq!((keeps("false"), keeps("true")), (false, true));
}

#[test]
fn a_subscription_gives_the_percentage_as_its_argument() {
    assert_eq!(customers(&[("arg", "60")]), [2, 3, 5, 8]);
    assert_eq!(customers(&[("arg", "60"), ("percent", "0")]), [2, 3, 5, 8]);
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[], "the parameter `percent` is missing"),
        (&[("percent", "101")], "`percent` is 101, expected 0 to 100"),
        (&[("percent", "NaN")], "expected 0 to 100"),
        (&[("percent", "5%")], "the parameter `percent` is \"5%\""),
        (&[("percent", "5"), ("rest", "yes")], "the parameter `rest` is \"yes\""),
        (&[("percent", "5"), ("seed", "1")], "unknown parameter `seed`"),
    ];
    for (params, expected) in cases {
        let error = open(params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
