//! A cluster file as values by path, every one checked against the table of keys, with everything that is wrong with it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    key::{Key, Kind, Value},
    keys::{self, KEYS, MOVED},
    problem::{Problem, did_you_mean, place},
};

/// Largest cluster file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The table that does something by being there, without any value.
const ENOUGH_BY_ITSELF: &str = "node.*.nameserver";

/// The values of a file. A path has names where the table of keys has patterns: `node.one.brokers[0].port`.
#[derive(Debug, Default)]
pub(crate) struct Document {
    file: PathBuf,
    text: String,
    values: BTreeMap<String, Found>,
    /// Where each table begins.
    tables: BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Found {
    key: &'static Key,
    at: usize,
    value: Given,
}

/// A value of the file.
#[derive(Debug, Clone, PartialEq)]
enum Given {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<String>),
    Params(Vec<(String, String)>),
}

impl Given {
    /// Whether it is a list or table without entries, which is the same as leaving it out.
    fn is_empty(&self) -> bool {
        match self {
            Given::List(entries) => entries.is_empty(),
            Given::Params(params) => params.is_empty(),
            Given::Bool(_) | Given::Integer(_) | Given::Text(_) => false,
        }
    }
}

impl Document {
    /// Reads all of `text`; what is wrong is in [`problems`](Document::into_problems), the rest is usable.
    pub(crate) fn parse(file: &Path, text: &str) -> Document {
        let mut document = Document { file: file.into(), text: text.to_owned(), ..Document::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            document.problem(error.span().map(|span| span.start), "", error.message().to_owned());
        }
        document.table(table.get_ref(), "", "");
        document.require();
        document
    }

    /// The file, for messages.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Adds a problem at the value or table of `path`.
    pub(crate) fn problem_at(&mut self, path: &str, problem: impl Into<String>) {
        let at = self.values.get(path).map(|found| found.at).or_else(|| self.tables.get(path).copied());
        self.problem(at, path, problem.into());
    }

    /// What is wrong, in the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the file has this table.
    pub(crate) fn has_table(&self, path: &str) -> bool {
        self.tables.contains_key(path)
    }

    /// Names of the tables directly below `path`.
    pub(crate) fn names_below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}.");
        let names = self.tables.keys().filter_map(|table| table.strip_prefix(&prefix));
        names.filter(|name| !name.contains(['.', '['])).map(str::to_owned).collect()
    }

    /// Paths of the elements of a list of tables.
    pub(crate) fn elements(&self, path: &str) -> Vec<String> {
        (0..).map(|index| format!("{path}[{index}]")).take_while(|element| self.has_table(element)).collect()
    }

    /// Whether the value is given and not a default.
    pub(crate) fn is_given(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    /// A number, or its default; 0 when a required one is missing, which is a problem already.
    pub(crate) fn integer(&self, path: &str) -> u64 {
        let value = match (self.given(path), default(path)) {
            (Some(Given::Integer(value)), _) => *value,
            (_, Value::Integer(value)) => *value,
            _ => 0,
        };
        // No key allows numbers below 0.
        u64::try_from(value).unwrap_or_default()
    }

    /// A boolean, or its default.
    pub(crate) fn boolean(&self, path: &str) -> bool {
        match (self.given(path), default(path)) {
            (Some(Given::Bool(value)), _) => *value,
            (_, default) => *default == Value::Bool(true),
        }
    }

    /// A text, or its default; empty when it is absent.
    pub(crate) fn text(&self, path: &str) -> &str {
        match (self.given(path), default(path)) {
            (Some(Given::Text(value)), _) => value,
            (_, Value::Text(value)) => value,
            _ => "",
        }
    }

    /// A path, resolved against the folder of the file.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(self.text(path))
    }

    /// The entries of a list.
    pub(crate) fn list(&self, path: &str) -> &[String] {
        match self.given(path) {
            Some(Given::List(entries)) => entries,
            _ => &[],
        }
    }

    /// Plugin parameters.
    pub(crate) fn params(&self, path: &str) -> Vec<(String, String)> {
        match self.given(path) {
            Some(Given::Params(params)) => params.clone(),
            _ => Vec::new(),
        }
    }

    /// Paths whose values (defaults filled in) differ from those of `other`, or that are there at all in one of the two
    /// only, with their keys.
    pub(crate) fn differences(&self, other: &Document) -> BTreeMap<String, &'static Key> {
        let mut differing = BTreeMap::new();
        for (path, found) in self.values.iter().chain(&other.values) {
            if self.effective(path, found.key) != other.effective(path, found.key) {
                differing.insert(path.clone(), found.key);
            }
        }
        let tables = self.tables.keys().chain(other.tables.keys());
        for table in tables.filter(|table| self.has_table(table) != other.has_table(table)) {
            let pattern = pattern_of(table);
            let of_it = KEYS.iter().filter(|key| pattern == ENOUGH_BY_ITSELF && key.section() == pattern);
            differing.extend(of_it.map(|key| (join(table, key.name()), key)));
        }
        differing
    }

    fn effective(&self, path: &str, key: &Key) -> Option<Given> {
        let given = self.given(path).filter(|given| !given.is_empty());
        given.cloned().or(match &key.default {
            Value::Required | Value::Absent | Value::Empty => None,
            Value::Bool(value) => Some(Given::Bool(*value)),
            Value::Integer(value) => Some(Given::Integer(*value)),
            Value::Text(value) => Some(Given::Text((*value).to_owned())),
        })
    }

    fn given(&self, path: &str) -> Option<&Given> {
        self.values.get(path).map(|found| &found.value)
    }

    fn problem(&mut self, at: Option<usize>, key: &str, problem: String) {
        let (line, column) = at.map_or((0, 0), |at| place(&self.text, at));
        self.problems.push(Problem { file: self.file.clone(), line, column, key: key.to_owned(), problem });
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str, pattern: &str) {
        for (name, value) in table {
            let (name, at) = (name.get_ref().as_ref(), name.span().start);
            let here = join(path, name);
            let there = if pattern == "node" { "node.*".to_owned() } else { join(pattern, name) };
            let tables = format!("{there}[]");
            // The name becomes part of paths, which have their own use for dots and brackets.
            if pattern == "node" && !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
                self.problem(Some(at), &here, "the name of a node has letters, digits, - and _".to_owned());
            } else if let Some(key) = keys::find(&there) {
                match read(key, value) {
                    Ok(value) => _ = self.values.insert(here, Found { key, at, value }),
                    Err(problem) => self.problem(Some(value.span().start), &here, problem),
                }
            } else if keys::is_section(&there) {
                match value.get_ref() {
                    DeValue::Table(inner) => {
                        self.tables.insert(here.clone(), at);
                        self.table(inner, &here, &there);
                    }
                    other => self.problem(Some(at), &here, format!("expected a table, found {}", shown(other))),
                }
            } else if keys::is_section(&tables) {
                self.list_of_tables(value, &here, &tables, at);
            } else {
                let advice = unknown(name, pattern);
                self.problem(Some(at), &here, advice);
            }
        }
    }

    fn list_of_tables(&mut self, value: &Spanned<DeValue<'_>>, path: &str, pattern: &str, at: usize) {
        let DeValue::Array(elements) = value.get_ref() else {
            let found = shown(value.get_ref());
            return self.problem(Some(at), path, format!("expected a list of tables (`[[{path}]]`), found {found}"));
        };
        for (index, element) in elements.iter().enumerate() {
            let here = format!("{path}[{index}]");
            match element.get_ref() {
                DeValue::Table(inner) => {
                    self.tables.insert(here.clone(), element.span().start);
                    self.table(inner, &here, pattern);
                }
                other => {
                    let problem = format!("expected a table, found {}", shown(other));
                    self.problem(Some(element.span().start), &here, problem);
                }
            }
        }
    }

    /// Finds tables without a key that they must have.
    fn require(&mut self) {
        let tables: Vec<String> = self.tables.keys().cloned().collect();
        for table in tables {
            let pattern = pattern_of(&table);
            for key in KEYS.iter().filter(|key| key.default == Value::Required && key.section() == pattern) {
                let path = join(&table, key.name());
                let said = self.problems.iter().any(|problem| problem.key == path);
                if !said && !self.is_given(&path) {
                    let (name, allowed) = (key.name(), key.allowed());
                    self.problem_at(&table, format!("`{name}` is missing; give {allowed}"));
                }
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `node.one.brokers[3].port` -> `node.*.brokers[].port`.
pub(crate) fn pattern_of(path: &str) -> String {
    let parts = path.split('.').enumerate().map(|(depth, part)| {
        let part = part.split_once('[').map_or(part.to_owned(), |(name, _)| format!("{name}[]"));
        if depth == 1 && path.starts_with("node.") { "*".to_owned() } else { part }
    });
    parts.collect::<Vec<_>>().join(".")
}

fn default(path: &str) -> &'static Value {
    let key = keys::find(&pattern_of(path));
    debug_assert!(key.is_some(), "{path} is not in the table of keys");
    key.map_or(&Value::Absent, |key| &key.default)
}

/// Reads a value as the key wants it.
fn read(key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Given, String> {
    let value = value.get_ref();
    let wrong = || format!("expected {}, found {}", key.allowed(), shown(value));
    match (key.kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Ok(Given::Bool(*value)),
        (Kind::Integer { min, max, .. }, DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| wrong())?;
            if (min..=max).contains(&number) {
                return Ok(Given::Integer(number));
            }
            Err(format!("{number} is out of range, expected {}", key.allowed()))
        }
        (Kind::Choice(words), DeValue::String(text)) => {
            if words.contains(&text.as_ref()) {
                return Ok(Given::Text(text.clone().into_owned()));
            }
            let advice = did_you_mean(text, words.iter().copied());
            Err(wrong() + &advice.map_or(String::new(), |word| format!("; did you mean \"{word}\"?")))
        }
        (Kind::Text(_) | Kind::Path, DeValue::String(text)) if !text.trim().is_empty() => {
            Ok(Given::Text(text.clone().into_owned()))
        }
        (Kind::List(_), DeValue::Array(entries)) => {
            let text = |entry: &Spanned<DeValue<'_>>| entry.get_ref().as_str().map(str::to_owned).ok_or_else(wrong);
            entries.iter().map(text).collect::<Result<_, _>>().map(Given::List)
        }
        (Kind::Params, DeValue::Table(table)) => {
            let one = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                let text = match value.get_ref() {
                    DeValue::String(text) => text.clone().into_owned(),
                    DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                        .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()),
                    DeValue::Float(number) => number.as_str().to_owned(),
                    DeValue::Boolean(value) => value.to_string(),
                    other => {
                        return Err(format!("{}: expected {}, found {}", name.get_ref(), key.allowed(), shown(other)));
                    }
                };
                Ok((name.get_ref().clone().into_owned(), text))
            };
            table.iter().map(one).collect::<Result<_, _>>().map(Given::Params)
        }
        _ => Err(wrong()),
    }
}

/// A value as a message shows it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Advice for a key that is not in the table.
fn unknown(name: &str, pattern: &str) -> String {
    if let Some((_, advice)) = MOVED.iter().find(|(moved, _)| *moved == name) {
        return format!("this key is not Gantry's: {advice}");
    }
    let below = |key: &'static Key| {
        let rest = if pattern.is_empty() { Some(key.path) } else { key.path.strip_prefix(pattern)?.strip_prefix('.') };
        rest.and_then(|rest| rest.split('.').next()).map(|name| name.trim_end_matches("[]"))
    };
    let mut known: Vec<&str> = KEYS.iter().filter_map(below).collect();
    known.dedup();
    if let Some(meant) = did_you_mean(name, known.iter().copied()) {
        return format!("unknown key; did you mean `{meant}`?");
    }
    if let Some(key) = KEYS.iter().find(|key| key.name() == name) {
        return format!("unknown key here; `{}` has one of this name", key.path);
    }
    format!("unknown key; known here are {}", known.join(", "))
}
