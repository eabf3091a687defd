//! Finds data files and reads them in order.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::model::{DataFile, DigestWriter};

use super::builder::Builder;
use super::{DataError, Schema, Table, csv};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// The files that `patterns` name, relative to `folder`: a name, or a name with `*` in its last part. Matches of one
/// pattern come in the order of their names; no file comes twice.
///
/// # Errors
/// [`DataError::NoFiles`] for a pattern that names no file, [`DataError::Io`] where a folder cannot be read.
pub fn expand(folder: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, DataError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let path = folder.join(pattern);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut matches = if name.contains('*') { in_folder(&path, &name)? } else { vec![path] };
        matches.retain(|path| path.is_file());
        if matches.is_empty() {
            return Err(DataError::NoFiles { pattern: pattern.clone(), folder: folder.to_owned() });
        }
        matches.sort();
        for file in matches {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn in_folder(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let cannot = |source| DataError::Io { path: folder.to_owned(), source };
    let mut matches = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if matches_pattern(pattern.as_bytes(), entry.file_name().to_string_lossy().as_bytes()) {
            matches.push(entry.path());
        }
    }
    Ok(matches)
}

/// Whether `name` fits `pattern`, where `*` stands for any bytes.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| matches_pattern(rest, &name[skip..])),
        (Some((a, pattern)), Some((b, name))) => a == b && matches_pattern(pattern, name),
        _ => false,
    }
}

/// Reads `files`, in order, into one table. Each file is CSV, gzip with CSV inside, or (in builds with the feature)
/// Parquet: its first bytes decide. A file is named in messages, and in [`Table::files`], relative to `folder`.
///
/// # Errors
/// [`DataError`] names the file, the line and the column.
pub fn read_files(files: &[PathBuf], folder: &Path, schema: &Schema) -> Result<Table, DataError> {
    let mut builder = Builder::new(schema);
    let mut read = Vec::with_capacity(files.len());
    for path in files {
        let uri = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        let rows_before = builder.n_rows();
        let sha256 = read_file(path, &uri, &mut builder)?.finish();
        read.push(DataFile { uri, sha256, rows: builder.n_rows() - rows_before });
    }
    if builder.n_rows() == 0 {
        return Err(DataError::NoRows);
    }
    let mut table = builder.finish();
    table.files = read;
    Ok(table)
}

/// The column names of a CSV file, plain or gzip.
///
/// # Errors
/// [`DataError`] where it cannot be read.
pub fn header(path: &Path) -> Result<Vec<String>, DataError> {
    let cannot = |source| DataError::Io { path: path.to_owned(), source };
    let mut source = BufReader::new(File::open(path).map_err(cannot)?);
    let name = path.to_string_lossy();
    if source.fill_buf().map_err(cannot)?.starts_with(&GZIP_MAGIC) {
        csv::header(MultiGzDecoder::new(source), &name)
    } else {
        csv::header(source, &name)
    }
}

fn read_file(path: &Path, uri: &str, builder: &mut Builder) -> Result<DigestWriter, DataError> {
    let cannot = |source| DataError::Io { path: path.to_owned(), source };
    let mut digest = DigestWriter::default();
    let file = File::open(path).map_err(cannot)?;
    let mut source = BufReader::with_capacity(64 << 10, file);
    let start = source.fill_buf().map_err(cannot)?;
    if start.starts_with(&PARQUET_MAGIC) {
        return read_parquet(path, uri, builder);
    }
    let is_gzip = start.starts_with(&GZIP_MAGIC);
    let mut tee = Tee { source, digest: &mut digest };
    if is_gzip {
        csv::read(MultiGzDecoder::new(&mut tee), uri, builder)?;
    } else {
        csv::read(&mut tee, uri, builder)?;
    }
    // What the decoder did not ask for still belongs to the file.
    io::copy(&mut tee, &mut io::sink()).map_err(cannot)?;
    Ok(digest)
}

#[cfg(feature = "parquet")]
fn read_parquet(path: &Path, uri: &str, builder: &mut Builder) -> Result<DigestWriter, DataError> {
    let cannot = |source| DataError::Io { path: path.to_owned(), source };
    let mut digest = DigestWriter::default();
    io::copy(&mut File::open(path).map_err(cannot)?, &mut digest).map_err(cannot)?;
    super::parquet::read(File::open(path).map_err(cannot)?, uri, builder)?;
    Ok(digest)
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(_: &Path, uri: &str, _: &mut Builder) -> Result<DigestWriter, DataError> {
    Err(DataError::NoParquet { file: uri.to_owned() })
}

/// Passes bytes on and adds them to a digest.
struct Tee<'d, R> {
    source: R,
    digest: &'d mut DigestWriter,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.source.read(buffer)?;
        self.digest.write_all(&buffer[..n_bytes])?;
        Ok(n_bytes)
    }
}
