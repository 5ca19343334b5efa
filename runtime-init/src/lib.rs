//! The vocabulary of bareboat's plans.
//!
//! A *plan* is what must be done inside a container's new namespaces before the user's program runs: a list of
//! [`Step`]s, each resolved to numbers, flags, NUL-terminated strings and *slots*. `runtime-core` compiles it from
//! `config.json`; the freestanding program of this package (`src/main.rs`) reads it from a sealed memfd and executes
//! it, one borrowed step at a time. Both sides share this library and nothing else.
//!
//! # Terminology
//!
//! - **slot**: a descriptor that the init inherits, by its position after the plan's own descriptor.
//! - **report**: a fixed-size message from the init to the runtime over the *control socket* (slot 0).
//! - **rendezvous**: a point at which the init waits for the runtime's part of the work.
//!
//! The encoding is postcard's, without framing: a [`Header`], then the steps. It never leaves the machine and is read
//! only by the init that was built with it, so it carries no version.
#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod report;
mod step;
mod text;

pub use arguments::{
    BindBelow, BindInside, Console, DataMount, Expected, HostTree, MountAttributes, NewMount, Node,
};
pub use report::{Fault, Operation, Report, ReportKind};
pub use step::{Header, Rendezvous, Scheduling, SchedulingAttributes, Slot, Step};
pub use text::{Bytes, Numbers, Text, TextList};

/// What the init is called in `/proc/PID/comm` and as the first argument, until the user's program replaces it.
pub const INIT_NAME: &core::ffi::CStr = c"bareboat-init";

/// Positions of the init's arguments: its name, the number of the plan's descriptor, then the user's own arguments.
pub const FIRST_USER_ARGUMENT: usize = 2;

/// The slot of the control socket.
pub const CONTROL: Slot = Slot(0);

/// The byte by which the runtime lets the init go on from a [`Rendezvous`].
pub const GO: u8 = b'!';

/// The byte by which `start` announces that its [`GO`] comes with a file for the times of the steps
/// ([`Header::stamps`]).
pub const STAMPS: u8 = b'T';

/// So many trees the runtime sends at most in one message (unix(7) allows 253).
pub const TREES: usize = 64;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` of seccomp(2): with it [`Step::LoadSeccomp`] sends the listener to the runtime.
pub const SECCOMP_NEW_LISTENER: u32 = 1 << 3;

/// Decodes the value at the front of `bytes`, and gives back what follows it.
///
/// # Errors
///
/// When the bytes are not an encoding of `T`; arbitrary bytes are safe to pass.
pub fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Malformed> {
    postcard::take_from_bytes(bytes).map_err(|_| Malformed)
}

/// The bytes are not a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
