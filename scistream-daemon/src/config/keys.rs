//! Which keys there are, by the schema; and which of a file's keys are not among them.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{Place, Settings, UnknownKey};

/// The JSON Schema of the settings file.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .into_generator()
        .into_root_schema_for::<Settings>()
        .to_value()
}

/// The properties of an object in the schema, also of one that may be left out.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    let direct = schema.get("properties").and_then(Value::as_object);
    direct.or_else(|| {
        let either = schema.get("anyOf")?.as_array()?;
        either
            .iter()
            .find_map(|schema| schema.get("properties")?.as_object())
    })
}

/// The schema of an array's items.
pub(super) fn items(schema: &Value) -> Option<&Value> {
    schema.get("items")
}

/// The keys of a file that do not exist.
pub(super) fn unknown_keys(
    file: &str,
    text: &str,
    table: &DeTable<'_>,
    schema: &Value,
) -> Vec<UnknownKey> {
    let mut search = Search {
        file,
        text,
        path: Vec::new(),
        found: Vec::new(),
    };
    search.table(table, schema);
    search.found
}

struct Search<'a> {
    file: &'a str,
    text: &'a str,
    path: Vec<String>,
    found: Vec<UnknownKey>,
}

impl Search<'_> {
    fn table(&mut self, table: &DeTable<'_>, schema: &Value) {
        // A table where a plain value is due is told by its type later.
        let Some(properties) = properties(schema) else {
            return;
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            self.path.push(name.to_owned());
            match properties.get(name) {
                Some(inner) => self.value(value.get_ref(), inner),
                None => self.unknown(name, key.span().start, properties),
            }
            self.path.pop();
        }
    }

    fn value(&mut self, value: &DeValue<'_>, schema: &Value) {
        if let Some(table) = value.as_table() {
            self.table(table, schema);
        }
        if let (Some(array), Some(schema)) = (value.as_array(), items(schema)) {
            for item in array {
                self.value(item.get_ref(), schema);
            }
        }
    }

    fn unknown(&mut self, name: &str, offset: usize, properties: &Map<String, Value>) {
        let close = properties
            .keys()
            .map(|known| (distance(name, known), known));
        // Where half of the letters differ it is another word.
        let nearest = close
            .min()
            .filter(|(distance, known)| *distance * 2 < known.chars().count());
        self.found.push(UnknownKey {
            place: Place {
                file: self.file.to_owned(),
                line: line_at(self.text, offset),
            },
            key: self.path.join("."),
            suggestion: nearest.map(|(_distance, known)| known.clone()),
        });
    }
}

/// The line, from 1, that a byte of the text is on.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// How many letters must be put in, taken out, replaced or exchanged with their neighbour to make one
/// word of the other; a hyphen and an underscore are the same.
fn distance(one: &str, other: &str) -> usize {
    let letters = |word: &str| -> Vec<char> { word.replace('-', "_").chars().collect() };
    let (one, other) = (letters(one), letters(other));
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let at = |i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied();
            let differ = usize::from(one.get(i - 1) != other.get(j - 1));
            let is_exchanged = i > 1
                && j > 1
                && one.get(i - 1) == other.get(j - 2)
                && one.get(i - 2) == other.get(j - 1);
            let exchanged = is_exchanged.then(|| at(i - 2, j - 2)).flatten();
            let best = [
                at(i - 1, j - 1).map(|cost| cost + differ),
                at(i - 1, j).map(|cost| cost + 1),
                row.last().map(|cost| cost + 1),
                exchanged.map(|cost| cost + 1),
            ];
            row.push(best.into_iter().flatten().min().unwrap_or_default());
        }
        rows.push(row);
    }
    let last = rows.last().and_then(|row| row.last());
    last.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_by_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("port", "port", 0),
            ("prot", "port", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("listener-ip", "listener_ip", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
