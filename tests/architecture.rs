//! Holds the import table and the invariants that can be read off the source against `src/`.
//!
//! The code is read as tokens, so comments and strings do not count. What is compiled for tests alone does not count
//! either: a unit test may take its data from anywhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Who may import whom; docs/ARCHITECTURE.md shows the same text.
///
/// A line with `->` is the design: it may be wider than the code. A line with `+` widens it by what the code turned out to
/// need, with the reason; such an edge goes when nothing uses it any more.
const TABLE: &str = "\
schema -> -
tensor -> schema
model -> schema tensor
drift -> schema tensor model
evaluation -> tensor model
metrics -> schema
telemetry -> -
engine -> schema tensor model
registry -> schema model
child -> schema
tls -> -
batch -> engine metrics model tensor
slot -> batch drift engine metrics model tensor
verify -> schema engine model tensor
verify + child: a version is opened in a child process first
lifecycle -> schema batch drift evaluation metrics model registry engine slot tensor verify
lifecycle + child: the gate is computed in a child process, and what was opened in this one is not taken for tried out
trainer -> drift engine evaluation model registry tensor verify
oip -> schema metrics model slot tensor
http -> schema batch drift lifecycle metrics model oip slot tensor
grpc -> lifecycle metrics model oip slot tensor
grpc + http: a prediction takes the same way whatever carries it, with the same errors, limits and request ids
config -> -
config + engine: the execution providers of onnxruntime are a setting, and what models are opened with is made of settings
config + telemetry: the form of log lines is a setting, and its type belongs to the module that writes them
app -> batch config drift engine evaluation grpc http lifecycle metrics model registry slot telemetry tensor verify
app + tls: what listeners are secured with
app + child: the server is told of which binary its children are
cli -> app config evaluation registry trainer verify
cli + child: `confined` is how a child of this binary is run
cli + drift: the demo says in a sentence which columns have drifted
cli + engine: `verify` opens a model under the engine's limits; `confined` opens onnxruntime's library before it is held
cli + lifecycle: the answers of the admin route, which its client reads back; the engine that model.toml asks for
cli + model: arguments are parsed into names, versions and aliases at once
cli + telemetry: `serve` starts the log
cli + tls: the commands speak to servers over TLS
cli + grpc: `conform` asks servers with the protocol's messages
cli + oip: `conform` writes and reads tensors in the binary form
cli + tensor: as above; a row for a model is made of its types
main -> cli
main + config: onnxruntime is told in the environment not to report on its use, before there is a second thread
";

/// Which module may know which library.
const HOMES: &[(&str, &[&str])] = &[
    ("tract_onnx", &["engine"]),
    ("ort", &["engine"]),
    ("axum", &["http", "app"]),
    ("tower", &["http", "grpc"]),
    ("tonic", &["grpc"]),
    ("tonic_prost", &["grpc"]),
    ("tonic_health", &["grpc"]),
    ("tonic_reflection", &["grpc"]),
    // `cli` asks servers, `app` is one.
    ("hyper", &["app", "cli"]),
    ("hyper_util", &["app", "cli"]),
    ("tokio_rustls", &["tls", "app", "cli"]),
    ("prometheus", &["metrics"]),
    ("arc_swap", &["slot"]),
    // `telemetry` derives `clap::ValueEnum` for the one enum of its that is a setting.
    ("clap", &["config", "cli", "main", "telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("reqwest", &["cli"]),
    ("anyhow", &["cli"]),
    // `slot` lowers the priority of the thread that compares a challenger.
    ("rustix", &["registry", "cli", "child", "slot"]),
    ("landlock", &["child"]),
];

/// Modules without I/O, clock, locks or async; `lifecycle/policy.rs` is held to the same.
const PURE: &[&str] = &["schema", "tensor", "model", "drift", "evaluation"];

/// Files of other modules that are held to the same.
const PURE_FILES: &[&str] = &["lifecycle/policy.rs", "lifecycle/rollout.rs", "slot/difference.rs"];

/// What makes code impure, as the end of a path.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["Instant"],
    &["SystemTime"],
    &["Mutex"],
    &["RwLock"],
    &["Condvar"],
    &["tokio"],
    &["jiff"],
];

/// One file of `src/`, taken apart.
struct Source {
    /// Relative to `src/`.
    file: String,
    /// The module that the table knows it by.
    module: String,
    /// Every path of two segments or more in code that is not for tests alone, supers resolved.
    paths: BTreeSet<Vec<String>>,
    /// Every macro that is called by its bare name.
    macros: BTreeSet<String>,
}

#[test]
fn every_import_is_in_the_table() {
    let table = Table::parse(TABLE);
    let mut problems = Vec::new();
    for (from, to, file) in edges(&sources()) {
        if !table.allows(&from, &to) {
            problems.push(format!("src/{file}: {from} imports {to}, which the import table does not allow"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_table_has_every_module_and_no_edge_beyond_the_design_that_nothing_uses() {
    let table = Table::parse(TABLE);
    let sources = sources();
    let modules: BTreeSet<String> = sources.iter().map(|source| source.module.clone()).filter(|m| m != "lib").collect();
    let listed: BTreeSet<String> = table.design.keys().cloned().collect();
    assert_eq!(listed, modules, "the modules of the import table are not those of src/");
    for (from, to) in table.design.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        assert!(modules.contains(to), "the import table lets {from} import {to}, which is no module");
    }
    let used: BTreeSet<(String, String)> = edges(&sources).into_iter().map(|(from, to, _)| (from, to)).collect();
    let unused: Vec<_> = table.added.iter().filter(|edge| !used.contains(edge)).collect();
    assert!(unused.is_empty(), "nothing uses these edges of the import table any more: {unused:?}");
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let text = read("docs/ARCHITECTURE.md");
    let shown = text.split("```imports\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(
        shown,
        Some(TABLE),
        "docs/ARCHITECTURE.md: the block ```imports must be the table of this test:\n{TABLE}"
    );
}

#[test]
fn libraries_stay_home() {
    let mut problems = Vec::new();
    for source in sources() {
        for path in &source.paths {
            let home = HOMES.iter().find(|(library, _)| path[0] == *library);
            if let Some((library, homes)) = home.filter(|(_, homes)| !homes.contains(&source.module.as_str())) {
                problems.push(format!("src/{}: {library} belongs to {} alone", source.file, homes.join(", ")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn vocabulary_and_policy_are_pure() {
    let is_pure =
        |source: &Source| PURE.contains(&source.module.as_str()) || PURE_FILES.contains(&source.file.as_str());
    let uses = uses(is_pure, IMPURE);
    assert!(uses.is_empty(), "no I/O, clock, locks or async here; time is a parameter:\n{}", uses.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    let mut problems = uses(|source| source.module != "cli", &[&["io", "stdout"]]);
    // The log goes to standard error.
    problems.extend(uses(|source| source.module != "cli" && source.module != "telemetry", &[&["io", "stderr"]]));
    let printing = ["print", "println", "eprint", "eprintln", "dbg"];
    for source in sources().iter().filter(|source| source.module != "cli") {
        let called = printing.iter().filter(|name| source.macros.contains(**name));
        problems.extend(called.map(|name| format!("src/{}: {name}!", source.file)));
    }
    assert!(problems.is_empty(), "only cli prints:\n{}", problems.join("\n"));
}

#[test]
fn the_process_ends_in_main_alone() {
    let exits: &[&[&str]] = &[&["process", "exit"], &["process", "abort"]];
    let problems = uses(|source| source.module != "main", exits);
    assert!(problems.is_empty(), "only main ends the process, by returning:\n{}", problems.join("\n"));
}

#[test]
fn only_config_reads_the_environment() {
    let reads: &[&[&str]] = &[
        &["env", "var"],
        &["env", "var_os"],
        &["env", "vars"],
        &["env", "vars_os"],
        &["env", "set_var"],
        &["env", "remove_var"],
    ];
    let problems = uses(|source| source.module != "config", reads);
    assert!(problems.is_empty(), "only config reads the environment:\n{}", problems.join("\n"));
}

#[test]
fn only_the_registry_writes_files() {
    let writes: &[&[&str]] = &[
        &["fs", "write"],
        &["fs", "rename"],
        &["fs", "create_dir"],
        &["fs", "create_dir_all"],
        &["fs", "remove_file"],
        &["fs", "remove_dir"],
        &["fs", "remove_dir_all"],
        &["fs", "copy"],
        &["fs", "OpenOptions"],
        &["File", "create"],
    ];
    // The admin token lies outside the models directory, and so does what the command line is told to write.
    let homes = ["registry", "cli"];
    // A child writes its own score for when memory runs out, to the system.
    let others = ["app/token.rs", "child/confine.rs"];
    let is_held = |source: &Source| !homes.contains(&source.module.as_str()) && !others.contains(&source.file.as_str());
    let problems = uses(is_held, writes);
    assert!(problems.is_empty(), "only registry writes under the models directory:\n{}", problems.join("\n"));
}

#[test]
fn the_reader_of_this_test_sees_what_it_should() {
    let code = r#"
        //! use crate::a;
        use crate::{b::{C, d::E}, f as g};
        use super::super::h::I;
        #[cfg(test)] use crate::j::K;
        #[cfg(test)] mod tests { use crate::l::M; fn f() { println!() } }
        #[derive(clap::Args)] struct S(std::sync::Arc<crate::n::O>);
        fn f() { "crate::p::Q"; let _ = vec![crate::r::s()]; super::t::u(); eprintln!("{}", axum::x::<y::Z>()) }
        mod inner { use super::super::v::W; }
        fn g() -> impl Iterator<Item = u8> + use<> { crate::z::y() }
    "#;
    let source = take_apart("m/n.rs", code);
    let roots: BTreeSet<_> =
        source.paths.iter().filter(|path| path[0] == "crate").map(|path| path[1].as_str()).collect();
    let expected = ["b", "f", "h", "m", "n", "r", "z"];
    assert_eq!(roots, expected.into_iter().collect());
    assert!(source.paths.contains(&segments("crate::b::d::E")));
    assert!(source.paths.contains(&segments("crate::m::t::u")));
    assert!(source.paths.contains(&segments("crate::m::v::W")));
    assert!(source.paths.contains(&segments("clap::Args")));
    assert!(source.paths.contains(&segments("axum::x")));
    assert_eq!(source.macros, ["eprintln", "vec"].map(ToOwned::to_owned).into());
}

/// Where code that `is_held` to it names a path with one of `parts` in it.
fn uses(is_held: impl Fn(&Source) -> bool, parts: &[&[&str]]) -> Vec<String> {
    let sources = sources();
    let held = sources.iter().filter(|source| is_held(source));
    held.flat_map(|source| {
        let found =
            source.paths.iter().filter(|path| parts.iter().any(|part| path.windows(part.len()).any(|w| w == *part)));
        found.map(|path| format!("src/{}: {}", source.file, path.join("::")))
    })
    .collect()
}

/// The import table, parsed.
struct Table {
    design: BTreeMap<String, BTreeSet<String>>,
    added: BTreeSet<(String, String)>,
}

impl Table {
    fn parse(text: &str) -> Self {
        let mut table = Self { design: BTreeMap::new(), added: BTreeSet::new() };
        for line in text.lines() {
            if let Some((from, to)) = line.split_once(" -> ") {
                let to = to.split(' ').filter(|name| *name != "-").map(ToOwned::to_owned).collect();
                assert!(table.design.insert(from.to_owned(), to).is_none(), "{from} is in the import table twice");
            } else {
                let added = line.split_once(" + ").and_then(|(from, rest)| Some((from, rest.split_once(": ")?.0)));
                let (from, to) =
                    added.unwrap_or_else(|| panic!("import table: neither `a -> b c` nor `a + b: why`: {line}"));
                table.added.insert((from.to_owned(), to.to_owned()));
            }
        }
        table
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        self.design.get(from).is_some_and(|allowed| allowed.contains(to))
            || self.added.contains(&(from.to_owned(), to.to_owned()))
    }
}

/// Importing module, imported module, file; each once a file.
fn edges(sources: &[Source]) -> BTreeSet<(String, String, String)> {
    let mut edges = BTreeSet::new();
    for source in sources {
        for path in &source.paths {
            let is_own = path[0] == "crate" || (source.module == "main" && path[0] == "gudgeon");
            if is_own && path[1] != source.module {
                edges.insert((source.module.clone(), path[1].clone(), source.file.clone()));
            }
        }
    }
    edges
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file of `src/` that is not for tests alone.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect_files(&root().join("src"), &mut files);
    let relative = |path: &PathBuf| path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().replace('\\', "/");
    let texts: BTreeMap<String, String> =
        files.iter().map(|path| (relative(path), std::fs::read_to_string(path).unwrap())).collect();
    let for_tests: BTreeSet<String> = texts.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    let is_for_tests = |file: &str| for_tests.iter().any(|test| file == test || file.starts_with(&format!("{test}/")));
    let held = texts.iter().filter(|(file, _)| !is_for_tests(file));
    let sources: Vec<Source> = held.map(|(file, text)| take_apart(file, text)).collect();
    assert!(20 < sources.len(), "the sources were not found");
    sources
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files, and folders, of the modules that a file declares for tests alone: `#[cfg(test)] mod name;`.
fn test_modules(file: &str, text: &str) -> Vec<String> {
    let tokens: Vec<_> = parse(text).into_iter().collect();
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(|&at| is_cfg_test(&tokens, at)) {
        let mut at = at + 2;
        let mut path = None;
        while let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = &tokens[at..]
            && hash.as_char() == '#'
        {
            let attribute = attribute.to_string();
            path = attribute
                .contains("path")
                .then(|| attribute.split('"').nth(1).map(ToOwned::to_owned))
                .flatten()
                .or(path);
            at += 2;
        }
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(end), ..] = &tokens[at..]
            && keyword == "mod"
            && end.as_char() == ';'
        {
            let beside = file.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
            match path {
                Some(path) => found.push(format!("{beside}{path}")),
                None => found.extend(files_of(file, &name.to_string())),
            }
        }
    }
    found
}

/// The file and the folder that a module declared in `file` may lie in.
fn files_of(file: &str, name: &str) -> [String; 2] {
    let folder =
        file.strip_suffix("mod.rs").map_or_else(|| format!("{}/", file.trim_end_matches(".rs")), ToOwned::to_owned);
    [format!("{folder}{name}.rs"), format!("{folder}{name}")]
}

fn parse(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("not Rust: {error}"))
}

fn take_apart(file: &str, text: &str) -> Source {
    let mut place: Vec<String> = file.trim_end_matches(".rs").split('/').map(ToOwned::to_owned).collect();
    if place.last().is_some_and(|last| last == "mod") {
        place.pop();
    }
    let module = place[0].clone();
    if module == "lib" || module == "main" {
        place.clear();
    }
    let mut source = Source { file: file.to_owned(), module, paths: BTreeSet::new(), macros: BTreeSet::new() };
    let tokens: Vec<_> = parse(text).into_iter().collect();
    walk(&tokens, &place, &mut source);
    source
}

/// Whether the attribute `#[cfg(test)]` is at `at`.
fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = &tokens[at..] else { return false };
    if hash.as_char() != '#' {
        return false;
    }
    let attribute = attribute.to_string().replace(' ', "");
    attribute == "[cfg(test)]" || attribute.starts_with("[cfg(all(test,")
}

/// Where the item that begins at `at` ends: after its `;`, or after its body.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    // The braces of `use a::{b, c};` are no body.
    let is_use = matches!(&tokens[at..], [TokenTree::Ident(keyword), ..] if keyword == "use");
    let is_end = |token: &TokenTree| ends(token) && !(is_use && matches!(token, TokenTree::Group(_)));
    tokens[at..].iter().position(is_end).map_or(tokens.len(), |offset| at + offset + 1)
}

/// Collects the paths and macros in `tokens`, which stand in the module `place`.
fn walk(tokens: &[TokenTree], place: &[String], source: &mut Source) {
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(tokens, at) {
            at = end_of_item(tokens, at + 2);
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => walk_group(group, place, source),
            TokenTree::Ident(keyword) if keyword == "use" && !is_punct(tokens.get(at + 1), '<') => {
                let end = end_of_item(tokens, at);
                let mut found = Vec::new();
                flatten(&tokens[at + 1..end - 1], &[], &mut found);
                found.into_iter().for_each(|path| keep(&path, place, source));
                at = end;
                continue;
            }
            TokenTree::Ident(keyword) if keyword == "mod" => {
                if let [TokenTree::Ident(name), TokenTree::Group(body), ..] = &tokens[at + 1..] {
                    let inner: Vec<_> = place.iter().cloned().chain([name.to_string()]).collect();
                    walk_group(body, &inner, source);
                    at += 3;
                    continue;
                }
            }
            TokenTree::Ident(first) => {
                let mut path = vec![first.to_string()];
                while let Some(next) = segment(tokens, at + 1) {
                    path.push(next);
                    at += 3;
                }
                if path.len() == 1 && is_punct(tokens.get(at + 1), '!') {
                    source.macros.insert(path[0].clone());
                }
                keep(&path, place, source);
            }
            _ => {}
        }
        at += 1;
    }
}

fn walk_group(group: &Group, place: &[String], source: &mut Source) {
    let inner: Vec<_> = group.stream().into_iter().collect();
    walk(&inner, place, source);
}

fn is_punct(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

/// The segment that follows at `at` as `:: name`.
fn segment(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at + 2) {
        Some(TokenTree::Ident(name)) if is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':') => {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn flatten(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Vec<String>>) {
    for entry in tokens.split(|token| is_punct(Some(token), ',')) {
        let mut path = prefix.to_vec();
        let mut has_group = false;
        for token in entry {
            match token {
                TokenTree::Ident(rename) if rename == "as" => break,
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Group(group) => {
                    has_group = true;
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    flatten(&inner, &path, found);
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                _ => {}
            }
        }
        if !has_group && path.len() > prefix.len() {
            found.push(path);
        }
    }
}

/// Keeps a path, `self` and `super` resolved; a single name is no path unless a use names it.
fn keep(path: &[String], place: &[String], source: &mut Source) {
    let is_relative = |name: &String| name == "self" || name == "super";
    let n_relative = path.iter().take_while(|name| is_relative(name)).count();
    let resolved: Vec<String> = if n_relative == 0 {
        path.to_vec()
    } else {
        let n_up = path[..n_relative].iter().filter(|name| *name == "super").count();
        let kept = place.len().saturating_sub(n_up);
        std::iter::once("crate".to_owned())
            .chain(place[..kept].iter().cloned())
            .chain(path[n_relative..].iter().cloned())
            .collect()
    };
    if 2 <= resolved.len() {
        source.paths.insert(resolved);
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(ToOwned::to_owned).collect()
}
