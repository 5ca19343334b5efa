//! What `make install` puts beside the binary: that it says everything, and that those who read it find nothing wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use clap::Arg;
use tempfile::TempDir;

const DATE: &str = "2026-01-31";

/// The directory that the program has written.
struct Share(TempDir);

impl Share {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_manual"))
            .args([directory.path().as_os_str(), DATE.as_ref()])
            .status()
            .unwrap();
        assert!(status.success());
        Share(directory)
    }

    fn path(&self, place: &str) -> PathBuf {
        self.0.path().join(place)
    }

    fn text(&self, place: &str) -> String {
        let path = self.path(place);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn pages(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("man/man8")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// The output of a program, or nothing where it is not installed, which is said.
fn output_of(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams
        .map(|stream| String::from_utf8_lossy(stream).into_owned())
        .concat()
}

/// A completion script does in its shell what is expected of it.
fn completes(program: &str, arguments: &[&str], expected: &[&str]) {
    let Some(output) = output_of(program, arguments) else {
        return;
    };
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for word in expected {
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
}

/// The page as roff(7) has an option's name in it.
fn names_of(arg: &Arg) -> Vec<String> {
    let long = arg
        .get_long()
        .map(|long| format!("\\-\\-{}", long.replace('-', "\\-")));
    let short = arg.get_short().map(|short| format!("\\-{short}"));
    long.into_iter().chain(short).collect()
}

#[test]
fn every_command_has_a_page_with_each_of_its_options() {
    let share = Share::new();
    let mut program = runtime_cli::definition();
    program.build();
    let commands = program
        .get_subcommands()
        .filter(|command| command.get_name() != "help");
    let mut pages = 0;
    for command in commands.chain([&program]) {
        let page = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        let text = share.text(&format!("man/man8/{page}.8"));
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            for name in names_of(arg) {
                let bold = format!("\\fB{name}\\fR");
                assert!(text.contains(&bold), "{page}: {name} is missing");
            }
        }
        pages += 1;
    }
    assert_eq!(share.pages().len(), pages);
}

#[test]
fn the_page_of_the_program_leads_to_every_other() {
    let share = Share::new();
    let text = share.text("man/man8/bareboat.8");
    for page in share.pages() {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let reference = format!("{}(8)", name.replace('-', "\\-"));
        assert!(
            name == "bareboat" || text.contains(&reference),
            "{reference}"
        );
    }
}

#[test]
fn pages_have_the_sections_that_people_look_for() {
    let share = Share::new();
    let sections = |page: &str| -> Vec<String> {
        let text = share.text(&format!("man/man8/{page}.8"));
        let titles = text.lines().filter_map(|line| line.strip_prefix(".SH "));
        titles
            .map(|title| title.trim_matches('"').to_owned())
            .collect()
    };
    assert_eq!(
        sections("bareboat-run"),
        [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "ARGUMENTS",
            "OPTIONS",
            "GLOBAL OPTIONS",
            "EXIT STATUS",
            "FILES",
            "ENVIRONMENT",
            "EXAMPLES",
            "SEE ALSO"
        ]
    );
    assert!(sections("bareboat").contains(&"COMMANDS".to_owned()));
    let page = share.text("man/man8/bareboat-run.8");
    assert!(
        page.contains(&format!("\n.TH BAREBOAT-RUN 8 {DATE} ")),
        "{page}"
    );
}

#[test]
fn groff_has_nothing_to_say_of_the_pages() {
    for page in Share::new().pages() {
        let page = page.to_str().unwrap();
        let Some(output) = output_of("groff", &["-man", "-ww", "-b", "-z", page]) else {
            return;
        };
        assert_eq!(said(&output), "", "{page}");
    }
}

#[test]
fn mandoc_has_nothing_to_say_of_the_pages() {
    for page in Share::new().pages() {
        let page = page.to_str().unwrap();
        let Some(output) = output_of("mandoc", &["-T", "lint", "-W", "warning", page]) else {
            return;
        };
        assert_eq!(said(&output), "", "{page}");
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let share = Share::new();
    let script = format!(
        "source {}; words() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
         _bareboat bareboat \"${{@: -1}}\" \"${{@: -2:1}}\"; echo \"${{COMPREPLY[@]}}\"; }}\n\
         words bareboat ex; words bareboat exec --pid-; words bareboat list --format ''; words bareboat run --detach -",
        share.path("bash-completion/completions/bareboat").display()
    );
    completes(
        "bash",
        &["-c", &script],
        &["exec\n", "--pid-file", "table json", "--bundle"],
    );
}

#[test]
fn zsh_loads_the_completions() {
    let share = Share::new();
    let script = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -D -u; print -r -- $_comps[bareboat]; \
         autoload +X _bareboat; functions _bareboat",
        share.path("zsh/site-functions").display()
    );
    completes("zsh", &["-fc", &script], &["_bareboat\n", "--pid-file"]);
}

#[test]
fn fish_completes_commands_options_and_values() {
    let share = Share::new();
    let script = format!(
        "source {}; complete -C 'bareboat ex'; complete -C 'bareboat exec --pid-'; complete -C 'bareboat list --format '",
        share
            .path("fish/vendor_completions.d/bareboat.fish")
            .display()
    );
    completes(
        "fish",
        &["--no-config", "-c", &script],
        &["exec\t", "--pid-file\t", "table\n"],
    );
}
