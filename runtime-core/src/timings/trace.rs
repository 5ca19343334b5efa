//! Spans as a trace of Chrome's format ("Trace Event Format", complete events), which Perfetto reads as well.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Lane, Span};

/// The one process of a trace; its threads are the lanes.
const PROCESS: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "ph")]
enum Event<'a> {
    #[serde(rename = "M")]
    Metadata {
        name: &'static str,
        pid: u32,
        tid: u32,
        args: Name<'a>,
    },
    #[serde(rename = "X")]
    Complete {
        name: &'a str,
        cat: &'static str,
        pid: u32,
        tid: u32,
        /// Microseconds.
        ts: f64,
        dur: f64,
        args: Arguments<'a>,
    },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
}

/// One event a line.
pub(super) fn write(spans: &[Span], mut output: impl Write) -> io::Result<()> {
    let names = [
        ("process_name", 0, "bareboat"),
        ("thread_name", thread(Lane::Host), "host"),
        ("thread_name", thread(Lane::Init), "init"),
        ("thread_name", thread(Lane::Beside), "host"),
    ];
    let names = names.into_iter().map(|(name, tid, value)| Event::Metadata {
        name,
        pid: PROCESS,
        tid,
        args: Name { name: value },
    });
    let mut before = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
    for event in names.chain(spans.iter().map(complete)) {
        output.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut output, &event)?;
        before = ",\n";
    }
    output.write_all(b"\n]}\n")?;
    output.flush()
}

fn complete(span: &Span) -> Event<'_> {
    Event::Complete {
        name: &span.what,
        cat: match span.lane {
            Lane::Host | Lane::Beside => "host",
            Lane::Init => "init",
            Lane::Program => "program",
        },
        pid: PROCESS,
        tid: thread(span.lane),
        ts: microseconds(span.start),
        dur: microseconds(span.end.saturating_sub(span.start)),
        args: Arguments {
            step: span.step,
            origin: span.origin.as_deref(),
        },
    }
}

/// The host waits while the program runs.
fn thread(lane: Lane) -> u32 {
    match lane {
        Lane::Host | Lane::Program => 1,
        Lane::Init => 2,
        Lane::Beside => 3,
    }
}

/// To the nanosecond.
fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_complete_event_in_a_lane_that_has_a_name() {
        let span = Span {
            lane: Lane::Init,
            what: "bind \"/a\nb\" → /c".to_owned(),
            origin: Some("/mounts/3".to_owned()),
            step: Some(17),
            start: Duration::from_nanos(1_234_567),
            end: Duration::from_nanos(1_235_067),
        };
        let mut text = Vec::new();
        write(&[span], &mut text).unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            trace["traceEvents"],
            serde_json::json!([
                {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": "bareboat"}},
                {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "host"}},
                {"ph": "M", "name": "thread_name", "pid": 1, "tid": 2, "args": {"name": "init"}},
                {"ph": "M", "name": "thread_name", "pid": 1, "tid": 3, "args": {"name": "host"}},
                {"ph": "X", "name": "bind \"/a\nb\" → /c", "cat": "init", "pid": 1, "tid": 2, "ts": 1234.567, "dur": 0.5,
                 "args": {"step": 17, "origin": "/mounts/3"}},
            ])
        );
    }

    #[test]
    fn a_trace_of_nothing_is_a_trace() {
        let mut text = Vec::new();
        write(&[], &mut text).unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(trace["traceEvents"].as_array().unwrap().len(), 4);
    }
}
