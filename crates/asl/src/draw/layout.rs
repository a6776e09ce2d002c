//! Where boxes and arrows lie: layer by layer from the start, after Sugiyama.
//!
//! 1. Arrows that lead back are found by a depth-first search, and turned for a while.
//! 2. Each box gets a layer below all that lead to it. An arrow over more than one layer, or with a
//!    label, passes through *bends* in between, which take room like boxes.
//! 3. Within its layer each box moves near the mean of its neighbours, some times up and down.
//! 4. The same for its place, with the least sum of squares that keeps boxes apart.

use super::graph::Graph;

/// Between two boxes of a layer, and between layers.
const GAP: f64 = 26.0;
const LAYER_GAP: f64 = 30.0;
const SWEEPS: usize = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A placed machine. Places are centres.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<Point>,
    /// The top and the bottom of each box's layer, which may be higher than the box.
    pub(super) rooms: Vec<(f64, f64)>,
    pub(super) edges: Vec<Route>,
}

/// The way of an arrow, from the box that it leaves to the one that it reaches.
#[derive(Debug)]
pub(super) struct Route {
    /// The bends in between, from top to bottom of their room.
    pub(super) bends: Vec<(Point, Point)>,
    pub(super) label: Option<Point>,
    /// Whether it leads up.
    pub(super) back: bool,
}

/// A box, or the room in which an arrow passes a layer.
struct Item {
    layer: usize,
    width: f64,
    height: f64,
}

/// Places boxes of these sizes, and labels.
pub(super) fn place(graph: &Graph, sizes: &[(f64, f64)], labels: &[(f64, f64)]) -> Layout {
    let back = back_edges(graph);
    let layers = layers(graph, &back);
    let mut items: Vec<Item> = sizes
        .iter()
        .zip(&layers)
        .map(|(&(width, height), &layer)| Item { layer, width, height })
        .collect();
    let mut links: Vec<(usize, usize)> = Vec::new();
    let mut routes: Vec<(Vec<usize>, Option<usize>)> = Vec::new();
    for (index, edge) in graph.edges.iter().enumerate() {
        let (top, bottom) = if back[index] { (edge.to, edge.from) } else { (edge.from, edge.to) };
        let between = layers[top] + 1..layers[bottom];
        let labelled = (!edge.label.is_empty()).then_some(between.start);
        let (mut bends, mut label, mut last) = (Vec::new(), None, top);
        for layer in between {
            let has_label = labelled == Some(layer);
            let (width, height) = if has_label { labels[index] } else { (0.0, 0.0) };
            items.push(Item { layer, width, height });
            let item = items.len() - 1;
            bends.push(item);
            label = label.or(has_label.then_some(item));
            links.push((last, item));
            last = item;
        }
        links.push((last, bottom));
        routes.push((bends, label));
    }
    let order = ordered(&items, &links);
    let points = placed(&items, &links, &order);
    finish(graph, &items, &points, &routes, &back, &order)
}

/// Whether each arrow leads to a box that is on the way to it.
fn back_edges(graph: &Graph) -> Vec<bool> {
    fn visit(graph: &Graph, node: usize, state: &mut [u8], back: &mut [bool]) {
        state[node] = 1;
        for (index, edge) in graph.edges.iter().enumerate().filter(|(_, edge)| edge.from == node) {
            match state[edge.to] {
                0 => visit(graph, edge.to, state, back),
                1 => back[index] = true,
                _ => {}
            }
        }
        state[node] = 2;
    }
    let (mut state, mut back) = (vec![0; graph.nodes.len()], vec![false; graph.edges.len()]);
    for node in 0..graph.nodes.len() {
        if state[node] == 0 {
            visit(graph, node, &mut state, &mut back);
        }
    }
    back
}

fn layers(graph: &Graph, back: &[bool]) -> Vec<usize> {
    let mut layers = vec![0; graph.nodes.len()];
    // Without the arrows that lead back there is no circle: it ends.
    loop {
        let before = layers.clone();
        for (edge, back) in graph.edges.iter().zip(back) {
            let (top, bottom) = if *back { (edge.to, edge.from) } else { (edge.from, edge.to) };
            // A label has a layer of its own, and an arrow to its own box none.
            let room = if edge.label.is_empty() { 1 } else { 2 };
            if top != bottom {
                layers[bottom] = layers[bottom].max(layers[top] + room);
            }
        }
        if layers == before {
            return layers;
        }
    }
}

/// The items of each layer, from left to right.
fn ordered(items: &[Item], links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let depth = items.iter().map(|item| item.layer + 1).max().unwrap_or_default();
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (index, item) in items.iter().enumerate() {
        order[item.layer].push(index);
    }
    let mut best = (crossings(&order, links), order.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let sequence: Vec<usize> =
            if down { (0..depth).collect() } else { (0..depth).rev().collect() };
        for layer in sequence {
            let position = positions(&order, items.len());
            let mean = |item: &usize| {
                let near: Vec<f64> =
                    neighbours(links, *item, down).map(|other| position[other] as f64).collect();
                if near.is_empty() {
                    position[*item] as f64
                } else {
                    near.iter().sum::<f64>() / near.len() as f64
                }
            };
            order[layer].sort_by(|a, b| mean(a).total_cmp(&mean(b)));
        }
        let count = crossings(&order, links);
        if count < best.0 {
            best = (count, order.clone());
        }
    }
    best.1
}

fn positions(order: &[Vec<usize>], count: usize) -> Vec<usize> {
    let mut position = vec![0; count];
    for layer in order {
        layer.iter().enumerate().for_each(|(at, item)| position[*item] = at);
    }
    position
}

fn neighbours(
    links: &[(usize, usize)],
    item: usize,
    above: bool,
) -> impl Iterator<Item = usize> + '_ {
    links.iter().filter_map(move |(top, bottom)| match above {
        true if *bottom == item => Some(*top),
        false if *top == item => Some(*bottom),
        _ => None,
    })
}

fn crossings(order: &[Vec<usize>], links: &[(usize, usize)]) -> usize {
    let count = links.iter().map(|(a, b)| a.max(b) + 1).max().unwrap_or_default();
    let position = positions(order, count.max(order.iter().flatten().max().map_or(0, |at| at + 1)));
    let layer_of = |item: usize| order.iter().position(|layer| layer.contains(&item));
    let crossed = |(a, b): (usize, usize), (c, d): (usize, usize)| {
        layer_of(a) == layer_of(c)
            && (position[a] < position[c]) != (position[b] < position[d])
            && position[a] != position[c]
            && position[b] != position[d]
    };
    let pairs = links.iter().enumerate();
    pairs
        .map(|(at, one)| links[at + 1..].iter().filter(|other| crossed(*one, **other)).count())
        .sum()
}

fn placed(items: &[Item], links: &[(usize, usize)], order: &[Vec<usize>]) -> Vec<f64> {
    let mut x = vec![0.0; items.len()];
    for layer in order {
        let wanted: Vec<f64> = vec![0.0; layer.len()];
        spread(items, layer, &wanted, &mut x);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        for layer in 0..order.len() {
            let layer = &order[if down { layer } else { order.len() - 1 - layer }];
            let wanted: Vec<f64> = layer
                .iter()
                .map(|item| {
                    let near: Vec<f64> =
                        neighbours(links, *item, down).map(|other| x[other]).collect();
                    if near.is_empty() {
                        x[*item]
                    } else {
                        near.iter().sum::<f64>() / near.len() as f64
                    }
                })
                .collect();
            spread(items, layer, &wanted, &mut x);
        }
    }
    x
}

/// Puts the items of a layer as near as possible to where they want to be, without an overlap. It
/// minimizes the sum of squares, by pooling neighbours that stand too close.
fn spread(items: &[Item], layer: &[usize], wanted: &[f64], x: &mut [f64]) {
    let mut offsets = vec![0.0; layer.len()];
    for at in 1..layer.len() {
        let half = |index: usize| items[layer[index]].width / 2.0;
        offsets[at] = offsets[at - 1] + half(at - 1) + half(at) + GAP;
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (want - offset, 1);
        while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
            let count = last.1 + pool.1;
            pool = ((last.0 * last.1 as f64 + pool.0 * pool.1 as f64) / count as f64, count);
            pools.pop();
        }
        pools.push(pool);
    }
    let places = pools.iter().flat_map(|(place, count)| std::iter::repeat_n(*place, *count));
    for ((item, place), offset) in layer.iter().zip(places).zip(&offsets) {
        x[*item] = place + offset;
    }
}

fn finish(
    graph: &Graph,
    items: &[Item],
    x: &[f64],
    routes: &[(Vec<usize>, Option<usize>)],
    back: &[bool],
    order: &[Vec<usize>],
) -> Layout {
    let left = |index: usize| x[index] - items[index].width / 2.0;
    let right = |index: usize| x[index] + items[index].width / 2.0;
    let start = (0..items.len()).map(left).fold(f64::INFINITY, f64::min);
    let end = (0..items.len()).map(right).fold(f64::NEG_INFINITY, f64::max);
    let heights: Vec<f64> = order
        .iter()
        .map(|layer| layer.iter().map(|item| items[*item].height).fold(0.0, f64::max))
        .collect();
    let mut tops = vec![0.0; heights.len() + 1];
    for (layer, height) in heights.iter().enumerate() {
        tops[layer + 1] = tops[layer] + height + LAYER_GAP;
    }
    let centre = |item: usize| {
        let layer = items[item].layer;
        Point { x: x[item] - start, y: tops[layer] + heights[layer] / 2.0 }
    };
    let room = |item: &usize| {
        let layer = items[*item].layer;
        let at = |y: f64| Point { x: x[*item] - start, y };
        (at(tops[layer]), at(tops[layer] + heights[layer]))
    };
    Layout {
        width: end - start,
        height: (tops[heights.len()] - LAYER_GAP).max(0.0),
        nodes: (0..graph.nodes.len()).map(centre).collect(),
        rooms: (0..graph.nodes.len())
            .map(|node| room(&node))
            .map(|(top, bottom)| (top.y, bottom.y))
            .collect(),
        edges: routes
            .iter()
            .zip(back)
            .map(|((bends, label), back)| Route {
                bends: bends.iter().map(room).collect(),
                label: label.map(centre),
                back: *back,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Graph;
    use super::*;
    use crate::Source;

    const MACHINE: &str = r#"{
        "StartAt": "Look",
        "States": {
            "Look": {"Type": "Choice", "Default": "Work", "Choices": [
                {"Variable": "$.a", "IsPresent": true, "Next": "Work"},
                {"Variable": "$.b", "IsPresent": true, "Next": "Done"}
            ]},
            "Work": {"Type": "Task", "Resource": "x", "Next": "Look",
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}]},
            "Done": {"Type": "Succeed"},
            "Failed": {"Type": "Fail"}
        }
    }"#;

    #[test]
    fn no_two_boxes_overlap_and_arrows_lead_down_or_are_known_to_lead_back() {
        let graph = Graph::of(&Source::parse(MACHINE).unwrap());
        let sizes = vec![(120.0, 40.0); graph.nodes.len()];
        let labels = vec![(90.0, 16.0); graph.edges.len()];
        let layout = place(&graph, &sizes, &labels);
        for (index, one) in layout.nodes.iter().enumerate() {
            assert!(
                (0.0..=layout.width).contains(&one.x) && (0.0..=layout.height).contains(&one.y)
            );
            for other in &layout.nodes[index + 1..] {
                let apart = (one.x - other.x).abs() >= 120.0 || (one.y - other.y).abs() >= 40.0;
                assert!(apart, "{one:?} {other:?}");
            }
        }
        for (edge, route) in graph.edges.iter().zip(&layout.edges) {
            let (from, to) = (layout.nodes[edge.from].y, layout.nodes[edge.to].y);
            assert_eq!(route.back, from > to, "{edge:?}");
            assert_eq!(route.label.is_some(), !edge.label.is_empty(), "{edge:?}");
        }
        assert_eq!(layout.edges.iter().filter(|route| route.back).count(), 1);
    }
}
