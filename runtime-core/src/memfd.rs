//! Files without a name: the init's program, plans, and what hooks read and write.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// The freestanding program that this library was built with.
static PROGRAM: &[u8] = include_bytes!(env!("RUNTIME_INIT"));

/// The init's program, sealed: nobody who gets hold of `/proc/PID/exe` can change it, and it is not the host's binary
/// (CVE-2019-5736). Made once for all containers of this process.
///
/// Where `vm.memfd_noexec=2` forbids executable memfds, it is an unlinked file in `directory` instead, one a start.
pub(crate) fn init(directory: &Path) -> io::Result<InitProgram> {
    static SEALED: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = SEALED.get() {
        return Ok(InitProgram::Shared(program.as_fd()));
    }
    match executable_memfd() {
        Ok(program) => Ok(InitProgram::Shared(SEALED.get_or_init(|| program).as_fd())),
        Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
            Ok(InitProgram::Own(unlinked_program(directory)?))
        }
        Err(error) => Err(error),
    }
}

/// A descriptor of the init's program.
pub(crate) enum InitProgram {
    Shared(BorrowedFd<'static>),
    Own(OwnedFd),
}

impl AsFd for InitProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            InitProgram::Shared(program) => *program,
            InitProgram::Own(program) => program.as_fd(),
        }
    }
}

fn executable_memfd() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let program = match memfd_create(runtime_init::INIT_NAME, flags | MemfdFlags::EXEC) {
        // Linux before 6.3 has no MFD_EXEC, and no memfd that is not executable.
        Err(Errno::INVAL) => memfd_create(runtime_init::INIT_NAME, flags)?,
        answer => answer?,
    };
    fill_and_seal(program, PROGRAM)
}

fn unlinked_program(directory: &Path) -> io::Result<OwnedFd> {
    // Since Linux 6.14 the process is called by it, and is told from the user's program by that.
    let path = directory.join(runtime_init::INIT_NAME.to_str().unwrap_or("init"));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(&path)?;
    let written = file.write_all(PROGRAM);
    drop(file);
    let program = File::open(&path);
    std::fs::remove_file(&path)?;
    written?;
    Ok(program?.into())
}

/// A sealed file with this content.
pub(crate) fn sealed(name: &CStr, content: &[u8]) -> io::Result<OwnedFd> {
    let memfd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    fill_and_seal(memfd, content)
}

fn fill_and_seal(memfd: OwnedFd, content: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd);
    file.write_all(content)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// A file with this content, to be read from its start.
pub(crate) fn file(name: &CStr, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// The last bytes of a file, as text.
pub(crate) fn tail(file: BorrowedFd<'_>, length: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = file.try_clone_to_owned().map(File::from) {
        let end = file.seek(SeekFrom::End(0)).unwrap_or(0);
        let _ = file.seek(SeekFrom::Start(end.saturating_sub(length)));
        let _ = file.take(length).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
