//! The man pages: `bareboat.8`, and one for each command.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use runtime_cli::{Example, topic};

use crate::facts;

const SECTION: &str = "8";

/// What roff(7) writes before each piece of a page, and needs once: the form of an apostrophe.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What clap_mangen separates the values of an option by, and mandoc(1) finds odd.
const BREAKS: &str = ".br\n\n.br\n";

/// Writes all pages; the definition has been built.
pub(crate) fn write_all(program: &Command, date: &str, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for command in std::iter::once(program).chain(documented(program)) {
        let path = directory.join(format!("{}.{SECTION}", page_name(command)));
        fs::write(path, page(command, program, date)?)?;
    }
    Ok(())
}

/// The commands that have a page: `help` is explained by what it prints.
fn documented(program: &Command) -> impl Iterator<Item = &Command> {
    program
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn page_name(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, program: &Command, date: &str) -> io::Result<String> {
    let mut roff = Vec::new();
    write(command, program, date, &mut roff)?;
    let text = String::from_utf8_lossy(&roff)
        .replace(PREAMBLE, "")
        .replace(BREAKS, ".sp\n");
    Ok(format!("{PREAMBLE}{}", in_ascii(&text)))
}

/// groff takes its input for Latin-1 unless it is told otherwise.
fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_ascii() {
            true => ascii.push(character),
            false => ascii.push_str(&format!("\\[u{:04X}]", u32::from(character))),
        }
    }
    ascii
}

fn write(
    command: &Command,
    program: &Command,
    date: &str,
    output: &mut dyn Write,
) -> io::Result<()> {
    let name = page_name(command);
    let man = Man::new(without_arguments(command.clone()))
        .title(name.to_uppercase())
        .section(SECTION)
        .date(date)
        .source(format!("bareboat {}", env!("CARGO_PKG_VERSION")))
        .manual("System Administration");
    man.render_title(output)?;
    man.render_name_section(output)?;
    synopsis(command).to_writer(output)?;
    description(command).to_writer(output)?;
    if command.has_subcommands() {
        commands(command).to_writer(output)?;
    }
    arguments(command).to_writer(output)?;
    man.render_options_section(output)?;
    for (title, entries) in facts::sections(command.get_name()) {
        definitions(title, entries).to_writer(output)?;
    }
    if let Some(topic) = topic(command.get_name()) {
        examples(topic.examples).to_writer(output)?;
    }
    see_also(command, program).to_writer(output)
}

/// clap_mangen would show two arguments of one definition as one.
fn without_arguments(command: Command) -> Command {
    command.mut_args(|arg| match arg.is_positional() {
        true => arg.hide(true),
        false => arg,
    })
}

fn arguments(command: &Command) -> Roff {
    let mut arguments = command.get_positionals().peekable();
    let mut roff = Roff::new();
    if arguments.peek().is_some() {
        roff = section("ARGUMENTS");
    }
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string);
        roff.control("TP", []);
        roff.text([bold(argument.to_string())]);
        roff.text(words(&help.unwrap_or_default()));
    }
    roff
}

fn section(title: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff
}

fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let (name, rest) = match usage.find(['[', '<']) {
        Some(place) => usage.split_at(place),
        None => (usage.as_str(), ""),
    };
    let mut roff = section("SYNOPSIS");
    roff.text([bold(name), roman(rest)]);
    roff
}

fn description(command: &Command) -> Roff {
    let text = command.get_long_about().or_else(|| command.get_about());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let mut roff = section("DESCRIPTION");
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text(words(&paragraph.replace('\n', " ")));
    }
    roff
}

/// What stands between backquotes is what someone types.
fn words(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            0 => roman(part),
            _ => bold(part),
        })
        .collect()
}

fn commands(program: &Command) -> Roff {
    let mut roff = section("COMMANDS");
    for command in documented(program) {
        let about = command.get_about().map(ToString::to_string);
        roff.control("TP", []);
        roff.text([bold(page_name(command)), roman(format!("({SECTION})"))]);
        roff.text([roman(about.unwrap_or_default())]);
    }
    roff.control("TP", []);
    roff.text([bold("bareboat help"), roman(" ["), roman("COMMAND]")]);
    roff.text([roman("Show the commands, or help for one of them")]);
    roff
}

fn definitions(title: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = section(title);
    for (term, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text(words(text));
    }
    roff
}

fn examples(examples: &[Example]) -> Roff {
    let mut roff = Roff::new();
    if !examples.is_empty() {
        roff = section("EXAMPLES");
    }
    for (index, example) in examples.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(format!("{}:", example.what))]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        for line in example.commands.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.control("RE", []);
    }
    roff
}

/// The other pages of bareboat, or those that the command is used with.
fn see_also(command: &Command, program: &Command) -> Roff {
    let mut names: Vec<String> = Vec::new();
    if command.has_subcommands() {
        names.extend(
            documented(program).map(|command| format!("{}({SECTION})", page_name(command))),
        );
    } else {
        names.push(format!("bareboat({SECTION})"));
    }
    let related = facts::related(command.get_name());
    names.extend(related.iter().map(|name| (*name).to_owned()));
    let mut roff = section("SEE ALSO");
    roff.text([roman(names.join(", "))]);
    roff
}
