//! Every system call of the runtime and of its init fails once, and the runtime is killed at every one of them.
//!
//! Whatever fails: there is no panic and no hang; the command gives an error that says what failed, or it has done all
//! that it says it has; and afterwards `delete --force` leaves nothing, and another container of the same ID runs.
//!
//! An ordinary run takes a sample of the faults; `make faults` takes all, which is minutes. Each prints its counts.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod campaign;
mod errors;
mod likeness;
mod scenario;

use campaign::{Share, inject};
use scenario::Scenario;

fn is_possible() -> bool {
    let possible = cfg!(target_arch = "x86_64");
    if !possible {
        eprintln!("skipped: the results of system calls are changed on x86_64 alone");
    }
    possible
}

macro_rules! faults {
    ($($test:ident, $whole:ident: $scenario:expr;)*) => {$(
        #[test]
        fn $test() {
            if is_possible() {
                inject(&$scenario, Share::OneIn(SAMPLE));
            }
        }

        #[test]
        #[ignore = "make faults"]
        fn $whole() {
            if is_possible() {
                inject(&$scenario, Share::All);
            }
        }
    )*};
}

/// A prime, so that no pattern in the calls is in step with it.
const SAMPLE: usize = 61;

faults! {
    create_survives_a_sample_of_faults, create_survives_every_fault: Scenario::CREATE;
    create_with_much_survives_a_sample_of_faults, create_with_much_survives_every_fault: Scenario::CREATE_MUCH;
    create_with_a_user_namespace_survives_a_sample_of_faults, create_with_a_user_namespace_survives_every_fault:
        Scenario::CREATE_MAPPED;
    start_survives_a_sample_of_faults, start_survives_every_fault: Scenario::START;
    run_survives_a_sample_of_faults, run_survives_every_fault: Scenario::RUN;
    exec_survives_a_sample_of_faults, exec_survives_every_fault: Scenario::EXEC;
    update_survives_a_sample_of_faults, update_survives_every_fault: Scenario::UPDATE;
    pause_survives_a_sample_of_faults, pause_survives_every_fault: Scenario::PAUSE;
    resume_survives_a_sample_of_faults, resume_survives_every_fault: Scenario::RESUME;
    kill_survives_a_sample_of_faults, kill_survives_every_fault: Scenario::KILL;
    delete_survives_a_sample_of_faults, delete_survives_every_fault: Scenario::DELETE;
    delete_by_force_survives_a_sample_of_faults, delete_by_force_survives_every_fault: Scenario::DELETE_FORCE;
    state_survives_a_sample_of_faults, state_survives_every_fault: Scenario::STATE;
}
