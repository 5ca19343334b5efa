//! The tables on standard output.

use std::fmt::Write;

use crate::statistics::Summary;

/// Whose medians the others are divided by, where they were measured.
const REFERENCES: [&str; 4] = ["floor", "crun", "runc", "youki"];

/// One operation in one regime: a line for each subject.
pub(crate) fn render(title: &str, series: &[(String, Vec<f64>)]) -> String {
    let rows: Vec<(&str, Summary)> = series
        .iter()
        .filter_map(|(name, values)| Some((name.as_str(), Summary::of(values)?)))
        .collect();
    let references: Vec<(&str, f64)> = REFERENCES
        .into_iter()
        .filter_map(|name| rows.iter().find(|(row, _)| *row == name))
        .map(|(name, summary)| (*name, summary.median))
        .collect();
    let mut text = format!(
        "{title}\n{:12}{:>10}{:>10}{:>10}",
        "", "median", "min", "p90"
    );
    for (name, _) in &references {
        let _ = write!(text, "{:>9}", format!("/{name}"));
    }
    for (name, summary) in &rows {
        let Summary { median, min, p90 } = summary;
        let _ = write!(text, "\n{name:12}{median:10.2}{min:10.2}{p90:10.2}");
        for (_, reference) in &references {
            let _ = match *reference {
                0.0 => write!(text, "{:>9}", "-"),
                _ => write!(text, "{:9.2}", median / reference),
            };
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_given_to_the_references_that_were_measured() {
        let series = [("floor", 4), ("bareboat", 6), ("crun", 12)]
            .map(|(name, time)| (name.to_owned(), vec![f64::from(time)]));
        let text = render("run", &series);
        let line = text.lines().nth(3).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["bareboat", "6.00", "6.00", "6.00", "1.50", "0.50"]);
        assert!(!text.contains("/runc"));
    }
}
