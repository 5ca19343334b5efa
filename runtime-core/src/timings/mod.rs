//! What each step took, on the host and in the init: for who asks, and at no cost for who does not.
//!
//! The host's part is measured where it is done ([`Recorder`]). The init notes in shared memory when it begins each step
//! ([`stamps`]), and the host makes spans of these when it goes on without the init.

mod stamps;
mod trace;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use stamps::{Stamps, before_start};

/// Takes down what the steps of making, starting and ending containers took.
///
/// One is given to a builder or to a [`Container`](crate::Container), and written when their work is done, whether it
/// succeeded or not. Clones of it are the same one. Where none is given no clock is read.
///
/// ```
/// use runtime_core::{Bundle, Container, Timings};
///
/// let timings = Timings::new();
/// let bundle = timings.during("load the bundle", || Bundle::load("/nonexistent"));
/// if let Ok(bundle) = bundle {
///     let _container = Container::builder("web", bundle).timings(&timings).run();
/// }
/// let mut trace = Vec::new();
/// timings.write(&mut trace)?;
/// assert!(String::from_utf8_lossy(&trace).contains("load the bundle"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Timings(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    /// The beginning of all times, by the clock of the host's spans.
    origin: Instant,
    /// The same by the clock of the init, since the epoch.
    wall: Duration,
    spans: Mutex<Vec<Span>>,
}

/// Something that was done, and when.
#[derive(Clone, Debug)]
struct Span {
    lane: Lane,
    what: String,
    /// What asked for it.
    origin: Option<String>,
    /// The number of the init's step.
    step: Option<usize>,
    start: Duration,
    end: Duration,
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Host,
    Init,
    /// A thread of the runtime's.
    Beside,
    /// Not the runtime: the user's program ran.
    Program,
}

impl Timings {
    /// Nothing is taken yet; times count from here.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Timings {
        Timings(Arc::new(Taken {
            origin: Instant::now(),
            wall: wall(),
            spans: Mutex::default(),
        }))
    }

    /// Does something on the host, and takes down what that took.
    pub fn during<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let _span = self.open(Lane::Host, what.to_owned(), None);
        work()
    }

    /// Waits for the user's program, which is not the runtime's time.
    pub fn while_program_runs<T>(&self, wait: impl FnOnce() -> T) -> T {
        let _span = self.open(Lane::Program, "the program runs".to_owned(), None);
        wait()
    }

    /// Writes all that was taken as a trace of Chrome's format, which ui.perfetto.dev shows, and `bareboat plan --timings`.
    /// Times are microseconds since this was made.
    ///
    /// # Errors
    ///
    /// Those of `output`.
    pub fn write(&self, output: impl io::Write) -> io::Result<()> {
        let mut spans = self.spans().clone();
        // One in which others lie comes before them.
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        trace::write(&spans, output)
    }

    fn open(&self, lane: Lane, what: String, origin: Option<String>) -> OpenSpan {
        OpenSpan(Some(Open {
            timings: self.clone(),
            span: Span {
                lane,
                what,
                origin,
                step: None,
                start: self.now(),
                end: Duration::ZERO,
            },
        }))
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
    }

    fn spans(&self) -> std::sync::MutexGuard<'_, Vec<Span>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CLOCK_REALTIME, as the init reads it.
fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// [`Timings`] where somebody wants them, and otherwise nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Option<Timings>);

impl Recorder {
    pub(crate) fn to(timings: &Timings) -> Self {
        Recorder(Some(timings.clone()))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What is done until the guard is dropped.
    pub(crate) fn span(&self, what: &str) -> OpenSpan {
        self.span_of(|| what.to_owned())
    }

    /// What another thread does meanwhile.
    pub(crate) fn span_beside(&self, what: &str) -> OpenSpan {
        let timings = self.0.as_ref();
        timings.map_or(OpenSpan(None), |timings| {
            timings.open(Lane::Beside, what.to_owned(), None)
        })
    }

    /// The same, with words that are put together only where they are wanted.
    pub(crate) fn span_of(&self, what: impl FnOnce() -> String) -> OpenSpan {
        let timings = self.0.as_ref();
        timings.map_or(OpenSpan(None), |timings| {
            timings.open(Lane::Host, what(), None)
        })
    }

    /// The same, with what asked for it.
    pub(crate) fn span_at(
        &self,
        origin: impl fmt::Display,
        what: impl FnOnce() -> String,
    ) -> OpenSpan {
        let timings = self.0.as_ref();
        timings.map_or(OpenSpan(None), |timings| {
            timings.open(Lane::Host, what(), Some(origin.to_string()))
        })
    }
}

/// Something that is being done; it is done when this is dropped.
#[must_use]
pub(crate) struct OpenSpan(Option<Open>);

struct Open {
    timings: Timings,
    span: Span,
}

impl OpenSpan {
    /// What it was is known only now.
    pub(crate) fn rename(&mut self, what: impl FnOnce() -> String) {
        if let Some(open) = &mut self.0 {
            open.span.what = what();
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(Open { timings, mut span }) = self.0.take() {
            span.end = timings.now();
            timings.spans().push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_is_off_takes_nothing_and_puts_no_words_together() {
        let recorder = Recorder::default();
        let mut span = recorder.span_of(|| unreachable!("nobody asked"));
        span.rename(|| unreachable!("nobody asked"));
        assert!(span.0.is_none() && !recorder.is_on());
    }

    #[test]
    fn what_lies_in_another_comes_after_it() {
        let timings = Timings::new();
        let recorder = Recorder::to(&timings);
        let whole = recorder.span("whole");
        timings.during("part", || ());
        let mut second = recorder.span_at("/hooks/poststart/0", String::new);
        second.rename(|| "second".to_owned());
        drop((second, whole));
        let mut text = Vec::new();
        timings.write(&mut text).unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        let names: Vec<_> = spans.iter().map(|span| &span["name"]).collect();
        assert_eq!(names, ["whole", "part", "second"]);
        assert_eq!(spans[2]["args"]["origin"], "/hooks/poststart/0");
        let end =
            |span: &serde_json::Value| span["ts"].as_f64().unwrap() + span["dur"].as_f64().unwrap();
        assert!(end(spans[2]) <= end(spans[0]) + 0.001);
    }
}
