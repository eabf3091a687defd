//! Inputs that are maps, made tables.
//!
//! ONNX has no batch of maps: a map is one row, and all that reads one are DictVectorizer and CastMap, which put its values
//! into the columns of a tensor `[1, n_keys]` by their keys. That tensor takes the map's place here, before an engine sees the
//! graph: the caller's side puts values into columns by name anyway, and so a model of maps takes batches like every other.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::kernel::OpError;
use super::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, MapType, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use super::ops::attributes::Attributes;
use super::validate::shown;
use super::{EngineError, Limits};

/// The version of ai.onnx that a graph gets if it imports none: the tables ask for Identity and Cast.
const OPSET: i64 = 13;

/// The keys of each input that was a map, in the order of its columns, by its name; `None` where the columns have no keys,
/// only an order.
pub(super) type Tables = BTreeMap<String, Option<Vec<String>>>;

/// Puts tensors in the place of the graph's maps.
pub(super) fn lower(model: &mut ModelProto, limits: &Limits) -> Result<Tables, EngineError> {
    let Some(graph) = model.graph.as_mut() else { return Ok(Tables::new()) };
    let is_sequence = |input: &&ValueInfoProto| {
        matches!(input.r#type.as_ref().and_then(|kind| kind.value.as_ref()), Some(TypeValue::Sequence(_)))
    };
    if let Some(input) = graph.input.iter().find(is_sequence) {
        let what = "a sequence (no operator takes a map out of one: export the model for one map a call)";
        return Err(EngineError::Unsupported(format!("input {}: {what}", shown(&input.name))));
    }
    let maps: Vec<(usize, MapType)> =
        graph.input.iter().enumerate().filter_map(|(index, input)| Some((index, map_type(input)?.clone()))).collect();
    if maps.is_empty() {
        return Ok(Tables::new());
    }
    let mut tables = Tables::new();
    let mut lowering = Lowering::new(graph, limits);
    for (index, kind) in maps {
        let name = lowering.graph.input[index].name.clone();
        let refused = |error| match error {
            OpError::Unknown(what) => EngineError::Unsupported(format!("input {}: {what}", shown(&name))),
            OpError::Bad(problem) => EngineError::invalid(format!("graph, input {}", shown(&name)), problem),
        };
        let table = lowering.table(&name, &kind).map_err(refused)?;
        lowering.put(index, &table);
        tables.insert(name, table.keys);
    }
    lowering.finish();
    if !model.opset_import.iter().any(|import| matches!(import.domain.as_str(), "" | "ai.onnx")) {
        model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: OPSET });
    }
    Ok(tables)
}

fn map_type(input: &ValueInfoProto) -> Option<&MapType> {
    match input.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Map(kind) => Some(kind),
        _ => None,
    }
}

/// What takes the place of a map.
struct Table {
    value_type: DataType,
    keys: Option<Vec<String>>,
    readers: Vec<Reader>,
}

/// A node that reads a map.
struct Reader {
    node: usize,
    /// The keys of its output's columns; `None` for all values of the map in the order of their keys.
    keys: Option<Vec<String>>,
    /// The type of its output, where that is not the map's.
    cast: Option<DataType>,
}

struct Lowering<'a> {
    graph: &'a mut GraphProto,
    keys_max: usize,
    /// Which nodes of the graph read a name; `None` stands for those of graphs inside, and for the graph's outputs.
    readers: HashMap<String, Vec<Option<usize>>>,
    names: HashSet<String>,
    /// What stands in the place of a node.
    replaced: BTreeMap<usize, Vec<NodeProto>>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a mut GraphProto, limits: &Limits) -> Self {
        let mut readers: HashMap<String, Vec<Option<usize>>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for name in &node.input {
                readers.entry(name.clone()).or_default().push(Some(index));
            }
            inner_reads(node, &mut readers);
        }
        for output in &graph.output {
            readers.entry(output.name.clone()).or_default().push(None);
        }
        let mut names: HashSet<String> = graph.node.iter().flat_map(|node| node.output.iter().cloned()).collect();
        names.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
        names.extend(graph.input.iter().map(|input| input.name.clone()));
        Self { graph, keys_max: limits.map_keys_max, readers, names, replaced: BTreeMap::new() }
    }

    fn table(&self, name: &str, kind: &MapType) -> Result<Table, OpError> {
        let (has_texts_for_keys, value_type) = types(kind)?;
        let mut readers = Vec::new();
        for node in self.readers.get(name).into_iter().flatten() {
            let Some(node) = *node else { return OpError::unknown("a map that is read otherwise than by a node") };
            readers.push(self.reader(node, has_texts_for_keys, value_type)?);
        }
        let keys = match readers.as_slice() {
            [] => return OpError::unknown("a map that no DictVectorizer and no CastMap reads"),
            [Reader { keys: None, .. }] => None,
            several => Some(union(several)?),
        };
        if keys.as_ref().is_some_and(|keys| self.keys_max < keys.len()) {
            return OpError::bad(self.too_many());
        }
        Ok(Table { value_type, keys, readers })
    }

    fn too_many(&self) -> String {
        format!("at most {} keys of a map allowed, got more", self.keys_max)
    }

    fn reader(&self, node: usize, has_texts_for_keys: bool, value_type: DataType) -> Result<Reader, OpError> {
        let proto = &self.graph.node[node];
        if proto.input.len() != 1 || proto.output.len() != 1 || proto.domain != "ai.onnx.ml" {
            return OpError::unknown(format!("a map that {} reads", shown(&proto.op_type)));
        }
        let attributes = Attributes::new(proto);
        match proto.op_type.as_str() {
            "DictVectorizer" => {
                let keys = self.vocabulary(attributes, has_texts_for_keys)?;
                Ok(Reader { node, keys: Some(keys), cast: None })
            }
            "CastMap" if !has_texts_for_keys && value_type == DataType::Float => {
                let cast = match attributes.text("cast_to")?.unwrap_or("TO_FLOAT") {
                    "TO_FLOAT" => None,
                    "TO_INT64" => Some(DataType::Int64),
                    other => return OpError::unknown(format!("CastMap with cast_to {}", shown(other))),
                };
                Ok(Reader { node, keys: self.places(attributes)?, cast })
            }
            "CastMap" => OpError::unknown("CastMap of other maps than of whole numbers to floats"),
            other => OpError::unknown(format!("a map that {} reads", shown(other))),
        }
    }

    fn vocabulary(&self, attributes: Attributes<'_>, has_texts_for_keys: bool) -> Result<Vec<String>, OpError> {
        let (ints, texts) = (attributes.ints("int64_vocabulary")?, attributes.strings("string_vocabulary")?);
        let is_right = if has_texts_for_keys { ints.is_empty() } else { texts.is_empty() };
        let n_keys = ints.len() + texts.len();
        if !is_right || n_keys == 0 {
            return OpError::bad("DictVectorizer: expected one vocabulary, of the type of the map's keys");
        }
        if self.keys_max < n_keys {
            return OpError::bad(self.too_many());
        }
        Ok(ints.iter().map(ToString::to_string).chain(texts.into_iter().map(str::to_owned)).collect())
    }

    /// The keys of a CastMap: where it is sparse, the places themselves.
    fn places(&self, attributes: Attributes<'_>) -> Result<Option<Vec<String>>, OpError> {
        match attributes.text("map_form")?.unwrap_or("DENSE") {
            "DENSE" => Ok(None),
            "SPARSE" => {
                let max = attributes.int("max_map")?.unwrap_or(1);
                match usize::try_from(max) {
                    Ok(n_places) if n_places <= self.keys_max && 0 < n_places => {
                        Ok(Some((0..n_places).map(|place| place.to_string()).collect()))
                    }
                    Ok(0) | Err(_) => OpError::bad(format!("CastMap: expected a max_map above 0, got {max}")),
                    Ok(_) => OpError::bad(self.too_many()),
                }
            }
            other => OpError::bad(format!("CastMap: expected a map_form of DENSE or SPARSE, got {}", shown(other))),
        }
    }

    /// Puts the table in the place of input `index`, and in the place of what reads it.
    fn put(&mut self, index: usize, table: &Table) {
        let n_keys = table.keys.as_ref().map(Vec::len);
        let input = &mut self.graph.input[index];
        input.r#type = Some(table_type(table.value_type, n_keys));
        let name = input.name.clone();
        for reader in &table.readers {
            let columns = match (&reader.keys, &table.keys) {
                (Some(wanted), Some(keys)) if wanted != keys => Some(columns(wanted, keys)),
                _ => None,
            };
            let output = self.graph.node[reader.node].output[0].clone();
            let mut nodes = Vec::new();
            let mut source = name.clone();
            if let Some(columns) = columns {
                let target = if reader.cast.is_some() { self.fresh(&output) } else { output.clone() };
                let places = self.fresh(&format!("{output} columns"));
                self.graph.initializer.push(ints(&places, columns));
                nodes.push(node("ai.onnx.ml", "ArrayFeatureExtractor", &[&source, &places], &target));
                source = target;
            }
            if let Some(to) = reader.cast {
                let mut cast = node("", "Cast", &[&source], &output);
                let (r#type, i) = (AttributeType::Int as i32, i64::from(to as i32));
                cast.attribute.push(AttributeProto { name: "to".to_owned(), r#type, i, ..AttributeProto::default() });
                nodes.push(cast);
            }
            if nodes.is_empty() {
                nodes.push(node("", "Identity", &[&source], &output));
            }
            self.replaced.insert(reader.node, nodes);
        }
    }

    /// A name that nothing has.
    fn fresh(&mut self, base: &str) -> String {
        let numbered = (0..).map(|number| format!("{base} {number}"));
        let name = numbered.into_iter().find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    fn finish(self) {
        let Self { graph, mut replaced, .. } = self;
        let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
        graph.node = nodes.flat_map(|(index, node)| replaced.remove(&index).unwrap_or_else(|| vec![node])).collect();
    }
}

/// What graphs inside the node read: not known to be a map of the outer graph's, but it may be.
fn inner_reads(node: &NodeProto, readers: &mut HashMap<String, Vec<Option<usize>>>) {
    for graph in node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
        for node in &graph.node {
            for name in &node.input {
                readers.entry(name.clone()).or_default().push(None);
            }
            inner_reads(node, readers);
        }
        for output in &graph.output {
            readers.entry(output.name.clone()).or_default().push(None);
        }
    }
}

/// Whether the keys are texts (else they are whole numbers), and the type of the values.
fn types(kind: &MapType) -> Result<(bool, DataType), OpError> {
    let value = kind.value_type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(TypeValue::Tensor(value)) = value else { return OpError::unknown("a map to other values than tensors") };
    let (key, value) = (DataType::try_from(kind.key_type), DataType::try_from(value.elem_type));
    match (key, value) {
        (Ok(DataType::String), Ok(value @ (DataType::Int64 | DataType::Float | DataType::Double))) => Ok((true, value)),
        (Ok(DataType::Int64), Ok(value @ (DataType::String | DataType::Float | DataType::Double))) => {
            Ok((false, value))
        }
        _ => OpError::unknown("a map of types that neither DictVectorizer nor CastMap reads"),
    }
}

/// Every key of the readers, each once.
fn union(readers: &[Reader]) -> Result<Vec<String>, OpError> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for reader in readers {
        let Some(wanted) = &reader.keys else {
            return OpError::unknown("a map that a dense CastMap reads beside another node");
        };
        keys.extend(wanted.iter().filter(|key| seen.insert(key.as_str())).cloned());
    }
    Ok(keys)
}

/// The column of each of `wanted`, all of which are among `keys`.
fn columns(wanted: &[String], keys: &[String]) -> Vec<i64> {
    let columns: HashMap<&str, i64> = keys.iter().map(String::as_str).zip(0..).collect();
    wanted.iter().filter_map(|key| columns.get(key.as_str()).copied()).collect()
}

/// A tensor of one row, as DictVectorizer and CastMap give one.
fn table_type(value_type: DataType, n_columns: Option<usize>) -> TypeProto {
    let size = |size: usize| Some(DimensionValue::Value(i64::try_from(size).unwrap_or(i64::MAX)));
    let dim = vec![Dimension { value: size(1) }, Dimension { value: n_columns.and_then(size) }];
    let tensor = TensorType { elem_type: value_type as i32, shape: Some(TensorShapeProto { dim }) };
    TypeProto { value: Some(TypeValue::Tensor(tensor)) }
}

fn ints(name: &str, values: Vec<i64>) -> TensorProto {
    TensorProto {
        dims: vec![i64::try_from(values.len()).unwrap_or(i64::MAX)],
        data_type: DataType::Int64 as i32,
        int64_data: values,
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

fn node(domain: &str, operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: operator.to_owned(),
        domain: domain.to_owned(),
        ..NodeProto::default()
    }
}

#[cfg(test)]
#[path = "maps_tests.rs"]
mod tests;
