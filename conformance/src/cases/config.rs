//! config.md: version, root, mounts, names, annotations and extensibility.

use std::fs;

use serde_json::{Value, json};

use super::{errs, inside, refused, refuses, running};
use crate::Container;
use crate::container::{output_of, probe};

cases! {
    Must "config.md#specification-version" ["1.0.0"] "if a configuration is compliant with version 1.1 …, it is compatible with all runtimes that support any 1.1 or later release"
        older_versions_of_a_configuration_are_accepted;
    Must "config.md#specification-version" ["1.0.0"] "ociVersion (string, REQUIRED) MUST be in SemVer v2.0.0 format"
        a_version_that_is_none_is_an_error => || refuses(|config| { config.version("newest"); });
    Must "config.md#specification-version" ["1.0.0"] "ociVersion (string, REQUIRED)"
        a_configuration_without_a_version_is_an_error => || refuses(|config| { config.remove("/ociVersion"); });
    Must "config.md#root" ["1.0.0"] "On POSIX platforms, path is either an absolute path …"
        the_path_of_the_root_can_be_absolute;
    Must "config.md#root" ["1.0.0"] "… or a relative path to the bundle."
        the_path_of_the_root_can_be_relative_to_the_bundle => || drop(probe(|_| {}));
    Must "config.md#root" ["1.0.0"] "A directory MUST exist at the path declared by the field."
        a_root_that_does_not_exist_is_an_error => || refuses(|config| { config.set("/root/path", json!("no-such-directory")); });
    Must "config.md#root" ["1.0.0"] "path (string, REQUIRED); A directory MUST exist at the path"
        a_root_that_is_a_file_is_an_error;
    Must "config.md#root" ["1.0.0"] "On all other platforms, this field is REQUIRED."
        a_configuration_without_a_root_is_an_error => || refuses(|config| { config.remove("/root"); });
    Must "config.md#root" ["1.0.0"] "readonly: If true then the root filesystem MUST be read-only inside the container, …"
        a_readonly_root_cannot_be_written => || assert_eq!(written(json!(true)), "no");
    Must "config.md#root" ["1.0.0"] "… defaults to false."
        a_root_is_writable_by_default => || assert_eq!(written(Value::Null), "yes");

    Must "config.md#mounts" ["1.0.0"] "The runtime MUST mount entries in the listed order."
        mounts_are_made_in_the_listed_order;
    Must "config.md#mounts" ["1.2.0"] "[destination] MAY be a relative path, in which case it MUST be interpreted as relative to \"/\"."
        a_relative_destination_is_below_the_root;
    Must "config.md#mounts" ["1.0.0"] "destination (string, REQUIRED) Destination of mount point: path inside container."
        a_destination_is_a_path_inside_the_container;
    Must "config.md#mounts" ["1.0.0"] "source (string, OPTIONAL) A device name, but can also be a file or directory name for bind mounts or a dummy. Path values for bind mounts are either absolute …"
        a_bind_mount_can_have_an_absolute_source => || bind_of("absolute");
    Must "config.md#mounts" ["1.0.0"] "… or relative to the bundle."
        a_bind_mount_can_have_a_source_relative_to_the_bundle => || bind_of("relative");
    Must "config.md#mounts" ["1.0.0"] "A mount is a bind mount if it has either bind or rbind in its options."
        a_mount_with_the_option_bind_is_a_bind_mount_whatever_its_type;
    Must "config.md#mounts" ["1.0.0"] "options (array of strings, OPTIONAL) Mount options of the filesystem to be used."
        a_mount_needs_no_options;
    Must "config.md#posix-platform-mounts" ["1.0.0"] "type (string, OPTIONAL) The type of the filesystem to be mounted."
        the_type_is_the_file_systems;

    Must "config.md#hostname" ["1.0.0"] "hostname … as seen by processes running inside the container."
        the_hostname_is_seen_inside => || assert_eq!(probe(|config| { config.set("/hostname", json!("mrsdalloway")); }).file("/proc/sys/kernel/hostname"), "mrsdalloway");
    Must "config.md#domainname" ["1.1.0"] "domainname … as seen by processes running inside the container."
        the_domainname_is_seen_inside => || assert_eq!(probe(|config| { config.version("1.1.0").set("/domainname", json!("foobarbaz.test")); }).file("/proc/sys/kernel/domainname"), "foobarbaz.test");

    Must "config.md#platform-specific-configuration" ["1.0.0"] "linux (object, OPTIONAL) … MAY be set if the target platform of this spec is linux."
        a_section_of_another_platform_is_ignored;

    Must "config.md#annotations" ["1.0.0"] "Annotations MUST be a key-value map. If there are no annotations then this property MAY either be absent or an empty map."
        annotations_can_be_an_empty_map => || drop(probe(|config| { config.set("/annotations", json!({})); }));
    Must "config.md#annotations" ["1.0.0"] "Values MAY be an empty string."
        the_value_of_an_annotation_can_be_empty => || drop(probe(|config| { config.set("/annotations", json!({"com.example.empty": ""})); }));
    Must "config.md#annotations" ["1.0.0"] "Runtimes MUST handle unknown annotation keys like any other unknown property."
        an_unknown_annotation_is_ignored => || drop(probe(|config| { config.set("/annotations", json!({"org.opencontainers.unknown": "1", "x": "y"})); }));
    Must "config.md#annotations" ["1.0.0"] "Values MUST be strings."
        an_annotation_that_is_not_a_string_is_an_error => || refuses(|config| { config.set("/annotations", json!({"com.example.number": 1})); });
    Must "config.md#annotations" ["1.0.0"] "Keys MUST NOT be an empty string."
        an_annotation_with_an_empty_key_is_an_error => || refuses(|config| { config.set("/annotations", json!({"": "value"})); });
    Must "config.md#annotations" ["1.2.0"] "org.opencontainers.image.stopSignal: Indicates signal that SHOULD be sent by the container runtimes to kill the container."
        the_annotations_of_an_image_are_accepted;

    Must "config.md#extensibility" ["1.0.0"] "Runtimes MAY log unknown properties but MUST otherwise ignore them."
        unknown_properties_are_ignored;
    Must "config.md#valid-values" ["1.0.0"] "Runtimes MUST generate an error when invalid or unsupported values are encountered."
        a_configuration_that_is_not_json_is_an_error;
}

fn older_versions_of_a_configuration_are_accepted() {
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let _ = probe(|config| {
            config.version(version);
        });
    }
}

fn the_path_of_the_root_can_be_absolute() {
    let container = Container::with_path(|config, path| {
        config.set("/root/path", json!(path.join("bundle/rootfs")));
    });
    let _ = container.report();
}

fn a_root_that_is_a_file_is_an_error() {
    let container = Container::new(|config| {
        config.set("/root/path", json!("file"));
    });
    fs::write(container.bundle().join("file"), "").unwrap();
    refused(&container);
}

fn written(readonly: Value) -> &'static str {
    let text = output_of(
        "touch /file 2> /dev/null && echo yes || echo no",
        |config| {
            if readonly.is_null() {
                config.remove("/root/readonly");
            } else {
                config.set("/root/readonly", readonly);
            }
        },
    );
    if text == "yes\n" { "yes" } else { "no" }
}

fn mounts_are_made_in_the_listed_order() {
    let report = probe(|config| {
        config
            .set("/root/readonly", json!(false))
            .mount("/a", "tmpfs", "first", &[])
            .mount("/a/b", "tmpfs", "second", &[])
            .mount("/c/d", "tmpfs", "hidden", &[])
            .mount("/c", "tmpfs", "over", &[]);
    });
    let order: Vec<_> = report
        .mounts
        .iter()
        .map(|mount| mount.source.as_str())
        .filter(|source| ["first", "second", "hidden", "over"].contains(source))
        .collect();
    assert_eq!(order, ["first", "second", "hidden", "over"]);
    let text = inside("mkdir /c/x; ls /c", |config| {
        config
            .mount("/c/d", "tmpfs", "hidden", &[])
            .mount("/c", "tmpfs", "over", &[]);
    });
    assert_eq!(text, "x\n", "a later mount hides an earlier one below it");
}

fn a_relative_destination_is_below_the_root() {
    let report = probe(|config| {
        config
            .version("1.2.0")
            .set("/root/readonly", json!(false))
            .set("/process/cwd", json!("/tmp"))
            .mount("relative/place", "tmpfs", "tmpfs", &[]);
    });
    assert!(report.is_mounted("/relative/place"), "{:#?}", report.mounts);
}

/// Not on the host, even through a link of the image.
fn a_destination_is_a_path_inside_the_container() {
    let container = Container::new(|config| {
        config
            .set("/root/readonly", json!(false))
            .mount("/link/inner", "tmpfs", "tmpfs", &[]);
    });
    std::os::unix::fs::symlink("/tmp/../../etc", container.rootfs().join("link")).unwrap();
    assert!(container.report().is_mounted("/etc/inner"));
    assert!(container.rootfs().join("etc/inner").exists());
}

fn bind_of(source: &str) {
    let container = Container::with_path(|config, path| {
        let source = match source {
            "absolute" => path.join("bundle/data"),
            _ => "data".into(),
        };
        config
            .args(&["cat", "/tmp/data"])
            .bind(source, "/tmp/data", &["bind"]);
    });
    fs::write(container.bundle().join("data"), "bound").unwrap();
    assert_eq!(container.run().ok().stdout, "bound");
}

fn a_mount_with_the_option_bind_is_a_bind_mount_whatever_its_type() {
    for kind in ["none", "bind", "tmpfs", ""] {
        let container = Container::with_path(|config, path| {
            let source = path.join("data").display().to_string();
            config
                .args(&["cat", "/tmp/data"])
                .mount("/tmp/data", kind, &source, &["rbind"]);
            if kind.is_empty() {
                let last = config.0["mounts"].as_array().unwrap().len() - 1;
                config.remove(&format!("/mounts/{last}/type"));
            }
        });
        container.file("data", "bound");
        assert_eq!(container.run().ok().stdout, "bound", "{kind}");
    }
}

fn a_mount_needs_no_options() {
    let report = probe(|config| {
        config.push(
            "/mounts",
            json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}),
        );
    });
    assert!(report.mount("/tmp").has("rw"));
}

fn the_type_is_the_file_systems() {
    let report = probe(|config| {
        config.mount("/tmp", "ramfs", "ramfs", &[]);
    });
    assert_eq!(report.mount("/tmp").kind, "ramfs");
}

fn a_section_of_another_platform_is_ignored() {
    let _ = probe(|config| {
        config
            .set(
                "/solaris",
                json!({"milestone": "svc:/milestone/container:default"}),
            )
            .set("/windows", json!({"layerFolders": ["C:\\layer"]}));
    });
}

fn the_annotations_of_an_image_are_accepted() {
    let container = running(|config| {
        config.version("1.2.0").set(
            "/annotations",
            json!({"org.opencontainers.image.stopSignal": "SIGTERM", "org.opencontainers.image.os": "linux"}),
        );
    });
    let _ = container.kill("TERM").ok();
    container.wait_for("stopped");
}

fn unknown_properties_are_ignored() {
    let _ = probe(|config| {
        config
            .set("/unknown", json!({"deep": [1, 2]}))
            .set("/process/unknown", json!(true))
            .set("/root/unknown", json!("text"))
            .set("/mounts/0/unknown", json!(1))
            .set("/linux/unknown", json!(null))
            .set("/linux/resources/unknown", json!({}))
            .set("/linux/namespaces/0/unknown", json!("text"));
    });
}

fn a_configuration_that_is_not_json_is_an_error() {
    let container = Container::empty();
    for text in [
        "",
        "{",
        "[]",
        "{\"ociVersion\": 1}",
        "{\"process\": \"sh\"}",
    ] {
        fs::write(container.bundle().join("config.json"), text).unwrap();
        errs(&container.create());
        container.assert_nothing_left();
    }
}
