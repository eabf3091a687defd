use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn schema() -> Schema {
    let feature = |name: &str, kind| FeatureColumn { name: name.to_owned(), kind };
    Schema {
        features: vec![feature("hour", FeatureKind::Numeric), feature("carrier", FeatureKind::Categorical)],
        label: Some(("late".to_owned(), LabelKind::Classes(vec!["0".to_owned(), "1".to_owned()]))),
        time: Some("time".to_owned()),
        id: Some("id".to_owned()),
        weight: None,
    }
}

fn read(texts: &[&str], schema: &Schema) -> Result<Table, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = folder.path().join(format!("{index}.csv"));
        std::fs::write(&path, text).unwrap();
        files.push(path);
    }
    read_files(&files, folder.path(), schema)
}

const TWO: &str = "id,time,other,carrier,hour,late\n1,2013-01-01T05:15,x,UA,5,0\n2,2013-01-01,y,,,1\n";

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(read(&[text], &schema()).unwrap_err().to_string(), expected);
}

#[test]
fn values_land_in_typed_columns() {
    let table = read(&[TWO], &schema()).unwrap();
    let Column::Numeric(hour) = &table.features[0] else { panic!("hour is numeric") };
    assert!(hour[0].to_bits() == 5.0_f32.to_bits() && hour[1].is_nan());
    let Column::Categorical(carrier) = &table.features[1] else { panic!("carrier is categorical") };
    assert_eq!((carrier.codes.as_slice(), carrier.level(0), carrier.level(1)), (&[0, MISSING_LEVEL][..], "UA", ""));
    assert_eq!(table.target, [0.0, 1.0]);
    assert_eq!(table.times, [1_357_017_300, 1_356_998_400]);
    assert_eq!(format_time(table.times[0]), "2013-01-01T05:15:00");
    assert_eq!(table.files[0].rows, 2);
    assert_eq!(table.files[0].sha256, Digest::of(TWO.as_bytes()));
}

#[test]
fn several_files_share_level_codes() {
    let more = "carrier,hour,late,id,time\nB6,7,1,3,2013-02-01\nUA,8,0,4,2013-02-02\n";
    let table = read(&[TWO, more], &schema()).unwrap();
    let Column::Categorical(carrier) = &table.features[1] else { panic!("carrier is categorical") };
    assert_eq!(carrier.codes, [0, MISSING_LEVEL, 1, 0]);
    assert_eq!(table.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn gzip_is_known_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(TWO.as_bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let table = read_files(&[path], folder.path(), &schema()).unwrap();
    let plain = read(&[TWO], &schema()).unwrap();
    assert_eq!(table.row_digests, plain.row_digests);
    assert_eq!(table.files[0].sha256, Digest::of(&bytes));
}

#[test]
fn errors_name_file_line_column_and_value() {
    let with = |line: &str| format!("id,time,carrier,hour,late\n1,2013-01-01,UA,5,0\n{line}\n");
    check_error(
        &with("2,2013-01-01,UA,noon,0"),
        r#"0.csv, line 3, column "hour": expected a number (or an empty value: missing), got "noon""#,
    );
    check_error(
        &with("2,2013-01-01,UA,5,2"),
        r#"0.csv, line 3, column "late": expected one of the labels in [classes]: 0, 1, got "2""#,
    );
    check_error(
        &with("2,yesterday,UA,5,0"),
        r#"0.csv, line 3, column "time": expected a time such as 2013-09-01T05:15, got "yesterday""#,
    );
    check_error(
        &with("2,2013-01-01,UA,5,"),
        r#"0.csv, line 3, column "late": expected one of the labels in [classes]: 0, 1, got an empty value"#,
    );
    check_error(&with("2,2013-01-01,UA,5"), "0.csv, line 3: expected 5 values as in the header, got 4");
    check_error(
        "id,hour\n1,2\n",
        r#"0.csv: expected a column "carrier", got id, hour; correct the name where it is wrong"#,
    );
    check_error("", r#"0.csv: expected a column "hour", got no header; correct the name where it is wrong"#);
    check_error(
        "id,time,carrier,hour,late,hour\n",
        r#"0.csv: the header has column "hour" twice; each name must be there once"#,
    );
    check_error("id,time,carrier,hour,late\n", "the data files have no rows");
}

#[test]
fn open_classes_come_in_the_order_of_their_text() {
    let mut schema = schema();
    schema.label = Some(("carrier".to_owned(), LabelKind::AnyClass));
    schema.features.truncate(1);
    let table =
        read(&["id,time,carrier,hour\n1,2013-01-01,b,1\n2,2013-01-01,a,1\n3,2013-01-01,c,1\n"], &schema).unwrap();
    assert_eq!(table.classes, ["a", "b", "c"]);
    assert_eq!(table.target, [1.0, 0.0, 2.0]);
}

#[test]
fn patterns_find_files_in_order_and_each_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.csv", "a.csv", "a.txt"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let names = |patterns: &[&str]| {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let files = expand(folder.path(), &patterns)?;
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        Ok::<_, DataError>(files.iter().map(|path| name(path)).collect::<Vec<_>>())
    };
    assert_eq!(names(&["*.csv"]).unwrap(), ["a.csv", "b.csv"]);
    assert_eq!(names(&["b.csv", "*"]).unwrap(), ["b.csv", "a.csv", "a.txt"]);
    assert!(matches!(names(&["c*.csv"]), Err(DataError::NoFiles { .. })));
}

#[test]
fn a_row_digest_depends_on_where_values_end() {
    let a = read(&["id,time,carrier,hour,late\n1,2013-01-01,UA,5,0\n"], &schema()).unwrap();
    let b = read(&["id,time,carrier,hour,late\n1,2013-01-01,UA,5.0,0\n"], &schema()).unwrap();
    assert_ne!(a.row_digests, b.row_digests);
    assert_ne!(a.digest_of(&[0]), a.digest_of(&[]));
}

fn of_the_case(name: &str, schema: &Schema) -> Result<Table, DataError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/parquet");
    read_files(&[folder.join(name)], &folder, schema)
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_so() {
    let error = of_the_case("flights.parquet", &schema()).unwrap_err().to_string();
    assert!(error.starts_with("flights.parquet: this build cannot read Parquet"), "{error}");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_gives_the_table_that_csv_gives() {
    let mut schema = schema();
    schema.features.push(FeatureColumn { name: "temp".to_owned(), kind: FeatureKind::Numeric });
    let read = |name| of_the_case(name, &schema).unwrap();
    let (csv, mut parquet) = (read("flights.csv"), read("flights.parquet"));
    assert_eq!((csv.n_rows(), parquet.files[0].rows), (200, 200));
    assert_ne!(csv.files[0].sha256, parquet.files[0].sha256);
    parquet.files.clone_from(&csv.files);
    // NaN is missing and not equal to itself: the text has every value.
    assert_eq!(format!("{parquet:?}"), format!("{csv:?}"));
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_column_of_lists_or_of_another_name_is_refused() {
    let with = |name: &str| {
        let mut schema = schema();
        schema.features.push(FeatureColumn { name: name.to_owned(), kind: FeatureKind::Numeric });
        of_the_case("flights.parquet", &schema).unwrap_err().to_string()
    };
    let error = with("other");
    assert!(error.contains("column \"other\": expected one value a row, got a list or a structure"), "{error}");
    let error = with("wind");
    assert!(error.contains("expected a column \"wind\", got other, id, time, late, carrier, hour, temp"), "{error}");
}
