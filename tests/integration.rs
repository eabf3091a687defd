//! A real server on free ports, asked over HTTP as its users ask it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod integration {
    pub(crate) mod harness;
    pub(crate) mod process;

    mod attack;
    mod canary;
    mod child;
    mod contract;
    mod converge;
    mod demo;
    mod drain;
    mod drift;
    mod engines;
    mod gate;
    mod gate_pairs;
    mod hostile;
    mod http;
    mod killed;
    mod lifecycle;
    mod limits;
    mod logs;
    mod oip;
    mod openapi;
    mod operations;
    mod parity;
    mod prometheus;
    mod swap;
    mod train;
}
