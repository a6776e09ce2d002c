//! A Lambda's deployment package.

use std::borrow::Cow;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

pub use zip::CompressionMethod;

/// The newest glibc that `provided.al2023` has.
const GLIBC_OF_AL2023: (u32, u32) = (2, 34);

/// Offset and value of the ELF header's machine field for x86-64, the template's architecture.
const ELF_MACHINE: (usize, [u8; 2]) = (18, [0x3e, 0x00]);

/// How large all files of a package may be: 250 MB by Lambda's count (AWS Lambda Developer Guide, "Lambda
/// quotas").
const MOST_UNZIPPED: u64 = 250 * 1024 * 1024;

/// Why a binary cannot become a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary is not there.
    #[error("cannot read the Lambda binary {path}: build it with `cargo xtask build`")]
    Unreadable {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The binary is not what the template's `Architectures` says.
    #[error("{path} is not an ELF binary for x86-64, which is what the template deploys")]
    OtherMachine {
        /// The binary.
        path: PathBuf,
    },
    /// The binary would not start on Lambda.
    #[error(
        "{path} needs glibc {}.{}, and Lambda's provided.al2023 has {}.{}: build it on a system \
         that is no newer, such as Amazon Linux 2023 or Debian 11",
        .needs.0, .needs.1, GLIBC_OF_AL2023.0, GLIBC_OF_AL2023.1
    )]
    NewerGlibc {
        /// The binary.
        path: PathBuf,
        /// The greatest version it refers to.
        needs: (u32, u32),
    },
    /// Lambda would not take it.
    #[error(
        "the files of {package} have {bytes} bytes together, and Lambda takes {MOST_UNZIPPED}: is it a \
         release build, by `cargo xtask build`?"
    )]
    TooLarge {
        /// The Lambda's name.
        package: String,
        /// Of all files, unzipped.
        bytes: u64,
    },
    /// The zip could not be written.
    #[error("cannot write the zip")]
    Zip(#[from] zip::result::ZipError),
}

/// One file of a package: its name and its bytes. Every file is executable.
pub type File = (Cow<'static, str>, Vec<u8>);

/// The package of a custom runtime: the binary under the name that Lambda starts. It is known to
/// start there.
///
/// # Errors
/// If the binary cannot be read, is for another CPU, or needs a newer glibc than Lambda has.
pub fn files_for_aws(binary: &Path) -> Result<Vec<File>, Error> {
    let bytes = read(binary)?;
    let (offset, machine) = ELF_MACHINE;
    if !bytes.starts_with(b"\x7fELF") || bytes.get(offset..offset + 2) != Some(&machine) {
        return Err(Error::OtherMachine { path: binary.into() });
    }
    match newest_glibc(&bytes) {
        Some(needs) if needs > GLIBC_OF_AL2023 => {
            Err(Error::NewerGlibc { path: binary.into(), needs })
        }
        _ => Ok(vec![("bootstrap".into(), bytes)]),
    }
}

/// The same files give the same bytes, on every machine and at every time. The zip's hash is its
/// name in S3, and an unchanged Lambda must not look changed.
///
/// # Errors
/// If the zip cannot be written, as for a file beyond 4 GiB.
pub fn zip(files: &[File], compression: CompressionMethod) -> Result<Vec<u8>, Error> {
    let options = SimpleFileOptions::default()
        .compression_method(compression)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(&**name, options)?;
        zip.write_all(bytes).map_err(zip::result::ZipError::from)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// That Lambda takes so much. CloudFormation would find out too, with a stack to roll back.
pub(crate) fn fits(package: &str, files: &[File]) -> Result<(), Error> {
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    match bytes > MOST_UNZIPPED {
        true => Err(Error::TooLarge { package: package.to_owned(), bytes }),
        false => Ok(()),
    }
}

pub(crate) fn read(binary: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(binary).map_err(|source| Error::Unreadable { path: binary.into(), source })
}

/// The greatest `GLIBC_x.y` the binary names. Symbol versions lie in the dynamic string table as
/// zero-terminated text, so the bytes are searched for them. The answer is never too low. It can be
/// too high, for a program that holds such a text for another reason.
fn newest_glibc(binary: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    binary
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .filter_map(|(at, _)| {
            let rest = &binary[at + MARK.len()..];
            let version =
                std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == 0)?]).ok()?;
            let mut parts = version.split('.').map(str::parse);
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_package_holds_no_time_and_an_executable_bootstrap() {
        let bytes =
            zip(&[("bootstrap".into(), b"binary".to_vec())], CompressionMethod::Deflated).unwrap();
        assert_eq!(
            bytes,
            zip(&[("bootstrap".into(), b"binary".to_vec())], CompressionMethod::Deflated).unwrap()
        );
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut file = archive.by_name("bootstrap").unwrap();
        // The earliest time that the format can tell, whatever the clock says.
        assert_eq!(file.last_modified().unwrap().year(), 1980);
        assert_eq!(file.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "binary");
    }

    fn elf(rest: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        bytes.extend_from_slice(rest);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_binary_for_a_newer_glibc_is_refused() {
        let fits = elf(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE\0");
        assert!(files_for_aws(fits.path()).is_ok());
        let newer = elf(b"\0GLIBC_2.9\0GLIBC_2.38\0GLIBC_2.17\0");
        let error = files_for_aws(newer.path()).unwrap_err();
        assert!(matches!(error, Error::NewerGlibc { needs: (2, 38), .. }), "{error}");
    }

    #[test]
    fn a_binary_for_another_machine_is_refused() {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "#!/bin/sh\n").unwrap();
        assert!(matches!(files_for_aws(script.path()), Err(Error::OtherMachine { .. })));
    }

    #[test]
    fn what_lambda_would_not_take_is_refused() {
        let most = usize::try_from(MOST_UNZIPPED).unwrap();
        let files =
            |bytes| [("bootstrap".into(), vec![0; bytes - 1]), ("profile.toml".into(), vec![0])];
        assert!(fits("worker", &files(most)).is_ok());
        let error = fits("worker", &files(most + 1)).unwrap_err().to_string();
        assert!(error.contains("worker have 262144001 bytes"), "{error}");
    }

    #[test]
    fn a_missing_binary_says_how_to_build_it() {
        let error = files_for_aws(Path::new("/nowhere/slowlane-worker")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/slowlane-worker: build it with"), "{error}");
    }
}
