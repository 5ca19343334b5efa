//! Containers for real, on a host whose resctrl file system a directory stands in for. Needs root.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIntelRdt, LinuxResources, Spec};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stand_in;
use crate::builder::Stdio;
use crate::facts::HostFacts;
use crate::{Bundle, Container, ContainerBuilder, Result};

/// A bundle, a state root and a stand-in.
struct Place(TempDir);

impl Place {
    /// None, and a word why, where containers cannot be made.
    fn new() -> Option<Place> {
        let busybox = Path::new("/bin/busybox");
        if !rustix::process::geteuid().is_root() || !busybox.exists() {
            println!("skipped: this needs root and a static /bin/busybox");
            return None;
        }
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path("bundle/rootfs/bin")).unwrap();
        fs::copy(busybox, place.path("bundle/rootfs/bin/busybox")).unwrap();
        fs::create_dir(place.path("resctrl")).unwrap();
        stand_in::mount(&place.path("resctrl"));
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The pids that were written to a group.
    fn tasks(&self, group: &str) -> String {
        fs::read_to_string(self.path("resctrl").join(group).join("tasks")).unwrap()
    }

    fn builder(&self, id: &str, program: &[&str], asked: Value) -> ContainerBuilder {
        let mut spec = serde_json::to_value(crate::default_spec()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(program);
        spec["linux"]["intelRdt"] = asked;
        spec["linux"]["cgroupsPath"] = json!(format!("/bareboat-rdt-{}-{id}", std::process::id()));
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let bundle = Bundle::from_spec(self.path("bundle"), spec).unwrap();
        Container::builder(id, bundle)
            .state_root(self.path("state"))
            .stdio(Stdio::Null)
    }

    fn make(&self, id: &str, program: &[&str], asked: Value) -> Result<Container> {
        let facts = HostFacts {
            resctrl: Some(self.path("resctrl")),
            ..HostFacts::read().unwrap()
        };
        self.builder(id, program, asked).make(Some(facts))
    }
}

const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "100"];

#[test]
fn the_process_and_its_tenants_are_in_the_groups_until_the_container_is_deleted() {
    let Some(place) = Place::new() else { return };
    let asked = json!({"schemata": ["L3:0=f"], "enableMonitoring": true});
    let container = place.make("own", &SLEEP, asked).unwrap();
    let pid = container.pid().unwrap();
    for group in ["own", "own/mon_groups/own"] {
        assert_eq!(place.tasks(group), pid.to_string(), "{group}, before start");
    }
    container.start().unwrap();
    let container = Container::load(place.path("state"), "own").unwrap();
    let mut process = container.spec().unwrap().process().clone().unwrap();
    process.set_args(Some(vec!["/bin/busybox".into(), "true".into()]));
    let tenant = container.exec(process).stdio(Stdio::Null).spawn().unwrap();
    let both = format!("{pid}{}", tenant.pid());
    assert_eq!(tenant.wait().unwrap().code(), 0);
    for group in ["own", "own/mon_groups/own"] {
        assert_eq!(place.tasks(group), both, "{group}");
    }
    container.delete(true).unwrap();
    assert!(!place.path("resctrl/own").exists());
    assert!(!place.path("state/own").exists());
}

#[test]
fn a_create_that_fails_leaves_no_group() {
    let Some(place) = Place::new() else { return };
    for asked in [
        json!({"enableMonitoring": true}),
        json!({"closID": "gold", "memBwSchema": "MB:0=20"}),
    ] {
        let error = place
            .make("lost", &["/no/such/program"], asked.clone())
            .unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Program, "{error}");
        for group in ["lost", "gold"] {
            assert!(
                !place.path("resctrl").join(group).exists(),
                "{asked}: {group}"
            );
        }
        assert!(!place.path("state/lost").exists());
    }
}

#[test]
fn a_process_that_cannot_be_put_into_its_group_fails_the_create() {
    let Some(place) = Place::new() else { return };
    stand_in::create_dir(&place.path("resctrl/gold")).unwrap();
    fs::remove_file(place.path("resctrl/gold/tasks")).unwrap();
    let error = place
        .make("outside", &SLEEP, json!({"closID": "gold"}))
        .unwrap_err();
    assert_eq!(error.origin(), Some("/linux/intelRdt"), "{error}");
    assert!(place.path("resctrl/gold").exists());
    assert!(!place.path("state/outside").exists());
}

#[test]
fn a_named_class_outlives_the_container() {
    let Some(place) = Place::new() else { return };
    let asked = json!({"closID": "gold", "memBwSchema": "MB:0=20", "enableMonitoring": true});
    let container = place.make("guest", &SLEEP, asked).unwrap();
    assert_eq!(
        place.tasks("gold/mon_groups/guest"),
        container.pid().unwrap().to_string()
    );
    container.delete(true).unwrap();
    assert!(place.path("resctrl/gold").exists());
    assert!(!place.path("resctrl/gold/mon_groups/guest").exists());
}

#[test]
fn shares_change_while_the_container_runs_and_are_kept() {
    let Some(place) = Place::new() else { return };
    let container = place
        .make("more", &SLEEP, json!({"memBwSchema": "MB:0=20"}))
        .unwrap();
    let mut asked = LinuxIntelRdt::default();
    asked.set_l3_cache_schema(Some("L3:0=f".into()));
    let mut resources = LinuxResources::default();
    resources.set_pids(serde_json::from_value(json!({"limit": 17})).unwrap());
    container.update_with(&resources, Some(&asked)).unwrap();
    let schemata = fs::read_to_string(place.path("resctrl/more/schemata")).unwrap();
    assert!(schemata.ends_with("MB:0=20\nL3:0=f\n"), "{schemata}");
    let spec = container.spec().unwrap();
    let linux = spec.linux().clone().unwrap();
    let kept = linux.intel_rdt().clone().unwrap();
    assert_eq!(kept.l3_cache_schema().as_deref(), Some("L3:0=f"));
    assert_eq!(kept.mem_bw_schema().as_deref(), Some("MB:0=20"));
    let pids = linux.resources().as_ref().unwrap().pids().unwrap();
    assert_eq!(pids.limit(), 17);
    container.delete(true).unwrap();
}

#[test]
fn shares_that_the_kernel_refuses_and_those_of_a_refused_update_are_taken_back() {
    let Some(place) = Place::new() else { return };
    let container = place.make("back", &SLEEP, json!({})).unwrap();
    let schemata = || fs::read_to_string(place.path("resctrl/back/schemata")).unwrap();
    // The stand-in keeps all that is written: what is written back comes last.
    let before = "MB:0=100\nL3:0=fff\n";
    let mut asked = LinuxIntelRdt::default();
    asked.set_l3_cache_schema(Some("L3:0=f".into()));
    asked.set_mem_bw_schema(Some("MB:nonsense".into()));
    let none = LinuxResources::default();
    let error = container.update_with(&none, Some(&asked)).unwrap_err();
    assert_eq!(error.origin(), Some("/linux/intelRdt/memBwSchema"));
    assert!(error.to_string().contains("MB:nonsense"), "{error}");
    assert!(schemata().ends_with(&format!("L3:0=f\n{before}")));
    asked.set_mem_bw_schema(None);
    let mut resources = LinuxResources::default();
    resources.set_cpu(serde_json::from_value(json!({"cpus": "4000"})).unwrap());
    let error = container.update_with(&resources, Some(&asked)).unwrap_err();
    assert_eq!(error.origin(), Some("/linux/resources/cpu/cpus"));
    assert!(schemata().ends_with(&format!("L3:0=f\n{before}")));
    let spec = container.spec().unwrap();
    let kept = spec.linux().clone().unwrap().intel_rdt().clone().unwrap();
    assert_eq!(kept.l3_cache_schema(), &None);
    container.delete(true).unwrap();
}

#[test]
fn a_container_without_a_class_gets_none_by_an_update() {
    let Some(place) = Place::new() else { return };
    let builder = place.builder("classless", &SLEEP, Value::Null);
    let container = builder.create().unwrap();
    let none = LinuxResources::default();
    let error = container
        .update_with(&none, Some(&LinuxIntelRdt::default()))
        .unwrap_err();
    assert!(error.to_string().contains("Intel RDT"), "{error}");
    container.delete(true).unwrap();
}
