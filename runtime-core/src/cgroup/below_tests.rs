use super::*;
use crate::cgroup::Version;

fn directory(version: Version, controllers: &[&str], path: &str) -> Directory {
    Directory {
        version,
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: "/no/such/hierarchy".into(),
        path: path.into(),
    }
}

fn hybrid() -> Cgroup {
    Cgroup {
        directories: vec![
            directory(Version::V1, &["cpu", "cpuacct"], "/no/such/cpu/web"),
            directory(Version::V1, &["memory"], "/no/such/memory/web"),
            directory(Version::V2, &["hugetlb"], "/no/such/unified/web"),
        ],
        ..Cgroup::default()
    }
}

fn v2() -> Cgroup {
    Cgroup {
        directories: vec![directory(
            Version::V2,
            &["cpu", "memory", "pids"],
            "/no/such/web",
        )],
        ..Cgroup::default()
    }
}

fn below(everywhere: Option<&str>, of_controllers: &[(&str, &str)]) -> Below {
    let owned = |(name, path): &(&str, &str)| ((*name).to_owned(), path.into());
    Below {
        everywhere: everywhere.map(PathBuf::from),
        of_controllers: of_controllers.iter().map(owned).collect(),
    }
}

fn places(below: &Below, cgroup: &Cgroup) -> Result<Vec<PathBuf>> {
    below.check(cgroup)?;
    let directories = cgroup.directories.iter();
    directories.map(|one| below.within(one)).collect()
}

#[test]
fn a_path_alone_is_for_all_hierarchies_wherever_it_starts() {
    for path in ["a/b", "/a/b", "./a//b/", "a/./b"] {
        let places = places(&below(Some(path), &[]), &hybrid()).unwrap();
        assert_eq!(places, ["a/b", "a/b", "a/b"].map(PathBuf::from), "{path}");
    }
}

#[test]
fn a_controllers_path_is_for_its_hierarchy_and_the_others_stay_as_they_are() {
    let asked = below(None, &[("cpu", "x"), ("cpuacct", "/x"), ("hugetlb", "y")]);
    let places = places(&asked, &hybrid()).unwrap();
    assert_eq!(places, ["x", "", "y"].map(PathBuf::from));
}

#[test]
fn in_version_2_a_controller_is_a_name_of_the_one_hierarchy() {
    let asked = below(None, &[("pids", "x")]);
    assert_eq!(places(&asked, &v2()).unwrap(), [PathBuf::from("x")]);
    let asked = below(None, &[("pids", "x"), ("memory", "y")]);
    let error = places(&asked, &v2()).unwrap_err().to_string();
    assert!(
        error.contains("pids and memory share a hierarchy"),
        "{error}"
    );
}

#[test]
fn dots_that_lead_up_are_refused_even_where_they_come_back() {
    for path in ["..", "../web", "a/../b", "/..", "a/b/../.."] {
        for asked in [below(Some(path), &[]), below(None, &[("cpu", path)])] {
            let error = places(&asked, &hybrid()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(
                text.contains(&format!("bad sub cgroup path: {path}")),
                "{text}"
            );
        }
    }
}

#[test]
fn a_controller_that_the_container_has_no_cgroup_of_is_unknown() {
    let error = places(&below(None, &[("whaaat", "/")]), &hybrid()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown controller whaaat: the container's cgroup has cpu, cpuacct, memory, hugetlb"
    );
}

#[test]
fn version_2_is_bound_by_a_path_where_it_is_alone_and_by_its_controller() {
    assert!(below(Some("/"), &[]).binds_v2(&v2()));
    assert!(!below(Some("/"), &[]).binds_v2(&hybrid()));
    assert!(below(None, &[("hugetlb", "/")]).binds_v2(&hybrid()));
    assert!(!below(None, &[("cpu", "/")]).binds_v2(&hybrid()));
    assert!(!Below::default().binds_v2(&v2()));
}

#[test]
fn a_cgroup_that_is_not_there_is_named_with_runcs_phrase() {
    let error = v2().v2_directory_of(&below(Some("x"), &[])).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOENT));
    let text = error.to_string();
    assert!(text.contains(" adding pid "), "{text}");
    assert!(
        text.contains("/no/such/web/x: No such file or directory"),
        "{text}"
    );
}

#[test]
fn no_link_leads_out() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("own/sub")).unwrap();
    std::os::unix::fs::symlink("..", root.path().join("own/up")).unwrap();
    let own = root.path().join("own");
    assert!(open_below(&own, Path::new("sub")).is_ok());
    assert!(open_below(&own, Path::new("")).is_ok());
    for path in ["up", "up/own", "sub/../..", "/"] {
        assert!(open_below(&own, Path::new(path)).is_err(), "{path}");
    }
}
