//! A bundle: a directory with a root file system and its `config.json` (bundle.md).

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::config_json;
use crate::error::{Attempt, Error, ErrorKind, Result};

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
        let spec = config_json::parse_spec(&text).map_err(|error| error.context(file.display()))?;
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
