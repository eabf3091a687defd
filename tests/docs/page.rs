//! Pages of the documentation: generated blocks, sections and the names in their tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A path of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of this repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds the part of `page` between `<!-- generated NAME -->` and `<!-- end -->` against `expected`, or writes it.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the switch that lets a test write what it would check")]
pub(crate) fn check_generated(page: &str, name: &str, expected: &str) {
    let text = read(page);
    let begin = format!("<!-- generated {name} -->\n");
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page}: no {begin}"));
    let (shown, tail) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{page}: no end of {name}"));
    if shown == expected {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{page}: {name} is not what the code says. UPDATE_DOCS=1 cargo test --test docs writes it:\n{expected}"
    );
    std::fs::write(repository(page), format!("{head}{begin}{expected}<!-- end -->{tail}")).unwrap();
}

/// A Markdown table.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    let rule = [(); N].map(|()| "---".to_owned());
    std::iter::once(line(head.map(ToOwned::to_owned))).chain([line(rule)]).chain(rows.into_iter().map(line)).collect()
}

/// A name as code.
pub(crate) fn code(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("`{name}`") }
}

/// The text under the heading `heading` (its `#`s included), up to the next heading of its depth or above.
#[track_caller]
pub(crate) fn section(page: &str, heading: &str) -> String {
    let text = read(page);
    let depth = heading.chars().take_while(|&char| char == '#').count();
    let ends = |line: &str| {
        let hashes = line.chars().take_while(|&char| char == '#').count();
        (1..=depth).contains(&hashes) && line[hashes..].starts_with(' ')
    };
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{page}: no heading {heading:?}");
    lines.take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n")
}

/// The names in the first column of the tables right under a heading.
#[track_caller]
pub(crate) fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let rows = section(page, heading);
    let name = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    // Sections below this one have tables of their own.
    rows.lines().take_while(|line| !line.starts_with("##")).filter_map(name).collect()
}

/// Holds the first column of the tables under a heading against the names in the code.
#[track_caller]
pub(crate) fn check_first_column(page: &str, heading: &str, expected: &BTreeSet<String>) {
    let shown = first_column(page, heading);
    let missing: Vec<_> = expected.difference(&shown).collect();
    let gone: Vec<_> = shown.difference(expected).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "{page}, {heading:?}: missing {missing:?}, not in the code {gone:?}"
    );
}

/// Every file of the repository that is text of ours, relative to its root.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(repository(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type().unwrap().is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | ".venv") {
                    folders.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    assert!(found.iter().any(|file| file == "Cargo.toml"), "the repository was not found");
    found.sort_unstable();
    found
}
