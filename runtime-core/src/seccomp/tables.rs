//! The numbers of the system calls: static tables sorted by name, one for each family of ABIs.
//!
//! They hold facts of the kernel's `syscall_64.tbl`, `syscall_32.tbl` and their siblings; a test compares
//! them with the headers of the machine that builds.

mod arm;
mod x86;

use super::abi::{Abi, Family, X32_BIT};

/// What a table says where an ABI has no such call.
const ABSENT: u32 = u32::MAX;

/// Name; numbers on x86_64, i386 and x32; code of the multiplexed form on i386, or 0.
type X86Row = (&'static str, [u32; 3], u16);

/// Name; numbers on aarch64 and arm.
type ArmRow = (&'static str, [u32; 2]);

/// A system call that some ABI of a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syscall {
    numbers: [u32; 3],
    multiplexed: u16,
}

/// A call that i386 reaches through a second one as well, which takes the operation as first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Multiplexed {
    /// The number of socketcall(2) or ipc(2).
    pub(super) number: u32,
    /// The value of its first argument.
    pub(super) operation: u64,
}

impl Syscall {
    /// The call of that name, if any ABI of the family has it.
    pub(super) fn named(family: Family, name: &str) -> Option<Self> {
        match family {
            Family::X86 => {
                let at = x86::SYSCALLS.binary_search_by(|row| row.0.cmp(name)).ok()?;
                let (_, numbers, multiplexed) = *x86::SYSCALLS.get(at)?;
                Some(Self {
                    numbers,
                    multiplexed,
                })
            }
            Family::Arm => {
                let at = arm::SYSCALLS.binary_search_by(|row| row.0.cmp(name)).ok()?;
                let (_, [aarch64, arm]) = *arm::SYSCALLS.get(at)?;
                Some(Self {
                    numbers: [aarch64, arm, ABSENT],
                    multiplexed: 0,
                })
            }
        }
    }

    /// The number that a program of this ABI puts into its register.
    pub(super) fn number(self, abi: Abi) -> Option<u32> {
        let (column, bit) = match abi {
            Abi::X86_64 | Abi::Aarch64 => (0, 0),
            Abi::X86 | Abi::Arm => (1, 0),
            Abi::X32 => (2, X32_BIT),
        };
        let number = self.numbers[column];
        (number != ABSENT).then_some(number | bit)
    }

    /// The second way to this call, on i386 alone.
    pub(super) fn multiplexed(self, abi: Abi) -> Option<Multiplexed> {
        const SOCKETCALL: u32 = 102;
        const IPC: u32 = 117;
        let number = match self.multiplexed / 100 {
            1 => SOCKETCALL,
            2 => IPC,
            _ => return None,
        };
        (abi == Abi::X86).then_some(Multiplexed {
            number,
            operation: u64::from(self.multiplexed % 100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(name, number)` of each `#define __NR_name number` of a header of the kernel.
    fn header(file: &str) -> Vec<(String, u32)> {
        let machine = std::env::consts::ARCH;
        let Ok(text) =
            std::fs::read_to_string(format!("/usr/include/{machine}-linux-gnu/asm/{file}"))
        else {
            return Vec::new();
        };
        text.lines()
            .filter_map(|line| line.strip_prefix("#define __NR_"))
            .filter_map(|define| define.split_once(' '))
            .filter_map(|(name, number)| {
                let number = number.trim_matches(|c: char| !c.is_ascii_digit());
                Some((name.to_owned(), number.parse().ok()?))
            })
            .collect()
    }

    fn assert_holds_header(file: &str, abi: Abi) {
        for (name, number) in header(file) {
            let call =
                Syscall::named(abi.family(), &name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(
                call.number(abi).map(|n| n & !X32_BIT),
                Some(number),
                "{name} on {abi:?}"
            );
        }
    }

    #[test]
    fn the_tables_agree_with_the_headers_of_this_machine() {
        if cfg!(target_arch = "x86_64") {
            assert_holds_header("unistd_64.h", Abi::X86_64);
            assert_holds_header("unistd_32.h", Abi::X86);
            assert_holds_header("unistd_x32.h", Abi::X32);
        }
    }

    #[test]
    fn the_tables_are_sorted_by_name_without_duplicates() {
        assert!(x86::SYSCALLS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(arm::SYSCALLS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_call_has_the_number_of_each_abi() {
        let execve = Syscall::named(Family::X86, "execve").unwrap();
        assert_eq!(execve.number(Abi::X86_64), Some(59));
        assert_eq!(execve.number(Abi::X86), Some(11));
        assert_eq!(execve.number(Abi::X32), Some(X32_BIT | 520));
        let openat = Syscall::named(Family::Arm, "openat").unwrap();
        assert_eq!(openat.number(Abi::Aarch64), Some(56));
        assert_eq!(openat.number(Abi::Arm), Some(322));
        let open = Syscall::named(Family::Arm, "open").unwrap();
        assert_eq!(open.number(Abi::Aarch64), None);
        assert_eq!(Syscall::named(Family::X86, "no_such_call"), None);
    }

    #[test]
    fn only_i386_multiplexes_sockets_and_system_v_ipc() {
        let connect = Syscall::named(Family::X86, "connect").unwrap();
        assert_eq!(
            connect.multiplexed(Abi::X86),
            Some(Multiplexed {
                number: 102,
                operation: 3
            })
        );
        assert_eq!(connect.multiplexed(Abi::X86_64), None);
        let shmat = Syscall::named(Family::X86, "shmat").unwrap();
        assert_eq!(
            shmat.multiplexed(Abi::X86),
            Some(Multiplexed {
                number: 117,
                operation: 21
            })
        );
        let send = Syscall::named(Family::X86, "send").unwrap();
        assert_eq!(send.number(Abi::X86), None);
        assert!(send.multiplexed(Abi::X86).is_some());
        assert_eq!(
            Syscall::named(Family::X86, "read")
                .unwrap()
                .multiplexed(Abi::X86),
            None
        );
    }
}
