//! One plot: a grid, lines with markers, a legend beside them, the conditions below. Drawn with the
//! primitives of `plotters`, as its charts place a legend only inside, over the lines.

use super::axis::Axis;
use super::style::{Marker, Style};
use plotters::backend::SVGBackend;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE,
};

const WIDTH: i32 = 1080;
const HEIGHT: i32 = 640;
/// The plot's area.
const LEFT: i32 = 92;
const RIGHT: i32 = 780;
const TOP: i32 = 72;
const BOTTOM: i32 = 530;
/// Where the legend stands.
const LEGEND: i32 = RIGHT + 24;
const LEGEND_LINE: i32 = 22;
/// Markers closer than this along a line, in pixels, would hide it.
const MARKER_GAP: i32 = 30;
/// Characters of the conditions in a line.
const FOOT_CHARACTERS: usize = 165;
const GRID: RGBColor = RGBColor(205, 205, 205);
const FINE_GRID: RGBColor = RGBColor(236, 236, 236);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// A drawing that failed: into a string, nothing can fail but formatting.
pub(super) type Failure<'a> =
    DrawingAreaErrorKind<<SVGBackend<'a> as plotters::backend::DrawingBackend>::ErrorType>;

/// A line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) label: String,
    pub(super) style: Style,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    pub(super) foot: String,
}

impl Figure {
    /// The plot as SVG; nothing if it cannot be drawn.
    pub(super) fn svg(&self) -> Option<String> {
        let mut text = String::new();
        {
            let size = (WIDTH.unsigned_abs(), HEIGHT.unsigned_abs());
            let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
            self.draw(&area).ok()?;
        }
        Some(text)
    }

    fn draw<'a>(&self, area: &Area<'a>) -> Result<(), Failure<'a>> {
        area.fill(&WHITE)?;
        self.words(area)?;
        self.grid(area)?;
        for series in &self.series {
            let points: Vec<(i32, i32)> = series
                .points
                .iter()
                .map(|(x, y)| (self.pixel_x(*x), self.pixel_y(*y)))
                .collect();
            line(area, &points, series.style)?;
            let mut last = i32::MIN / 2;
            for point in points {
                if point.0 - last >= MARKER_GAP {
                    marker(area, point, series.style)?;
                    last = point.0;
                }
            }
        }
        self.legend(area)?;
        area.present()
    }

    fn words<'a>(&self, area: &Area<'a>) -> Result<(), Failure<'a>> {
        let middle = i32::midpoint(LEFT, RIGHT);
        let title = words(24, Pos::new(HPos::Left, VPos::Top));
        let bold = TextStyle {
            font: title.font.style(FontStyle::Bold),
            ..title
        };
        area.draw(&Text::new(self.title.clone(), (LEFT, 14), bold))?;
        let left = |size| words(size, Pos::new(HPos::Left, VPos::Top));
        area.draw(&Text::new(self.subtitle.clone(), (LEFT, 42), left(16)))?;
        let below = words(17, Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(self.x.label, (middle, BOTTOM + 28), below))?;
        let beside = words(17, Pos::new(HPos::Center, VPos::Top)).transform(FontTransform::Rotate270);
        area.draw(&Text::new(self.y.label, (14, i32::midpoint(TOP, BOTTOM)), beside))?;
        for (line, at) in wrapped(&self.foot, FOOT_CHARACTERS)
            .into_iter()
            .zip([584, 602, 620])
        {
            area.draw(&Text::new(line, (18, at), left(14)))?;
        }
        Ok(())
    }

    fn grid<'a>(&self, area: &Area<'a>) -> Result<(), Failure<'a>> {
        let colour = |label: &str| if label.is_empty() { FINE_GRID } else { GRID };
        for tick in self.x.ticks() {
            let x = across(tick.at);
            area.draw(&PathElement::new([(x, TOP), (x, BOTTOM)], colour(&tick.label)))?;
            let style = words(15, Pos::new(HPos::Center, VPos::Top));
            area.draw(&Text::new(tick.label, (x, BOTTOM + 8), style))?;
        }
        for tick in self.y.ticks() {
            let y = up(tick.at);
            area.draw(&PathElement::new([(LEFT, y), (RIGHT, y)], colour(&tick.label)))?;
            let style = words(15, Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(tick.label, (LEFT - 8, y), style))?;
        }
        area.draw(&Rectangle::new([(LEFT, TOP), (RIGHT, BOTTOM)], BLACK.mix(0.6)))
    }

    /// One entry for each series, in the order of where the lines end, so that the eye finds them.
    fn legend<'a>(&self, area: &Area<'a>) -> Result<(), Failure<'a>> {
        let mut series: Vec<&Series> = self.series.iter().collect();
        let end = |series: &Series| series.points.last().map_or(0.0, |point| self.y.at(point.1));
        series.sort_by(|a, b| end(b).total_cmp(&end(a)));
        let mut y = TOP + 8;
        for series in series {
            line(area, &[(LEGEND, y), (LEGEND + 40, y)], series.style)?;
            marker(area, (LEGEND + 20, y), series.style)?;
            let style = words(15, Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(series.label.clone(), (LEGEND + 48, y), style))?;
            y += LEGEND_LINE;
        }
        Ok(())
    }

    fn pixel_x(&self, value: f64) -> i32 {
        across(self.x.at(value))
    }

    fn pixel_y(&self, value: f64) -> i32 {
        up(self.y.at(value))
    }
}

fn across(share: f64) -> i32 {
    LEFT + pixels(share, RIGHT - LEFT)
}

fn up(share: f64) -> i32 {
    BOTTOM - pixels(share, BOTTOM - TOP)
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to the size of the plot")]
fn pixels(share: f64, of: i32) -> i32 {
    (share.clamp(-0.1, 1.1) * f64::from(of)).round() as i32
}

/// Black words of a size in pixels; `plotters` counts by the height of a line.
fn words(size: i32, anchor: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", f64::from(size)).into_font())
        .pos(anchor)
        .color(&BLACK)
}

fn stroke(style: Style) -> ShapeStyle {
    style.colour.stroke_width(style.width)
}

fn line<'a>(area: &Area<'a>, points: &[(i32, i32)], style: Style) -> Result<(), Failure<'a>> {
    match style.dash.pixels() {
        None => area.draw(&PathElement::new(points.to_vec(), stroke(style))),
        Some((length, gap)) => area.draw(&DashedPathElement::new(
            points.iter().copied(),
            length,
            gap,
            stroke(style),
        )),
    }
}

fn marker<'a>(area: &Area<'a>, (x, y): (i32, i32), style: Style) -> Result<(), Failure<'a>> {
    let (filled, open) = (style.colour.filled(), style.colour.stroke_width(2));
    let cross = |points: [[(i32, i32); 2]; 2]| {
        for ends in points {
            area.draw(&PathElement::new(ends, open))?;
        }
        Ok(())
    };
    match style.marker {
        Marker::Disc => area.draw(&Circle::new((x, y), 5, filled)),
        Marker::Ring => {
            area.draw(&Circle::new((x, y), 5, WHITE.filled()))?;
            area.draw(&Circle::new((x, y), 5, open))
        }
        Marker::Triangle => area.draw(&Polygon::new(
            [(x, y - 6), (x - 5, y + 4), (x + 5, y + 4)],
            filled,
        )),
        Marker::Square => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], filled)),
        Marker::Diamond => area.draw(&Polygon::new(
            [(x, y - 6), (x - 6, y), (x, y + 6), (x + 6, y)],
            filled,
        )),
        Marker::Cross => cross([[(x - 4, y - 4), (x + 4, y + 4)], [(x - 4, y + 4), (x + 4, y - 4)]]),
        Marker::Plus => cross([[(x - 5, y), (x + 5, y)], [(x, y - 5), (x, y + 5)]]),
        Marker::None => Ok(()),
    }
}

/// Lines of at most so many characters, broken at spaces.
fn wrapped(text: &str, characters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let is_full = lines.last().is_some_and(|line| {
            !line.is_empty() && line.chars().count() + word.chars().count() >= characters
        });
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
