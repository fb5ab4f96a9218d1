//! Spreads side by side: a box from the 25th to the 75th of 100 messages, whiskers to the 5th and
//! the 99th.

use super::axis::{Axis, Scale, short};
use super::look::{GRID_STROKE, Look};
use super::svg::{Anchor, Svg};

const WIDTH: f64 = 470.0;
const ROW: f64 = 22.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;

/// The factor on the lowest median from which a spread is far off.
const FAR_OFF: f64 = 3.0;

/// One box.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) name: String,
    pub(super) look: Look,
    /// The 5th, 25th, 50th, 75th and 99th of 100.
    pub(super) at: [f64; 5],
}

impl Spread {
    fn median(&self) -> f64 {
        self.at[2]
    }
}

/// Draws boxes below each other.
pub(super) fn draw(title: &str, unit: &str, spreads: &[Spread]) -> String {
    let height = TOP + BOTTOM + ROW * spreads.len() as f64;
    let mut svg = Svg::new(WIDTH, height, title);
    svg.text((8.0, 16.0), Anchor::Start, "plot", title);
    let across = (LEFT, WIDTH - RIGHT);
    let axis = axis(spreads, across);
    let foot = height - BOTTOM;
    for (value, text) in axis.marks(5) {
        let at = axis.place(value);
        svg.line((at, TOP - 4.0), (at, foot), GRID_STROKE);
        svg.text((at, foot + 15.0), Anchor::Middle, "tick", &text);
    }
    svg.text(
        (f64::midpoint(across.0, across.1), foot + 30.0),
        Anchor::Middle,
        "tick",
        unit,
    );
    for (number, spread) in spreads.iter().enumerate() {
        draw_one(&mut svg, &axis, TOP + ROW * (number as f64 + 0.5), spread);
    }
    svg.finish()
}

/// The axis of all spreads; of those that are near the lowest where one far off would leave nothing to
/// see of them.
fn axis(spreads: &[Spread], across: (f64, f64)) -> Axis {
    let lowest = spreads
        .iter()
        .map(Spread::median)
        .fold(f64::INFINITY, f64::min);
    let near = spreads
        .iter()
        .filter(|spread| spread.median() <= lowest * FAR_OFF);
    let near = Axis::around(near.flat_map(|spread| spread.at), across);
    // A logarithmic axis shows both.
    match near.scale {
        Scale::Linear => near,
        Scale::Logarithmic | Scale::Nines => {
            Axis::around(spreads.iter().flat_map(|spread| spread.at), across)
        }
    }
}

fn draw_one(svg: &mut Svg, axis: &Axis, middle: f64, spread: &Spread) {
    let Spread { name, look, at } = spread;
    let [p5, p25, p50, p75, p99] = at.map(|value| axis.place(value));
    let class = if look.strong { "name strong" } else { "name" };
    svg.coloured(
        (LEFT - 8.0, middle + 4.0),
        Anchor::End,
        (class, look.colour),
        name,
    );
    if at[0] > axis.range.1 || at[2] > axis.range.1 {
        let text = format!("{} (beyond) →", short(rounded(at[2])));
        let right = (axis.pixels.1, middle + 4.0);
        svg.coloured(right, Anchor::End, ("tick", look.colour), &text);
        return;
    }
    let thin = super::svg::Stroke {
        width: 1.4,
        dashes: "",
        ..look.stroke()
    };
    svg.line((p5, middle), (p25, middle), thin);
    svg.line((p75, middle), (p99, middle), thin);
    for end in [p5, p99] {
        svg.line((end, middle - 4.0), (end, middle + 4.0), thin);
    }
    let fill = if look.strong { look.colour } else { "#fff" };
    let size = ((p75 - p25).max(1.5), 12.0);
    svg.rect((p25, middle - 6.0), size, fill, look.colour);
    let bar = super::svg::Stroke {
        colour: if look.strong { "#fff" } else { look.colour },
        width: 2.0,
        dashes: "",
    };
    svg.line((p50, middle - 6.0), (p50, middle + 6.0), bar);
    let text = short(rounded(at[2]));
    svg.coloured(
        (p99 + 5.0, middle + 4.0),
        Anchor::Start,
        ("tick", look.colour),
        &text,
    );
}

/// To three digits.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::Subject;

    #[test]
    fn a_box_says_its_median() {
        let spread = Spread {
            name: "ssh -L".to_owned(),
            look: Look::of(Subject::SshTunnel),
            at: [10.0, 20.0, 23.456, 30.0, 40.0],
        };
        let svg = draw("delay", "µs", &[spread]);
        assert!(svg.contains("23.5") && svg.contains("ssh -L"), "{svg}");
    }

    #[test]
    fn one_that_is_far_off_leaves_the_others_their_room() {
        let spread = |name: &str, factor: f64| Spread {
            name: name.to_owned(),
            look: Look::of(Subject::SshTunnel),
            at: [29.0, 29.1, 29.2, 29.3, 30.0].map(|value| value * factor),
        };
        let near = [spread("direct", 1.0), spread("auto", 1.01)];
        let far = [near.as_slice(), &[spread("ssh", 13.0)]].concat();
        assert_eq!(axis(&near, (0.0, 1.0)), axis(&far, (0.0, 1.0)));
        assert!(draw("delay", "ms", &far).contains("380 (beyond)"));
    }

    #[test]
    fn figures_are_rounded_to_three_digits() {
        assert_eq!(short(rounded(71_983.0)), "72k");
        assert_eq!(short(rounded(0.012_345)), "0.012");
        assert_eq!(rounded(0.0), 0.0);
    }
}
