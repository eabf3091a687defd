//! docs/OPERATIONS.md is the runbook of every refusal.

use regex::Regex;

use super::page::read;

#[test]
fn every_refusal_of_the_lifecycle_is_in_the_runbook() {
    let page = read("docs/OPERATIONS.md");
    let word = r#"(?:ErrorKind::\w+, |=> )"([a-z]+(?:_[a-z]+)*)"\)?,?\n"#;
    let word = Regex::new(word).unwrap();
    let mut n_codes = 0;
    for source in ["src/lifecycle/error.rs", "src/verify/refusal.rs"] {
        for found in word.captures_iter(&read(source)) {
            let code = &found[1];
            assert!(page.contains(&format!("`{code}`")), "{code} of {source} is not in docs/OPERATIONS.md");
            n_codes += 1;
        }
    }
    assert!(30 <= n_codes, "{n_codes} codes were found: the pattern is out of date");
}
