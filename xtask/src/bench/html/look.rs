//! How each subject looks: the same colour, dash and name in every plot.
//!
//! The colours are Okabe and Ito's, which people with any form of colour blindness tell apart; in
//! black and white the dashes do, and every line carries its name.

use super::svg::Stroke;
use crate::bench::subject::Subject;

/// Lines and labels that are not a subject's.
pub(super) const INK: &str = "#222";
/// Grid lines.
pub(super) const GRID: &str = "#e4e4e4";
/// Marks and frames.
pub(super) const FRAME: &str = "#888";

const BLACK: &str = "#000";
const BLUE: &str = "#0072b2";
const GREEN: &str = "#009e73";
const GREY: &str = "#777";
const ORANGE: &str = "#b87400";
const PURPLE: &str = "#aa4499";
const SKY: &str = "#3a9bd9";
const VERMILION: &str = "#d55e00";

/// The look of one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) colour: &'static str,
    pub(super) dashes: &'static str,
    /// Drawn thicker, and last.
    pub(super) strong: bool,
}

impl Look {
    /// That of a subject.
    pub(super) fn of(subject: Subject) -> Self {
        let (colour, dashes) = match subject {
            Subject::NoProxy => (BLACK, "2 3"),
            Subject::Copy => (SKY, "6 3"),
            Subject::Splice => (BLUE, ""),
            Subject::Sockmap => (GREEN, "8 3 2 3"),
            Subject::Auto => (VERMILION, ""),
            Subject::Haproxy => (PURPLE, ""),
            Subject::HaproxySplice => (PURPLE, "6 3"),
            Subject::Nginx => (ORANGE, ""),
            Subject::Socat => (GREY, "6 3"),
            Subject::StunnelPair => (BLUE, "2 3"),
            Subject::SshTunnel => (GREY, "2 3"),
        };
        Self {
            colour,
            dashes,
            strong: subject == Subject::Auto,
        }
    }

    /// That of a published line, by its place among them.
    pub(super) fn published(name: &str) -> Self {
        let (colour, dashes) = match name {
            "direct" => (BLACK, "2 3"),
            "legacy" => (PURPLE, ""),
            _ => (GREEN, "8 3 2 3"),
        };
        Self {
            colour,
            dashes,
            strong: false,
        }
    }

    /// The stroke of its line.
    pub(super) fn stroke(self) -> Stroke {
        Stroke {
            colour: self.colour,
            width: if self.strong { 2.6 } else { 1.6 },
            dashes: self.dashes,
        }
    }
}

/// The stroke of a grid line.
pub(super) const GRID_STROKE: Stroke = Stroke {
    colour: GRID,
    width: 1.0,
    dashes: "",
};

/// The stroke of a frame.
pub(super) const FRAME_STROKE: Stroke = Stroke {
    colour: FRAME,
    width: 1.0,
    dashes: "",
};

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn no_two_subjects_look_the_same() {
        let looks: Vec<Look> = Subject::value_variants()
            .iter()
            .copied()
            .map(Look::of)
            .collect();
        for (number, look) in looks.iter().enumerate() {
            let twins = looks.iter().skip(number + 1).filter(|other| *other == look);
            assert_eq!(twins.count(), 0, "{look:?}");
        }
    }
}
