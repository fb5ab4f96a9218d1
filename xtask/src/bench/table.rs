//! A Markdown table whose columns line up on a terminal, too.

use std::fmt;

/// A table under construction: headings, then rows of as many cells.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(headings: Vec<String>) -> Self {
        Self {
            rows: vec![headings],
        }
    }

    /// A table of named columns of the same height.
    pub(super) fn from_columns(columns: Vec<(String, Vec<String>)>) -> Self {
        let height = columns
            .iter()
            .map(|(_, cells)| cells.len())
            .max()
            .unwrap_or_default();
        let (headings, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let mut table = Self::new(headings);
        for row in 0..height {
            let cells = columns
                .iter()
                .map(|column| column.get(row).cloned().unwrap_or_default());
            table.push(cells.collect());
        }
        table
    }

    /// Adds a row.
    pub(super) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or_default()
                .max(3)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, &width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "| {} ", "-".repeat(*width))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(vec!["a".to_owned(), "latency, µs".to_owned()]);
        table.push(vec!["no proxy".to_owned(), "13".to_owned()]);
        let wanted = "| a        | latency, µs |\n\
                      | -------- | ----------- |\n\
                      | no proxy | 13          |\n";
        assert_eq!(table.to_string(), wanted);
    }
}
