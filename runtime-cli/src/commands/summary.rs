//! What `state` and `list` tell of a container.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use runtime_core::Container;
use serde::Serialize;

use crate::failure::Result;
use crate::timestamp;

/// The specification's state and what runc adds to it, in runc's order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    #[serde(rename = "ociVersion")]
    pub(crate) oci_version: String,
    pub(crate) id: String,
    /// 0 when there is no process any more.
    pub(crate) pid: i32,
    pub(crate) status: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner: String,
}

/// What the summaries of several containers are made from.
#[derive(Debug)]
pub(crate) struct Summaries {
    passwd: String,
}

impl Summaries {
    /// Reads /etc/passwd here: a static binary cannot load the plugins of nsswitch.
    pub(crate) fn new() -> Summaries {
        Summaries {
            passwd: fs::read_to_string("/etc/passwd").unwrap_or_default(),
        }
    }

    pub(crate) fn of(&self, container: &Container) -> Result<Summary> {
        let state = container.state()?;
        Ok(Summary {
            oci_version: state.oci_version,
            id: state.id,
            pid: state.pid,
            status: state.status.to_string(),
            bundle: state.bundle,
            rootfs: container.rootfs().to_owned(),
            created: timestamp::nanoseconds(container.created()),
            annotations: state.annotations.into_iter().collect(),
            owner: self.user_name(container.owner()),
        })
    }

    /// The user's name, or `#` and the uid.
    fn user_name(&self, uid: u32) -> String {
        find_user(&self.passwd, uid).map_or_else(|| format!("#{uid}"), str::to_owned)
    }
}

fn find_user(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_named_by_the_first_line_with_the_uid() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbroken\ntoor:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:\n";
        assert_eq!(find_user(passwd, 0), Some("root"));
        assert_eq!(find_user(passwd, 1000), Some("web"));
        assert_eq!(find_user(passwd, 1), None);
    }
}
