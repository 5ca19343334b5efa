//! A file of timings as lines of text: what began when, how long it took, and a bar of that.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The lines are no longer than this, where the terminal is not wider.
const WIDTH: usize = 100;
/// Of which the bars have these.
const BAR: usize = 20;
/// And the name of a lane these.
const LANE: usize = 4;
/// Parts of a whole are indented, as far as it helps.
const DEEPEST: usize = 6;

/// Microseconds from which on a trace is not believed: years.
const LIMIT: f64 = 9e13;

/// By so much a sum of microseconds may be wrong that one lies after another.
const ROUNDING: f64 = 0.01;

/// Reads a trace, and draws it.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let text = fs::read(path)
        .map_err(|cause| Failure::io(format_args!("read {}", path.display()), cause))?;
    of_trace(&text, width()).map_err(|problem| {
        let path = path.display();
        Failure::new(format!("{path} is no file of timings: {problem}"))
    })
}

/// A terminal that has more room gets longer lines.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(WIDTH, |size| WIDTH.max(size.ws_col.into()))
}

/// Draws a trace of Chrome's format. What is in it besides complete events is of no interest.
fn of_trace(text: &[u8], width: usize) -> std::result::Result<String, String> {
    let trace: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let events = trace.get("traceEvents").unwrap_or(&trace);
    let events = events.as_array().ok_or("it has no list of events")?;
    let lanes = lanes(events);
    let complete = events.iter().filter(|event| phase(event) == Some("X"));
    let rows: std::result::Result<Vec<_>, _> = complete.map(|event| row(event, &lanes)).collect();
    let mut rows = rows?;
    if rows.is_empty() {
        return Err("there is no complete event in it".to_owned());
    }
    // One in which others lie comes before them.
    rows.sort_by(|one, other| {
        let starts = one.start.partial_cmp(&other.start);
        let ends = other.end.partial_cmp(&one.end);
        let order = starts.unwrap_or(Ordering::Equal);
        order.then(ends.unwrap_or(Ordering::Equal))
    });
    Ok(draw(&rows, width))
}

/// Something that was done.
struct Row<'a> {
    thread: Thread,
    lane: &'a str,
    what: &'a str,
    origin: Option<&'a str>,
    /// The user's program ran, which is not the runtime's time.
    is_program: bool,
    /// Microseconds.
    start: f64,
    end: f64,
}

/// Of a process and thread, their numbers.
type Thread = (Option<i64>, Option<i64>);

fn phase(event: &Value) -> Option<&str> {
    event.get("ph")?.as_str()
}

fn thread(event: &Value) -> Thread {
    let number = |key| event.get(key).and_then(Value::as_i64);
    (number("pid"), number("tid"))
}

/// The names of threads.
fn lanes(events: &[Value]) -> HashMap<Thread, &str> {
    let named = events.iter().filter_map(|event| {
        let is_name = phase(event) == Some("M") && event.get("name")? == "thread_name";
        let name = event.get("args")?.get("name")?.as_str()?;
        is_name.then_some((thread(event), name))
    });
    named.collect()
}

fn row<'a>(
    event: &'a Value,
    lanes: &HashMap<Thread, &'a str>,
) -> std::result::Result<Row<'a>, String> {
    let time = |key: &str| {
        let time = event.get(key).and_then(Value::as_f64);
        let is_time = |time: &f64| (0.0..LIMIT).contains(time);
        let wrong = || format!("{key} of a complete event is no time in microseconds");
        time.filter(is_time).ok_or_else(wrong)
    };
    let text = |value: Option<&'a Value>| value.and_then(Value::as_str);
    let thread = thread(event);
    let start = time("ts")?;
    Ok(Row {
        thread,
        lane: lanes.get(&thread).copied().unwrap_or_default(),
        what: text(event.get("name")).unwrap_or_default(),
        origin: text(event.get("args").and_then(|args| args.get("origin"))),
        is_program: text(event.get("cat")) == Some("program"),
        start,
        end: start + time("dur")?,
    })
}

/// The rows are in order, and at least one.
fn draw(rows: &[Row<'_>], width: usize) -> String {
    let begin = rows.first().map_or(0.0, |row| row.start);
    let end = rows.iter().fold(begin, |end, row| end.max(row.end));
    let axis = Axis::new(rows, begin, end);
    let mut depths = Depths::default();
    let mut text = format!(
        "{:>9} {:>9} {:LANE$} {:BAR$} (times in ms)\n",
        "start", "took", "lane", ""
    );
    for row in rows {
        let line = format!(
            "{:>9} {:>9} {:LANE$} {:BAR$} {}{}",
            milliseconds(row.start - begin),
            milliseconds(row.end - row.start),
            fitted(row.lane, LANE),
            axis.bar(row),
            " ".repeat(depths.of(row)),
            sentence(row),
        );
        let line = fitted(&line, width);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = write!(text, "{:>9} in all", milliseconds(end - begin));
    if axis.cut > 0.0 {
        let runtime = milliseconds(axis.length);
        let _ = write!(text, ", {runtime} without the program's own time");
    }
    text.push('\n');
    text
}

/// A place in the configuration comes first, where it is not cut off; the name of a default tells less than what it is.
fn sentence(row: &Row<'_>) -> String {
    match row.origin {
        Some(origin) if origin.starts_with('/') => format!("{origin}: {}", row.what),
        Some(origin) => format!("{} ({origin})", row.what),
        None => row.what.to_owned(),
    }
}

/// At most nine characters: seconds where there are many.
fn milliseconds(time: f64) -> String {
    let (milliseconds, seconds) = (time / 1e3, time / 1e6);
    if seconds < 99.0 {
        format!("{milliseconds:.3}")
    } else {
        format!("{seconds:.0}s")
    }
}

/// The text, cut to so many characters, none of which the terminal would act upon.
fn fitted(text: &str, width: usize) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut fitted: String = text.chars().take(width).map(printable).collect();
    if text.chars().nth(width).is_some() {
        fitted.pop();
        fitted.push('…');
    }
    fitted
}

/// The time that the bars show: all but that of the user's program, beside which the rest would be nothing.
struct Axis {
    begin: f64,
    length: f64,
    /// When the program ran, and how much of its time lies before each.
    program: Vec<(f64, f64, f64)>,
    /// The program's time.
    cut: f64,
}

impl Axis {
    fn new(rows: &[Row<'_>], begin: f64, end: f64) -> Self {
        let (mut program, mut cut, mut last) = (Vec::new(), 0.0, begin);
        for row in rows.iter().filter(|row| row.is_program) {
            let start = row.start.max(last);
            if row.end > start {
                program.push((start, row.end, cut));
                cut += row.end - start;
                last = row.end;
            }
        }
        Axis {
            begin,
            length: end - begin - cut,
            program,
            cut,
        }
    }

    /// Where on the axis a time lies.
    fn place(&self, time: f64) -> f64 {
        let before = self
            .program
            .partition_point(|(start, ..)| *start < time)
            .checked_sub(1)
            .and_then(|last| self.program.get(last));
        let cut = before.map_or(0.0, |(start, end, cut)| cut + time.min(*end) - start);
        time - self.begin - cut
    }

    fn bar(&self, row: &Row<'_>) -> String {
        let cells = |time| {
            let part = self.place(time) / self.length;
            if part.is_finite() {
                part * BAR as f64
            } else {
                0.0
            }
        };
        let (from, to) = (cells(row.start), cells(row.end));
        let first = (from.round() as usize).min(BAR - 1);
        let count = (to.round() as usize).clamp(first + 1, BAR) - first;
        let cell = match row.is_program {
            true => "·",
            false if to - from < 0.5 => "▏",
            false => "█",
        };
        format!("{}{}", " ".repeat(first), cell.repeat(count))
    }
}

/// In how many others of its lane each lies.
#[derive(Default)]
struct Depths(HashMap<Thread, Vec<f64>>);

impl Depths {
    /// Of the next row.
    fn of(&mut self, row: &Row<'_>) -> usize {
        let ends = self.0.entry(row.thread).or_default();
        while ends.last().is_some_and(|end| *end < row.start + ROUNDING) {
            ends.pop();
        }
        let depth = ends.len();
        ends.push(row.end);
        depth.min(DEEPEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(lane: i64, start: f64, took: f64, name: &str) -> Value {
        json!({"ph": "X", "pid": 1, "tid": lane, "ts": start, "dur": took, "name": name})
    }

    fn lanes() -> [Value; 2] {
        [(1, "host"), (2, "init")].map(|(tid, name)| {
            json!({"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": name}})
        })
    }

    fn drawn(events: &[Value]) -> String {
        let all = [&lanes(), events].concat();
        of_trace(json!({"traceEvents": all}).to_string().as_bytes(), WIDTH).unwrap()
    }

    #[test]
    fn a_waterfall_has_a_line_for_each_event_in_order_of_their_starts() {
        let mut mount = event(2, 1500.0, 250.5, "mount proc → /proc");
        mount["args"] = json!({"origin": "/mounts/0", "step": 4});
        let mut pivot = event(2, 3500.0, 500.0, "pivot into the root");
        pivot["args"] = json!({"origin": "default root"});
        let events = [
            mount,
            event(1, 1000.0, 3000.0, "run web"),
            event(1, 1000.0, 500.0, "load"),
            event(1, 3000.0, 1000.0, "wait"),
            pivot,
        ];
        let expected = "    start      took lane                      (times in ms)
    0.000     3.000 host ████████████████████ run web
    0.000     0.500 host ███                   load
    0.500     0.251 init    ██                /mounts/0: mount proc → /proc
    2.000     1.000 host              ███████  wait
    2.500     0.500 init                  ███ pivot into the root (default root)
    3.000 in all
";
        assert_eq!(drawn(&events), expected);
    }

    #[test]
    fn the_time_of_the_program_makes_the_bars_of_the_rest_no_shorter() {
        let mut program = event(1, 1000.0, 60_000_000.0, "the program runs");
        program["cat"] = json!("program");
        let events = [
            event(1, 0.0, 1000.0, "before"),
            program,
            event(1, 60_001_000.0, 1000.0, "after"),
        ];
        let expected = "    start      took lane                      (times in ms)
    0.000     1.000 host ██████████           before
    1.000 60000.000 host           ·          the program runs
60001.000     1.000 host           ██████████ after
60002.000 in all, 2.000 without the program's own time
";
        assert_eq!(drawn(&events), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_does_nothing_to_the_terminal() {
        let text = drawn(&[event(
            1,
            0.0,
            1.0,
            &format!("\u{1b}[2J\n{}", "x".repeat(200)),
        )]);
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line.chars().count(), WIDTH);
        assert!(line.contains("\u{fffd}[2J\u{fffd}xx") && line.ends_with("x…"));
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for (text, problem) in [
            ("", "EOF"),
            ("{}", "no list of events"),
            ("[]", "no complete event"),
            (r#"[{"ph":"X"}]"#, "ts of a complete event"),
            (r#"[{"ph":"X","ts":1,"dur":-1}]"#, "dur of a complete event"),
            (
                r#"[{"ph":"X","ts":1e300,"dur":1}]"#,
                "ts of a complete event",
            ),
        ] {
            let error = of_trace(text.as_bytes(), WIDTH).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_trace_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_trace(&bytes, WIDTH);
        }

        #[test]
        fn any_events_have_a_line_each_that_fits(
            events in proptest::collection::vec(
                (0..3i64, 0.0..LIMIT * 0.99, prop_oneof![0.0..10.0, 0.0..LIMIT * 0.99], ".{0,150}", any::<bool>()),
                1..20,
            )
        ) {
            let events: Vec<_> = events
                .iter()
                .map(|(lane, start, took, name, is_program)| {
                    let mut event = event(*lane, *start, *took, name);
                    if *is_program {
                        event["cat"] = json!("program");
                    }
                    event["args"] = json!({"origin": name});
                    event
                })
                .collect();
            let text = drawn(&events);
            prop_assert_eq!(text.lines().count(), events.len() + 2);
            for line in text.lines() {
                prop_assert!(line.chars().count() <= WIDTH, "{}", line);
            }
        }
    }
}
