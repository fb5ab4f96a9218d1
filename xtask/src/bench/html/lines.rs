//! A figure against a measure: lines with their intervals, and their names where they end.

use super::axis::{Axis, short};
use super::look::{FRAME_STROKE, GRID_STROKE, INK, Look};
use super::svg::{Anchor, Stroke, Svg};
use crate::bench::noise::Figure;

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 270.0;
/// Room around the plot: left, right (for the names), above, below.
const MARGIN: (f64, f64, f64, f64) = (40.0, 136.0, 26.0, 40.0);
/// The least distance of two names.
const NAME_HEIGHT: f64 = 13.5;

/// One point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: Figure,
    /// Drawn hollow when not.
    pub(super) valid: bool,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) points: Vec<Point>,
}

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x_title: &'static str,
    /// The texts of the marks below; the marks stand where lines have points.
    pub(super) x_text: fn(f64) -> String,
    /// The values of the upright axis; around all points when none.
    pub(super) y_range: Option<(f64, f64)>,
    /// A line across at this value: what ratios are ratios to.
    pub(super) level: Option<f64>,
    pub(super) lines: Vec<Line>,
}

impl Lines {
    /// The plot as SVG.
    pub(super) fn draw(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, &self.title);
        let (left, right, top, bottom) = MARGIN;
        let (x, y) = self.axes((left, WIDTH - right), (HEIGHT - bottom, top));
        svg.text((left, 16.0), Anchor::Start, "plot", &self.title);
        self.frame(&mut svg, &x, &y);
        let mut order: Vec<&Line> = self.lines.iter().collect();
        order.sort_by_key(|line| line.look.strong);
        for line in order {
            draw_line(&mut svg, (&x, &y), line);
        }
        self.names(&mut svg, (&x, &y));
        svg.finish()
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    fn axes(&self, across: (f64, f64), upright: (f64, f64)) -> (Axis, Axis) {
        let ends = self
            .points()
            .fold((f64::INFINITY, 0.0), |(low, high), point| {
                (f64::min(low, point.x), f64::max(high, point.x))
            });
        let x = Axis::logarithmic((ends.0.min(ends.1), ends.1), across);
        let y = match self.y_range {
            Some(range) => Axis::linear(range, upright),
            None => Axis::around(
                self.points()
                    .flat_map(|point| [point.y.low().max(0.0), point.y.high()]),
                upright,
            ),
        };
        (x, y)
    }

    fn frame(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        for (value, text) in y.marks(5) {
            let at = y.place(value);
            svg.line((x.pixels.0, at), (x.pixels.1, at), GRID_STROKE);
            svg.text((x.pixels.0 - 6.0, at + 4.0), Anchor::End, "tick", &text);
        }
        let mut marks: Vec<f64> = self.points().map(|point| point.x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let step = marks.len().div_ceil(6).max(1);
        for value in marks.iter().step_by(step) {
            let at = x.place(*value);
            svg.line((at, y.pixels.0), (at, y.pixels.0 + 4.0), FRAME_STROKE);
            let text = (self.x_text)(*value);
            svg.text((at, y.pixels.0 + 17.0), Anchor::Middle, "tick", &text);
        }
        let middle = f64::midpoint(x.pixels.0, x.pixels.1);
        svg.text(
            (middle, y.pixels.0 + 33.0),
            Anchor::Middle,
            "tick",
            self.x_title,
        );
        svg.line(
            (x.pixels.0, y.pixels.0),
            (x.pixels.1, y.pixels.0),
            FRAME_STROKE,
        );
        if let Some(level) = self.level {
            let at = y.place(level);
            let stroke = Stroke {
                colour: INK,
                width: 1.0,
                dashes: "",
            };
            svg.line((x.pixels.0, at), (x.pixels.1, at), stroke);
        }
    }

    /// Names beside the last points, moved apart where they would overlap.
    fn names(&self, svg: &mut Svg, (x, y): (&Axis, &Axis)) {
        let mut ends: Vec<(f64, &Line)> = self
            .lines
            .iter()
            .filter_map(|line| Some((y.place(line.points.last()?.y.value), line)))
            .collect();
        ends.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let wanted: Vec<f64> = ends.iter().map(|(at, _)| *at).collect();
        let places = apart(&wanted, NAME_HEIGHT, (y.pixels.1, y.pixels.0));
        for ((at, line), place) in ends.iter().zip(places) {
            let right = x.pixels.1;
            let leader = Stroke {
                width: 0.8,
                dashes: "",
                ..line.look.stroke()
            };
            svg.line((right + 4.0, *at), (right + 13.0, place), leader);
            let class = if line.look.strong {
                "name strong"
            } else {
                "name"
            };
            let last = line.points.last().map_or(0.0, |point| point.y.value);
            let text = format!("{} {}", line.name, short_figure(last));
            let looks = (class, line.look.colour);
            svg.coloured((right + 16.0, place + 4.0), Anchor::Start, looks, &text);
        }
    }
}

fn short_figure(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    short(value.round())
}

fn draw_line(svg: &mut Svg, (x, y): (&Axis, &Axis), line: &Line) {
    let place = |point: &Point, value: f64| (x.place(point.x), y.place(value));
    let upper = line.points.iter().map(|point| place(point, point.y.high()));
    let lower = line
        .points
        .iter()
        .rev()
        .map(|point| place(point, point.y.low()));
    let band: Vec<_> = upper.chain(lower).collect();
    svg.area(&band, line.look.colour);
    let middle: Vec<_> = line
        .points
        .iter()
        .map(|point| place(point, point.y.value))
        .collect();
    svg.polyline(&middle, line.look.stroke());
    let radius = if line.look.strong { 3.2 } else { 2.4 };
    for (point, at) in line.points.iter().zip(&middle) {
        svg.dot(*at, radius, line.look.colour, !point.valid);
    }
}

/// Places as near to the ascending `wanted` as can be, at least `distance` apart and within
/// `bounds` as long as there is room.
pub(super) fn apart(wanted: &[f64], distance: f64, bounds: (f64, f64)) -> Vec<f64> {
    let mut places: Vec<f64> = wanted.to_vec();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + distance);
    }
    // Pushed out below: everything moves up, from the last one on.
    let mut floor = bounds.1;
    for place in places.iter_mut().rev() {
        *place = place.min(floor);
        floor = *place - distance;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_overlap_are_moved_apart_and_kept_inside() {
        let places = apart(&[50.0, 51.0, 52.0, 99.0, 99.0], 10.0, (0.0, 100.0));
        assert_eq!(places, [50.0, 60.0, 70.0, 90.0 - 1.0 + 1.0, 100.0]);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 10.0));
    }

    #[test]
    fn a_line_is_drawn_with_its_name_and_hollow_where_it_is_not_valid() {
        let figure = |value| Figure {
            value,
            half: Some(0.1),
        };
        let plot = Lines {
            title: "LAN".to_owned(),
            x_title: "bytes",
            x_text: short,
            y_range: None,
            level: Some(1.0),
            lines: vec![Line {
                name: "s2cs auto".to_owned(),
                look: Look::of(crate::bench::subject::Subject::Auto),
                points: [(512.0, true), (1_024.0, false)]
                    .map(|(x, valid)| Point {
                        x,
                        y: figure(0.9),
                        valid,
                    })
                    .to_vec(),
            }],
        };
        let svg = plot.draw();
        assert!(svg.contains("s2cs auto 0.90"), "{svg}");
        assert_eq!(svg.matches("fill=\"#fff\"").count(), 1);
    }
}
