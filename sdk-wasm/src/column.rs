//! Columns: what a plugin asks for, and how it reads what it gets.
//!
//! A batch travels as one array a column, which is an order of magnitude cheaper than one record a message. A row is a
//! view over one index of these arrays; making it allocates nothing.

use std::slice;

use crate::bindings::filter::gantry::plugin::types as wit;
pub use wit::{Shape, Source, SystemField};

/// One column that the plugin wants.
pub type Column = wit::ColumnRequest;

impl wit::ColumnRequest {
    /// A property, read as `shape`.
    pub fn property(name: impl Into<String>, shape: Shape) -> Self {
        wit::ColumnRequest { source: Source::Property(name.into()), shape }
    }
}

/// A row type: `#[derive(Columns)]` on a struct with one field a column, or [`Cells`].
pub trait Columns<'m>: Sized {
    /// The columns, in the order in which [`read`](Columns::read) takes them.
    fn columns() -> Vec<Column>;

    /// The row of message `index`.
    fn read(columns: &'m [wit::Column], index: usize) -> Self;
}

/// A type that a field of a row may have: `Option` of `&str`, `&[u8]`, `i64` or `f64`, or [`Message`](crate::Message).
/// `None` means that the message lacks the value or that it does not read as the type.
pub trait Field<'m>: Sized {
    /// Adds the column that the field needs.
    fn request(source: Source, columns: &mut Vec<Column>);

    /// Takes the field's column, if it has one, and reads message `index` from it.
    fn read(columns: &mut slice::Iter<'m, wit::Column>, index: usize) -> Self;
}

macro_rules! field {
    ($type:ty, $shape:ident, $read:ident) => {
        impl<'m> Field<'m> for Option<$type> {
            fn request(source: Source, columns: &mut Vec<Column>) {
                columns.push(Column { source, shape: Shape::$shape });
            }

            fn read(columns: &mut slice::Iter<'m, wit::Column>, index: usize) -> Self {
                columns.next().and_then(|column| $read(column, index))
            }
        }
    };
}

field!(&'m [u8], Text, bytes);
field!(&'m str, Text, text);
field!(i64, Int, int);
field!(f64, Float, float);

/// A row whose columns are known only when the filter is opened (see [`Filter::columns`](crate::Filter::columns)).
#[derive(Debug, Clone, Copy)]
pub struct Cells<'m> {
    columns: &'m [wit::Column],
    index: usize,
}

impl<'m> Cells<'m> {
    /// Column `column` as bytes; `None` when absent or not a text column.
    pub fn bytes(&self, column: usize) -> Option<&'m [u8]> {
        self.columns.get(column).and_then(|column| bytes(column, self.index))
    }

    /// Column `column` as UTF-8 text.
    pub fn text(&self, column: usize) -> Option<&'m str> {
        self.columns.get(column).and_then(|column| text(column, self.index))
    }

    /// Column `column` as a whole number; `None` when absent or not an int column.
    pub fn int(&self, column: usize) -> Option<i64> {
        self.columns.get(column).and_then(|column| int(column, self.index))
    }

    /// Column `column` as a number; `None` when absent or not a float column.
    pub fn float(&self, column: usize) -> Option<f64> {
        self.columns.get(column).and_then(|column| float(column, self.index))
    }
}

impl<'m> Columns<'m> for Cells<'m> {
    fn columns() -> Vec<Column> {
        Vec::new()
    }

    fn read(columns: &'m [wit::Column], index: usize) -> Self {
        Cells { columns, index }
    }
}

fn present(bitmap: &Option<Vec<u8>>, index: usize) -> bool {
    bitmap.as_ref().is_none_or(|bitmap| bitmap.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0))
}

fn bytes(column: &wit::Column, index: usize) -> Option<&[u8]> {
    match column {
        wit::Column::Text(text) if present(&text.present, index) => {
            let (from, to) = (*text.offsets.get(index)?, *text.offsets.get(index + 1)?);
            text.data.get(from as usize..to as usize)
        }
        _ => None,
    }
}

fn text(column: &wit::Column, index: usize) -> Option<&str> {
    bytes(column, index).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

fn int(column: &wit::Column, index: usize) -> Option<i64> {
    match column {
        wit::Column::Int(int) if present(&int.present, index) => int.values.get(index).copied(),
        _ => None,
    }
}

fn float(column: &wit::Column, index: usize) -> Option<f64> {
    match column {
        wit::Column::Float(float) if present(&float.present, index) => float.values.get(index).copied(),
        _ => None,
    }
}
