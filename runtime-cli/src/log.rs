//! The log: tracing events as lines of text or JSON, in the forms that engines know from logrus.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::failure::{Failure, Result};
use crate::timestamp;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

impl LogFormat {
    /// Reads what `--log-format` says. An empty text is the default, and the message is runc's.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        match text {
            "" | "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("invalid log-format: {other}")),
        }
    }
}

/// Makes events go to `file`, or to stderr when there is none.
pub(crate) fn install(file: Option<&Path>, format: LogFormat, debug: bool) -> Result<()> {
    let log = Log {
        file: file.map(open).transpose()?,
        format,
        level: if debug {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        },
    };
    tracing::subscriber::set_global_default(log).map_err(|error| Failure::new(error.to_string()))
}

fn open(path: &Path) -> Result<File> {
    // What is logged last matters most, also when the machine goes down with the container.
    OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(nix::libc::O_SYNC)
        .mode(0o644)
        .open(path)
        .map_err(|cause| Failure::io(format_args!("open {}", path.display()), cause))
}

struct Log {
    file: Option<File>,
    format: LogFormat,
    level: LevelFilter,
}

impl Log {
    fn write(&self, line: &str) {
        // A log that cannot be written is no reason to fail.
        let _ = match &self.file {
            Some(file) => (&mut &*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What is no span is an event, or the question whether an event would be taken.
        !metadata.is_span() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = level_name(event.metadata().level());
        let time = timestamp::seconds(SystemTime::now());
        self.write(&match self.format {
            LogFormat::Text => text_line(&time, level, &fields),
            LogFormat::Json => json_line(&time, level, fields),
        });
    }

    // Spans are not logged.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// What an event says: its message, and its other fields in the order of their names.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

fn text_line(time: &str, level: &str, fields: &Fields) -> String {
    let mut line = format!(
        "time=\"{time}\" level={level} msg={}",
        quoted(&fields.message)
    );
    for (name, value) in &fields.others {
        let value = value.as_str().map_or_else(|| value.to_string(), quoted);
        let _ = write!(line, " {name}={value}");
    }
    line.push('\n');
    line
}

fn json_line(time: &str, level: &str, fields: Fields) -> String {
    let mut object = fields.others;
    object.insert("level".to_owned(), level.into());
    object.insert("msg".to_owned(), fields.message.into());
    object.insert("time".to_owned(), time.into());
    let object: serde_json::Map<String, Value> = object.into_iter().collect();
    format!("{}\n", Value::Object(object))
}

/// A plain word as it is, everything else in quotes.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A message as a line of each form.
#[cfg(any(test, fuzzing))]
pub(crate) fn lines_of(message: &str) -> (String, String) {
    let fields = || Fields {
        message: message.to_owned(),
        others: BTreeMap::from([("other".to_owned(), message.into())]),
    };
    let text = text_line("T", "error", &fields());
    (text, json_line("T", "error", fields()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str) -> Fields {
        Fields {
            message: message.to_owned(),
            others: BTreeMap::from([("pid".to_owned(), 7.into())]),
        }
    }

    #[test]
    fn text_quotes_what_is_more_than_a_word() {
        assert_eq!(
            text_line("T", "error", &fields("a \"b\"\n")),
            "time=\"T\" level=error msg=\"a \\\"b\\\"\\n\" pid=7\n"
        );
        assert_eq!(
            text_line("T", "debug", &fields("word")),
            "time=\"T\" level=debug msg=word pid=7\n"
        );
    }

    #[test]
    fn json_has_level_msg_and_time() {
        let line = json_line("T", "error", fields("container does not exist"));
        assert_eq!(
            line,
            "{\"level\":\"error\",\"msg\":\"container does not exist\",\"pid\":7,\"time\":\"T\"}\n"
        );
    }
}
