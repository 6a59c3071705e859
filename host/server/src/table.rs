//! Tables in the boxed style of Triton's start-up report.
//!
//! A cell may have several lines; a line that is too wide for a log viewer is folded at spaces. Control characters,
//! which a model's own text may carry, are shown escaped.

use std::fmt;

/// A heading and rows of the same number of cells.
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

/// Widest line of a cell: paths and most reasons fit, and three columns still fit a wide terminal.
const CELL_CHARACTERS_MAX: usize = 120;

// === impl Table ===

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(heading: [&'static str; COLUMNS]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = self.heading.map(|title| vec![title.to_owned()]);
        let rows: Vec<_> = self.rows.iter().map(|row| row.each_ref().map(|cell| lines_of(cell))).collect();
        let mut widths = [0; COLUMNS];
        for row in rows.iter().chain([&heading]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.iter().map(|line| line.chars().count()).fold(*width, usize::max);
            }
        }
        write_rule(f, &widths)?;
        write_row(f, &widths, &heading)?;
        write_rule(f, &widths)?;
        for row in &rows {
            write_row(f, &widths, row)?;
        }
        write_rule(f, &widths)
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, widths: &[usize]) -> fmt::Result {
    for width in widths {
        write!(f, "+{}", "-".repeat(width + 2))?;
    }
    writeln!(f, "+")
}

fn write_row(f: &mut fmt::Formatter<'_>, widths: &[usize], row: &[Vec<String>]) -> fmt::Result {
    let height = row.iter().map(Vec::len).max().unwrap_or_default();
    for index in 0..height {
        for (width, cell) in widths.iter().zip(row) {
            write!(f, "| {:width$} ", cell.get(index).map(String::as_str).unwrap_or_default())?;
        }
        writeln!(f, "|")?;
    }
    Ok(())
}

fn lines_of(cell: &str) -> Vec<String> {
    cell.trim_end().lines().flat_map(|line| folded(&printable(line))).collect()
}

fn printable(line: &str) -> String {
    let show = |character: char| match character {
        '\t' => "    ".to_owned(),
        control if control.is_control() => control.escape_default().to_string(),
        plain => plain.to_string(),
    };
    line.chars().map(show).collect()
}

/// The line in pieces of at most [`CELL_CHARACTERS_MAX`], parted at the last space that fits; a longer word is cut.
fn folded(line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((limit, after)) = rest.char_indices().nth(CELL_CHARACTERS_MAX) {
        let (fitting, _) = rest.split_at(limit + after.len_utf8());
        let indented = fitting.len() - fitting.trim_start().len();
        let end = fitting.rfind(' ').filter(|end| *end > indented).unwrap_or(limit);
        let (piece, remainder) = rest.split_at(end);
        pieces.push(piece.to_owned());
        rest = remainder.trim_start();
    }
    pieces.push(rest.to_owned());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[[&str; 3]], expected: &str) {
        let mut table = Table::new(["Model", "Version", "Status"]);
        rows.iter().for_each(|row| table.push(row.map(str::to_owned)));
        let expected: String = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        check(
            &[["digits_cnn", "1", "READY"], ["x", "12", "READY"]],
            "
            +------------+---------+--------+
            | Model      | Version | Status |
            +------------+---------+--------+
            | digits_cnn | 1       | READY  |
            | x          | 12      | READY  |
            +------------+---------+--------+
            ",
        );
    }

    #[test]
    fn no_rows_leave_the_heading() {
        check(
            &[],
            "
            +-------+---------+--------+
            | Model | Version | Status |
            +-------+---------+--------+
            +-------+---------+--------+
            ",
        );
    }

    #[test]
    fn a_reason_of_several_lines_keeps_its_columns() {
        check(
            &[["x", "1", "UNAVAILABLE: line 3\n  dims: [ a ]\n          ^ expected a number\n"]],
            "
            +-------+---------+-------------------------------+
            | Model | Version | Status                        |
            +-------+---------+-------------------------------+
            | x     | 1       | UNAVAILABLE: line 3           |
            |       |         |   dims: [ a ]                 |
            |       |         |           ^ expected a number |
            +-------+---------+-------------------------------+
            ",
        );
    }

    #[test]
    fn a_long_line_is_folded_at_spaces_and_a_long_word_is_cut() {
        let words = "word ".repeat(40);
        let pieces = folded(words.trim_end());
        assert_eq!(pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [119, 79]);
        assert_eq!(pieces.join(" "), words.trim_end());
        let pieces = folded(&"é".repeat(250));
        assert_eq!(pieces.iter().map(|piece| piece.chars().count()).collect::<Vec<_>>(), [120, 120, 10]);
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("a\tb\u{1b}[31m"), "a    b\\u{1b}[31m");
    }
}
