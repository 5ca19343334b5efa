//! `linux.resources.hugepageLimits`.

use oci_spec::runtime::LinuxHugepageLimit;

use super::refuse;
use crate::cgroup::CgroupError;
use crate::cgroup::plan::{CgroupPlan, Version};

pub(super) fn compile(
    plan: &mut CgroupPlan,
    limits: &[LinuxHugepageLimit],
) -> Result<(), CgroupError> {
    for (number, limit) in limits.iter().enumerate() {
        let pointer = format!("/linux/resources/hugepageLimits/{number}");
        let size = limit.page_size();
        if !is_page_size(size) {
            return refuse(
                &format!("{pointer}/pageSize"),
                format!("{size:?} is not a size such as 2MB or 1GB"),
            );
        }
        let bytes = limit.limit();
        if bytes < 0 {
            return refuse(
                &format!("{pointer}/limit"),
                format!("{bytes} is not a number of bytes"),
            );
        }
        let hierarchy = plan.hierarchy("hugetlb", &pointer)?;
        let suffix = match hierarchy.version() {
            Version::V1 => "limit_in_bytes",
            Version::V2 => "max",
        };
        hierarchy.write(format!("hugetlb.{size}.{suffix}"), bytes, pointer.clone());
        // Reservations are not faults: Linux 5.7 limits them too (cdc2fcfea79b).
        hierarchy
            .write(format!("hugetlb.{size}.rsvd.{suffix}"), bytes, pointer)
            .or_skip();
    }
    Ok(())
}

/// `<number><K, M or G>B`, as the kernel names the files.
fn is_page_size(size: &str) -> bool {
    let number = size
        .strip_suffix('B')
        .and_then(|size| size.strip_suffix(['K', 'M', 'G']));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
