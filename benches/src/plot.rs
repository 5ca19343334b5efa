//! A picture of the distributions, as SVG: a panel for each operation, a row for each subject.

use std::fmt::Write;

use crate::report::Entry;
use crate::statistics::quantile;

const WIDTH: f64 = 860.0;
/// Where the axis begins; names stand left of it, medians right of its end.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 790.0;
const ROW: f64 = 20.0;
/// Above and below the rows of a panel.
const HEAD: f64 = 34.0;
const FOOT: f64 = 26.0;

const STYLE: &str = "text{font:12px sans-serif;fill:#24292f}.t{font-weight:600}.a{fill:#6e7781;font-size:10px}\
.g{stroke:#d8dee4}.w{stroke-width:1.2}.b{fill-opacity:.28}.m{stroke-width:2.4}.p{fill-opacity:.4}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#8d96a0}.g{stroke:#30363d}}";

/// The colour of a subject.
fn colour(subject: &str) -> &'static str {
    match subject {
        "bareboat" => "#0969da",
        "floor" | "spawn" => "#57606a",
        "crun" => "#bf8700",
        "runc" => "#cf222e",
        _ => "#8250df",
    }
}

/// Draws what was timed more than once, in milliseconds, on logarithmic axes.
pub(crate) fn render(entries: &[Entry]) -> String {
    let is_drawn = |entry: &&Entry| entry.unit == "ms" && entry.samples.len() > 1;
    let mut panels: Vec<Vec<&Entry>> = Vec::new();
    for entry in entries.iter().filter(is_drawn) {
        let title = |entry: &Entry| (entry.operation.clone(), entry.regime.clone());
        match panels
            .iter_mut()
            .find(|panel| title(panel[0]) == title(entry))
        {
            Some(panel) => panel.push(entry),
            None => panels.push(vec![entry]),
        }
    }
    let mut body = String::new();
    let mut top = 8.0;
    for panel in &panels {
        draw_panel(&mut body, panel, top);
        top += HEAD + ROW * panel.len() as f64 + FOOT;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\">\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn draw_panel(body: &mut String, panel: &[&Entry], top: f64) {
    let axis = Axis::of(panel);
    let bottom = top + HEAD + ROW * panel.len() as f64;
    let _ = writeln!(
        body,
        "<text class=\"t\" x=\"8\" y=\"{}\">{}, {}</text>",
        top + 16.0,
        escape(&panel[0].operation),
        escape(&panel[0].regime)
    );
    for tick in axis.ticks() {
        let x = axis.place(tick);
        let _ = writeln!(
            body,
            "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>\
             <text class=\"a\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{tick} ms</text>",
            top + HEAD - 8.0,
            bottom + 13.0
        );
    }
    for (row, entry) in panel.iter().enumerate() {
        draw_row(body, entry, &axis, top + HEAD + ROW * (row as f64 + 0.5));
    }
}

/// Every value as a dot, the quartiles as a box, the median as a line.
fn draw_row(body: &mut String, entry: &Entry, axis: &Axis, y: f64) {
    let colour = colour(&entry.subject);
    let mut sorted = entry.samples.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |part| axis.place(quantile(&sorted, part).unwrap_or_default());
    let (low, first, middle, third, high) = (at(0.0), at(0.25), at(0.5), at(0.75), at(1.0));
    let _ = write!(
        body,
        "<g stroke=\"{colour}\" fill=\"{colour}\"><line class=\"w\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
         <rect class=\"b\" stroke=\"none\" x=\"{first:.1}\" y=\"{}\" width=\"{:.1}\" height=\"12\" rx=\"2\"/>\
         <line class=\"m\" x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{}\" y2=\"{}\"/></g>\
         <g class=\"p\" fill=\"{colour}\">",
        y - 6.0,
        (third - first).max(1.0),
        y - 7.0,
        y + 7.0
    );
    for (index, value) in sorted.iter().enumerate() {
        let (x, y) = (axis.place(*value), y + spread(index));
        let _ = write!(body, "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"1.6\"/>");
    }
    let _ = writeln!(
        body,
        "</g><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{}\">{:.2}</text>",
        LEFT - 10.0,
        y + 4.0,
        escape(&entry.subject),
        RIGHT + 10.0,
        y + 4.0,
        quantile(&sorted, 0.5).unwrap_or_default()
    );
}

/// Off the middle of the row, so that values beside each other do not hide each other.
fn spread(index: usize) -> f64 {
    (index * 5 % 9) as f64 - 4.0
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Wide enough for all values, and at least by a factor of two, so that noise does not look like a difference.
    fn of(panel: &[&Entry]) -> Self {
        let values = panel.iter().flat_map(|entry| &entry.samples);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
        let low = (low * 0.9).max(1e-3);
        Self {
            low,
            high: (high * 1.1).max(low * 2.0),
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        LEFT + part.min(1.0) * (RIGHT - LEFT)
    }

    /// 1, 2 and 5 times the powers of ten.
    fn ticks(&self) -> Vec<f64> {
        let decades = -2..6;
        decades
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| scaled(digit, power)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// Divided rather than multiplied by a negative power, which would give 0.020000000000000004.
fn scaled(digit: f64, power: i32) -> f64 {
    match power {
        0.. => digit * 10_f64.powi(power),
        _ => digit / 10_f64.powi(-power),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str, samples: &[f64]) -> Entry {
        Entry {
            operation: "a < b".to_owned(),
            regime: "hot".to_owned(),
            unit: "ms".to_owned(),
            subject: subject.to_owned(),
            median: samples[0],
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn every_value_is_a_dot_inside_the_axis() {
        let entries = [entry("x", &[1.0, 3.0, 2.0]), entry("y", &[40.0, 50.0])];
        let svg = render(&entries);
        assert_eq!(svg.matches("<circle").count(), 5);
        assert_eq!(svg.matches("class=\"t\"").count(), 1);
        assert!(svg.contains("a &lt; b, hot"));
        let places = svg.split("cx=\"").skip(1);
        for place in places.map(|text| text.split('"').next().unwrap().parse::<f64>().unwrap()) {
            assert!((LEFT..=RIGHT).contains(&place), "{place}");
        }
    }

    #[test]
    fn a_larger_value_lies_further_right() {
        let entries = [entry("x", &[0.5, 20.0])];
        let axis = Axis::of(&[&entries[0]]);
        assert!(axis.place(0.5) < axis.place(1.0));
        assert!(axis.place(10.0) < axis.place(20.0));
        assert_eq!(axis.ticks(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn what_is_not_a_time_is_not_drawn() {
        let mut memory = entry("x", &[1.0, 2.0]);
        memory.unit = "KiB".to_owned();
        assert!(!render(&[memory, entry("y", &[1.0])]).contains("<circle"));
    }
}
