//! What must hold of every file: links lead somewhere, versions agree, no machine of ours is named.

use regex::Regex;

use super::page::{files, read, repository};

fn pages() -> Vec<String> {
    let pages: Vec<_> =
        files().into_iter().filter(|file| file.ends_with(".md") && !file.starts_with("tests/cases/")).collect();
    assert!(pages.contains(&"README.md".to_owned()));
    pages
}

#[test]
fn links_between_pages_lead_to_files_and_headings_that_there_are() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut n_seen = 0;
    for page in pages() {
        for found in link.captures_iter(&without_code(&read(&page))) {
            let target = &found[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = if file.is_empty() { page.clone() } else { resolved(folder, file) };
            assert!(repository(&path).exists(), "{page}: the link {target} leads nowhere");
            assert!(
                anchor.is_empty() || anchors(&path).contains(&anchor.to_owned()),
                "{page}: no heading for {target}"
            );
            n_seen += 1;
        }
    }
    assert!(10 < n_seen, "only {n_seen} links were found");
}

/// A page without its blocks of code, in which nothing is a link.
fn without_code(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

fn resolved(folder: &str, file: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let slug = |heading: &str| {
        // `&lt;` is a sign, not letters.
        let heading = heading.replace("&lt;", "").replace("&gt;", "");
        let kept = heading.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.map(|char| if char == ' ' { '-' } else { char.to_ascii_lowercase() }).collect::<String>()
    };
    let text = without_code(&read(page));
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn the_image_in_the_manifests_is_of_this_version() {
    let tag = Regex::new(r"(?m)(?:image: [\w./-]*gudgeon:|newTag: )(\S+)$").unwrap();
    let mut n_seen = 0;
    for file in files().iter().filter(|file| file.starts_with("k8s/")) {
        for found in tag.captures_iter(&read(file)) {
            assert_eq!(&found[1], env!("CARGO_PKG_VERSION"), "{file}");
            n_seen += 1;
        }
    }
    assert!(0 < n_seen, "no image was found in the manifests");
}

#[test]
fn the_changelog_knows_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").lines().any(|line| line.starts_with(&heading)), "CHANGELOG.md: no {heading}");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, so that this file does not name them either.
    let places = ["work", "root", "home", "Users"].join("|");
    let place = Regex::new(&format!(r#"(?:^|[\s"'`=(:])/(?:{places})(?:/|["'`\s),:]|$)"#)).unwrap();
    for file in files() {
        let Ok(text) = String::from_utf8(std::fs::read(repository(&file)).unwrap()) else { continue };
        for (index, line) in text.lines().enumerate() {
            assert!(!place.is_match(line), "{file}:{}: {line}", index + 1);
        }
    }
}
