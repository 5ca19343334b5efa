//! `--cgroup` of `exec`: `[CONTROLLER,…:]PATH`.

use std::collections::BTreeSet;

use runtime_core::ExecBuilder;

use crate::failure::{Failure, Result};

/// Puts the process into the cgroups that the options name.
pub(super) fn apply<'a>(builder: ExecBuilder<'a>, options: &[String]) -> Result<ExecBuilder<'a>> {
    let places = parse(options)?.into_iter();
    Ok(places.fold(builder, |builder, place| match place {
        (Some(controller), path) => builder.sub_cgroup_of(controller, path),
        (None, path) => builder.sub_cgroup(path),
    }))
}

/// One path for all, or one for each of some controllers.
pub(super) fn parse(options: &[String]) -> Result<Vec<(Option<&str>, &str)>> {
    let mut named = BTreeSet::new();
    let mut places = Vec::new();
    for option in options {
        let Some((controllers, path)) = option.split_once(':') else {
            if options.len() > 1 {
                return Err(invalid(option, "missing <controller>: prefix"));
            }
            places.push((None, option.as_str()));
            continue;
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return Err(invalid(option, "empty <controller> prefix"));
            }
            if !named.insert(controller) {
                let problem = format!("controller {controller} specified multiple times");
                return Err(invalid(option, &problem));
            }
            places.push((Some(controller), path));
        }
    }
    Ok(places)
}

fn invalid(option: &str, problem: &str) -> Failure {
    Failure::new(format!("invalid --cgroup argument: {option} ({problem})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn a_path_is_for_all_hierarchies_or_for_those_of_the_controllers_before_it() {
        assert_eq!(parse(&owned(&["/a"])).unwrap(), [(None, "/a")]);
        assert_eq!(
            parse(&owned(&["memory:m", "cpu,cpuacct:c:d"])).unwrap(),
            [
                (Some("memory"), "m"),
                (Some("cpu"), "c:d"),
                (Some("cpuacct"), "c:d")
            ]
        );
    }

    #[test]
    fn what_would_be_ambiguous_is_refused() {
        for (options, problem) in [
            (&["a", "b"][..], "missing <controller>: prefix"),
            (&["cpu:a", "b"], "missing <controller>: prefix"),
            (&[":a"], "empty <controller> prefix"),
            (&["cpu,:a"], "empty <controller> prefix"),
            (&["cpu:a", "cpu:a"], "cpu specified multiple times"),
        ] {
            let error = parse(&owned(options)).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
