//! What the init notes: when it begins each step, in memory that it shares with the host.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use runtime_init::{GO, STAMPS, Step};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

use super::{Lane, Recorder, Span, Timings, wall};
use crate::error::{Attempt, Result};
use crate::plan::{Plan, describe};

/// Bytes of a stamp: nanoseconds since the epoch, 0 where a step has not begun.
const SIZE: usize = size_of::<u64>();

/// By how much the clocks of host and init may part before the init's times are of no use: by this, and by as much as a
/// clock can that is being adjusted (adjtimex(2): 500 millionths).
const DRIFT: Duration = Duration::from_millis(1);
const ADJUSTMENT: u32 = 2000;

/// The memory of one init, for as many steps as its plan has.
#[derive(Debug)]
pub(crate) struct Stamps {
    memory: File,
    timings: Timings,
    /// When the init could begin at the earliest.
    since: Duration,
}

impl Stamps {
    /// Memory for the steps of a plan; nothing where nobody wants their times.
    pub(crate) fn new(plan: &Plan, recorder: &Recorder) -> Result<Option<Stamps>> {
        let Some(timings) = &recorder.0 else {
            return Ok(None);
        };
        let memory = memory(plan.steps().count()).host(|| "make memory for times".to_owned())?;
        Ok(Some(Stamps {
            memory,
            timings: timings.clone(),
            since: timings.now(),
        }))
    }

    /// Sends the memory to an init that waits for `start`, with the word to go on.
    pub(crate) fn send_with_go(&self, socket: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        send(socket, &[STAMPS], SendFlags::NOSIGNAL)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let memory = [self.memory.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&memory));
        let word = [IoSlice::new(&[GO])];
        sendmsg(socket, &word, &mut control, SendFlags::NOSIGNAL)
    }

    /// Takes down the steps of this range that the init has begun. The last one has taken until now.
    pub(crate) fn take(&self, plan: &Plan, range: Range<usize>) {
        let now = self.timings.now();
        let origin = self.timings.0.wall;
        if (wall().saturating_sub(origin)).abs_diff(now) > DRIFT + now / ADJUSTMENT {
            tracing::warn!("the system's clock was set: the times of the init's steps are lost");
            return;
        }
        // Whoever has taken over the init may have written anything.
        let steps: Vec<_> = plan.steps().collect();
        let mut bytes = vec![0; steps.len() * SIZE];
        if let Err(cause) = self.memory.read_exact_at(&mut bytes, 0) {
            tracing::warn!("read the times of the init's steps: {cause}");
            return;
        }
        let stamps = bytes.chunks_exact(SIZE).map(|bytes| {
            let stamp = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            (stamp != 0).then(|| Duration::from_nanos(stamp).saturating_sub(origin))
        });
        let stamps: Vec<_> = stamps.collect();
        let taken = spans(&stamps, range, self.since..now);
        let taken = taken.filter_map(|(number, start, end)| {
            let (origin, step) = steps.get(number)?;
            let mut what = describe(plan, step);
            // The filter may forbid to look at the clock.
            if matches!(step, Step::LoadSeccomp { .. }) {
                what.push_str(", and all after it");
            }
            Some(Span {
                lane: Lane::Init,
                what,
                origin: Some(origin.to_string()),
                step: Some(number),
                start,
                end,
            })
        });
        self.timings.spans().extend(taken);
    }
}

impl AsFd for Stamps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// The steps of a plan that come before the init waits for `start`.
pub(crate) fn before_start(plan: &Plan) -> usize {
    let waits = |step: Step<'_>| matches!(step, Step::AwaitStart { .. });
    let steps = plan.steps();
    steps.take_while(|(_, step)| !waits(*step)).count()
}

/// Memory that nobody can shorten under the init's feet.
fn memory(steps: usize) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(memfd_create(c"bareboat-stamps", flags)?);
    memory.set_len((steps * SIZE) as u64)?;
    fcntl_add_seals(
        &memory,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW,
    )?;
    Ok(memory)
}

/// The steps of the range that were begun, each with its start and end: that of one is the start of the next. None lies
/// outside of the window, and none before the one before it, whatever the stamps say.
fn spans(
    stamps: &[Option<Duration>],
    range: Range<usize>,
    window: Range<Duration>,
) -> impl Iterator<Item = (usize, Duration, Duration)> {
    let mut last = window.start;
    let begun = stamps.iter().enumerate().skip(range.start);
    let starts: Vec<_> = begun
        .map_while(|(number, stamp)| {
            last = stamp.as_ref().copied()?.clamp(last, window.end.max(last));
            Some((number, last))
        })
        .collect();
    let ends: Vec<_> = starts.iter().skip(1).map(|(_, start)| *start).collect();
    let ends = ends.into_iter().chain([window.end.max(last)]);
    starts
        .into_iter()
        .zip(ends)
        .map(|((number, start), end)| (number, start, end))
        .take_while(move |(number, ..)| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(time: u64) -> Duration {
        Duration::from_nanos(time)
    }

    fn of(stamps: &[u64], range: Range<usize>) -> Vec<(usize, Duration, Duration)> {
        let stamps: Vec<_> = stamps
            .iter()
            .map(|stamp| (*stamp != 0).then(|| at(*stamp)))
            .collect();
        spans(&stamps, range, at(10)..at(100)).collect()
    }

    #[test]
    fn a_step_takes_until_the_next_one_begins_and_the_last_one_until_now() {
        let expected = [
            (0, at(20), at(30)),
            (1, at(30), at(40)),
            (2, at(40), at(100)),
        ];
        assert_eq!(of(&[20, 30, 40, 0, 0], 0..5), expected);
        assert_eq!(of(&[20, 30, 40, 0, 0], 0..2), expected[..2]);
        assert_eq!(of(&[0, 30, 40], 1..3), expected[1..]);
        assert_eq!(of(&[0, 30, 40], 0..3), []);
    }

    #[test]
    fn a_stamp_that_cannot_be_is_taken_for_the_nearest_that_can() {
        assert_eq!(
            of(&[5, 50, 40, u64::MAX], 0..4),
            [
                (0, at(10), at(50)),
                (1, at(50), at(50)),
                (2, at(50), at(100)),
                (3, at(100), at(100)),
            ]
        );
    }

    #[test]
    fn the_memory_has_room_for_each_step_and_keeps_its_size() {
        let memory = memory(3).unwrap();
        assert_eq!(memory.metadata().unwrap().len(), 24);
        assert!(memory.set_len(0).is_err() && memory.set_len(100).is_err());
        memory.write_all_at(&7u64.to_ne_bytes(), 8).unwrap();
    }
}
