//! `linux.maskedPaths` and `linux.readonlyPaths`.

use runtime_init::{Slot, Step, Text};

use crate::error::{Error, Result};
use crate::plan::{Builder, Source, c_string};

/// Makes paths read-only.
pub(crate) fn read_only(plan: &mut Builder<'_>) -> Result<()> {
    let paths = plan
        .linux()
        .and_then(|linux| linux.readonly_paths().as_deref())
        .unwrap_or_default();
    for (number, path) in paths.iter().enumerate() {
        let pointer = format!("/linux/readonlyPaths/{number}");
        let path = c_string(&pointer, absolute(&pointer, path)?)?;
        plan.step(pointer, &Step::MakeReadonly { path: Text(&path) });
    }
    Ok(())
}

/// Opens the null device for masks where the init has to: once the root is changed, it does not see the host's.
pub(crate) fn open_null_device(plan: &mut Builder<'_>) -> Result<()> {
    let masked = plan.linux().and_then(|linux| linux.masked_paths().as_ref());
    if !plan.facts.may_clone_mounts() && masked.is_some_and(|paths| !paths.is_empty()) {
        plan.null_device = Some(null_device(plan)?);
    }
    Ok(())
}

fn null_device(plan: &mut Builder<'_>) -> Result<Slot> {
    let origin = crate::plan::pointer("/linux/maskedPaths");
    plan.tree(origin, Source::NullDevice)
}

/// Hides paths. The null device behind which a file disappears is the host's own: the image's may be anything
/// (CVE-2025-31133).
pub(crate) fn mask(plan: &mut Builder<'_>) -> Result<()> {
    let paths = plan
        .linux()
        .and_then(|linux| linux.masked_paths().as_deref())
        .unwrap_or_default();
    if paths.is_empty() {
        return Ok(());
    }
    let null = match plan.null_device {
        Some(null) => null,
        None => null_device(plan)?,
    };
    for (number, path) in paths.iter().enumerate() {
        let is_masked = paths.iter().take(number).any(|earlier| earlier == path);
        if is_masked {
            continue;
        }
        let pointer = format!("/linux/maskedPaths/{number}");
        let path = c_string(&pointer, absolute(&pointer, path)?)?;
        plan.step(
            pointer,
            &Step::Mask {
                path: Text(&path),
                null,
            },
        );
    }
    Ok(())
}

fn absolute<'p>(pointer: &str, path: &'p str) -> Result<&'p str> {
    if path.starts_with('/') {
        return Ok(path);
    }
    Err(Error::config(
        pointer,
        format!("{path:?} is not an absolute path"),
    ))
}
