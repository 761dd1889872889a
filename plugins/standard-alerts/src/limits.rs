//! From which value on it is a warning, and from which critical.

use std::time::Duration;

use gantry_plugin_sdk::prelude::*;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    warning: Option<f64>,
    critical: Option<f64>,
}

impl Limits {
    /// Reads `{name}_warning` and `{name}_critical`; these are the defaults.
    pub(crate) fn read(params: &Params, name: &str, defaults: [Option<f64>; 2]) -> Result<Self, String> {
        let [warning, critical] = [("warning", defaults[0]), ("critical", defaults[1])].map(|(level, default)| {
            let name = format!("{name}_{level}");
            match params.param(&name) {
                None => Ok(default),
                Some("off") => Ok(None),
                Some(_) => match params.parse::<f64>(&name)? {
                    Some(limit) if limit > 0.0 => Ok(Some(limit)),
                    _ => Err(format!("`{name}` must be above 0, or off")),
                },
            }
        });
        let limits = Limits { warning: warning?, critical: critical? };
        match (limits.warning, limits.critical) {
            (Some(warning), Some(critical)) if warning > critical => {
                Err(format!("`{name}_warning` ({warning}) is above `{name}_critical` ({critical})"))
            }
            _ => Ok(limits),
        }
    }

    /// How bad the value is, if it is.
    pub(crate) fn reached(&self, value: f64) -> Option<Severity> {
        let reaches = |limit: Option<f64>| limit.is_some_and(|limit| value >= limit);
        if reaches(self.critical) {
            return Some(Severity::Critical);
        }
        reaches(self.warning).then_some(Severity::Warning)
    }
}

/// A time in seconds, at most a day.
pub(crate) fn seconds(params: &Params, name: &str, default: u64) -> Result<Duration, String> {
    match params.parse(name)?.unwrap_or(default) {
        seconds @ 0..=86_400 => Ok(Duration::from_secs(seconds)),
        other => Err(format!("`{name}` is {other}, expected 0 to 86400 seconds")),
    }
}

/// A window over which something is counted: a time that is not 0.
pub(crate) fn window(params: &Params, name: &str, default: u64) -> Result<Duration, String> {
    match seconds(params, name, default)? {
        Duration::ZERO => Err(format!("`{name}` is 0, expected 1 to 86400 seconds")),
        window => Ok(window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Limits, String> {
        let params = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Limits::read(&params, "lag", [Some(10.0), Some(20.0)])
    }

    #[test]
    fn limits_count_from_their_value_on() {
        let at = |limits: &Limits| [9.9, 10.0, 19.9, 20.0].map(|value| limits.reached(value));
        let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
        assert_eq!(at(&read(&[]).unwrap()), [None, warning, warning, critical]);
        assert_eq!(at(&read(&[("lag_warning", "off")]).unwrap()), [None, None, None, critical]);
        assert_eq!(at(&read(&[("lag_critical", "off")]).unwrap()), [None, warning, warning, warning]);
        assert_eq!(at(&read(&[("lag_critical", "10")]).unwrap()), [None, critical, critical, critical]);
        assert_eq!(read(&[]).unwrap().reached(f64::NAN), None);
    }

    #[test]
    fn limits_that_cannot_work_are_refused() {
        for (name, value, expected) in [
            ("lag_warning", "30", "`lag_warning` (30) is above `lag_critical` (20)"),
            ("lag_warning", "0", "`lag_warning` must be above 0, or off"),
            ("lag_warning", "NaN", "must be above 0"),
            ("lag_warning", "no", "the parameter `lag_warning` is \"no\""),
        ] {
            let error = read(&[(name, value)]).err().unwrap_or_default();
            assert!(error.contains(expected), "{error:?} should say {expected:?}");
        }
    }
}
