//! A broker takes at most a thousand alerts of a plugin, and none when there are more.

use gantry_plugin_sdk::prelude::*;

/// The last place is for the one that says how many are missing.
const NAMED_MAX: usize = 999;

/// The worst of them, should there be too many.
pub(crate) fn bound(mut alerts: Vec<Alert>) -> Vec<Alert> {
    if alerts.len() <= NAMED_MAX {
        return alerts;
    }
    let missing = alerts.len() - NAMED_MAX;
    alerts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.key.cmp(&b.key)));
    alerts.truncate(NAMED_MAX);
    let summary = format!("{missing} more alerts hold than a plugin may name; these are the {NAMED_MAX} worst");
    alerts
        .push(Alert::new(Severity::Critical, "left-out", summary).label("alertname", "left-out").value(missing as f64));
    alerts
}
