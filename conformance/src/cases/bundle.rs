//! bundle.md.

use std::fs;

use super::errs;
use crate::{Config, Container};

cases! {
    Must "bundle.md#container-format" ["1.0.0"] "This REQUIRED file MUST reside in the root of the bundle directory and MUST be named config.json."
        config_json_lies_in_the_root_of_the_bundle;
    Must "bundle.md#container-format" ["1.0.0"] "config.json: contains configuration data. This REQUIRED file …"
        a_bundle_without_a_config_json_is_an_error;
    Must "bundle.md#container-format" ["1.0.0"] "container's root filesystem: the directory referenced by root.path, if that property is set in config.json."
        the_root_file_system_is_the_directory_that_root_path_names;
}

fn config_json_lies_in_the_root_of_the_bundle() {
    let container = Container::new(|_| {});
    let bundle = container.bundle();
    let decoy = bundle.join("rootfs/config.json");
    fs::copy(bundle.join("config.json"), decoy).unwrap();
    let _ = container.run().ok();
    fs::create_dir(bundle.join("inner")).unwrap();
    fs::rename(bundle.join("config.json"), bundle.join("inner/config.json")).unwrap();
    errs(&container.run());
}

fn a_bundle_without_a_config_json_is_an_error() {
    let container = Container::empty();
    fs::write(
        container.bundle().join("config"),
        Config::default().0.to_string(),
    )
    .unwrap();
    errs(&container.create());
    container.assert_nothing_left();
}

fn the_root_file_system_is_the_directory_that_root_path_names() {
    let container = Container::new(|config| {
        config
            .args(&["/bin/cat", "/here"])
            .set("/root/path", "other".into());
    });
    fs::rename(container.rootfs(), container.bundle().join("other")).unwrap();
    fs::write(container.bundle().join("other/here"), "other").unwrap();
    assert_eq!(container.run().ok().stdout, "other");
}
