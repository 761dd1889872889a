//! The figures, for people and for programs.

use serde_json::{Value, json};

/// Rows in the order in which they were measured, and what the run was like.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One comparison.
pub(crate) struct Row {
    /// What was measured, with its unit.
    pub(crate) what: String,
    /// The other side: RocketMQ, the bare server, the formula.
    pub(crate) other: f64,
    /// Gantry.
    pub(crate) gantry: f64,
    /// What their ratio should be.
    pub(crate) wanted: Wanted,
    /// More to know, if anything.
    pub(crate) note: String,
}

/// A bound of Gantry's figure divided by the other's.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    fn met(self, ratio: f64) -> bool {
        match self {
            Wanted::AtLeast(bound) => ratio >= bound,
            Wanted::AtMost(bound) => ratio <= bound,
        }
    }

    /// Whether Gantry is behind the other side, whatever was wanted.
    fn behind(self, ratio: f64) -> bool {
        match self {
            Wanted::AtLeast(_) => ratio < 1.0,
            Wanted::AtMost(_) => ratio > 1.0,
        }
    }

    fn text(self) -> String {
        match self {
            Wanted::AtLeast(bound) => format!(">= {bound:.2}"),
            Wanted::AtMost(bound) => format!("<= {bound:.2}"),
        }
    }
}

impl Row {
    /// Gantry's figure divided by the other's.
    fn ratio(&self) -> f64 {
        if self.other == 0.0 { f64::NAN } else { self.gantry / self.other }
    }
}

impl Table {
    pub(crate) fn row(&mut self, what: impl Into<String>, other: f64, gantry: f64, wanted: Wanted) {
        self.row_with(what, other, gantry, wanted, String::new());
    }

    pub(crate) fn row_with(&mut self, what: impl Into<String>, other: f64, gantry: f64, wanted: Wanted, note: String) {
        self.rows.push(Row { what: what.into(), other, gantry, wanted, note });
    }

    /// A sentence under the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
        let head = ["beside", "Gantry", "ratio", "wanted"];
        let mut out = format!("{:<width$} {:>12} {:>12} {:>8} {:>10}\n", "", head[0], head[1], head[2], head[3]);
        for row in &self.rows {
            let verdict = if row.wanted.met(row.ratio()) { "" } else { "  missed" };
            out += &format!(
                "{:<width$} {:>12} {:>12} {:>8.3} {:>10}{verdict}",
                row.what,
                figure(row.other),
                figure(row.gantry),
                row.ratio(),
                row.wanted.text()
            );
            if !row.note.is_empty() {
                out += &format!("  ({})", row.note);
            }
            out.push('\n');
        }
        let behind: Vec<&str> =
            self.rows.iter().filter(|row| row.wanted.behind(row.ratio())).map(|row| row.what.as_str()).collect();
        out += &match behind.as_slice() {
            [] => "Gantry is behind in nothing of this.\n".to_owned(),
            behind => format!("Gantry is behind in: {}\n", behind.join("; ")),
        };
        self.notes.iter().for_each(|note| out += &format!("{note}\n"));
        out
    }

    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "what": row.what, "beside": row.other, "gantry": row.gantry, "ratio": row.ratio(),
                "wanted": row.wanted.text(), "met": row.wanted.met(row.ratio()),
                "behind": row.wanted.behind(row.ratio()), "note": row.note,
            })
        };
        json!({ "rows": self.rows.iter().map(row).collect::<Vec<_>>(), "notes": self.notes })
    }
}

/// Large numbers whole, small ones with what tells them apart.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
