//! Parameters of the configuration.

use std::{fmt::Display, str::FromStr};

/// Parameters by name, each name once: those of `[[plugin]]` with those of the binding laid over them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// A parameter, if it is given.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be given.
    pub fn require(&self, name: &str) -> Result<&str, String> {
        self.param(name).ok_or_else(|| format!("the parameter `{name}` is missing"))
    }

    /// A parameter that reads as a `T`, if it is given.
    pub fn parse<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let read = |value: &str| value.parse().map_err(|error| format!("the parameter `{name}` is {value:?}: {error}"));
        self.param(name).map(read).transpose()
    }

    /// Refuses parameters that are not among `names`, so that a misspelt one does not silently do nothing.
    pub fn expect_only(&self, names: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(found, _)| !names.contains(&found.as_str())) {
            Some((unknown, _)) if names.is_empty() => Err(format!("unknown parameter `{unknown}`; there are none")),
            Some((unknown, _)) => Err(format!("unknown parameter `{unknown}`; known are {}", names.join(", "))),
            None => Ok(()),
        }
    }

    /// All of them, name and value, as configured.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a parameter or replaces it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(found, _)| found != name);
        self.0.push((name.into(), value.into()));
    }
}

impl FromIterator<(String, String)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Params(pairs.into_iter().collect())
    }
}
