//! The picture of the dashboard in the docs: its panels as the template has them, with what CloudWatch
//! would have seen of a run.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use slowlane_deployer::watch::{Line, PANELS, Panel};
use slowlane_message::Priority;
use slowlane_simulator::scenario::{Api, Load, Outage, OutageKind, Scenario};

use super::cloudwatch::{CloudWatch, Deployed};
use super::{deployed, play, repository};

const PICTURE: &str = "docs/dashboard.svg";
const COLUMNS: usize = 3;
const PANEL: (u32, u32) = (460, 230);
const INK: RGBColor = RGBColor(40, 40, 40);
const COLOURS: [RGBColor; 9] = [
    RGBColor(200, 60, 50),
    RGBColor(60, 120, 190),
    RGBColor(90, 150, 80),
    RGBColor(150, 90, 170),
    RGBColor(210, 130, 40),
    RGBColor(40, 150, 150),
    RGBColor(120, 90, 60),
    RGBColor(220, 110, 160),
    RGBColor(110, 110, 120),
];
const FAINT: RGBColor = RGBColor(150, 150, 150);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;
/// A line: its label, and its values by the minute.
type Curve = (String, Vec<(u64, f64)>);

/// Two hours with a backlog at the beginning, and ten minutes in which the API refuses everybody.
fn two_hours() -> Scenario {
    let coming =
        |priority, calls, every_ms| Load { random: true, ..Load::new(priority, calls, every_ms) };
    let outage = Outage { from_secs: 3_000, for_secs: 600, kind: OutageKind::RefusedCredentials };
    Scenario {
        limit: 5,
        api: Api { p99_ms: Some(8_000.0), outages: vec![outage], ..Api::fixed(3_000.0) },
        load: vec![
            Load::new(Priority::Batch, 1_250, 0.0),
            coming(Priority::High, 350, 20_000.0),
            coming(Priority::Normal, 2_400, 3_000.0),
            coming(Priority::Batch, 3_600, 2_000.0),
        ],
        ..Scenario::default()
    }
}

#[test]
fn the_picture_in_the_docs_is_the_dashboard_of_two_hours() -> Drawn {
    let scenario = two_hours();
    let (seen, _) = play(&scenario)?;
    let drawn = drawn(&seen, deployed(&scenario), scenario.limit)?;
    let path = repository().join(PICTURE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &drawn)?;
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(drawn == checked_in, "run this test with UPDATE_DOCS=1, and look at {PICTURE}");
    Ok(())
}

fn drawn(seen: &CloudWatch, deployed: Deployed, limit: u32) -> Result<String, Box<dyn Error>> {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, area) in PANELS.iter().zip(area.split_evenly((rows, COLUMNS))) {
            let level = level(panel, deployed, limit);
            draw(&area, panel, &curves(panel, seen, deployed), level, seen.minutes() as f64)?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// The lines of a panel that there is something of.
fn curves(panel: &Panel, seen: &CloudWatch, deployed: Deployed) -> Vec<Curve> {
    let of = |(label, line): &(&str, Line)| match line {
        Line::Metric(metric) => vec![((*label).to_owned(), seen.line(metric, deployed))],
        Line::CallsByOutcome => seen.calls_by_outcome().into_iter().collect(),
    };
    panel.lines.iter().flat_map(of).filter(|(_, values)| !values.is_empty()).collect()
}

fn level(panel: &Panel, deployed: Deployed, limit: u32) -> Option<Curve> {
    let (label, parameter) = panel.level?;
    let value = match parameter {
        "ApiConcurrency" => limit.into(),
        "WaitAlarmSeconds" => deployed.wait_secs.into(),
        other => panic!("no level is known of {other}"),
    };
    Some((label.to_owned(), vec![(0, value), (u64::MAX, value)]))
}

fn draw(
    area: &Area<'_>,
    panel: &Panel,
    curves: &[Curve],
    level: Option<Curve>,
    last: f64,
) -> Drawn {
    let values = || curves.iter().chain(&level).flat_map(|(_, values)| values);
    let most = values().map(|(_, value)| *value).fold(0.0, f64::max);
    let digits = usize::from(most <= 1.0);
    let rounded = |value: &f64| format!("{value:.digits$}");
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 12).into_font().color(&INK))
        .margin(8)
        .x_label_area_size(18)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..last, 0.0..if most > 0.0 { most * 1.1 } else { 1.0 })?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).y_labels(4).x_labels(7);
    mesh.x_label_formatter(&|minute| format!("{}:{:02}", *minute as u64 / 60, *minute as u64 % 60));
    mesh.y_label_formatter(&rounded);
    mesh.label_style(("sans-serif", 11).into_font().color(&INK)).draw()?;
    for (index, (label, values)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points = values.iter().map(|(minute, value)| (*minute as f64, *value));
        let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
        drawn.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], colour));
    }
    if let Some((label, values)) = level {
        let points = values.iter().map(|(minute, value)| ((*minute as f64).min(last), *value));
        let drawn = chart.draw_series(DashedLineSeries::new(points, 4, 3, FAINT.into()))?;
        drawn.label(label).legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], FAINT));
    }
    if curves.is_empty() {
        let (width, height) = area.dim_in_pixel();
        let font = ("sans-serif", 12).into_font().color(&FAINT);
        let place = (width as i32 / 2 - 70, height as i32 / 2);
        area.draw(&Text::new("nothing to show in this run", place, font))?;
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.7))
        .label_font(("sans-serif", 10).into_font().color(&INK))
        .draw()?;
    Ok(())
}
