//! Changes to a model that leave it a protobuf: attributes, tensors, names, types and nodes, a few at a time.

use prost::Message;

use crate::engine::onnx::{
    AttributeProto, AttributeType, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue,
    ValueInfoProto,
};
use crate::inputs::Dice;

/// Changes the model in `data[..size]`; gives back its new size, `None` where it is no model or would not fit.
pub fn mutate(data: &mut [u8], size: usize, seed: u32) -> Option<usize> {
    let mut model = ModelProto::decode(data.get(..size)?).ok()?;
    let mut dice = Dice(seed.into());
    for _ in 0..1 + dice.below(3) {
        change(&mut model, &mut dice)?;
    }
    let bytes = model.encode_to_vec();
    data.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(bytes.len())
}

/// `first` with one node, tensor or attribute of `second`.
pub fn cross(first: &[u8], second: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(first).ok()?;
    let other = ModelProto::decode(second).ok()?.graph?;
    let mut dice = Dice(seed.into());
    let graph = model.graph.as_mut()?;
    let from = dice.pick(&other.node)?.clone();
    let place = dice.below(graph.node.len());
    let to = graph.node.get_mut(place)?;
    if dice.below(2) == 0 {
        to.op_type = from.op_type;
        to.domain = from.domain;
        to.attribute = from.attribute;
    } else {
        graph.initializer.extend(other.initializer.into_iter().filter(|tensor| from.input.contains(&tensor.name)));
        graph.node.insert(place, from);
    }
    Some(model.encode_to_vec())
}

fn change(model: &mut ModelProto, dice: &mut Dice) -> Option<()> {
    let n_imports = model.opset_import.len();
    let graph = model.graph.as_mut()?;
    match dice.below(16) {
        0 => model.opset_import.get_mut(dice.below(n_imports))?.version = 1 + dice.below(25) as i64,
        1 => {
            let n = graph.input.len();
            value(graph.input.get_mut(dice.below(n))?, dice);
        }
        2 => {
            let n = graph.output.len();
            value(graph.output.get_mut(dice.below(n))?, dice);
        }
        3 | 4 => {
            let n = graph.initializer.len();
            tensor(graph.initializer.get_mut(dice.below(n))?, dice);
        }
        5 => rewire(graph, dice)?,
        6 => {
            let n = graph.node.len();
            let copied = graph.node.get(dice.below(n))?.clone();
            graph.node.insert(dice.below(n + 1), copied);
        }
        7 if !graph.node.is_empty() => drop(graph.node.remove(dice.below(graph.node.len()))),
        _ => {
            let n = graph.node.len();
            node(graph.node.get_mut(dice.below(n))?, dice)?;
        }
    }
    Some(())
}

/// Another name for something that is read, written or given.
fn rewire(graph: &mut GraphProto, dice: &mut Dice) -> Option<()> {
    let mut names: Vec<String> = graph.node.iter().flat_map(|node| node.output.iter().cloned()).collect();
    names.extend(graph.input.iter().map(|input| input.name.clone()));
    names.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
    names.push(String::new());
    let name = dice.pick(&names)?.clone();
    let n = graph.node.len();
    let node = graph.node.get_mut(dice.below(n))?;
    match dice.below(4) {
        0 => node.input.push(name),
        1 => drop(node.input.pop()),
        2 => *graph.output.first_mut()? = ValueInfoProto { name, ..graph.output.first()?.clone() },
        _ => {
            let n = node.input.len();
            *node.input.get_mut(dice.below(n))? = name;
        }
    }
    Some(())
}

fn node(node: &mut NodeProto, dice: &mut Dice) -> Option<()> {
    const OPERATORS: [&str; 44] = [
        "Abs", "Add", "ArgMax", "Cast", "Clip", "Compress", "Concat", "Constant", "ConstantOfShape", "CumSum", "Div",
        "Expand", "Flatten", "Gather", "GatherElements", "Gemm", "Identity", "IsNaN", "MatMul", "Max", "Mod", "NonZero",
        "OneHot", "Pow", "QuantizeLinear", "DequantizeLinear", "Range", "ReduceMean", "ReduceSum", "Reshape", "Scan",
        "Shape", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Sum", "Tile", "TopK", "Transpose", "Unsqueeze", "Where",
        "Xor",
    ];
    match dice.below(12) {
        0 => {
            node.op_type = dice.pick(&OPERATORS)?.to_string();
            node.domain.clear();
        }
        1 => {
            let n = node.attribute.len();
            (0 < n).then(|| node.attribute.remove(dice.below(n)));
        }
        2 => {
            const NAMES: [&str; 12] = [
                "axis", "axes", "to", "keepdims", "alpha", "value", "exclusive", "reverse", "k", "largest",
                "num_outputs", "allowzero",
            ];
            let mut new = AttributeProto { name: dice.pick(&NAMES)?.to_string(), i: dice.int(), ..Default::default() };
            new.r#type = if new.name == "axes" { AttributeType::Ints } else { AttributeType::Int } as i32;
            new.ints = (0..dice.below(4)).map(|_| dice.int()).collect();
            node.attribute.push(new);
        }
        _ => {
            let n = node.attribute.len();
            attribute(node.attribute.get_mut(dice.below(n))?, dice);
        }
    }
    Some(())
}

fn attribute(attribute: &mut AttributeProto, dice: &mut Dice) {
    let AttributeProto { f, i, s, t, g, floats, ints, strings, tensors, .. } = attribute;
    *f = if dice.below(2) == 0 { dice.float() as f32 } else { *f };
    *i = if dice.below(2) == 0 { dice.int() } else { *i };
    if !s.is_empty() && dice.below(2) == 0 {
        const TEXTS: [&str; 12] = [
            "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT", "MIN", "MAX", "AVERAGE", "L1", "RBF", "POLY",
            "SIGMOID",
        ];
        *s = TEXTS[dice.below(TEXTS.len())].as_bytes().to_vec();
    }
    list(floats, dice, |dice| dice.float() as f32);
    list(ints, dice, Dice::int);
    list(strings, dice, |dice| dice.text().into_bytes());
    t.iter_mut().chain(tensors).for_each(|each| tensor(each, dice));
    if let Some(graph) = g {
        let mut inner = ModelProto { graph: Some(std::mem::take(graph)), ..ModelProto::default() };
        let _ = change(&mut inner, dice);
        *graph = inner.graph.unwrap_or_default();
    }
}

/// Changes some values, swaps two, makes the list longer or shorter; an empty list stays so.
fn list<T: Clone>(list: &mut Vec<T>, dice: &mut Dice, mut new: impl FnMut(&mut Dice) -> T) {
    let n = list.len();
    if n == 0 {
        return;
    }
    match dice.below(6) {
        0 => list.push(new(dice)),
        1 => drop(list.pop()),
        2 => list.swap(dice.below(n), dice.below(n)),
        3 => list[dice.below(n)] = list[dice.below(n)].clone(),
        _ => {
            for _ in 0..1 + dice.below(2) {
                list[dice.below(n)] = new(dice);
            }
        }
    }
}

fn tensor(tensor: &mut TensorProto, dice: &mut Dice) {
    let TensorProto { dims, data_type, float_data, int32_data, string_data, int64_data, raw_data, double_data, .. } =
        tensor;
    match dice.below(8) {
        0 => list(dims, dice, Dice::int),
        1 => *data_type = dice.below(17) as i32,
        // The same values in another shape.
        2 if 1 < dims.len() => {
            let last = dims.len() - 1;
            dims.swap(dice.below(last), last);
        }
        2 => dims.push(1),
        3 => {
            raw_data.clear();
            *dims = vec![0];
        }
        _ => {}
    }
    list(float_data, dice, |dice| dice.float() as f32);
    list(int32_data, dice, |dice| dice.int() as i32);
    list(int64_data, dice, Dice::int);
    list(double_data, dice, Dice::float);
    list(string_data, dice, |dice| dice.text().into_bytes());
    let n = raw_data.len();
    for _ in 0..dice.below(4).min(n) {
        raw_data[dice.below(n)] = [0, 1, 255, 127, 128, 2][dice.below(6)];
    }
}

/// Another type or size of an input or output.
fn value(value: &mut ValueInfoProto, dice: &mut Dice) {
    let Some(kind) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else { return };
    match kind {
        TypeValue::Tensor(tensor) if dice.below(2) == 0 => tensor.elem_type = 1 + dice.below(13) as i32,
        TypeValue::Tensor(tensor) => {
            let Some(shape) = tensor.shape.as_mut() else { return };
            let n = shape.dim.len();
            if let Some(dim) = shape.dim.get_mut(dice.below(n)) {
                dim.value = (dice.below(3) != 0).then(|| DimensionValue::Value(dice.int()));
            }
        }
        TypeValue::Map(map) => map.key_type = 1 + dice.below(13) as i32,
        _ => {}
    }
}
