//! What one key of the cluster file is: everything the parser, `config explain` and the shipped files say about it.

use std::fmt;

/// One key. `path` has `*` for a node's name and `[]` for an element of a list of tables.
#[derive(Debug)]
pub(crate) struct Key {
    /// `broker.flush`, `node.*.host`, `plugin[].file`.
    pub(crate) path: &'static str,
    /// What it may be.
    pub(crate) kind: Kind,
    /// What it is when it is not given.
    pub(crate) default: Value,
    /// Whether a change applies to a running node.
    pub(crate) reload: Reload,
    /// What it means, in full sentences.
    pub(crate) doc: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from `min` to `max`, counted in `unit`.
    Integer { min: i64, max: i64, unit: &'static str },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text; the hint says which.
    Text(&'static str),
    /// A path; relative to the folder of the file.
    Path,
    /// Texts.
    List(&'static str),
    /// A table of texts, numbers and booleans that a plugin gets as texts.
    Params,
}

/// A value, given or default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// There is no default: the key must be given.
    Required,
    /// It may be left out, and nothing stands for it.
    Absent,
    Bool(bool),
    Integer(i64),
    Text(&'static str),
    /// No entries.
    Empty,
}

/// Whether a change applies to a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    /// As soon as the file is saved, or on SIGHUP.
    Live,
    /// At the next start; until then `gantry status` names the key.
    Restart,
}

impl Key {
    /// The part after the last dot.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The part before the last dot.
    pub(crate) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// What may stand there, in words.
    pub(crate) fn allowed(&self) -> String {
        match self.kind {
            Kind::Bool => "true or false".to_owned(),
            Kind::Integer { min, max, unit } => {
                let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                format!("{min} to {max}{unit}")
            }
            Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
            Kind::Text(hint) | Kind::List(hint) => hint.to_owned(),
            Kind::Path => "a path, relative to the folder of this file".to_owned(),
            Kind::Params => "texts, numbers and booleans by name".to_owned(),
        }
    }

    /// The unit of a number.
    pub(crate) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Integer { unit, .. } => unit,
            _ => "",
        }
    }
}

impl Reload {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Reload::Live => "a change applies at once",
            Reload::Restart => "a change needs a restart",
        }
    }
}

/// As it is written in TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Required => f.write_str("must be given"),
            Value::Absent => f.write_str("not set"),
            Value::Bool(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Text(value) => write!(f, "\"{value}\""),
            Value::Empty => f.write_str("[]"),
        }
    }
}
