//! `linux.resources.unified`: files of cgroup v2 by their names.

use std::collections::{BTreeMap, HashMap};

use super::{refuse, word};
use crate::cgroup::layout::Mode;
use crate::cgroup::plan::{CgroupPlan, Planned};
use crate::cgroup::{CgroupError, pointer_token};

pub(super) fn compile(
    plan: &mut CgroupPlan,
    files: &HashMap<String, String>,
) -> Result<(), CgroupError> {
    for (file, value) in files.iter().collect::<BTreeMap<_, _>>() {
        let pointer = format!("/linux/resources/unified/{}", pointer_token(file));
        let hierarchy = hierarchy(plan, &pointer, file)?;
        if value.is_empty() {
            // A line's end is not: it is 0 to some files, and takes the value of others away.
            plan.ignore(pointer, "an empty text is nothing to write");
            continue;
        }
        // The files take one line a write.
        for line in value.split_terminator('\n') {
            let line = if line.is_empty() { "\n" } else { line };
            hierarchy.write(file.clone(), line, pointer.clone());
        }
    }
    Ok(())
}

fn hierarchy<'a>(
    plan: &'a mut CgroupPlan,
    pointer: &str,
    file: &str,
) -> Result<&'a mut Planned, CgroupError> {
    if plan.mode != Mode::V2 {
        // The first words are runc's.
        return refuse(
            pointer,
            "invalid configuration: this host's controllers are in cgroup v1",
        );
    }
    match word(pointer, file)?.split_once('.') {
        // The cgroup's own files, which are there without any controller.
        Some(("cgroup", _)) if !plan.directories.is_empty() => Ok(&mut plan.directories[0]),
        Some((controller, parameter)) if !controller.is_empty() && !parameter.is_empty() => {
            plan.hierarchy(controller, pointer)
        }
        _ => refuse(
            pointer,
            format!("{file:?} is not of the form CONTROLLER.PARAMETER"),
        ),
    }
}
