//! Figures side by side, with their intervals.

use super::axis::Axis;
use super::look::{GRID_STROKE, INK, Look};
use super::svg::{Anchor, Stroke, Svg};
use crate::bench::noise::Figure;

const WIDTH: f64 = 470.0;
const ROW: f64 = 22.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) figure: Figure,
    pub(super) valid: bool,
}

/// Draws bars below each other, from 0; figures are written with `digits` behind the point.
pub(super) fn draw(title: &str, unit: &str, digits: usize, bars: &[Bar]) -> String {
    let height = TOP + BOTTOM + ROW * bars.len() as f64;
    let mut svg = Svg::new(WIDTH, height, title);
    svg.text((8.0, 16.0), Anchor::Start, "plot", title);
    let most = bars.iter().map(|bar| bar.figure.high()).fold(0.0, f64::max);
    let axis = Axis::linear((0.0, most.max(1e-9)), (LEFT, WIDTH - RIGHT));
    let foot = height - BOTTOM;
    for (value, text) in axis.marks(4) {
        let at = axis.place(value);
        svg.line((at, TOP - 4.0), (at, foot), GRID_STROKE);
        svg.text((at, foot + 15.0), Anchor::Middle, "tick", &text);
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    svg.text((middle, foot + 30.0), Anchor::Middle, "tick", unit);
    for (number, bar) in bars.iter().enumerate() {
        let at = TOP + ROW * (number as f64 + 0.5);
        draw_one(&mut svg, &axis, at, (bar, digits));
    }
    svg.finish()
}

fn draw_one(svg: &mut Svg, axis: &Axis, middle: f64, (bar, digits): (&Bar, usize)) {
    let Bar {
        name,
        look,
        figure,
        valid,
    } = bar;
    let class = if look.strong { "name strong" } else { "name" };
    svg.coloured(
        (LEFT - 8.0, middle + 4.0),
        Anchor::End,
        (class, look.colour),
        name,
    );
    let fill = if *valid { look.colour } else { "#fff" };
    let length = axis.place(figure.value) - LEFT;
    svg.rect((LEFT, middle - 7.0), (length, 14.0), fill, look.colour);
    let whisker = Stroke {
        colour: INK,
        width: 1.2,
        dashes: "",
    };
    let (low, high) = (axis.place(figure.low()), axis.place(figure.high()));
    svg.line((low, middle), (high, middle), whisker);
    for end in [low, high] {
        svg.line((end, middle - 3.0), (end, middle + 3.0), whisker);
    }
    let text = figure.words(digits);
    svg.text(
        (high.max(LEFT) + 5.0, middle + 4.0),
        Anchor::Start,
        "tick",
        &text,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::Subject;

    #[test]
    fn a_bar_has_its_figure_and_interval_in_words() {
        let bar = Bar {
            name: "haproxy".to_owned(),
            look: Look::of(Subject::Haproxy),
            figure: Figure {
                value: 1.0,
                half: Some(0.25),
            },
            valid: false,
        };
        let svg = draw("CPU", "s/GB", 2, &[bar]);
        assert!(
            svg.contains("1.00 ± 0.25") && svg.contains("fill=\"#fff\""),
            "{svg}"
        );
    }
}
