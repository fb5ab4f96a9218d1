//! Shapes and text as SVG. Lengths are pixels; y grows downwards.

/// Where a text is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) colour: &'static str,
    pub(super) width: f64,
    /// Lengths of dashes and gaps; empty is solid.
    pub(super) dashes: &'static str,
}

/// A drawing under construction.
#[derive(Clone, Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty drawing; `title` says what it shows to those who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        Self {
            width,
            height,
            title: escaped(title),
            body: String::new(),
        }
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.polyline(&[from, to], stroke);
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let places: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let Stroke {
            colour,
            width,
            dashes,
        } = stroke;
        self.push(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{}/>",
            places.join(" "),
            if dashes.is_empty() {
                String::new()
            } else {
                format!(" stroke-dasharray=\"{dashes}\"")
            }
        ));
    }

    /// A closed area, half transparent.
    pub(super) fn area(&mut self, points: &[(f64, f64)], colour: &str) {
        let places: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        self.push(&format!(
            "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"0.16\"/>",
            places.join(" ")
        ));
    }

    /// A rectangle from its upper left corner.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), fill: &str, outline: &str) {
        self.push(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" \
             stroke=\"{outline}\"/>",
            at.0,
            at.1,
            size.0.max(0.0),
            size.1.max(0.0)
        ));
    }

    /// A dot; a hollow one stands for a figure that is not valid.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, colour: &str, hollow: bool) {
        let fill = if hollow { "#fff" } else { colour };
        self.push(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\" \
             stroke-width=\"1.3\"/>",
            at.0, at.1
        ));
    }

    /// A text; `class` is one of the page's style sheet.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        self.coloured(at, anchor, (class, "#222"), text);
    }

    /// A text with a class and a colour.
    pub(super) fn coloured(
        &mut self,
        at: (f64, f64),
        anchor: Anchor,
        (class, colour): (&str, &str),
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" class=\"{class}\" \
             fill=\"{colour}\">{}</text>",
            at.0,
            at.1,
            escaped(text)
        ));
    }

    /// The drawing.
    pub(super) fn finish(self) -> String {
        let Self {
            width,
            height,
            title,
            body,
        } = self;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><title>{title}</title>\n{body}</svg>"
        )
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

/// Text that HTML and SVG take as text.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_element() {
        let mut svg = Svg::new(10.0, 10.0, "a < b");
        svg.text((1.0, 2.0), Anchor::End, "tick", "<script> & \"more\"");
        let text = svg.finish();
        assert!(text.contains("<title>a &lt; b</title>"));
        assert!(
            text.contains("&lt;script&gt; &amp; &quot;more&quot;"),
            "{text}"
        );
        assert!(!text.contains("<script>"));
    }

    #[test]
    fn a_rectangle_is_never_negative() {
        let mut svg = Svg::new(10.0, 10.0, "");
        svg.rect((0.0, 0.0), (-3.0, 2.0), "#000", "none");
        assert!(svg.finish().contains("width=\"0.0\""));
    }
}
