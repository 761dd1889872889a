//! The tests of all fields, put to one body.

use gantry_plugin_sdk::prelude::*;

use crate::{
    field::{Field, Test},
    scan::{self, End, Step},
};

/// Fields that can be asked for: they are marked off in the bits of a `u64`.
const FIELDS_MAX: usize = 64;
/// Longest path, in steps: as deep as the scanner recurses.
const STEPS_MAX: usize = 32;
const OWN: [&str; 3] = ["field", "invalid", "body_bytes"];

/// What to look for, and where.
pub(crate) struct Judge {
    fields: Vec<Field>,
    /// The paths of all fields, merged into a tree; wanted places carry the field's index.
    root: Step,
}

/// What came of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// All tests pass.
    Passes,
    /// One does not.
    Fails,
    /// It ended before everything was decided.
    Short,
    /// It is no JSON.
    NotJson,
}

impl Judge {
    /// Reads the tests out of the parameters; an error is a sentence for the operator.
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        let mut judge = Judge { fields: Vec::new(), root: Step::default() };
        for (name, value) in params.iter().filter(|(name, _)| !OWN.contains(name)) {
            let (name, value) = match name {
                "arg" => value
                    .split_once('=')
                    .ok_or_else(|| format!("the argument is {value:?}, expected path.test=value"))?,
                _ => (name, value),
            };
            let (path, test) = match name.rsplit_once('.') {
                Some((path, test)) => (path, test),
                None => (params.require("field")?, name),
            };
            let test = Test::read(name, test, value)?;
            judge.field(path)?.add(test);
        }
        if judge.fields.is_empty() {
            return Err(format!("no test is given; add one of {}", Test::NAMES));
        }
        match judge.fields.iter().find(|field| field.is_never()) {
            Some(field) => Err(format!("`min` of {} is above its `max`: no message would ever pass", field.path)),
            None => Ok(judge),
        }
    }

    fn field(&mut self, path: &str) -> Result<&mut Field, String> {
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > STEPS_MAX || steps.iter().any(|step| step.is_empty()) {
            return Err(format!("{path:?} is no path; expected at most {STEPS_MAX} names joined by dots"));
        }
        let place = steps.into_iter().fold(&mut self.root, |place, name| place.child(name));
        let index = *place.wanted.get_or_insert(self.fields.len());
        if index == self.fields.len() {
            if index == FIELDS_MAX {
                return Err(format!("more than {FIELDS_MAX} fields are asked for"));
            }
            self.fields.push(Field::new(path));
        }
        Ok(&mut self.fields[index])
    }

    /// Reads `body` until all is decided.
    pub(crate) fn judge(&self, body: &[u8]) -> Judged {
        // Bits of the fields that were not seen yet.
        let mut missing = u64::MAX >> (FIELDS_MAX - self.fields.len());
        let mut fails = false;
        let end = scan::walk(body, &self.root, &mut |index, value| {
            if missing & (1 << index) != 0 {
                missing &= !(1 << index);
                fails = !self.fields[index].passes(value);
            }
            missing != 0 && !fails
        });
        match end {
            _ if fails => Judged::Fails,
            End::NotJson => Judged::NotJson,
            End::Short => Judged::Short,
            End::Stopped | End::Whole => {
                let absent = self.fields.iter().enumerate().filter(|(index, _)| missing & (1 << index) != 0);
                let passes = absent.into_iter().all(|(_, field)| field.passes_absent());
                if passes { Judged::Passes } else { Judged::Fails }
            }
        }
    }
}
