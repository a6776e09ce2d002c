//! A machine as a Mermaid flowchart, which GitHub and many wikis draw from its text.

use std::fmt::Write as _;

use super::graph::{Graph, Kind, Node, lines};
use crate::source::Source;

const CLASSES: &str = "
  classDef pause fill:#ddf4ff,stroke:#0969da
  classDef choice fill:#fff8c5,stroke:#9a6700
  classDef fail fill:#ffebe9,stroke:#cf222e
  classDef good fill:#dafbe1,stroke:#1a7f37
";

/// Writes a machine as a flowchart.
#[must_use]
pub fn mermaid(source: &Source) -> String {
    let mut text = String::from("flowchart TD\n");
    write(&Graph::of(source), "s", 1, &mut text);
    text.push_str(CLASSES.trim_start_matches('\n'));
    text
}

fn write(graph: &Graph, prefix: &str, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = format!("{prefix}{index}");
        if node.inner.is_empty() {
            let _ = writeln!(text, "{indent}{id}{}", shape(node));
            continue;
        }
        let _ = writeln!(text, "{indent}subgraph {id}[\"{}\"]", words(node));
        for (branch, inner) in node.inner.iter().enumerate() {
            write(inner, &format!("{id}_{branch}_"), depth + 1, text);
        }
        let _ = writeln!(text, "{indent}end");
    }
    for edge in &graph.edges {
        let label = lines(&edge.label).iter().map(|line| quoted(line)).collect::<Vec<_>>();
        let label = match &*label {
            [] => String::new(),
            lines => format!("|\"{}\"|", lines.join("<br/>")),
        };
        let arrow = if edge.catch { "-.->" } else { "-->" };
        let (from, to) = (edge.from, edge.to);
        let _ = writeln!(text, "{indent}{prefix}{from} {arrow}{label} {prefix}{to}");
    }
}

fn shape(node: &Node) -> String {
    let words = words(node);
    match node.kind {
        Kind::Start => "((\" \"))".to_owned(),
        Kind::End => "(((\" \")))".to_owned(),
        Kind::Choice => format!("{{{{\"{words}\"}}}}:::choice"),
        Kind::Pause => format!("[\"{words}<br/>pauses for its token\"]:::pause"),
        Kind::Fail => format!("[\"{words}\"]:::fail"),
        Kind::Succeed => format!("([\"{words}\"]):::good"),
        Kind::Wait => format!("([\"{words}\"])"),
        Kind::Task | Kind::Pass | Kind::Group => format!("[\"{words}\"]"),
    }
}

fn words(node: &Node) -> String {
    match &node.detail {
        Some(detail) => format!("{}<br/>{}", quoted(&node.name), quoted(detail)),
        None => quoted(&node.name),
    }
}

/// Within quotes Mermaid reads its own entities, which begin with `#`.
fn quoted(text: &str) -> String {
    let text = text.replace('#', "#35;").replace('"', "#quot;");
    text.replace('<', "#lt;").replace('>', "#gt;")
}
