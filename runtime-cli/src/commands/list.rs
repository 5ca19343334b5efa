//! `bareboat list`

use std::borrow::Cow;
use std::thread::{self, ScopedJoinHandle};

use clap::{Args, ValueEnum};
use runtime_core::{Container, Containers};

use super::output;
use super::summary::{Summaries, Summary};
use crate::cli::Globals;
use crate::failure::{Failure, Result};

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    format: ListFormat,
    /// Print the names only
    #[arg(short, long)]
    quiet: bool,
}

/// The forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

impl List {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let containers = containers(globals)?;
        if self.quiet {
            // What they are doing is not looked at.
            let lines = gather(containers, |container| {
                Some(format!("{}\n", container.id()))
            });
            return output::text(&lines.concat());
        }
        let summaries = Summaries::new();
        let summaries = gather(containers, |container| {
            // It may have been deleted meanwhile.
            let warn = |failure: &Failure| tracing::warn!("state of {}: {failure}", container.id());
            summaries.of(&container).inspect_err(warn).ok()
        });
        match self.format {
            ListFormat::Json => output::json(&summaries),
            ListFormat::Table => output::text(&table(&summaries)),
        }
    }
}

/// From so many containers on a second thread takes half of them: it costs as much as some five, and what takes the time is
/// the kernel's work, which two processors do in half of it.
const MANY: usize = 64;

/// What is found of each, in order.
fn gather<T: Send>(
    containers: Option<Containers>,
    find: impl Fn(Container) -> Option<T> + Sync,
) -> Vec<T> {
    let Some(mut containers) = containers else {
        return Vec::new();
    };
    if containers.most() < MANY {
        return containers.filter_map(find).collect();
    }
    let rest = containers.split();
    let other = || rest.clone().filter_map(&find).collect::<Vec<T>>();
    thread::scope(|scope| {
        let mut found = Vec::with_capacity(2 * rest.most());
        let helper = thread::Builder::new().spawn_scoped(scope, other);
        found.extend(containers.filter_map(&find));
        // Where there can be no thread, nobody has looked at them.
        found.extend(match helper.map(ScopedJoinHandle::join) {
            Ok(Ok(rest)) => rest,
            _ => other(),
        });
        found
    })
}

/// Nothing where no container was made yet.
fn containers(globals: &Globals) -> Result<Option<Containers>> {
    let root = globals.state_root()?;
    match root.symlink_metadata() {
        // Without --root, that is.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && globals.root.is_none() => {
            Ok(None)
        }
        Err(cause) => Err(Failure::io(format_args!("open {}", root.display()), cause)),
        Ok(_) => Ok(Some(Container::each(&root)?)),
    }
}

type Row<'a> = [Cow<'a, str>; 6];

/// Columns of at least 12 characters, 3 of them space.
fn table(containers: &[Summary]) -> String {
    const TITLES: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let rows: Vec<Row<'_>> = std::iter::once(TITLES.map(Cow::Borrowed))
        .chain(containers.iter().map(row))
        .collect();
    let mut widths = [12; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (cell.chars().count() + 3).max(*width);
        }
    }
    let mut text = String::new();
    for [cells @ .., last] in &rows {
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            let space = width - cell.chars().count();
            text.extend(std::iter::repeat_n(' ', space));
        }
        text.push_str(last);
        text.push('\n');
    }
    text
}

fn row(container: &Summary) -> Row<'_> {
    [
        Cow::Borrowed(&container.id),
        Cow::Owned(container.pid.to_string()),
        Cow::Borrowed(&container.status),
        container.bundle.to_string_lossy(),
        Cow::Borrowed(&container.created),
        Cow::Borrowed(&container.owner),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn container(id: &str) -> Summary {
        Summary {
            oci_version: "1.3.0".to_owned(),
            id: id.to_owned(),
            pid: 42,
            status: "running".to_owned(),
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "1970-01-01T00:00:00.5Z".to_owned(),
            annotations: BTreeMap::new(),
            owner: "root".to_owned(),
        }
    }

    #[test]
    fn the_table_has_runcs_columns() {
        let expected = "\
ID                 PID         STATUS      BUNDLE      CREATED                  OWNER
web                42          running     /b          1970-01-01T00:00:00.5Z   root
sixteen-letters0   42          running     /b          1970-01-01T00:00:00.5Z   root
";
        assert_eq!(
            table(&[container("web"), container("sixteen-letters0")]),
            expected
        );
        assert_eq!(
            table(&[]),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }

    #[test]
    fn json_has_runcs_fields_in_runcs_order() {
        let json = serde_json::to_string(&container("web")).unwrap();
        assert_eq!(
            json,
            r#"{"ociVersion":"1.3.0","id":"web","pid":42,"status":"running","bundle":"/b","rootfs":"/b/rootfs","created":"1970-01-01T00:00:00.5Z","owner":"root"}"#
        );
    }
}
