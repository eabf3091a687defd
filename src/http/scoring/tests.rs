//! Every form of a body ends in the rows that the v1 form has.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

use super::frame::COLUMNS_MAX;
use super::{Content, decode};
use crate::http::cases::signature;
use crate::http::json::DecodeLimits;
use crate::http::v1;
use crate::tensor::{Data, NamedTensor};

fn read(content: Content, body: &str, name: &str) -> Result<Vec<NamedTensor>, String> {
    let limits = DecodeLimits { rows_max: 3, ..DecodeLimits::default() };
    let signature = signature(name);
    let read = decode((content, &Bytes::copy_from_slice(body.as_bytes())), &signature, &limits);
    let read = read.map_err(|error| error.to_string())?;
    signature.check(read.clone()).unwrap();
    Ok(read)
}

/// Names, shapes and bits.
fn told(inputs: &[NamedTensor]) -> String {
    let bits = |data: &Data| match data {
        Data::Fp32(values) => format!("{:?}", values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()),
        Data::Fp64(values) => format!("{:?}", values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    };
    let told = |input: &NamedTensor| format!("{} {:?} {}", input.name, input.tensor.shape(), bits(input.tensor.data()));
    inputs.iter().map(told).collect::<Vec<_>>().join("; ")
}

/// `body` says the same as these v1 rows.
#[track_caller]
fn check(content: Content, body: &str, name: &str, instances: &str) {
    let v1 = format!("{{\"instances\":{instances}}}");
    let v1 = v1::decode(v1.as_bytes(), (&signature(name), None), &DecodeLimits::default()).unwrap().inputs;
    match read(content, body, name) {
        Ok(inputs) => assert_eq!(told(&inputs), told(&v1), "{body}"),
        Err(error) => panic!("{body}: {error}"),
    }
}

#[track_caller]
fn refuse(content: Content, body: &str, name: &str, expected: &str) {
    let error = read(content, body, name).unwrap_err();
    assert!(error.starts_with(expected), "{body}: {error}");
}

const FLIGHTS: &str =
    r#"[{"hour":7,"carrier":"UA","plane_age":3.5},{"hour":-0.0,"carrier":"O\"Hare, \n","plane_age":null}]"#;

#[test]
fn every_json_form_is_the_same_rows() {
    for body in [
        r#"{"instances":[{"hour":7,"carrier":"UA","plane_age":3.5},{"carrier":"O\"Hare, \n","hour":-0.0}]}"#,
        r#"{"dataframe_records":[{"id":1,"hour":7,"carrier":"UA","plane_age":3.5},{"hour":-0.0,"carrier":"O\"Hare, \n","plane_age":NaN}]}"#,
        r#"{"dataframe_split":{"columns":["hour","carrier","plane_age"],"index":[0,1],"data":[[7,"UA",3.5],[-0.0,"O\"Hare, \n",NaN]]}}"#,
        r#"{"params":{"a":[1,{}]},"dataframe_split":{"data":[["x","UA",3.5,7],[null,"O\"Hare, \n",null,-0.0]],"columns":["id","carrier","plane_age","hour"]}}"#,
        r#"{"dataframe_split":{"data":[[7,"UA",3.5],[-0.0,"O\"Hare, \n",null]]},"params":null}"#,
        r#"{"dataframe_split":{"columns":[0,1,2],"data":[[7,"UA",3.5],[-0.0,"O\"Hare, \n",null]]}}"#,
        r#"{"inputs":{"hour":[7,-0.0],"carrier":["UA","O\"Hare, \n"],"plane_age":[3.5,null]}, "parameters": {}}"#,
    ] {
        check(Content::Json, body, "flights", FLIGHTS);
    }
    check(Content::Json, r#"{"inputs":[[1,2,3],[4,5,6]]}"#, "matrix", "[[1,2,3],[4,5,6]]");
    let columns = r#"{"dataframe_split":{"columns":["carrier","hour"],"data":[["UA",7]]}}"#;
    check(Content::Json, columns, "flights", r#"[{"hour":7,"carrier":"UA"}]"#);
}

#[test]
fn a_csv_is_the_same_rows() {
    for body in [
        "hour,carrier,plane_age\n7,UA,3.5\n-0,\"O\"\"Hare, \n\",\n",
        "\u{feff}carrier,id,plane_age,hour\r\nUA,1,3.5,7.0\r\n\r\n\"O\"\"Hare, \n\",2,NaN,-0.0",
        // As pandas writes an index.
        ",hour,carrier,plane_age\n0,7,UA,3.5\n1, -0 ,\"O\"\"Hare, \n\",\n",
    ] {
        check(Content::Csv, body, "flights", FLIGHTS);
    }
    check(Content::Csv, "hour,carrier\n16777217,NA\n", "flights", r#"[{"hour":16777217,"carrier":"NA"}]"#);
    // The only input of a graph whose values have no names.
    check(Content::Csv, "a,b\n1,-1e-3\n,inf\n", "bare", "[[1,-1e-3],[null,\"Infinity\"]]");
}

#[test]
fn what_is_wrong_is_named() {
    let json = |body: &str, expected: &str| refuse(Content::Json, body, "flights", expected);
    json("[]", "body: expected an object with one of \"dataframe_split\"");
    json("{}", "body: expected an object with one of \"dataframe_split\"");
    json("{", "the body is not valid JSON");
    json(r#"{"instances":[],"inputs":{}}"#, "instances: expected at least one row, got none");
    json(r#"{"instances":[{"hour":1,"carrier":"UA"}],"inputs":{}}"#, "body: expected an object with one of");
    json(r#"{"messages":[]}"#, "messages: expected one of dataframe_split,");
    json(r#"{"signature_name":"serving_default"}"#, "signature_name: expected one of dataframe_split,");
    json(r#"{"params":[1]}"#, "params: expected an object, got another value");
    json(r#"{"instances":[{"hour":1,"carrier":"UA","id":1}]}"#, "instances[0].id: expected one of hour");
    json(
        r#"{"dataframe_records":[{"hour":1,"carrier":"UA","plain_age":1}]}"#,
        "dataframe_records[0].plain_age: expected one of",
    );
    json(r#"{"dataframe_records":{"hour":[1]}}"#, "dataframe_records: expected a list of rows, got an object");
    json(r#"{"dataframe_split":[]}"#, "dataframe_split: expected an object with \"columns\" and \"data\", got a list");
    json(r#"{"dataframe_split":{"columns":["hour"]}}"#, "dataframe_split.data: expected a list of rows, got nothing");
    json(r#"{"dataframe_split":{"dtypes":[]}}"#, "dataframe_split.dtypes: expected one of columns, data, index");
    let split = |columns: &str, data: &str, expected: &str| {
        json(
            &format!(r#"{{"dataframe_split":{{"columns":{columns},"data":{data}}}}}"#),
            &format!("dataframe_split{expected}"),
        );
    };
    split(r#"["hour","carrier"]"#, r#"[[1,"UA"],[2]]"#, ".data[1]: expected 2 values, one a column, got 1");
    split(r#"["hour","carrier"]"#, r#"[[1,"UA",3]]"#, ".data[0]: expected 2 values, one a column, got more");
    split(r#"["hour","carrier"]"#, r#"[["x","UA"]]"#, ".data[0].hour: expected a number");
    split(
        r#"["hour","carrier"]"#,
        r#"[{"hour":1}]"#,
        ".data[0]: expected a row: a list with a value a column, got an object",
    );
    split(r#"["hour","carrier"]"#, "[]", ".data: expected at least one row, got none");
    split(r#"["hour","carrier"]"#, r#"[[1,"UA"],[1,"UA"],[1,"UA"],[1,"UA"]]"#, ".data[3]: expected at most 3 rows");
    split(r#"["hour"]"#, "[[1]]", ".data[0].carrier: expected a string");
    split(r#"["hour","hour","carrier"]"#, r#"[[1,2,"UA"]]"#, ".data[0].hour: expected each name once, got it twice");
    split(
        r#"["hour","carrier","Plane_Age"]"#,
        "[]",
        ".columns.Plane_Age: expected one of hour, carrier, plane_age, since",
    );
    split(r#"["hour",[1]]"#, "[]", ".columns: expected a list of at most 65536 names");
    let many = format!("[{}0]", "0,".repeat(COLUMNS_MAX));
    split(&many, "[]", ".columns: expected a list of at most 65536 names");
    let csv = |body: &str, expected: &str| refuse(Content::Csv, body, "flights", expected);
    csv("", "csv: expected a line with the names of the columns, got nothing");
    csv("hour,carrier\n", "csv: expected at least one row, got none");
    csv("hour,carrier\n7,UA\n7\n", "csv[1]: expected 2 values, one a column, got 1");
    csv("hour,carrier\n7,UA,8\n", "csv[0]: expected 2 values, one a column, got 3");
    csv("hour,carrier\nseven,UA\n", "csv[0].hour: expected a number");
    csv("hour,carrier\n1e400,UA\n", "csv[0].hour: expected a number");
    csv("hour\n7\n", "csv[0].carrier: expected a string");
    csv(
        "hour,carrier,plain_age\n7,UA,1\n",
        "csv.plain_age: expected one of hour, carrier, plane_age, since \"plane_age\" is",
    );
    csv(&format!("a{}\n", ",".repeat(COLUMNS_MAX)), "csv: expected at most 65536 columns");
    csv(&"hour,carrier\n7,UA\n".replacen("7,UA\n", &"7,UA\n".repeat(4), 1), "csv[3]: expected at most 3 rows");
    refuse(Content::Csv, "a\n\n", "bare", "csv: expected at least one row");
    refuse(Content::Csv, "a,b,c\n1,2,3\n", "bare", "csv[0].X: expected a value, got nothing");
}

#[test]
fn a_body_is_what_it_is_declared_to_be() {
    let declared = |text: Option<&str>| {
        let field = text.map(|text| (header::CONTENT_TYPE, HeaderValue::from_str(text).unwrap()));
        Content::declared(&field.into_iter().collect::<HeaderMap>()).ok()
    };
    for json in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("application/x-www-form-urlencoded"),
    ] {
        assert_eq!(declared(json), Some(Content::Json), "{json:?}");
    }
    for csv in ["text/csv", "Text/CSV; charset=UTF-8", "text/csv;header=present"] {
        assert_eq!(declared(Some(csv)), Some(Content::Csv), "{csv}");
    }
    for other in ["text/csv; charset=latin-1", "text/csv; header=absent", "text/plain", "application/jsonlines"] {
        assert_eq!(declared(Some(other)), None, "{other}");
    }
    let is_read = declared(Some("application/vnd.apache.parquet")).is_some();
    assert_eq!(is_read, cfg!(feature = "parquet"));
}

proptest! {
    #[test]
    fn a_row_is_the_same_in_every_form(
        hour in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1})?", carrier in any::<String>(), age in any::<f32>()
    ) {
        // A carriage return outside of quotes would be an end of line; an empty line is no row.
        let quoted = carrier.replace('"', "\"\"");
        let text = serde_json::to_string(&carrier).unwrap();
        let (shown, json) = if age.is_finite() { (age.to_string(), format!("{age:?}")) } else { (String::new(), "null".to_owned()) };
        let rows = format!(r#"[{{"hour":{hour},"carrier":{text},"plane_age":{json}}}]"#);
        check(Content::Csv, &format!("carrier,plane_age,hour\n\"{quoted}\",{shown},{hour}\n"), "flights", &rows);
        let split = format!(r#"{{"dataframe_split":{{"data":[[{json},{hour},{text}]],"columns":["plane_age","hour","carrier"]}}}}"#);
        check(Content::Json, &split, "flights", &rows);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[a-z\",\n0-9. ]{0,60}") {
        let contents = [
            Content::Json,
            Content::Csv,
            #[cfg(feature = "parquet")]
            Content::Parquet,
        ];
        for name in ["flights", "matrix", "bare", "single", "image", "ints", "sequence", "map"] {
            let signature = signature(name);
            for (content, body) in contents.iter().flat_map(|content| [(*content, bytes.clone()), (*content, text.clone().into_bytes())]) {
                if let Ok(inputs) = decode((content, &Bytes::from(body)), &signature, &DecodeLimits::default()) {
                    prop_assert!(signature.check(inputs).is_ok());
                }
            }
        }
    }
}

#[cfg(feature = "parquet")]
mod of_parquet {
    use super::*;
    use crate::model::{Feature, FeatureKind, Mismatch, Signature, TensorSpec};
    use crate::tensor::Dtype;

    fn flights(names: &[(&str, Dtype)]) -> Signature {
        let spec = |&(name, datatype): &(&str, Dtype)| TensorSpec {
            name: name.to_owned(),
            datatype,
            shape: vec![None, Some(1)],
        };
        let feature = |&(name, _): &(&str, Dtype)| Feature {
            name: name.to_owned(),
            kind: FeatureKind::Numeric,
            input: name.to_owned(),
            column: 0,
            optional: false,
            levels: Vec::new(),
            min: None,
            max: None,
        };
        Signature {
            inputs: names.iter().map(spec).collect(),
            outputs: Vec::new(),
            features: names.iter().map(feature).collect(),
            classes: Vec::new(),
            maps: Vec::new(),
        }
    }

    fn file(name: &str) -> Bytes {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/parquet");
        std::fs::read(folder.join(name)).unwrap().into()
    }

    fn refused(signature: &Signature, body: &Bytes, rows_max: usize) -> Mismatch {
        let limits = DecodeLimits { rows_max, ..DecodeLimits::default() };
        let plan = v1::Plan::new(signature).unwrap();
        super::super::parquet::decode(body, &plan, &limits).unwrap_err()
    }

    #[test]
    fn a_file_is_the_rows_of_the_same_csv() {
        let signature = flights(&[("temp", Dtype::Fp32), ("hour", Dtype::Int16), ("carrier", Dtype::String)]);
        let limits = DecodeLimits::default();
        let of = |content, name| decode((content, &file(name)), &signature, &limits).unwrap();
        let rows = of(Content::Parquet, "flights.parquet");
        assert_eq!(told(&rows), told(&of(Content::Csv, "flights.csv")));
        assert_eq!(rows[0].tensor.n_rows(), 200);
        let labels = flights(&[("late", Dtype::Bool)]);
        assert!(decode((Content::Parquet, &file("flights.parquet")), &labels, &limits).is_ok());
    }

    #[test]
    fn what_does_not_fit_or_is_broken_is_named() {
        let body = file("flights.parquet");
        let check = |names: &[(&str, Dtype)], expected: &str| {
            let error = refused(&flights(names), &body, 1_000).to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(&[("other", Dtype::Int32)], "parquet.other: expected one value a row, got a list or a structure");
        check(&[("time", Dtype::Int64), ("carrier", Dtype::Fp32)], "parquet[0].carrier: expected a number");
        check(&[("humid", Dtype::Fp32)], "parquet.other: expected one of humid, since \"humid\" is left out");
        let hours = flights(&[("hour", Dtype::Int64)]);
        assert!(refused(&hours, &body, 199).to_string().starts_with("parquet: expected at most 199 rows"));
        assert!(
            refused(&hours, &Bytes::from_static(b"PAR1"), 9)
                .to_string()
                .starts_with("parquet: expected a Parquet file")
        );
    }

    proptest! {
        #[test]
        fn a_changed_file_never_makes_the_reader_panic(at in 0..9_000_usize, byte in any::<u8>()) {
            let mut bytes = file("flights.parquet").to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let signature = flights(&[("temp", Dtype::Fp64), ("carrier", Dtype::String)]);
            drop(decode((Content::Parquet, &bytes.into()), &signature, &DecodeLimits::default()));
        }
    }
}
