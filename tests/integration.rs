//! A real server on free ports, asked over HTTP as its users ask it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod integration {
    pub(crate) mod harness;
    pub(crate) mod process;

    mod attack;
    mod bad_requests;
    mod callers;
    mod canary;
    mod child;
    mod conform;
    mod contract;
    mod converge;
    mod demo;
    mod drain;
    mod drift;
    mod engines;
    mod feedback;
    mod gate;
    mod gate_pairs;
    mod hostile;
    mod http;
    mod killed;
    mod lifecycle;
    mod limits;
    mod logs;
    mod multi_model;
    mod oip;
    mod openapi;
    mod operations;
    mod parity;
    mod prometheus;
    mod scoring;
    mod swap;
    mod tls;
    mod train;
}
