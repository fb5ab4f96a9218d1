//! How many messages were faster than what: the distribution of the delays, with as much room for
//! the slowest tenth of a hundredth as for the faster half.

use super::axis::{Axis, Scale};
use super::lines::apart;
use super::look::{FRAME_STROKE, GRID_STROKE, Look};
use super::svg::{Anchor, Stroke, Svg};

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 270.0;
const MARGIN: (f64, f64, f64, f64) = (56.0, 112.0, 26.0, 40.0);

/// One distribution.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) name: String,
    pub(super) look: Look,
    /// Shares of the messages and the delay that they stayed below, ascending.
    pub(super) points: Vec<(f64, f64)>,
}

/// Draws distributions; delays in `unit`.
pub(super) fn draw(title: &str, unit: &str, tails: &[Tail]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, title);
    let (left, right, top, bottom) = MARGIN;
    svg.text((left, 16.0), Anchor::Start, "plot", title);
    let shares = Axis {
        scale: Scale::Nines,
        range: (0.0, 0.9999),
        pixels: (left, WIDTH - right),
    };
    let delays = tails
        .iter()
        .flat_map(|tail| tail.points.iter().map(|point| point.1));
    let upright = Axis::around(delays, (HEIGHT - bottom, top));
    for (value, text) in upright.marks(5) {
        let at = upright.place(value);
        svg.line((left, at), (WIDTH - right, at), GRID_STROKE);
        svg.text((left - 6.0, at + 4.0), Anchor::End, "tick", &text);
    }
    for (value, text) in shares.marks(6) {
        let at = shares.place(value);
        svg.line((at, top), (at, HEIGHT - bottom), GRID_STROKE);
        svg.text((at, HEIGHT - bottom + 16.0), Anchor::Middle, "tick", &text);
    }
    svg.line(
        (left, HEIGHT - bottom),
        (WIDTH - right, HEIGHT - bottom),
        FRAME_STROKE,
    );
    let middle = f64::midpoint(left, WIDTH - right);
    let words = format!("share of the messages that took less ({unit})");
    svg.text(
        (middle, HEIGHT - bottom + 32.0),
        Anchor::Middle,
        "tick",
        &words,
    );
    for tail in tails {
        let places = tail
            .points
            .iter()
            .map(|&(share, delay)| (shares.place(share), upright.place(delay)));
        svg.polyline(&places.collect::<Vec<_>>(), tail.look.stroke());
    }
    names(&mut svg, &upright, tails);
    svg.finish()
}

fn names(svg: &mut Svg, upright: &Axis, tails: &[Tail]) {
    let right = WIDTH - MARGIN.1;
    let mut ends: Vec<(f64, &Tail)> = tails
        .iter()
        .filter_map(|tail| Some((upright.place(tail.points.last()?.1), tail)))
        .collect();
    ends.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let wanted: Vec<f64> = ends.iter().map(|(at, _)| *at).collect();
    let places = apart(&wanted, 13.5, (upright.pixels.1, upright.pixels.0));
    for ((at, tail), place) in ends.iter().zip(places) {
        let leader = Stroke {
            width: 0.8,
            dashes: "",
            ..tail.look.stroke()
        };
        svg.line((right + 2.0, *at), (right + 13.0, place), leader);
        let class = if tail.look.strong {
            "name strong"
        } else {
            "name"
        };
        let looks = (class, tail.look.colour);
        svg.coloured(
            (right + 16.0, place + 4.0),
            Anchor::Start,
            looks,
            &tail.name,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::Subject;

    #[test]
    fn a_distribution_is_drawn_with_its_name() {
        let tail = Tail {
            name: "s2cs auto".to_owned(),
            look: Look::of(Subject::Auto),
            points: vec![(0.0, 10.0), (0.5, 12.0), (0.99, 30.0)],
        };
        let svg = draw("delay", "µs", &[tail]);
        assert!(svg.contains("s2cs auto") && svg.contains("99.9 %"), "{svg}");
    }
}
