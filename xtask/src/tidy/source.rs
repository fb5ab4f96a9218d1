//! The files of the tree, and what is code, comment or string in each Rust file.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::{cmd, workspace};

/// The files that rules look at.
pub(super) struct Tree {
    /// Rust sources.
    pub(super) rust: Vec<Source>,
    /// Markdown files: path and text.
    pub(super) documents: Vec<(String, String)>,
    /// The paths of all files.
    pub(super) paths: Vec<String>,
}

/// A Rust file, split by kind; all three texts keep the line breaks, so lines agree.
pub(super) struct Source {
    /// From the workspace's folder.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Without comments and the insides of strings.
    pub(super) code: String,
    /// Only the comments.
    pub(super) comments: String,
}

impl Tree {
    /// Every file that git tracks or would track.
    pub(super) fn of_checkout() -> Result<Self> {
        let root = workspace::root();
        let mut git = Command::new("git");
        git.current_dir(&root)
            .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let list = cmd::output(&mut git)?;
        let mut files = Vec::new();
        for path in list.lines() {
            // A file that was deleted and not yet committed is still listed, and binary files are
            // of no interest.
            if let Ok(text) = fs::read_to_string(root.join(path)) {
                files.push((path.to_owned(), text));
            }
        }
        Ok(Self::new(files))
    }

    /// A tree of the given paths and texts.
    pub(super) fn new(files: Vec<(String, String)>) -> Self {
        let paths = files.iter().map(|(path, _)| path.clone()).collect();
        let mut tree = Self {
            rust: Vec::new(),
            documents: Vec::new(),
            paths,
        };
        for (path, text) in files {
            if path.ends_with(".rs") {
                tree.rust.push(Source::new(path, text));
            } else if path.ends_with(".md") {
                tree.documents.push((path, text));
            }
        }
        tree
    }

    /// How many files rules look at.
    pub(super) fn len(&self) -> usize {
        self.rust.len() + self.documents.len()
    }
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let (code, comments) = split(&text);
        Self {
            path,
            text,
            code,
            comments,
        }
    }

    /// The code without what only tests compile.
    pub(super) fn production(&self) -> String {
        let mut code = self.code.clone();
        while let Some(start) = code.find("#[cfg(test)]") {
            let end = item_end(&code, start);
            let blank: String = code[start..end].chars().map(blanked).collect();
            code.replace_range(start..end, &blank);
        }
        code
    }
}

/// The line that a byte offset falls in, counted from one.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// The offsets where `word` stands alone, not inside a longer name.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(move |&offset| {
            let before = text[..offset].chars().next_back();
            let after = text[offset + word.len()..].chars().next();
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
}

/// Whether a character can be part of a name.
pub(super) fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where the item that begins at `start` ends: after its block, or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, character) in code[start..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start + offset + 1;
                }
            }
            ';' if depth == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

fn blanked(character: char) -> char {
    if character == '\n' { '\n' } else { ' ' }
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    LineComment,
    /// How deeply nested.
    BlockComment(usize),
    /// How many `#` close it; `None` for a string with escapes.
    Text(Option<usize>),
}

/// Splits a Rust text into its code and its comments, each as long as the text.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut within = Within::Code;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, now, next) = step(rest, first, within, code.chars().next_back());
        let token = &rest[..taken];
        let blank = || token.chars().map(blanked);
        let in_comment = matches!(now, Within::LineComment | Within::BlockComment(_));
        if now == Within::Code {
            code.push_str(token)
        } else {
            code.extend(blank())
        }
        if in_comment {
            comments.push_str(token)
        } else {
            comments.extend(blank())
        }
        within = next;
        rest = &rest[taken..];
    }
    (code, comments)
}

/// Reads one token: its length, what it belongs to, and what follows it.
fn step(rest: &str, first: char, within: Within, before: Option<char>) -> (usize, Within, Within) {
    let one = first.len_utf8();
    match within {
        Within::Code => code_step(rest, first, before),
        Within::LineComment if first == '\n' => (one, Within::Code, Within::Code),
        Within::BlockComment(depth) if rest.starts_with("/*") => {
            (2, within, Within::BlockComment(depth + 1))
        }
        Within::BlockComment(1) if rest.starts_with("*/") => (2, within, Within::Code),
        Within::BlockComment(depth) if rest.starts_with("*/") => {
            (2, within, Within::BlockComment(depth - 1))
        }
        Within::Text(None) if first == '\\' => (
            one + rest[one..].chars().next().map_or(0, char::len_utf8),
            within,
            within,
        ),
        Within::Text(None) if first == '"' => (one, Within::Code, Within::Code),
        Within::Text(Some(hashes)) if closes(rest, hashes) => {
            (1 + hashes, Within::Code, Within::Code)
        }
        Within::LineComment | Within::BlockComment(_) | Within::Text(_) => (one, within, within),
    }
}

fn code_step(rest: &str, first: char, before: Option<char>) -> (usize, Within, Within) {
    let one = first.len_utf8();
    if rest.starts_with("//") {
        return (2, Within::LineComment, Within::LineComment);
    }
    if rest.starts_with("/*") {
        return (2, Within::BlockComment(1), Within::BlockComment(1));
    }
    if first == '"' {
        return (one, Within::Code, Within::Text(None));
    }
    if first == 'r' && !before.is_some_and(|before| is_name(before) && before != 'b') {
        let hashes = rest[one..].bytes().take_while(|&byte| byte == b'#').count();
        if rest[one + hashes..].starts_with('"') {
            return (one + hashes + 1, Within::Code, Within::Text(Some(hashes)));
        }
    }
    if let Some(length) = character_literal(rest) {
        return (length, Within::Text(None), Within::Code);
    }
    (one, Within::Code, Within::Code)
}

/// Whether a raw string ends here.
fn closes(rest: &str, hashes: usize) -> bool {
    let Some(tail) = rest.strip_prefix('"') else {
        return false;
    };
    tail.bytes().take_while(|&byte| byte == b'#').count() >= hashes
}

/// The length of `'x'` or `'\n'`; a lifetime is none.
fn character_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut characters = inside.chars();
    let first = characters.next()?;
    if first == '\\' {
        let skipped = 1 + characters.next()?.len_utf8();
        let close = inside[skipped..].find('\'')?;
        return Some(1 + skipped + close + 1);
    }
    (characters.next()? == '\'').then_some(1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("x.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let source = source("let a = \"tokio\"; // aya\n/* x /* y */ z */ let b = r#\"q\"u\"#;");
        assert!(
            !source.code.contains("tokio") && !source.code.contains("aya"),
            "{}",
            source.code
        );
        assert!(
            !source.code.contains('z') && !source.code.contains('u'),
            "{}",
            source.code
        );
        assert!(source.code.contains("let b"), "{}", source.code);
        assert!(source.comments.contains("aya") && source.comments.contains("x /* y"));
    }

    #[test]
    fn escaped_quotes_and_quote_characters_do_not_end_the_code() {
        let source = source("f(\"a\\\"b\", '\"', '\\'', b'\\\\'); fn g<'a>(x: &'a str) {}");
        assert!(
            source.code.contains("fn g<'a>(x: &'a str) {}"),
            "{}",
            source.code
        );
    }

    #[test]
    fn lines_agree_between_the_texts() {
        let source = source("//! a\n\n\"x\ny\"\nunsafe {}\n");
        let offset = source.code.find("unsafe").unwrap();
        assert_eq!(line_of(&source.code, offset), 5);
    }

    #[test]
    fn what_only_tests_compile_is_no_production_code() {
        let source = source("use a;\n#[cfg(test)]\nmod tests { use b; { } }\nuse c;\n");
        let production = source.production();
        assert!(!production.contains("use b"), "{production}");
        assert!(
            production.contains("use a") && production.contains("use c"),
            "{production}"
        );
    }

    #[test]
    fn a_word_inside_a_longer_name_is_not_the_word() {
        assert_eq!(
            words("unsafe_code unsafe an_unsafe", "unsafe").collect::<Vec<_>>(),
            [12]
        );
    }
}
