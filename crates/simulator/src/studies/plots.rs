//! Three plots of runs, as SVG: what each slot does over time, how many calls of each priority wait,
//! and how long they waited.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use plotters::coord::Shift;
use plotters::prelude::*;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Watch};

use crate::api::{API_ENDS, API_STARTS};
use crate::run::{ASKED, Onlooker, run};
use crate::scenario::Scenario;

const WIDTH: u32 = 960;
const HEADER: u32 = 44;
const STRIP: u32 = 230;
const COLOURS: [RGBColor; 3] =
    [RGBColor(200, 60, 50), RGBColor(60, 120, 190), RGBColor(150, 160, 170)];
const NAMES: [&str; 3] = ["HIGH", "NORMAL", "BATCH"];
const INK: RGBColor = RGBColor(40, 40, 40);
/// The shortest wait that is drawn, in seconds.
const SHORTEST: f64 = 0.01;

/// Why the plots were not drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scenario could not be run.
    #[error(transparent)]
    Run(#[from] crate::run::Error),
    /// A file could not be written.
    #[error("a plot could not be drawn: {0}")]
    Drawing(String),
}

/// What is needed of one run to draw it.
#[derive(Default)]
struct Story {
    /// For each call: its priority, when it was asked for, when it started and ended.
    calls: Vec<Stages>,
    by_number: HashMap<u64, usize>,
}

#[derive(Clone, Copy)]
struct Stages {
    priority: usize,
    asked: f64,
    started: Option<f64>,
    ended: Option<f64>,
}

struct Recorder(Arc<Mutex<Story>>);

impl Watch for Recorder {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        let Event::Run(what, call, detail) = event else { return };
        let mut story = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.millis() as f64 / 1000.0;
        if *what == ASKED {
            let position = story.calls.len();
            story.by_number.insert(*call, position);
            let priority = (*detail as usize).min(2);
            story.calls.push(Stages { priority, asked: now, started: None, ended: None });
            return;
        }
        let Some(position) = story.by_number.get(call).copied() else { return };
        let stages = &mut story.calls[position];
        match *what {
            API_STARTS => stages.started = stages.started.or(Some(now)),
            API_ENDS => stages.ended = Some(now),
            _ => {}
        }
    }
}

/// Runs `scenarios` and draws them under each other into `directory`: `slots.svg`, `depth.svg` and
/// `waits.svg`.
///
/// # Errors
/// A scenario cannot be run, or a file cannot be written.
pub fn draw(directory: &Path, scenarios: &[Scenario]) -> Result<(), Error> {
    let mut stories = Vec::new();
    for scenario in scenarios {
        let story = Arc::new(Mutex::new(Story::default()));
        let watch: Box<dyn Watch> = Box::new(Recorder(story.clone()));
        run(scenario, Onlooker { watch: Some(watch), ..Onlooker::nobody() })?;
        let calls = story.lock().unwrap_or_else(PoisonError::into_inner).calls.clone();
        stories.push((heading(scenario), calls));
    }
    let end = stories
        .iter()
        .flat_map(|(_, calls)| calls.iter().filter_map(|stages| stages.ended))
        .fold(1.0, f64::max);
    for (file, title, strip) in [
        ("slots.svg", "Calls at the API, one line a slot", slots as Strip),
        ("depth.svg", "Calls that wait, by priority (root scale)", depth),
        ("waits.svg", "Share of calls that waited at most so long, by priority", waits),
    ] {
        let path = directory.join(file);
        let size = (WIDTH, HEADER + STRIP * stories.len() as u32);
        let root = SVGBackend::new(&path, size).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        let (header, strips) = root.split_vertically(HEADER);
        legend(&header, title)?;
        let areas = strips.split_evenly((stories.len(), 1));
        for (area, (name, calls)) in areas.iter().zip(&stories) {
            strip(area, name, calls, end)?;
        }
        root.present().map_err(drawing)?;
    }
    Ok(())
}

fn heading(scenario: &Scenario) -> String {
    let Scenario { dispatch, limit, api, .. } = scenario;
    format!("{}, limit {limit}, calls of {} ms", dispatch.name(), api.median_ms)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Strip = fn(&Area<'_>, &str, &[Stages], f64) -> Result<(), Error>;

fn drawing(error: impl std::fmt::Display) -> Error {
    Error::Drawing(error.to_string())
}

/// The drawing's title, and the colours' names.
fn legend(header: &Area<'_>, title: &str) -> Result<(), Error> {
    let style = ("sans-serif", 20).into_font().color(&INK);
    header.draw_text(title, &style, (12, 12)).map_err(drawing)?;
    for (position, (name, colour)) in NAMES.into_iter().zip(COLOURS).enumerate() {
        let left = WIDTH as i32 - 300 + 100 * position as i32;
        let swatch = Rectangle::new([(left, 15), (left + 14, 29)], colour.filled());
        header.draw(&swatch).map_err(drawing)?;
        let style = ("sans-serif", 15).into_font().color(&INK);
        header.draw_text(name, &style, (left + 20, 15)).map_err(drawing)?;
    }
    Ok(())
}

/// One bar for each call at the API, on the lowest line that is free.
fn slots(area: &Area<'_>, name: &str, calls: &[Stages], end: f64) -> Result<(), Error> {
    let mut served: Vec<_> = calls
        .iter()
        .filter_map(|stages| Some((stages.started?, stages.ended?, stages.priority)))
        .collect();
    served.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free_from = Vec::<f64>::new();
    let mut bars = Vec::new();
    for (start, finish, priority) in served {
        let line = free_from.iter().position(|free| *free <= start).unwrap_or(free_from.len());
        if line == free_from.len() {
            free_from.push(finish);
        }
        free_from[line] = finish;
        let corners = [(start, line as f64 + 0.6), (finish, line as f64 + 1.4)];
        bars.push(Rectangle::new(corners, COLOURS[priority].filled()));
    }
    let lines = free_from.len() as f64;
    let mut chart = chart(area, name, (0.0, end), (0.5, lines + 0.5))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("seconds since the flood came")
        .y_desc("slot")
        .y_labels(free_from.len().min(10))
        .y_label_formatter(&|line| format!("{line:.0}"))
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(drawing)?;
    chart.draw_series(bars).map_err(drawing)?;
    Ok(())
}

/// How many calls of each priority were asked for and not started. Roots are drawn, so that three
/// HIGH calls can be seen beside two hundred of BATCH.
fn depth(area: &Area<'_>, name: &str, calls: &[Stages], end: f64) -> Result<(), Error> {
    let mut lines: [Vec<(f64, f64)>; 3] = Default::default();
    for (priority, line) in lines.iter_mut().enumerate() {
        let of = || calls.iter().filter(|stages| stages.priority == priority);
        let mut steps: Vec<(f64, f64)> = of().map(|stages| (stages.asked, 1.0)).collect();
        steps.extend(of().filter_map(|stages| Some((stages.started?, -1.0))));
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut waiting = 0.0_f64;
        for (at, step) in steps {
            line.push((at, f64::sqrt(waiting)));
            waiting += step;
            line.push((at, f64::sqrt(waiting)));
        }
    }
    let deepest = lines.iter().flatten().fold(1.0, |most: f64, point| most.max(point.1));
    let mut chart = chart(area, name, (0.0, end), (0.0, deepest * 1.05))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds since the flood came")
        .y_desc("calls")
        .y_labels(5)
        .y_label_formatter(&|root| format!("{:.0}", root * root))
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(drawing)?;
    // The most urgent last, so that it lies on top.
    for (line, colour) in lines.into_iter().zip(COLOURS).rev() {
        let style = colour.stroke_width(2);
        chart.draw_series(LineSeries::new(line, style)).map_err(drawing)?;
    }
    Ok(())
}

/// The share of calls of each priority that waited no longer than so many seconds, on a logarithmic
/// axis.
fn waits(area: &Area<'_>, name: &str, calls: &[Stages], end: f64) -> Result<(), Error> {
    let mut lines: [Vec<f64>; 3] = Default::default();
    for stages in calls {
        let wait = stages.started.map(|started| (started - stages.asked).max(SHORTEST).log10());
        lines[stages.priority].extend(wait);
    }
    let mut chart = chart(area, name, (SHORTEST.log10(), end.log10()), (0.0, 1.02))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds waited, from the workflow's asking to the API's start")
        .y_desc("share of calls")
        .x_labels(8)
        .x_label_formatter(&|log| tidy(10f64.powf(*log)))
        .y_labels(5)
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(drawing)?;
    for (mut waits, colour) in lines.into_iter().zip(COLOURS) {
        waits.sort_by(f64::total_cmp);
        let count = waits.len().max(1) as f64;
        let points = waits.iter().enumerate();
        let points = points.map(|(position, wait)| (*wait, (position + 1) as f64 / count));
        let style = colour.stroke_width(2);
        chart.draw_series(LineSeries::new(points, style)).map_err(drawing)?;
    }
    Ok(())
}

/// Two significant digits.
fn tidy(secs: f64) -> String {
    let digits = (1 - secs.log10().floor() as i32).clamp(0, 3) as usize;
    format!("{secs:.digits$}")
}

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn chart<'a>(
    area: &Area<'a>,
    title: &str,
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
) -> Result<Chart<'a>, Error> {
    ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16).into_font().color(&INK))
        .margin(8)
        .margin_right(20)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(drawing)
}
