//! The system call ABIs that a filter can tell apart.

use oci_spec::runtime::Arch;

/// The architectures that a profile may list, by name. Those of other machines say nothing to this one ([`Abi::listed`]).
pub(crate) const ARCHITECTURES: [Arch; 23] = [
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchLoongarch64,
    Arch::ScmpArchM68k,
    Arch::ScmpArchMips,
    Arch::ScmpArchMips64,
    Arch::ScmpArchMips64n32,
    Arch::ScmpArchMipsel,
    Arch::ScmpArchMipsel64,
    Arch::ScmpArchMipsel64n32,
    Arch::ScmpArchParisc,
    Arch::ScmpArchParisc64,
    Arch::ScmpArchPpc,
    Arch::ScmpArchPpc64,
    Arch::ScmpArchPpc64le,
    Arch::ScmpArchRiscv64,
    Arch::ScmpArchS390,
    Arch::ScmpArchS390x,
    Arch::ScmpArchSh,
    Arch::ScmpArchSheb,
    Arch::ScmpArchX32,
    Arch::ScmpArchX86,
    Arch::ScmpArchX86_64,
];

/// Set in the number of every x32 call (`__X32_SYSCALL_BIT` of asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

// AUDIT_ARCH_* of linux/audit.h, as found in seccomp_data.arch.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;
const AUDIT_ARCH_ARM: u32 = 0x4000_0028;

/// The architecture of the kernel that runs the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeArch {
    /// x86_64, whose kernel may run i386 and x32 programs as well.
    X86_64,
    /// aarch64, whose kernel may run 32-bit arm programs as well.
    Aarch64,
}

impl NativeArch {
    /// The architecture that this library was compiled for.
    pub const fn current() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    /// The value of seccomp_data.arch.
    pub(super) fn audit_arch(self) -> u32 {
        self.abi().audit_arch()
    }

    pub(super) fn abi(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X86_64,
            Self::Aarch64 => Abi::Aarch64,
        }
    }
}

/// The ABIs that one kernel can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    X86,
    Arm,
}

/// A convention of system call numbers and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// How much of an argument's 64 bits in seccomp_data an ABI uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Low32,
    Full64,
}

impl Abi {
    /// The ABI of a name in `architectures`; none where it is of another machine, whose programs this
    /// kernel cannot run anyway.
    pub(super) fn listed(arch: Arch, native: NativeArch) -> Option<Self> {
        let abi = match arch {
            Arch::ScmpArchNative => native.abi(),
            Arch::ScmpArchX86_64 => Self::X86_64,
            Arch::ScmpArchX86 => Self::X86,
            Arch::ScmpArchX32 => Self::X32,
            Arch::ScmpArchAarch64 => Self::Aarch64,
            Arch::ScmpArchArm => Self::Arm,
            _ => return None,
        };
        (abi.family() == native.abi().family()).then_some(abi)
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::X86_64 | Self::X86 | Self::X32 => Family::X86,
            Self::Aarch64 | Self::Arm => Family::Arm,
        }
    }

    /// The value of seccomp_data.arch; x32 shares that of x86_64.
    pub(super) fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => AUDIT_ARCH_X86_64,
            Self::X86 => AUDIT_ARCH_I386,
            Self::Aarch64 => AUDIT_ARCH_AARCH64,
            Self::Arm => AUDIT_ARCH_ARM,
        }
    }

    pub(super) fn width(self) -> Width {
        match self {
            Self::X86_64 | Self::Aarch64 => Width::Full64,
            Self::X86 | Self::X32 | Self::Arm => Width::Low32,
        }
    }
}
