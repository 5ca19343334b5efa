//! One property of a unit.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::value::Value;
use crate::cgroup::plan::Origin;

/// A property of a unit, with what asked for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Property {
    pub(super) name: Cow<'static, str>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Property {
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        value: Value,
        origin: impl Into<Origin>,
    ) -> Property {
        Property {
            name: name.into(),
            value,
            origin: origin.into(),
        }
    }

    /// Its name, as `systemctl show` and org.freedesktop.systemd1(5) have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON pointer of what asked for it, or the default that did, in words.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}
