//! What stands where: a file, then variables, then flags, each over what came before.

use std::path::Path;

use serde_json::Value as Json;
use toml::de::DeTable;
use toml::{Table, Value};

use super::keys::{line_at, properties, schema, unknown_keys};
use super::{ConfigError, Place, Settings};

/// What a flag sets.
#[derive(Clone, Debug)]
pub struct Override {
    /// The setting, as `section.key`.
    pub setting: &'static str,
    /// Its value.
    pub value: Value,
    /// The flag.
    pub flag: &'static str,
}

/// Settings in the making.
#[derive(Debug)]
pub struct Layers {
    schema: Json,
    table: Table,
}

/// Every variable of ours begins with this. What follows is the setting's sections and key in
/// capitals: `S2CS_CONTROL_PORT`. Others with this beginning are not ours: cluster schedulers set
/// some for every service called s2cs.
const VARIABLE_PREFIX: &str = "S2CS";

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}

impl Layers {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            schema: schema(),
            table: Table::new(),
        }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// What cannot be used of it, with its line.
    pub fn add_file(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        let name = file.display().to_string();
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            place: Place {
                file: name.clone(),
                line: line_at(text, error.span().map_or(0, |span| span.start)),
            },
            problem: in_words(error.message()),
        };
        let spanned = DeTable::parse(text).map_err(syntax)?;
        let unknown = unknown_keys(&name, text, spanned.get_ref(), &self.schema);
        if !unknown.is_empty() {
            return Err(ConfigError::UnknownKeys(unknown));
        }
        // Once into the types for errors with lines, once as a table for what comes over it.
        let _types_fit: Settings = toml::from_str(text).map_err(syntax)?;
        self.table = toml::from_str(text).map_err(syntax)?;
        Ok(())
    }

    /// Adds those of these variables that are ours.
    ///
    /// # Errors
    /// A value that is none.
    pub fn add_variables(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let mut names = Vec::new();
        collect_names(&self.schema, &mut Vec::new(), &mut names);
        for (variable, text) in variables {
            let Some((_, path)) = names.iter().find(|(name, _)| *name == variable) else {
                continue;
            };
            self.set_from_text(&variable, path, &text)?;
        }
        Ok(())
    }

    /// Adds what a flag sets.
    ///
    /// # Errors
    /// When the setting cannot take the value.
    pub fn add_flag(&mut self, flag: Override) -> Result<(), ConfigError> {
        let Override {
            setting,
            value,
            flag,
        } = flag;
        let path: Vec<String> = setting.split('.').map(str::to_owned).collect();
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        self.set(&path, value)
            .map_err(|problem| ConfigError::Value {
                origin: flag.to_owned(),
                value: text,
                problem,
            })
    }

    /// What they come to.
    ///
    /// # Errors
    /// Settings that do not go together.
    pub fn into_settings(self) -> Result<Settings, ConfigError> {
        let settings: Settings =
            self.table
                .try_into()
                .map_err(|error: toml::de::Error| ConfigError::Conflict {
                    setting: "settings",
                    problem: error.message().to_owned(),
                })?;
        settings.check()?;
        Ok(settings)
    }

    /// A variable is text; it may stand for a number, a truth value, a list or itself.
    fn set_from_text(
        &mut self,
        variable: &str,
        path: &[String],
        text: &str,
    ) -> Result<(), ConfigError> {
        let literal = match text {
            "True" | "TRUE" => Some(Value::Boolean(true)),
            "False" | "FALSE" => Some(Value::Boolean(false)),
            _ => toml::from_str::<Table>(&format!("value = {text}"))
                .ok()
                .and_then(|mut table| table.remove("value")),
        };
        if literal.is_some_and(|literal| self.set(path, literal).is_ok()) {
            return Ok(());
        }
        let parts = text
            .split(',')
            .map(|part| Value::String(part.trim().to_owned()));
        if self.set(path, Value::Array(parts.collect())).is_ok() {
            return Ok(());
        }
        let whole = self.set(path, Value::String(text.to_owned()));
        whole.map_err(|problem| ConfigError::Value {
            origin: variable.to_owned(),
            value: text.to_owned(),
            problem,
        })
    }

    /// Sets one value, if the settings can take it.
    fn set(&mut self, path: &[String], value: Value) -> Result<(), String> {
        let mut changed = self.table.clone();
        insert(&mut changed, path, value)?;
        let tried: Result<Settings, toml::de::Error> = changed.clone().try_into();
        tried.map_err(|error| in_words(error.message()))?;
        self.table = changed;
        Ok(())
    }
}

/// The parser's message with Rust's names of numbers in words.
fn in_words(message: &str) -> String {
    message
        .replace(
            "invalid IP address syntax",
            "expected an address of this host, such as 0.0.0.0, 192.0.2.7 or ::",
        )
        .replace("expected u16", "expected a whole number from 0 to 65535")
        .replace(
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        )
}

fn insert(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, sections)) = path.split_last() else {
        return Err("no setting is named".to_owned());
    };
    let mut section = table;
    for name in sections {
        let inner = section
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()));
        section = inner
            .as_table_mut()
            .ok_or_else(|| format!("`{name}` is no section"))?;
    }
    section.insert(last.clone(), value);
    Ok(())
}

/// All variables with the settings they stand for.
fn collect_names(schema: &Json, path: &mut Vec<String>, names: &mut Vec<(String, Vec<String>)>) {
    let Some(properties) = properties(schema) else {
        return;
    };
    for (key, inner) in properties {
        path.push(key.clone());
        let name = format!("{VARIABLE_PREFIX}_{}", path.join("_").to_ascii_uppercase());
        names.push((name, path.clone()));
        collect_names(inner, path, names);
        path.pop();
    }
}
