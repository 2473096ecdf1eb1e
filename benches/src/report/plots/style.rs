//! How a series looks. Each transport has a colour and a marker, each placement a dash, so that lines can be
//! told apart without colours too. The colours are those of Okabe and Ito, which colour-blind people tell
//! apart, and two of Tol's.

use crate::report::row::Row;
use plotters::style::RGBColor;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colour: RGBColor,
    pub(super) marker: Marker,
    pub(super) dash: Dash,
    /// Line width in pixels.
    pub(super) width: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Disc,
    Ring,
    Triangle,
    Square,
    Diamond,
    Cross,
    Plus,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Long,
    Short,
    Dots,
}

impl Dash {
    /// Length of a stroke and of the gap after it, in pixels; nothing for a solid line.
    pub(super) const fn pixels(self) -> Option<(i32, i32)> {
        match self {
            Self::Solid => None,
            Self::Long => Some((11, 5)),
            Self::Short => Some((5, 4)),
            Self::Dots => Some((2, 4)),
        }
    }
}

const BLUE: RGBColor = RGBColor(0, 114, 178);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
const VERMILLION: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const OLIVE: RGBColor = RGBColor(153, 153, 51);
const WINE: RGBColor = RGBColor(136, 34, 85);
const GREY: RGBColor = RGBColor(90, 90, 90);

/// The style of a row's series.
pub(super) fn of(row: &Row) -> Style {
    let (colour, marker) = match (row.transport.as_str(), row.protection.as_str()) {
        ("fabric", "mapped") => (GREEN, Marker::Ring),
        ("fabric", _) => (BLUE, Marker::Disc),
        ("gateway" | "unix-socket", _) => (ORANGE, Marker::Triangle),
        ("http", _) => (SKY, Marker::Square),
        ("https", _) => (VERMILLION, Marker::Diamond),
        ("https-mtls", _) => (PURPLE, Marker::Plus),
        ("https-new", _) => (WINE, Marker::Cross),
        (name, _) if name.starts_with("iceoryx2") => (OLIVE, Marker::Square),
        (name, _) if name.starts_with("nats") => (WINE, Marker::Triangle),
        _ => (GREY, Marker::Plus),
    };
    let dash = match row.placement.as_str() {
        "packed" => Dash::Solid,
        "spread" => Dash::Long,
        "floating" => Dash::Dots,
        _ => Dash::Short,
    };
    let width = if row.transport == "fabric" { 3 } else { 2 };
    Style {
        colour,
        marker,
        dash,
        width,
    }
}

/// The style of a floor.
pub(super) const fn floor(dash: Dash) -> Style {
    Style {
        colour: GREY,
        marker: Marker::None,
        dash,
        width: 2,
    }
}
