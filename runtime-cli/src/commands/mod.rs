//! One module a command: its arguments, and what it asks of the library.

pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod kill;
pub(crate) mod launch;
pub(crate) mod list;
pub(crate) mod output;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
mod sub_cgroup;
pub(crate) mod summary;
pub(crate) mod update;
pub(crate) mod user;

use runtime_core::Container;

use crate::cli::{Command, Globals};
use crate::failure::{Failure, Result};

/// Does what the command line asks for; the result is the exit code.
pub(crate) fn execute(command: Command, globals: &Globals) -> Result<u8> {
    let done = match command {
        Command::Checkpoint(checkpoint) => checkpoint.execute(globals),
        Command::Create(create) => create.execute(globals),
        Command::Delete(delete) => delete.execute(globals),
        Command::Events(events) => events.execute(globals),
        Command::Exec(exec) => return exec.execute(globals),
        Command::Features(features) => features.execute(),
        Command::Kill(kill) => kill.execute(globals),
        Command::List(list) => list.execute(globals),
        Command::Pause(pause) => pause.execute(globals),
        Command::Plan(plan) => plan.execute(globals),
        Command::Ps(ps) => ps.execute(globals),
        Command::Restore(restore) => restore.execute(),
        Command::Resume(resume) => resume.execute(globals),
        Command::Run(run) => return run.execute(globals),
        Command::Spec(spec) => spec.execute(),
        Command::Start(start) => start.execute(globals),
        Command::State(state) => state.execute(globals),
        Command::Update(update) => update.execute(globals),
    };
    done.map(|()| 0)
}

/// The container that a command is about.
fn load(globals: &Globals, id: &str) -> Result<Container> {
    if id.is_empty() {
        return Err(Failure::new("container id cannot be empty"));
    }
    Ok(Container::load(&globals.state_root()?, id)?)
}
