//! SIGTERM loses nothing: readiness goes off first, what was accepted is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gudgeon::config::Period;
use serde_json::json;

use super::harness::{PREDICT, TestRegistry, flight};

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_request_is_lost_in_a_drain_under_load() {
    let server = TestRegistry::flights().serve_with(|config| config.drain_delay = Period::from_millis(600)).await;
    let stopped = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let url = format!("{}{PREDICT}", server.http);
    let body = json!({ "instances": [flight()] }).to_string();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (client, url, body) = (reqwest::Client::new(), url.clone(), body.clone());
            let (stopped, answered) = (Arc::clone(&stopped), Arc::clone(&answered));
            tokio::spawn(async move {
                loop {
                    match client.post(&url).body(body.clone()).send().await {
                        Ok(response) => {
                            assert_eq!(response.status(), 200);
                            assert!(!response.bytes().await.unwrap().is_empty());
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nobody listens any more: the request was not accepted.
                        Err(error) if error.is_connect() => {
                            assert!(stopped.load(Ordering::Relaxed), "refused before the drain: {error}");
                            return;
                        }
                        Err(error) => panic!("an accepted request was lost: {error:?}"),
                    }
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stopped.store(true, Ordering::Relaxed);
    server.shut_down();
    let ops = server.ops.clone();
    let client = server.client.clone();
    // A connection that the server has closed says that the drain is over: too late to be seen not ready.
    while client.get(format!("{ops}/readyz")).send().await.unwrap().status() != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get(format!("{ops}/livez")).send().await.unwrap().status(), 200);
    server.ended().await;
    for caller in callers {
        caller.await.unwrap();
    }
}
