//! What holds of the statistics whatever bytes come in: see [`crate::fuzzing`].

use super::{blkio, cpu, cpuset, parse, psi, rdma};

/// Each file's parser takes any file or refuses it.
pub(crate) fn files(text: &str) {
    let _ = parse::number(text);
    let _ = parse::numbers(text);
    let _ = parse::pairs(text);
    let _ = parse::device(text);
    let _ = cpu::by_mode(text);
    let _ = cpuset::list(text);
    let _ = cpuset::level(text);
    let _ = blkio::v1(text);
    let _ = blkio::v2(text);
    let _ = rdma::table(text);
    let _ = psi::parse(text);
}
