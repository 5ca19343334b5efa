//! `bareboat list`

use clap::{Args, ValueEnum};
use runtime_core::Container;

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
            return output::text(
                &containers
                    .iter()
                    .map(|container| format!("{}\n", container.id))
                    .collect::<String>(),
            );
        }
        match self.format {
            ListFormat::Json => output::json(&containers),
            ListFormat::Table => output::text(&table(&containers)),
        }
    }
}

fn containers(globals: &Globals) -> Result<Vec<Summary>> {
    let root = globals.state_root()?;
    match root.symlink_metadata() {
        // Without --root: no container was made yet.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && globals.root.is_none() => {
            return Ok(Vec::new());
        }
        Err(cause) => return Err(Failure::io(format_args!("open {}", root.display()), cause)),
        Ok(_) => {}
    }
    let summaries = Summaries::new();
    let containers = Container::list(&root)?.into_iter().filter_map(|container| {
        match summaries.of(&container) {
            Ok(summary) => Some(summary),
            Err(failure) => {
                // It may have been deleted meanwhile.
                tracing::warn!("state of {}: {failure}", container.id());
                None
            }
        }
    });
    Ok(containers.collect())
}

/// Columns of at least 12 characters, 3 of them space.
fn table(containers: &[Summary]) -> String {
    const TITLES: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let rows: Vec<[String; 6]> = std::iter::once(TITLES.map(str::to_owned))
        .chain(containers.iter().map(row))
        .collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let longest = rows
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        (longest + 3).max(12)
    });
    let line = |row: &[String; 6]| {
        let (last, others) = (&row[5], &row[..5]);
        let padded: String = others
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{padded}{last}\n")
    };
    rows.iter().map(line).collect()
}

fn row(container: &Summary) -> [String; 6] {
    [
        container.id.clone(),
        container.pid.to_string(),
        container.status.clone(),
        container.bundle.display().to_string(),
        container.created.clone(),
        container.owner.clone(),
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
