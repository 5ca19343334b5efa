//! The containers under a state root.

use std::path::{Path, PathBuf};
use std::vec;

use crate::container::Container;
use crate::error::{ErrorKind, Result};
use crate::state;

/// The containers under a state root, by ID, each read when it is asked for. One whose state cannot be read is left out, with
/// a warning.
#[derive(Clone, Debug)]
pub struct Containers {
    root: PathBuf,
    ids: vec::IntoIter<String>,
}

impl Containers {
    pub(crate) fn under(root: &Path) -> Result<Containers> {
        let root = crate::builder::absolute(root)?;
        let ids = state::ids(&root)?.into_iter();
        Ok(Containers { root, ids })
    }

    /// How many there are at most.
    pub fn most(&self) -> usize {
        self.ids.len()
    }

    /// The second half of them, which is taken from these: for another thread to look at.
    #[must_use]
    pub fn split(&mut self) -> Containers {
        let mut first: Vec<String> = self.ids.by_ref().collect();
        let second = first.split_off(first.len() / 2);
        self.ids = first.into_iter();
        Containers {
            root: self.root.clone(),
            ids: second.into_iter(),
        }
    }
}

impl Iterator for Containers {
    type Item = Container;

    fn next(&mut self) -> Option<Container> {
        self.ids.find_map(|id| match state::read(&self.root, &id) {
            Ok(record) => Some(Container::new(self.root.clone(), record, None)),
            Err(error) => {
                // Others come and go meanwhile.
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!("{error}");
                }
                None
            }
        })
    }
}
