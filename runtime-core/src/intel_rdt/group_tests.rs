//! What is made, joined and removed, in a directory that stands in for resctrl.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::stand_in;
use super::{Group, IntelRdt, tests::compile};
use crate::error::{Error, ErrorKind};

struct Resctrl(tempfile::TempDir);

impl Resctrl {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        stand_in::mount(directory.path());
        Resctrl(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn class(&self, name: &str, schemata: &str) {
        stand_in::create_dir(&self.path(name)).unwrap();
        fs::write(self.path(name).join("schemata"), schemata).unwrap();
    }

    /// All that there is, and what is in it.
    fn contents(&self) -> Vec<(PathBuf, String)> {
        fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                found.push((path.clone(), fs::read_to_string(&path).unwrap_or_default()));
                if path.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.sort();
        found
    }

    fn plan(&self, asked: Value) -> IntelRdt {
        compile("web", asked, self.0.path().to_str())
            .unwrap()
            .unwrap()
    }

    /// A container of this configuration is made, and its process is 42.
    fn made(&self, asked: Value) -> Group {
        let mut making = self.plan(asked).prepare().unwrap();
        making.make().unwrap();
        making.group.join(42).unwrap();
        making.group
    }

    /// It cannot be made; all is as it was.
    fn refused(&self, asked: Value) -> Error {
        let before = self.contents();
        let error = match self.plan(asked).prepare() {
            Err(error) => error,
            Ok(mut making) => {
                let error = making.make().unwrap_err();
                making.undo();
                error
            }
        };
        assert_eq!(self.contents(), before);
        assert_eq!(error.kind(), ErrorKind::Setup);
        error
    }
}

#[test]
fn without_a_name_the_class_is_the_containers_and_goes_with_it() {
    let resctrl = Resctrl::new();
    let before = resctrl.contents();
    let group = resctrl.made(json!({"l3CacheSchema": "L3:0=f"}));
    assert_eq!(resctrl.read("web/tasks"), "42");
    assert!(resctrl.read("web/schemata").ends_with("L3:0=fff\nL3:0=f\n"));
    group.remove().unwrap();
    assert_eq!(resctrl.contents(), before);
    group.remove().unwrap();
}

#[test]
fn without_a_schema_none_is_written() {
    let resctrl = Resctrl::new();
    let root = resctrl.read("schemata");
    let group = resctrl.made(json!({}));
    assert_eq!(resctrl.read("web/schemata"), root);
    group.remove().unwrap();
    resctrl.class("gold", "L3:0=f\n");
    let _ = resctrl.made(json!({"closID": "gold"}));
    assert_eq!(resctrl.read("gold/schemata"), "L3:0=f\n");
    assert_eq!(resctrl.read("schemata"), root);
}

#[test]
fn a_directory_that_was_there_by_the_containers_id_stays() {
    let resctrl = Resctrl::new();
    resctrl.class("web", "L3:0=f\n");
    let group = resctrl.made(json!({}));
    assert_eq!(resctrl.read("web/tasks"), "42");
    group.remove().unwrap();
    assert!(resctrl.path("web/tasks").exists());
}

#[test]
fn a_named_class_is_made_if_there_is_a_schema_and_stays() {
    for (field, value) in [
        ("l3CacheSchema", json!("L3:0=f")),
        ("memBwSchema", json!("MB:0=20")),
        ("schemata", json!(["L2:0=1"])),
    ] {
        let resctrl = Resctrl::new();
        let group = resctrl.made(json!({"closID": "gold", field: value}));
        assert_eq!(resctrl.read("gold/tasks"), "42", "{field}");
        group.remove().unwrap();
        assert!(resctrl.path("gold/tasks").exists(), "{field}");
    }
}

#[test]
fn schemata_are_written_one_after_the_other() {
    let resctrl = Resctrl::new();
    let asked = json!({"schemata": ["L2:0=1", "L3:0=3"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f"});
    let _ = resctrl.made(asked);
    let written = "L3:0=f\nMB:0=20\nL2:0=1\nL3:0=3\n";
    assert!(resctrl.read("web/schemata").ends_with(written));
}

#[test]
fn a_named_class_without_a_schema_has_to_be_there() {
    let resctrl = Resctrl::new();
    let error = resctrl.refused(json!({"closID": "gold"}));
    assert_eq!(error.origin(), Some("/linux/intelRdt/closID"));
    resctrl.class("gold", "");
    let group = resctrl.made(json!({"closID": "gold"}));
    group.remove().unwrap();
    assert_eq!(resctrl.read("gold/tasks"), "42");
}

#[test]
fn a_named_class_that_is_there_has_to_have_the_schemata_that_are_asked_for() {
    let resctrl = Resctrl::new();
    resctrl.class("gold", "    MB:0=  30\n    L3:0=00f\n");
    for agreed in [
        json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}),
        json!({"closID": "gold", "memBwSchema": "MB:0=25"}),
        json!({"closID": "gold", "schemata": ["L3:0=fff"]}),
    ] {
        let _ = resctrl.made(agreed);
    }
    for (other, origin) in [
        (
            json!({"closID": "gold", "l3CacheSchema": "L3:0=1f"}),
            "l3CacheSchema",
        ),
        (
            json!({"closID": "gold", "memBwSchema": "MB:0=40"}),
            "memBwSchema",
        ),
        (
            json!({"closID": "/", "l3CacheSchema": "L3:0=1"}),
            "l3CacheSchema",
        ),
    ] {
        let error = resctrl.refused(other);
        let pointer = format!("/linux/intelRdt/{origin}");
        assert_eq!(error.origin(), Some(pointer.as_str()), "{error}");
    }
}

#[test]
fn the_default_class_is_the_root() {
    let resctrl = Resctrl::new();
    let group = resctrl.made(json!({"closID": "/", "enableMonitoring": true}));
    assert_eq!(resctrl.read("tasks"), "42");
    assert_eq!(resctrl.read("mon_groups/web/tasks"), "42");
    group.remove().unwrap();
    assert!(resctrl.path("schemata").exists());
    assert!(!resctrl.path("mon_groups/web").exists());
}

#[test]
fn a_monitoring_group_goes_with_the_container_and_the_class_stays() {
    let resctrl = Resctrl::new();
    resctrl.class("gold", "L3:0=f\n");
    let before = resctrl.contents().len();
    let group = resctrl.made(json!({"closID": "gold", "enableMonitoring": true}));
    assert_eq!(resctrl.read("gold/mon_groups/web/tasks"), "42");
    group.remove().unwrap();
    assert_eq!(resctrl.contents().len(), before);
}

#[test]
fn a_monitoring_group_that_cannot_be_made_is_an_error_and_nothing_is_left() {
    let resctrl = Resctrl::new();
    resctrl.class("gold", "L3:0=f\n");
    stand_in::create_dir(&resctrl.path("gold/mon_groups/web")).unwrap();
    fs::write(resctrl.path("info/last_cmd_status"), "Out of RMIDs\n").unwrap();
    let error = resctrl.refused(json!({"closID": "gold", "enableMonitoring": true}));
    assert_eq!(error.origin(), Some("/linux/intelRdt/enableMonitoring"));
    assert!(error.to_string().contains("(Out of RMIDs)"), "{error}");
    fs::remove_dir(resctrl.path("gold/mon_groups/web")).unwrap_err();
    fs::remove_dir_all(resctrl.path("mon_groups")).unwrap();
}

#[test]
fn a_class_that_was_made_for_a_container_that_failed_goes_unless_others_are_in_it() {
    for (others, stays) in [("", false), ("77\n", true)] {
        let resctrl = Resctrl::new();
        let asked = json!({"closID": "gold", "l3CacheSchema": "L3:0=f", "enableMonitoring": true});
        let mut making = resctrl.plan(asked).prepare().unwrap();
        making.make().unwrap();
        fs::write(resctrl.path("gold/tasks"), others).unwrap();
        making.undo();
        assert_eq!(resctrl.path("gold").exists(), stays);
        assert!(!resctrl.path("gold/mon_groups/web").exists());
    }
}

#[test]
fn a_tenant_goes_on_when_the_group_is_gone_and_a_first_process_does_not() {
    let resctrl = Resctrl::new();
    let group = resctrl.made(json!({"enableMonitoring": true}));
    group.join_running(43).unwrap();
    assert_eq!(resctrl.read("web/tasks"), "4243");
    assert_eq!(resctrl.read("web/mon_groups/web/tasks"), "4243");
    group.remove().unwrap();
    group.join_running(44).unwrap();
    let error = group.join(44).unwrap_err();
    assert_eq!(error.origin(), Some("/linux/intelRdt"));
}
