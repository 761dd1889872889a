//! `route`: what may be taken from a route.
//!
//! A route carries permissions and counts only, and clients sort it. So a decision can withdraw the permission to write from
//! brokers, and give back what it withdrew. It never touches what consumers see, never grants what the topic or an operator
//! forbids, and never leaves a topic without a broker to write to.

use gantry_model::name::{AUTO_CREATE_TOPIC, DLQ_PREFIX, RETRY_PREFIX, is_system_topic};

use crate::{Fault, RouteQuestion};

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Places in the question of the brokers that lose the permission.
    pub withdrawn: Vec<usize>,
    /// Whether the answer would have taken the last writable broker: then nothing is withdrawn at all. To leave some one of
    /// them would send everything to a broker that the decider wanted nobody to use.
    pub overruled: bool,
}

/// Whether the topic's route is never decided about. Clients place messages of orders themselves; a retry has to go where the
/// consumer of the message is. The template of new topics is decided about: it says where these are made.
pub fn is_exempt(topic: &str, order: bool) -> bool {
    order
        || topic.starts_with(RETRY_PREFIX)
        || topic.starts_with(DLQ_PREFIX)
        || (is_system_topic(topic) && topic != AUTO_CREATE_TOPIC)
}

/// Checks an answer, `true` for a broker that may be written to.
pub fn verdict(question: &RouteQuestion, answer: &[bool]) -> Result<Verdict, Fault> {
    let brokers = &question.brokers;
    if answer.len() != brokers.len() {
        let (found, expected) = (answer.len(), brokers.len());
        return Err(Fault(format!("route of topic {}: {found} answers for {expected} brokers", question.topic)));
    }
    let writable = || brokers.iter().zip(answer).enumerate().filter(|(_, (broker, _))| broker.writable);
    let withdrawn: Vec<usize> = writable().filter(|(_, (_, may))| !**may).map(|(at, _)| at).collect();
    let overruled = !withdrawn.is_empty() && withdrawn.len() == writable().count();
    Ok(Verdict { withdrawn: if overruled { Vec::new() } else { withdrawn }, overruled })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_model::labels::Labels;
    use proptest::prelude::*;

    use super::*;
    use crate::RouteBroker;

    fn question(writable: &[bool]) -> RouteQuestion {
        let broker = |(at, writable): (usize, &bool)| RouteBroker {
            name: format!("broker-{at}").into(),
            cluster: "c".into(),
            zone: None,
            labels: Labels::default(),
            writable: *writable,
            read_queues: 4,
            write_queues: 4,
            load: None,
        };
        RouteQuestion { topic: Arc::from("orders"), brokers: writable.iter().enumerate().map(broker).collect() }
    }

    #[test]
    fn retries_orders_and_system_topics_are_exempt() {
        for (topic, order, exempt) in [
            ("orders", false, false),
            ("orders", true, true),
            ("%RETRY%g", false, true),
            ("%DLQ%g", false, true),
            ("SCHEDULE_TOPIC_XXXX", false, true),
            ("rmq_sys_wheel_timer", false, true),
            ("TBW102", false, false),
        ] {
            assert_eq!(is_exempt(topic, order), exempt, "{topic}");
        }
    }

    #[test]
    fn an_answer_has_one_entry_a_broker() {
        let fault = verdict(&question(&[true, true]), &[true]).unwrap_err();
        assert_eq!(fault.to_string(), "route of topic orders: 1 answers for 2 brokers");
    }

    proptest! {
        /// Whatever is answered: only writable brokers lose, one stays, and what may be followed is followed.
        #[test]
        fn one_writable_broker_stays(brokers in prop::collection::vec((any::<bool>(), any::<bool>()), 0..8)) {
            let (writable, answer): (Vec<bool>, Vec<bool>) = brokers.into_iter().unzip();
            let Verdict { withdrawn, overruled } = verdict(&question(&writable), &answer).unwrap();
            prop_assert!(withdrawn.iter().all(|at| writable[*at] && !answer[*at]));
            let left = writable.iter().enumerate().filter(|(at, writable)| **writable && !withdrawn.contains(at)).count();
            prop_assert_eq!(left == 0, !writable.contains(&true));
            let may = writable.iter().zip(&answer).filter(|(writable, may)| **writable && **may).count();
            prop_assert_eq!(overruled, may == 0 && writable.contains(&true));
            if !overruled {
                prop_assert_eq!(left, may);
            }
        }
    }
}
