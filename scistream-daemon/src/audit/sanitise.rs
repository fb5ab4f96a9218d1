//! Text from callers, made fit to be read: nothing in it can pass for another line, move a cursor
//! or turn the order of letters round.

/// Characters kept of one value.
const LENGTH_MAX: usize = 256;

/// The text with every control, format and separator character written as its code, cut to 256
/// characters.
pub fn sanitise(text: &str) -> String {
    use std::fmt::Write as _;

    let mut clean = String::with_capacity(text.len().min(LENGTH_MAX));
    for (count, c) in text.chars().enumerate() {
        if count == LENGTH_MAX {
            clean.push('…');
            break;
        }
        if is_unfit(c) {
            // Writing to a String does not fail.
            let _infallible = write!(clean, "\\u{{{:x}}}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a character is not seen, or changes how others are seen.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Zero-width characters, directional marks, line and paragraph separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, directional isolates, deprecated formats.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, interlinear annotation, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_a_reader_is_written_as_its_code() {
        for (text, clean) in [
            ("plain, ünïcode 数", "plain, ünïcode 数"),
            ("a\nb\r\u{1b}[31m", "a\\u{a}b\\u{d}\\u{1b}[31m"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("\u{2066}x\u{2069}\u{feff}", "\\u{2066}x\\u{2069}\\u{feff}"),
            ("\u{85}\u{2028}", "\\u{85}\\u{2028}"),
        ] {
            assert_eq!(sanitise(text), clean);
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let clean = sanitise(&"é".repeat(1_000_000));
        assert_eq!(clean.chars().count(), LENGTH_MAX + 1);
        assert!(clean.ends_with('…'));
    }
}
