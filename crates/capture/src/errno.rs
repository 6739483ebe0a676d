//! The error number in an error of aya.

use std::error::Error;
use std::io;

use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use rustix::io::Errno;

/// The number of the system call's error that is the cause.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    // aya's are transparent, and an io::Error inside has no source of its own: nothing would be found.
    let of_program = match error.downcast_ref() {
        Some(ProgramError::IOError(error) | ProgramError::TcError(TcError::IoError(error))) => Some(error),
        _ => None,
    };
    let of_tc = match error.downcast_ref() {
        Some(TcError::IoError(error)) => Some(error),
        _ => None,
    };
    if let Some(error) = of_program.or(of_tc) {
        return Errno::from_io_error(error);
    }
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(io_error) = error.downcast_ref::<io::Error>() {
            return io_error.raw_os_error().map(Errno::from_raw_os_error);
        }
        current = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_found_inside_of_aya_s() {
        let error = || io::Error::from(Errno::NOENT);
        let wrapped: [Box<dyn Error>; 4] = [
            Box::new(error()),
            Box::new(TcError::IoError(error())),
            Box::new(ProgramError::TcError(TcError::IoError(error()))),
            Box::new(ProgramError::IOError(error())),
        ];
        for error in wrapped {
            assert_eq!(errno(&*error), Some(Errno::NOENT), "{error:?}");
        }
        assert_eq!(errno(&TcError::AlreadyAttached), None);
    }
}
