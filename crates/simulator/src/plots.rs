//! Three plots of the flood, as SVG: what each slot does over time, how many calls of each
//! priority wait, and how long they waited.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::api::{API_ENDS, API_STARTS};
use crate::run::{ASKED, Onlooker, run};
use crate::scenario::{Dispatch, Scenario};
use crate::time::Moment;
use crate::transcript::{Event, Watch};

const SIZE: (u32, u32) = (960, 720);
const COLOURS: [RGBColor; 3] =
    [RGBColor(200, 60, 50), RGBColor(60, 120, 190), RGBColor(150, 160, 170)];
const NAMES: [&str; 3] = ["HIGH", "NORMAL", "BATCH"];
/// The strategies that are drawn under each other.
const DRAWN: [Dispatch; 3] = [Dispatch::DeferralYield, Dispatch::DeferralSwap, Dispatch::Doorbell];

/// Why the plots were not drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flood could not be run.
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

/// Draws the flood at limit 5 and calls of 200 ms into `directory`: `slots.svg`, `depth.svg` and
/// `waits.svg`.
///
/// # Errors
/// The flood cannot be run, or a file cannot be written.
pub fn draw(directory: &Path, seed: u64) -> Result<(), Error> {
    let mut stories = Vec::new();
    for dispatch in DRAWN {
        let story = Arc::new(Mutex::new(Story::default()));
        let watch: Box<dyn Watch> = Box::new(Recorder(story.clone()));
        let scenario = Scenario { dispatch, seed, ..Scenario::flood() };
        run(&scenario, Onlooker { progress: &|_, _| {}, watch: Some(watch) })?;
        let calls = story.lock().unwrap_or_else(PoisonError::into_inner).calls.clone();
        stories.push((dispatch.name(), calls));
    }
    let longest = stories
        .iter()
        .flat_map(|(_, calls)| calls.iter().filter_map(|stages| stages.ended))
        .fold(1.0, f64::max);
    for file in ["slots.svg", "depth.svg", "waits.svg"] {
        let path = directory.join(file);
        let root = SVGBackend::new(&path, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        for (area, (name, calls)) in root.split_evenly((DRAWN.len(), 1)).iter().zip(&stories) {
            match file {
                "slots.svg" => slots(area, name, calls, longest)?,
                "depth.svg" => depth(area, name, calls, longest)?,
                _ => waits(area, name, calls)?,
            }
        }
        root.present().map_err(drawing)?;
    }
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn drawing(error: impl std::fmt::Display) -> Error {
    Error::Drawing(error.to_string())
}

/// One bar for each call at the API, on the lowest line that is free.
fn slots(area: &Area<'_>, name: &str, calls: &[Stages], longest: f64) -> Result<(), Error> {
    let mut served: Vec<_> = calls
        .iter()
        .filter_map(|stages| Some((stages.started?, stages.ended?, stages.priority)))
        .collect();
    served.sort_by(|a, b| a.0.total_cmp(&b.0));
    let free_from = RefCell::new(Vec::<f64>::new());
    let line_for = |start: f64, end: f64| {
        let mut lines = free_from.borrow_mut();
        let line = lines.iter().position(|free| *free <= start).unwrap_or(lines.len());
        if line == lines.len() {
            lines.push(end);
        } else {
            lines[line] = end;
        }
        line
    };
    let bars: Vec<_> = served
        .iter()
        .map(|(start, end, priority)| {
            let line = line_for(*start, *end) as f64;
            let corners = [(*start, line + 0.1), (*end, line + 0.9)];
            Rectangle::new(corners, COLOURS[*priority].filled())
        })
        .collect();
    let lines = free_from.borrow().len() as f64;
    let mut chart = chart(area, &format!("{name}: slots at the API"), longest, lines, "slot")?;
    chart.draw_series(bars).map_err(drawing)?;
    Ok(())
}

/// How many calls of each priority were asked for and not started.
fn depth(area: &Area<'_>, name: &str, calls: &[Stages], longest: f64) -> Result<(), Error> {
    let mut lines: [Vec<(f64, f64)>; 3] = Default::default();
    for (priority, line) in lines.iter_mut().enumerate() {
        let of = || calls.iter().filter(|stages| stages.priority == priority);
        let mut steps: Vec<(f64, f64)> = of().map(|stages| (stages.asked, 1.0)).collect();
        steps.extend(of().filter_map(|stages| Some((stages.started?, -1.0))));
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut waiting = 0.0;
        for (at, step) in steps {
            line.push((at, waiting));
            waiting += step;
            line.push((at, waiting));
        }
    }
    let deepest = lines.iter().flatten().fold(1.0, |most: f64, point| most.max(point.1));
    let title = format!("{name}: calls that wait");
    let mut chart = chart(area, &title, longest, deepest, "calls")?;
    for (line, colour) in lines.into_iter().zip(COLOURS) {
        let style = colour.stroke_width(2);
        chart.draw_series(LineSeries::new(line, style)).map_err(drawing)?;
    }
    Ok(())
}

/// The share of calls of each priority that waited no longer than so many seconds.
fn waits(area: &Area<'_>, name: &str, calls: &[Stages]) -> Result<(), Error> {
    let mut lines: [Vec<f64>; 3] = Default::default();
    for stages in calls {
        lines[stages.priority].extend(stages.started.map(|started| started - stages.asked));
    }
    let longest = lines.iter().flatten().fold(0.1, |most: f64, wait| most.max(*wait));
    let title = format!("{name}: share of calls that waited at most so long");
    let mut chart = chart(area, &title, longest, 1.0, "share")?;
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

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Axes in seconds from 0 to `longest` and from 0 to `highest`, and the colours' names.
fn chart<'a>(
    area: &Area<'a>,
    title: &str,
    longest: f64,
    highest: f64,
    unit: &str,
) -> Result<Chart<'a>, Error> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..longest, 0.0..highest)
        .map_err(drawing)?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(WHITE).x_desc("seconds").y_desc(unit).draw().map_err(drawing)?;
    let (width, _) = area.dim_in_pixel();
    for (position, (name, colour)) in NAMES.into_iter().zip(COLOURS).enumerate() {
        let at = (width as i32 - 240 + 80 * position as i32, 8);
        let style = ("sans-serif", 13).into_font().color(&colour);
        area.draw_text(name, &style, at).map_err(drawing)?;
    }
    Ok(chart)
}
