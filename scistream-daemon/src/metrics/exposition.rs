//! Prometheus' text format, version 0.0.4: families with HELP and TYPE, then their samples.

use std::fmt::{Display, Write as _};

/// What a family's values do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// They only go up.
    Counter,
    /// They go up and down.
    Gauge,
}

/// The text in the making.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// A family to which samples are added.
pub(super) struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    /// Begins a family; all samples of one stand together.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String does not fail.
        let _infallible = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            name,
            text: &mut self.text,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (index, (name, label)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _infallible = write!(self.text, "{before}{name}=\"{}\"", escaped(label));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.text, "{after} {value}");
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_its_type_and_escaped_labels() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("a_total", Kind::Counter, "Of \\ and\nmore.");
        family.sample(&[("x", "1"), ("y", "a\"b\\c\nd")], 7);
        family.sample(&[], 0.5);
        exposition
            .family("b", Kind::Gauge, "None.")
            .sample(&[], u64::MAX);
        assert_eq!(
            exposition.into_text(),
            "# HELP a_total Of \\\\ and\\nmore.\n# TYPE a_total counter\n\
             a_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 7\na_total 0.5\n\
             # HELP b None.\n# TYPE b gauge\nb 18446744073709551615\n"
        );
    }
}
