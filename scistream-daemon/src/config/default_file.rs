//! The example file: every setting with what the types say about it, and its default.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Settings;
use super::keys::{items, properties, schema};

/// Columns after which comments are broken.
const WIDTH: usize = 100;

/// The settings file with all defaults. What has no default stands in a comment, with an example.
pub fn default_file() -> String {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut file = File {
        text: "# The settings of `s2cs serve`. What is not set here keeps the default shown. S2CS_… variables\n\
               # (S2CS_CONTROL_PORT=5001) and flags (--port 5001) come over it. Made by `s2cs config default`.\n"
            .to_owned(),
    };
    let schema = schema();
    if let Some(sections) = properties(&schema) {
        for (name, section) in sections {
            file.section(name, section, defaults.get(name));
        }
    }
    file.text
}

struct File {
    text: String,
}

impl File {
    /// A section; one that is not there by default in comments.
    fn section(&mut self, name: &str, schema: &Value, default: Option<&Value>) {
        let default = default.unwrap_or(&Value::Null);
        let (inner, header) = match items(schema) {
            Some(items) => (items, format!("[[{name}]]")),
            None => (schema, format!("[{name}]")),
        };
        let Some(settings) = properties(inner) else {
            return;
        };
        let is_set = default.is_object();
        self.text.push('\n');
        self.comment(description(schema), "");
        self.line(is_set, &header);
        let is_section = |schema: &Value| properties(schema).is_some();
        for (key, schema) in settings.iter().filter(|(_, schema)| !is_section(schema)) {
            self.setting(key, schema, default.get(key), is_set);
        }
        for (key, schema) in settings.iter().filter(|(_, schema)| is_section(schema)) {
            self.section(&format!("{name}.{key}"), schema, default.get(key));
        }
    }

    fn setting(&mut self, key: &str, schema: &Value, default: Option<&Value>, is_set: bool) {
        let default = default
            .or_else(|| schema.get("default"))
            .and_then(toml_text);
        let example = || {
            schema
                .get("examples")?
                .as_array()?
                .first()
                .and_then(toml_text)
        };
        self.comment(description(schema), "");
        match default {
            Some(value) if value != "[]" => self.line(is_set, &format!("{key} = {value}")),
            Some(_) | None => {
                let value = example().unwrap_or_default();
                self.line(false, &format!("{key} = {value}"));
            }
        }
    }

    fn line(&mut self, is_set: bool, line: &str) {
        let mark = if is_set { "" } else { "#" };
        // Writing to a String does not fail.
        let _infallible = writeln!(self.text, "{mark}{line}");
    }

    fn comment(&mut self, text: &str, indent: &str) {
        let mut line = format!("{indent}#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(&line);
                self.text.push('\n');
                line = format!("{indent}#");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }
}

fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A value in TOML; `None` for what TOML has no word for.
fn toml_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(toml::Value::String(text.clone()).to_string()),
        Value::Array(values) => {
            let values: Option<Vec<String>> = values.iter().map(toml_text).collect();
            values.map(|values| format!("[{}]", values.join(", ")))
        }
        Value::Object(object) => inline_table(object),
    }
}

fn inline_table(object: &Map<String, Value>) -> Option<String> {
    let pairs: Option<Vec<String>> = object
        .iter()
        .map(|(key, value)| toml_text(value).map(|value| format!("{key} = {value}")))
        .collect();
    pairs.map(|pairs| format!("{{ {} }}", pairs.join(", ")))
}
