//! The checks over HTTP.

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::Method;
use serde_json::{Value, json};
use std::io::Write as _;

use super::asked::{Answer, Field, JSON, ask};
use super::outputs::{Outputs, same};
use super::record::{Report, Rule, Verdict, extension, required};
use super::subject::Subject;
use crate::cli::web::Web;

const REST: &str = "open_inference_rest.yaml";
const TEXT: &str = "inference_rest.md";
const BINARY: &str = "extension_binary_data.md";
const KSERVE: &str = "KServe's client 0.21";
const TRITON: &str = "tritonclient 2.73";
const CONVENTION: &str = "Triton, KServe";
const JSON_LENGTH: &str = "inference-header-content-length";

/// Asks one server about one model.
pub(super) struct Rest<'a> {
    web: &'a Web,
    subject: &'a Subject,
    report: &'a mut Report,
}

impl<'a> Rest<'a> {
    pub(super) fn new(web: &'a Web, subject: &'a Subject, report: &'a mut Report) -> Self {
        Self { web, subject, report }
    }

    /// All checks.
    pub(super) async fn run(&mut self) {
        self.health().await;
        self.metadata().await;
        let baseline = self.inference().await;
        self.compressed(baseline.as_ref()).await;
        self.binary(baseline.as_ref()).await;
        self.refusals().await;
        self.numbers().await;
        self.extensions().await;
        self.v1().await;
    }

    fn note(&mut self, rule: Rule, found: Result<String, String>) {
        self.report.note(rule, Verdict::of(found));
    }

    fn skip(&mut self, rule: Rule, why: &str) {
        self.report.note(rule, Verdict::Skip(why.to_owned()));
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.web, (Method::GET, path), &[], Vec::new()).await
    }

    async fn post(&self, path: &str, fields: &[Field<'_>], body: impl Into<Vec<u8>>) -> Answer {
        ask(self.web, (Method::POST, path), fields, body.into()).await
    }

    async fn infer(&self, request: &Value) -> Answer {
        self.post(&self.path("/infer"), &[JSON], request.to_string()).await
    }

    fn path(&self, end: &str) -> String {
        format!("/v2/models/{}{end}", self.subject.model)
    }

    async fn health(&mut self) {
        let live = self.get("/v2/health/live").await;
        self.note(required("server is live", REST), live.with_status(&[200]));
        let says = |answer: &Answer, name: &str| match answer.json()[name].as_bool() {
            Some(true) => Ok(format!("{name}: true")),
            _ => Err(format!("no {name:?} in {}", answer.shown())),
        };
        self.note(extension("the body says live", KSERVE), says(&live, "live"));
        let ready = self.get("/v2/health/ready").await;
        self.note(required("server is ready", REST), ready.with_status(&[200]));
        self.note(extension("the body says ready", KSERVE), says(&ready, "ready"));
        let model = self.get(&self.path("/ready")).await;
        self.note(required("model is ready", REST), model.with_status(&[200]));
        self.note(extension("the body says that the model is ready", KSERVE), says(&model, "ready"));
    }

    async fn metadata(&mut self) {
        let has = |answer: &Answer, texts: &[&str], lists: &[&str]| {
            let body = answer.json();
            let no_text = texts.iter().find(|name| !body[**name].is_string());
            match no_text.or_else(|| lists.iter().find(|name| !body[**name].is_array())) {
                None => answer.with_status(&[200]),
                Some(name) => Err(format!("no {name:?} in {}", answer.shown())),
            }
        };
        let server = self.get("/v2").await;
        self.note(required("server metadata", REST), has(&server, &["name", "version"], &["extensions"]));
        let model = self.get(&self.path("")).await;
        self.note(required("model metadata", REST), has(&model, &["name", "platform"], &["inputs", "outputs"]));
        let tells = |list: &Value| {
            let is_whole = |tensor: &Value| {
                tensor["name"].is_string() && tensor["datatype"].is_string() && tensor["shape"].is_array()
            };
            list.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_whole))
        };
        let body = model.json();
        let found = if tells(&body["inputs"]) && tells(&body["outputs"]) {
            Ok("name, datatype and shape of each".to_owned())
        } else {
            Err(format!("inputs {} and outputs {}", body["inputs"], body["outputs"]))
        };
        self.note(extension("model metadata tell of every tensor", TEXT), found);
        let Some(version) = self.subject.version.clone() else {
            self.skip(required("metadata of a version", REST), "the model names no version");
            return;
        };
        let version = self.get(&self.path(&format!("/versions/{version}"))).await;
        self.note(required("metadata of a version", REST), has(&version, &["name"], &["inputs", "outputs"]));
    }

    /// Predictions in JSON; gives back the first one, which all others have to equal.
    async fn inference(&mut self) -> Option<Outputs> {
        let flat = self.infer(&self.subject.flat()).await;
        let baseline = Outputs::of(&flat);
        self.note(required("infer, flat data", TEXT), baseline.as_ref().map(Outputs::shown).map_err(Clone::clone));
        let baseline = baseline.ok();
        let nested = self.infer(&self.subject.nested()).await;
        self.note(required("infer, nested data", TEXT), same(&nested, baseline.as_ref()));
        let path = self.path("/infer");
        let bare = self.post(&path, &[], self.subject.flat().to_string()).await;
        self.note(extension("infer without a content type", TRITON), same(&bare, baseline.as_ref()));
        let mut named = self.subject.flat();
        named["id"] = json!("an-id");
        let named = self.infer(&named).await;
        let found = match named.json()["id"].as_str() {
            Some("an-id") => Ok("the same".to_owned()),
            _ => Err(named.shown()),
        };
        self.note(required("the id of a request comes back", TEXT), found);
        self.chosen(baseline.as_ref()).await;
        let mut more = self.subject.flat();
        more["parameters"] = json!({ "nobody_knows_this": 1 });
        let more = self.infer(&more).await;
        self.note(
            extension("unknown parameters are passed over", "extension_parameters.md"),
            same(&more, baseline.as_ref()),
        );
        let rule = required("infer by version", REST);
        match self.subject.version.clone() {
            None => self.skip(rule, "the model names no version"),
            Some(version) => {
                let path = self.path(&format!("/versions/{version}/infer"));
                let answer = self.post(&path, &[JSON], self.subject.flat().to_string()).await;
                self.note(rule, same(&answer, baseline.as_ref()));
            }
        }
        baseline
    }

    /// The outputs that a request asks for are those that come.
    async fn chosen(&mut self, baseline: Option<&Outputs>) {
        let rule = required("only the outputs that are asked for come", TEXT);
        let Some(name) = baseline.and_then(Outputs::last_name) else { return self.skip(rule, "there are none") };
        let mut request = self.subject.flat();
        request["outputs"] = json!([{ "name": name }]);
        let answer = self.infer(&request).await;
        let found = Outputs::of(&answer).and_then(|outputs| match outputs.names().as_slice() {
            [only] if *only == name => Ok(format!("{name} alone")),
            names => Err(format!("{names:?} where {name:?} was asked for")),
        });
        self.note(rule, found);
    }

    async fn compressed(&mut self, baseline: Option<&Outputs>) {
        let body = self.subject.flat().to_string();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
        let written = gzip.write_all(body.as_bytes()).and_then(|()| deflate.write_all(body.as_bytes()));
        let (Ok(()), Ok(gzip), Ok(deflate)) = (written, gzip.finish(), deflate.finish()) else { return };
        let path = self.path("/infer");
        for (name, check, body) in [("gzip", "a request in gzip", gzip), ("deflate", "a request in deflate", deflate)] {
            let answer = self.post(&path, &[JSON, ("content-encoding", name)], body).await;
            self.note(extension(check, TRITON), same(&answer, baseline));
        }
    }

    async fn binary(&mut self, baseline: Option<&Outputs>) {
        let path = self.path("/infer");
        let n_inputs = self.subject.inputs.len();
        let ways = [
            ("binary inputs, JSON outputs", n_inputs, Some(false)),
            ("JSON inputs, binary outputs", 0, Some(true)),
            ("binary inputs and outputs", n_inputs, Some(true)),
        ];
        for (check, n_binary, outputs) in ways {
            let found = self.framed((n_binary, outputs), baseline).await;
            self.note(extension(check, BINARY), found);
        }
        let rule = extension("a binary and a JSON input in one request", BINARY);
        if n_inputs < 2 {
            self.skip(rule, "the model has one input");
        } else {
            let found = self.framed((1, None), baseline).await;
            self.note(rule, found);
        }
        let rule = extension("raw binary: the body is the tensor", BINARY);
        let [input] = self.subject.inputs.as_slice() else { return self.skip(rule, "the model has several inputs") };
        if input.shape.first() != Some(&1) || input.dtype().as_str() == "BYTES" {
            return self.skip(rule, "no single row of numbers");
        }
        let raw = self.post(&path, &[(JSON_LENGTH, "0")], input.bytes()).await;
        self.note(rule, same(&raw, baseline));
    }

    async fn framed(
        &self,
        (n_binary, outputs): (usize, Option<bool>),
        baseline: Option<&Outputs>,
    ) -> Result<String, String> {
        let (body, length) = self.subject.binary(n_binary, outputs);
        let length = length.to_string();
        let fields: &[Field<'_>] = if n_binary == 0 { &[JSON] } else { &[(JSON_LENGTH, &length)] };
        let answer = self.post(&self.path("/infer"), fields, body).await;
        let is_binary = answer.headers.contains_key(JSON_LENGTH);
        match outputs {
            Some(true) if answer.status == 200 && !is_binary => Err("the outputs came as JSON".to_owned()),
            Some(false) if is_binary => Err("the outputs came in the binary form".to_owned()),
            _ => same(&answer, baseline),
        }
    }

    /// What cannot be answered is refused with an error's status and a text: that is required; which status is a convention.
    async fn refusals(&mut self) {
        let (good, path) = (self.subject.flat(), self.path("/infer"));
        let nobody = self.post("/v2/models/nobody-has-this/infer", &[JSON], good.to_string()).await;
        let told = self.get("/v2/models/nobody-has-this").await;
        let version = self.post(&self.path("/versions/987654/infer"), &[JSON], good.to_string()).await;
        for (check, answer) in [
            ("an unknown model is refused, with an error", &nobody),
            ("its metadata too", &told),
            ("an unknown version is refused, with an error", &version),
        ] {
            self.note(required(check, REST), answer.refused());
        }
        let unknown =
            [nobody, told, version].iter().map(|answer| answer.with_status(&[404])).collect::<Result<Vec<_>, _>>();
        self.note(extension("what is not there is 404", CONVENTION), unknown.map(|_| "404".to_owned()));
        let broken = self.post(&path, &[JSON], "{\"inputs\": [").await;
        self.note(required("broken JSON is refused, with an error", TEXT), broken.refused());
        let mut bad = vec![broken];
        for (check, request) in self.bad_requests() {
            let answer = self.infer(&request).await;
            self.note(required(check, TEXT), answer.refused());
            bad.push(answer);
        }
        let bad = bad.iter().map(|answer| answer.with_status(&[400])).collect::<Result<Vec<_>, _>>();
        self.note(extension("what is wrong with a request is 400", CONVENTION), bad.map(|_| "400".to_owned()));
        let mut request = good.clone();
        request["inputs"][0]["name"] = json!("nobody-has-this");
        let unknown = self.infer(&request).await;
        self.note(extension("an unknown input is refused, with an error", CONVENTION), unknown.refused());
        request = good;
        request["outputs"] = json!([{ "name": "nobody-has-this" }]);
        let unknown = self.infer(&request).await;
        self.note(extension("an unknown output is refused, with an error", CONVENTION), unknown.refused());
        let method = self.get(&path).await;
        self.note(extension("another method is 405", "RFC 9110"), method.with_status(&[405]));
    }

    /// Requests that no server can answer.
    fn bad_requests(&self) -> [(&'static str, Value); 5] {
        let change = |members: &[(&str, Value)]| {
            let mut request = self.subject.flat();
            for (member, value) in members {
                request["inputs"][0][*member] = value.clone();
            }
            request
        };
        let first = self.subject.inputs.first();
        let values = first.map(|input| input.values()).unwrap_or_default();
        let mut shape: Vec<usize> = first.map(|input| input.shape.clone()).unwrap_or_default();
        shape.push(7);
        let seven = values.iter().flat_map(|value| vec![value.clone(); 7]).collect::<Vec<_>>();
        let is_text = first.is_some_and(|input| input.dtype().as_str() == "BYTES");
        let other: Vec<Value> =
            values.iter().map(|_| if is_text { json!({ "a": 1 }) } else { json!("text") }).collect();
        [
            ("no inputs are refused, with an error", json!({})),
            ("another shape is refused, with an error", change(&[("shape", json!(shape)), ("data", json!(seven))])),
            ("too few values are refused, with an error", change(&[("data", json!([]))])),
            ("an unknown datatype is refused, with an error", change(&[("datatype", json!("FLOAT"))])),
            ("values of another kind are refused, with an error", change(&[("data", json!(other))])),
        ]
    }

    /// What JSON has trouble with.
    async fn numbers(&mut self) {
        let inputs = &self.subject.inputs;
        let first = |name: &str| inputs.iter().position(|input| input.dtype().as_str().starts_with(name));
        let with = |at: usize, value: &str| {
            let mut request = self.subject.flat();
            request["inputs"][at]["data"][0] = json!("HERE");
            request.to_string().replace("\"HERE\"", value)
        };
        let path = self.path("/infer");
        let rule = extension("a bare NaN is taken or refused, and never breaks the answer", "Triton");
        match first("FP") {
            None => self.skip(rule, "no input of floats"),
            Some(at) => {
                let answer = self.post(&path, &[JSON], with(at, "NaN")).await;
                let found = match answer.status {
                    200 if answer.json().is_null() => Err(format!("no JSON: {}", answer.shown())),
                    200 => Ok("200, valid JSON".to_owned()),
                    _ => answer.refused(),
                };
                self.note(rule, found);
            }
        }
        let rules = [
            (extension("INT64 beyond 2^53 is taken", TEXT), "9007199254740993", &[200][..]),
            (extension("a number beyond INT64 is 400", TEXT), "9223372036854775808", &[400]),
        ];
        for (rule, value, wanted) in rules {
            match first("INT64") {
                None => self.skip(rule, "no input of INT64"),
                Some(at) => {
                    let answer = self.post(&path, &[JSON], with(at, value)).await;
                    self.note(rule, answer.with_status(wanted));
                }
            }
        }
    }

    async fn extensions(&mut self) {
        const INDEX: &str = "extension_model_repository.md";
        let has_model = |answer: &Answer, model: &str| {
            let body = answer.json();
            let is_there = body.as_array().is_some_and(|list| list.iter().any(|entry| entry["name"] == model));
            if is_there { answer.with_status(&[200]) } else { Err(answer.shown()) }
        };
        let model = self.subject.model.clone();
        let index = self.post("/v2/repository/index", &[], "").await;
        self.note(extension("repository index, with an empty body", TRITON), has_model(&index, &model));
        let index = self.post("/v2/repository/index", &[JSON], "{\"ready\":true}").await;
        self.note(extension("repository index, of what is ready", INDEX), has_model(&index, &model));
        let stats = self.get(&self.path("/stats")).await;
        let found = match &stats.json()["model_stats"][0]["inference_stats"]["success"]["count"] {
            Value::Number(count) => Ok(format!("{count} successes")),
            _ => Err(stats.shown()),
        };
        self.note(extension("statistics of the model", "extension_statistics.md"), found);
        let config = self.get(&self.path("/config")).await;
        let found = if config.json()["name"].is_string() { config.with_status(&[200]) } else { Err(config.shown()) };
        self.note(extension("configuration of the model", "extension_model_configuration.md"), found);
    }

    /// The older form of KServe and TensorFlow Serving.
    async fn v1(&mut self) {
        const V1: &str = "KServe V1 protocol";
        let status = self.get(&format!("/v1/models/{}", self.subject.model)).await;
        self.note(extension("v1: the model's status", V1), status.with_status(&[200]));
        let rule = extension("v1: predict", V1);
        let instance = match self.subject.inputs.as_slice() {
            [input] => json!(input.values()),
            inputs => inputs.iter().map(|input| (input.name.clone(), input.values().swap_remove(0))).collect(),
        };
        let body = json!({ "instances": [instance] }).to_string();
        let answer = self.post(&format!("/v1/models/{}:predict", self.subject.model), &[JSON], body).await;
        let found = match answer.json()["predictions"].as_array() {
            Some(predictions) if predictions.len() == 1 => Ok("200, one prediction".to_owned()),
            _ => Err(answer.shown()),
        };
        self.note(rule, found);
    }
}
