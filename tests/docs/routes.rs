//! docs/API.md: the routes and the error codes.

use std::collections::{BTreeMap, BTreeSet};

use gudgeon::http::ROUTES;
use gudgeon::metrics::Listener;
use regex::Regex;

use super::page::{check_first_column, check_generated, code, read, section, table};

const PAGE: &str = "docs/API.md";

#[test]
fn every_route_is_in_the_reference() {
    for (listener, name) in
        [(Listener::Http, "routes of the predictions port"), (Listener::Ops, "routes of the operations port")]
    {
        let routes = ROUTES.iter().filter(|route| route.listener == listener);
        let rows = routes.map(|route| {
            let token = if route.needs_token { "token" } else { "" };
            [code(route.method), code(route.path), token.to_owned(), route.purpose.to_owned()]
        });
        check_generated(PAGE, name, &table(["method", "path", "needs", "what it is for"], rows));
    }
}

#[test]
fn every_error_code_is_in_the_reference_with_its_status() {
    let known = statuses();
    check_first_column(PAGE, "## Errors", &known.keys().cloned().collect());
    let row = Regex::new(r"(?m)^\| `(\w+)` \| ([0-9, ]+) \|").unwrap();
    for found in row.captures_iter(&section(PAGE, "## Errors")) {
        let shown: BTreeSet<u16> = found[2].split(", ").map(|status| status.trim().parse().unwrap()).collect();
        assert_eq!(shown, known[&found[1]], "{PAGE}: the status of {} (left) against the code (right)", &found[1]);
    }
}

/// Every code of an error body with its statuses, read where the source puts them side by side.
fn statuses() -> BTreeMap<String, BTreeSet<u16>> {
    let mut found: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let (faces, operations) = (read("src/http/error.rs"), read("src/lifecycle/error.rs"));
    let direct = Regex::new(r#"\(StatusCode::([A-Z_]+), "([a-z_]+)"\)"#).unwrap();
    for pair in direct.captures_iter(&faces) {
        found.entry(pair[2].to_owned()).or_default().insert(status(&pair[1]));
    }
    let by_kind = Regex::new(r"ErrorKind::(\w+) => StatusCode::([A-Z_]+)").unwrap();
    let by_kind: BTreeMap<_, _> =
        by_kind.captures_iter(&faces).map(|pair| (pair[1].to_owned(), status(&pair[2]))).collect();
    let operation = Regex::new(r#"\(ErrorKind::(\w+), "([a-z_]+)"\)"#).unwrap();
    for pair in operation.captures_iter(&operations) {
        found.entry(pair[2].to_owned()).or_default().insert(by_kind[&pair[1]]);
    }
    let refusal = Regex::new(r#"=> "([a-z_]+)""#).unwrap();
    for code in refusal.captures_iter(&read("src/verify/refusal.rs")) {
        found.entry(code[1].to_owned()).or_default().insert(by_kind["Refused"]);
    }
    assert!(30 < found.len(), "the codes were not found: {found:?}");
    found
}

fn status(name: &str) -> u16 {
    match name {
        "BAD_REQUEST" => 400,
        "UNAUTHORIZED" => 401,
        "FORBIDDEN" => 403,
        "NOT_FOUND" => 404,
        "METHOD_NOT_ALLOWED" => 405,
        "REQUEST_TIMEOUT" => 408,
        "CONFLICT" => 409,
        "PAYLOAD_TOO_LARGE" => 413,
        "UNSUPPORTED_MEDIA_TYPE" => 415,
        "UNPROCESSABLE_ENTITY" => 422,
        "TOO_MANY_REQUESTS" => 429,
        "REQUEST_HEADER_FIELDS_TOO_LARGE" => 431,
        "INTERNAL_SERVER_ERROR" => 500,
        "NOT_IMPLEMENTED" => 501,
        "SERVICE_UNAVAILABLE" => 503,
        "GATEWAY_TIMEOUT" => 504,
        "INSUFFICIENT_STORAGE" => 507,
        other => panic!("the test does not know the status {other}"),
    }
}
