//! The page's tables.

use super::svg::escaped;

/// A table whose first column is text and whose others are figures. Cells are plain text.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<table><thead><tr>");
    for heading in headings {
        text += &format!("<th>{}</th>", escaped(heading));
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            text += &format!("<td>{}</td>", escaped(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table>\n");
    text
}

/// A list of sentences; nothing when there are none.
pub(super) fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>\n", escaped(item)))
        .collect();
    format!("<ul>{items}</ul>\n")
}

/// Something long that opens at a click, without a script.
pub(super) fn fold(summary: &str, text: &str) -> String {
    format!(
        "<details><summary>{}</summary><pre>{}</pre></details>\n",
        escaped(summary),
        escaped(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text() {
        let text = table(&["a"], &[vec!["<b>".to_owned()]]);
        assert!(text.contains("<td>&lt;b&gt;</td>"), "{text}");
        assert_eq!(list(&[]), "");
    }
}
