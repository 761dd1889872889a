//! The properties that an expression names: each has a place, and one walk over a message finds all of them.

use gantry_model::properties;

/// Different properties that one expression may name.
pub const NAMES_MAX: usize = 64;
/// As many as are looked up without clearing a large array a message.
const FEW: usize = 8;

/// The names, in the order in which the expression first mentions them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The place of a name; `None` when there are [`NAMES_MAX`] others.
    pub(super) fn place(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.0.iter().position(|known| known == name) {
            return Some(place);
        }
        if self.0.len() == NAMES_MAX {
            return None;
        }
        self.0.push(name.to_owned());
        Some(self.0.len() - 1)
    }

    /// The name at a place.
    pub(super) fn name(&self, place: usize) -> &str {
        &self.0[place]
    }

    /// Hands the values of all names, by place, to `use_them`. Values are bytes: nothing asks whether they are UTF-8.
    pub(super) fn with_values<T>(&self, encoded: &[u8], use_them: impl FnOnce(&[Option<&[u8]>]) -> T) -> T {
        if self.0.len() <= FEW {
            self.find(encoded, &mut [None; FEW], use_them)
        } else {
            self.find(encoded, &mut [None; NAMES_MAX], use_them)
        }
    }

    fn find<'m, T>(
        &self,
        encoded: &'m [u8],
        found: &mut [Option<&'m [u8]>],
        use_them: impl FnOnce(&[Option<&'m [u8]>]) -> T,
    ) -> T {
        let found = &mut found[..self.0.len()];
        properties::find_all(encoded, &self.0, found);
        use_them(found)
    }
}
