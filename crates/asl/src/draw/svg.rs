//! A machine as SVG, which needs nothing beyond itself to be shown.

use std::fmt::Write as _;

use super::graph::{Edge, Graph, Kind, Node, lines};
use super::layout::{Layout, Point, Route, place};
use crate::source::Source;

const MARGIN: f64 = 20.0;
/// The mean width of a character, generously, at the sizes used for names and for the rest.
const NAME_CHAR: f64 = 7.8;
const SMALL_CHAR: f64 = 6.3;
const LINE: f64 = 15.0;
/// Between two arrows at one side of a box.
const PORT_GAP: f64 = 16.0;
/// The room for a group's name above what is in it.
const HEADER: f64 = 44.0;

/// Colours that people who see red and green alike tell apart, all on white.
const STYLE: &str = "
    text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; text-anchor: middle; fill: #1f2328 }
    .name { font-size: 13px; font-weight: 600 }
    .detail, .label { font-size: 11px; fill: #57606a }
    .box { fill: #ffffff; stroke: #57606a; stroke-width: 1.3 }
    .pause { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.6 }
    .bars { fill: #0969da }
    .choice { fill: #fff8c5; stroke: #9a6700; stroke-width: 1.3 }
    .fail { fill: #ffebe9; stroke: #cf222e; stroke-width: 1.6 }
    .good { fill: #dafbe1; stroke: #1a7f37; stroke-width: 1.3 }
    .group { fill: #f6f8fa; stroke: #57606a; stroke-width: 1.3; stroke-dasharray: 6 4 }
    .dot { fill: #57606a; stroke: #57606a }
    .ring { fill: #ffffff; stroke: #57606a; stroke-width: 1.6 }
    .arrow { fill: none; stroke: #57606a; stroke-width: 1.4; marker-end: url(#tip) }
    .catch { fill: none; stroke: #cf222e; stroke-width: 1.4; stroke-dasharray: 5 4; marker-end: url(#red) }
";

/// Draws a machine.
#[must_use]
pub fn svg(source: &Source) -> String {
    let graph = Graph::of(source);
    let drawn = Drawn::of(&graph);
    let (width, height) = (drawn.layout.width + 2.0 * MARGIN, drawn.layout.height + 2.0 * MARGIN);
    let mut text = String::new();
    push(
        &mut text,
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">"
        ),
    );
    if let Some(comment) = source.value["Comment"].as_str() {
        push(&mut text, &format!("<title>{}</title>", escaped(comment)));
    }
    push(&mut text, &format!("<style>{STYLE}</style>"));
    push(&mut text, "<defs>");
    for (id, colour) in [("tip", "#57606a"), ("red", "#cf222e")] {
        push(
            &mut text,
            &format!(
                "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L10 5L0 10z\" fill=\"{colour}\"/></marker>"
            ),
        );
    }
    push(&mut text, "</defs>");
    push(
        &mut text,
        &format!("<rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" fill=\"#ffffff\"/>"),
    );
    drawn.write(Point { x: MARGIN, y: MARGIN }, &mut text);
    push(&mut text, "</svg>");
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A graph with the sizes and places of all that is in it.
struct Drawn<'a> {
    graph: &'a Graph,
    inner: Vec<Vec<Drawn<'a>>>,
    sizes: Vec<(f64, f64)>,
    layout: Layout,
}

impl<'a> Drawn<'a> {
    fn of(graph: &'a Graph) -> Self {
        let inner: Vec<Vec<Drawn<'a>>> =
            graph.nodes.iter().map(|node| node.inner.iter().map(Drawn::of).collect()).collect();
        let sizes: Vec<_> =
            graph.nodes.iter().zip(&inner).map(|(node, inner)| size(node, inner)).collect();
        let labels: Vec<_> = graph.edges.iter().map(label_size).collect();
        let layout = place(graph, &sizes, &labels);
        Self { graph, inner, sizes, layout }
    }

    fn write(&self, at: Point, text: &mut String) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let centre = moved(self.layout.nodes[index], at);
            shape(node, centre, self.sizes[index], text);
            let (_, height) = self.sizes[index];
            let inner = &self.inner[index];
            let width = row_width(inner);
            let mut left = centre.x - width / 2.0;
            for drawn in inner {
                drawn.write(Point { x: left, y: centre.y - height / 2.0 + HEADER }, text);
                left += drawn.layout.width + MARGIN;
            }
        }
        for (edge, route) in self.graph.edges.iter().zip(&self.layout.edges) {
            self.arrow(edge, route, at, text);
        }
    }

    fn arrow(&self, edge: &Edge, route: &Route, at: Point, text: &mut String) {
        let class = if edge.catch { "catch" } else { "arrow" };
        push(text, &format!("<path class=\"{class}\" d=\"{}\"/>", self.path(edge, route, at)));
        let Some(centre) = route.label.map(|centre| moved(centre, at)) else { return };
        let (width, height) = label_size(edge);
        push(
            text,
            &format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"#ffffff\" opacity=\"0.9\"/>",
                centre.x - width / 2.0,
                centre.y - height / 2.0
            ),
        );
        for (index, line) in lines(&edge.label).iter().enumerate() {
            let y = centre.y - height / 2.0 + LINE * (index as f64 + 0.8);
            write_text("label", Point { x: centre.x, y }, line, text);
        }
    }

    /// From box to box, straight through each bend and curved between them.
    fn path(&self, edge: &Edge, route: &Route, at: Point) -> String {
        let side = |node: usize, up: f64, port: f64| {
            let (centre, (_, height)) = (self.layout.nodes[node], self.sizes[node]);
            moved(Point { x: centre.x + port, y: centre.y + up * height / 2.0 }, at)
        };
        let (leave, reach) = (self.port(edge, route, true), self.port(edge, route, false));
        if edge.from == edge.to {
            return self.loop_of(edge.from, at);
        }
        let bends = route.bends.iter().map(|(top, bottom)| (moved(*top, at), moved(*bottom, at)));
        let (start, end, bends): (_, _, Vec<_>) = if route.back {
            let turned = bends.rev().map(|(top, bottom)| (bottom, top));
            (side(edge.from, -1.0, leave), side(edge.to, 1.0, reach), turned.collect())
        } else {
            (side(edge.from, 1.0, leave), side(edge.to, -1.0, reach), bends.collect())
        };
        // Within the layers of its boxes it goes straight, so that it passes no neighbour.
        let room = |node: usize| {
            let (top, bottom) = self.layout.rooms[node];
            (top + at.y, bottom + at.y)
        };
        let (leaves, reaches) = if route.back {
            (room(edge.from).0, room(edge.to).1)
        } else {
            (room(edge.from).1, room(edge.to).0)
        };
        let mut path = format!("M{:.1} {:.1}L{0:.1} {leaves:.1}", start.x, start.y);
        let mut from = Point { x: start.x, y: leaves };
        for (enter, leave) in bends {
            curve(&mut path, from, enter);
            let _ = write!(path, "L{:.1} {:.1}", leave.x, leave.y);
            from = leave;
        }
        curve(&mut path, from, Point { x: end.x, y: reaches });
        // A line without a length would turn its arrow head.
        if (reaches - end.y).abs() > 0.1 {
            let _ = write!(path, "L{:.1} {:.1}", end.x, end.y);
        }
        path
    }

    /// How far from the middle of a box's side an arrow leaves or reaches it. The arrows of one
    /// side stand beside each other, in the order in which they come.
    fn port(&self, edge: &Edge, route: &Route, leaves: bool) -> f64 {
        let node = if leaves { edge.from } else { edge.to };
        let below = leaves != route.back;
        let mut coming: Vec<(f64, bool)> = Vec::new();
        for (other, way) in self.graph.edges.iter().zip(&self.layout.edges) {
            let (leaving, reaching) = (other.from == node, other.to == node);
            let own_side = (leaving && !way.back) || (reaching && way.back);
            if leaving != reaching && own_side == below {
                let far = self.layout.nodes[if leaving { other.to } else { other.from }];
                let near = if below { way.bends.first() } else { way.bends.last() };
                let x = near.map_or(far.x, |(top, _)| top.x);
                coming.push((x, std::ptr::eq(other, edge)));
            }
        }
        coming.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = coming.iter().position(|(_, own)| *own).unwrap_or_default() as f64;
        let count = coming.len() as f64;
        // A circle has one place only.
        let room = (self.sizes[node].0 - 50.0).max(0.0);
        let step = if count > 1.0 { (room / (count - 1.0)).min(PORT_GAP) } else { 0.0 };
        (place - (count - 1.0).max(0.0) / 2.0) * step
    }

    fn loop_of(&self, node: usize, at: Point) -> String {
        let centre = moved(self.layout.nodes[node], at);
        let right = centre.x + self.sizes[node].0 / 2.0;
        let (top, bottom) = (centre.y - 8.0, centre.y + 8.0);
        format!(
            "M{right:.1} {top:.1}C{0:.1} {top:.1} {0:.1} {bottom:.1} {right:.1} {bottom:.1}",
            right + 24.0
        )
    }
}

fn moved(point: Point, by: Point) -> Point {
    Point { x: point.x + by.x, y: point.y + by.y }
}

fn curve(path: &mut String, from: Point, to: Point) {
    let middle = f64::midpoint(from.y, to.y);
    let _ =
        write!(path, "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", from.x, to.x, to.x, to.y);
}

fn chars(text: &str) -> f64 {
    text.chars().count() as f64
}

fn row_width(inner: &[Drawn<'_>]) -> f64 {
    let widths: f64 = inner.iter().map(|drawn| drawn.layout.width).sum();
    widths + MARGIN * inner.len().saturating_sub(1) as f64
}

fn size(node: &Node, inner: &[Drawn<'_>]) -> (f64, f64) {
    let detail = node.detail.as_deref().unwrap_or_default();
    let words = (chars(&node.name) * NAME_CHAR).max(chars(detail) * SMALL_CHAR);
    match node.kind {
        Kind::Start | Kind::End => (16.0, 16.0),
        Kind::Choice => ((words + 52.0).max(100.0), 40.0),
        Kind::Group => {
            let height = inner.iter().map(|drawn| drawn.layout.height).fold(0.0, f64::max);
            (words.max(row_width(inner)) + 2.0 * MARGIN, height + HEADER + MARGIN)
        }
        // The two bars stand left of the name.
        Kind::Pause => ((words + 60.0).max(100.0), 44.0),
        _ => ((words + 28.0).max(90.0), if node.detail.is_some() { 44.0 } else { 34.0 }),
    }
}

fn label_size(edge: &Edge) -> (f64, f64) {
    let lines = lines(&edge.label);
    let width = lines.iter().map(|line| chars(line) * SMALL_CHAR).fold(0.0, f64::max);
    (width + 8.0, LINE * lines.len() as f64 + 2.0)
}

fn shape(node: &Node, centre: Point, (width, height): (f64, f64), text: &mut String) {
    let (left, top) = (centre.x - width / 2.0, centre.y - height / 2.0);
    let rect = |class: &str, corner: f64| {
        format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{corner}\"/>"
        )
    };
    let circle = |class: &str, radius: f64| {
        format!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"/>",
            centre.x, centre.y
        )
    };
    match node.kind {
        Kind::Start => return push(text, &circle("dot", 7.0)),
        Kind::End => {
            push(text, &circle("ring", 7.5));
            return push(text, &circle("dot", 3.5));
        }
        Kind::Choice => push(text, &hexagon(left, top, width, height)),
        Kind::Pause => {
            push(text, &rect("pause", 6.0));
            for bar in [left + 12.0, left + 20.0] {
                push(
                    text,
                    &format!(
                        "<rect class=\"bars\" x=\"{bar:.1}\" y=\"{:.1}\" width=\"5\" height=\"16\"/>",
                        centre.y - 8.0
                    ),
                );
            }
        }
        Kind::Fail => push(text, &rect("fail", 6.0)),
        Kind::Succeed => push(text, &rect("good", 17.0)),
        Kind::Wait => push(text, &rect("box", 17.0)),
        Kind::Group => push(text, &rect("group", 8.0)),
        Kind::Task | Kind::Pass => push(text, &rect("box", 6.0)),
    }
    words(node, centre, top, text);
}

fn words(node: &Node, centre: Point, top: f64, text: &mut String) {
    let x = if node.kind == Kind::Pause { centre.x + 12.0 } else { centre.x };
    let (name, detail) = match (node.kind, &node.detail) {
        (Kind::Group, _) => (top + 18.0, top + 33.0),
        (_, Some(_)) => (centre.y - 3.0, centre.y + 13.0),
        (_, None) => (centre.y + 4.5, 0.0),
    };
    write_text("name", Point { x, y: name }, &node.name, text);
    if let Some(words) = &node.detail {
        write_text("detail", Point { x, y: detail }, words, text);
    }
}

fn hexagon(left: f64, top: f64, width: f64, height: f64) -> String {
    let (right, bottom, middle) = (left + width, top + height, top + height / 2.0);
    let (inner_left, inner_right) = (left + 16.0, right - 16.0);
    format!(
        "<path class=\"choice\" d=\"M{left:.1} {middle:.1}L{inner_left:.1} {top:.1}L{inner_right:.1} {top:.1}L{right:.1} {middle:.1}L{inner_right:.1} {bottom:.1}L{inner_left:.1} {bottom:.1}z\"/>"
    )
}

fn write_text(class: &str, at: Point, words: &str, text: &mut String) {
    let words = escaped(words);
    push(
        text,
        &format!("<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>", at.x, at.y),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
