//! The vocabulary of fault injection: which system call of a runtime, and what becomes of it.
//!
//! The program `inject` runs a command of a runtime under ptrace(2) and does to it what a [`Fault`] says; the test `faults`
//! tells it which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who makes a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// The program that was called, with all its threads.
    Runtime,
    /// A process that it made, until it becomes another program: what enters the container.
    Init,
}

/// One system call: the `count`th of that name that somebody in this role makes, counted from 1. Runtime and init run at
/// the same time, so a number over both would mean another call every time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Who makes it.
    pub role: Role,
    /// Its name in the manual.
    pub call: String,
    /// Which one of this name.
    pub count: usize,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The call is not made, and says that it failed with this error.
    Fail(i32),
    /// Everybody in this role is killed before the call is made.
    Kill(Role),
}

/// A fault to inject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// What.
    pub act: Act,
}

/// What was seen of a command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trace {
    /// Every system call, in the order in which they were begun.
    pub calls: Vec<(Role, String)>,
    /// Whether the fault's point was reached.
    pub injected: bool,
    /// How many processes were killed there.
    pub killed: usize,
    /// Whether the command did not end by itself and was killed.
    pub hung: bool,
}

impl Trace {
    /// The calls as points.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::with_capacity(self.calls.len());
        for (role, call) in &self.calls {
            let same = |point: &&Point| point.role == *role && point.call == *call;
            let count = points.iter().filter(same).count() + 1;
            let (role, call) = (*role, call.clone());
            points.push(Point { role, call, count });
        }
        points
    }
}

const ROLES: [(Role, &str); 2] = [(Role::Runtime, "runtime"), (Role::Init, "init")];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ROLES.iter().find(|(role, _)| role == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = ROLES.iter().find(|(_, name)| *name == text);
        role.map(|(role, _)| *role)
            .ok_or_else(|| format!("{text}: neither runtime nor init"))
    }
}

/// `ROLE:CALL:COUNT=ERRNO`, or `ROLE:CALL:COUNT!ROLE` to kill that role.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { role, call, count } = &self.point;
        match self.act {
            Act::Fail(errno) => write!(f, "{role}:{call}:{count}={errno}"),
            Act::Kill(victim) => write!(f, "{role}:{call}:{count}!{victim}"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: not ROLE:CALL:COUNT=ERRNO or ROLE:CALL:COUNT!ROLE");
        let at = text.find(['=', '!']).ok_or_else(wrong)?;
        let (point, act) = text.split_at(at);
        let mut parts = point.splitn(3, ':');
        let mut part = || parts.next().ok_or_else(wrong);
        let (role, call, count) = (part()?.parse()?, part()?.to_owned(), part()?);
        let act = match act.strip_prefix('=') {
            Some(errno) => Act::Fail(errno.parse().map_err(|_| wrong())?),
            None => Act::Kill(act[1..].parse()?),
        };
        let count = count.parse().map_err(|_| wrong())?;
        let point = Point { role, call, count };
        Ok(Fault { point, act })
    }
}
