//! Rows of text in columns, right-aligned behind the first.

/// Prints a row: a name of up to 26 characters, then cells of up to 12.
pub(super) fn print(name: &str, cells: &[String]) {
    let cells = cells.iter().map(|cell| format!("{cell:>13}"));
    println!("{name:<26}{}", cells.collect::<String>());
}

/// The middle one of three or five; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
