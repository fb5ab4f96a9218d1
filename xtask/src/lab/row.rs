//! Rows of text in columns, right-aligned behind the first.

/// Prints a row: a name of up to 26 characters, then cells of up to 12.
pub(super) fn print(name: &str, cells: &[String]) {
    let cells = cells.iter().map(|cell| format!("{cell:>13}"));
    println!("{name:<26}{}", cells.collect::<String>());
}
