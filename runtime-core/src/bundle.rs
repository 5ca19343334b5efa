//! A bundle: a directory with a root file system and its `config.json` (bundle.md).

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Spec};
use serde_json::Value;

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::{memory_policy, process_json, scheduler};

/// What a container is created from.
///
/// ```no_run
/// let bundle = runtime_core::Bundle::load("/srv/bundles/web")?;
/// assert!(bundle.spec().root().is_some());
/// # Ok::<(), runtime_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    spec: Spec,
    /// `config.json` byte for byte, kept with the container's state.
    text: Vec<u8>,
}

impl Bundle {
    /// Reads the bundle in `directory`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] when `config.json` is not there, is not JSON, or has a value of the wrong shape; the
    /// origin is the JSON pointer of that value.
    pub fn load(directory: impl AsRef<Path>) -> Result<Bundle> {
        let directory = directory.as_ref();
        let path = directory.canonicalize().map_err(|cause| {
            Error::io(
                ErrorKind::InvalidConfig,
                format!("bundle {}", directory.display()),
                cause,
            )
        })?;
        let file = path.join("config.json");
        let text = fs::read(&file).map_err(|cause| {
            Error::io(
                ErrorKind::InvalidConfig,
                format!("open {}", file.display()),
                cause,
            )
        })?;
        let spec = parse(&text).map_err(|error| error.context(file.display()))?;
        Ok(Bundle { path, spec, text })
    }

    /// A bundle whose configuration is in memory. Relative paths in it, `root.path` for one, are relative to `directory`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when `directory` cannot be resolved.
    pub fn from_spec(directory: impl AsRef<Path>, spec: Spec) -> Result<Bundle> {
        let directory = directory.as_ref();
        let path = directory
            .canonicalize()
            .host(|| format!("bundle {}", directory.display()))?;
        let text =
            serde_json::to_vec(&spec).map_err(|cause| Error::config("", cause.to_string()))?;
        Ok(Bundle { path, spec, text })
    }

    /// The configuration.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The bundle's absolute path, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Parses `config.json`. A first parse takes the fast way; only when it fails do others find out why.
pub(crate) fn parse(text: &[u8]) -> Result<Spec> {
    let parsed = serde_json::from_slice(text).or_else(|first| match respelled(text) {
        Some(config) => {
            serde_path_to_error::deserialize(config).map_err(|error| explain_value("", &error))
        }
        None => Err(explain(text, &first)),
    });
    parsed.map(|spec| without_invented_limit(spec, text))
}

/// For the parser an absent `pids.limit` is 0, which is a limit (config-linux.md, "PIDs"): absent, it limits nothing.
fn without_invented_limit(mut spec: Spec, text: &[u8]) -> Spec {
    let resources = spec.linux_mut().as_mut().map(Linux::resources_mut);
    let Some(Some(resources)) = resources else {
        return spec;
    };
    let is_given = || {
        let config: Option<Value> = serde_json::from_slice(text).ok();
        config.is_some_and(|config| config.pointer("/linux/resources/pids/limit").is_some())
    };
    if resources.pids().is_some_and(|pids| pids.limit() == 0) && !is_given() {
        resources.set_pids(None);
    }
    spec
}

/// The configuration in the parser's spelling, if that is another than its own.
fn respelled(text: &[u8]) -> Option<Value> {
    let mut config: Value = serde_json::from_slice(text).ok()?;
    process_json::respell(config.get_mut("process")?).then_some(config)
}

fn explain(text: &[u8], first: &serde_json::Error) -> Error {
    let mut json = serde_json::Deserializer::from_slice(text);
    match serde_path_to_error::deserialize::<_, Spec>(&mut json) {
        Err(error) => explain_value("", &error),
        Ok(_) => Error::config("", first.to_string()),
    }
}

/// What is wrong with a value below the pointer.
pub(crate) fn explain_value(
    parent: &str,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Error {
    let pointer = format!("{parent}{}", json_pointer(error.path()));
    let problem = error.inner().to_string();
    let problem = scheduler::explain(&pointer)
        .or_else(|| memory_policy::explain(&pointer, &problem))
        .unwrap_or(problem);
    Error::config(pointer, problem)
}

/// RFC 6901, from the path that the parser was on.
fn json_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Unknown => pointer,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_shape_is_named_by_its_pointer() {
        let error =
            parse(br#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":"zero","gid":0}}}"#)
                .unwrap_err();
        assert_eq!(error.origin(), Some("/process/user/uid"));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn a_capability_that_nobody_knows_is_left_out() {
        let text = br#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":0,"gid":0},
            "capabilities":{"bounding":["CAP_KILL","CAP_NONESUCH"]}}}"#;
        let spec = parse(text).unwrap();
        let capabilities = spec
            .process()
            .as_ref()
            .and_then(|process| process.capabilities().as_ref());
        let bounding = capabilities
            .and_then(|sets| sets.bounding().as_ref())
            .unwrap();
        assert_eq!(bounding.len(), 1);
    }

    #[test]
    fn an_absent_limit_of_tasks_is_none_and_zero_is_one() {
        let limit = |pids: &str| {
            let text =
                format!(r#"{{"ociVersion":"1.0.2","linux":{{"resources":{{"pids":{pids}}}}}}}"#);
            let spec = parse(text.as_bytes()).unwrap();
            let resources = spec.linux().as_ref().unwrap().resources().as_ref();
            resources.unwrap().pids().map(|pids| pids.limit())
        };
        assert_eq!(limit("{}"), None);
        assert_eq!(limit(r#"{"limit": 0}"#), Some(0));
        assert_eq!(limit(r#"{"limit": -1}"#), Some(-1));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_position() {
        let error = parse(b"{\"ociVersion\": ").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
