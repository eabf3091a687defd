//! As much of onnxruntime's C interface as a timed call needs, from its shared library.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use crate::Failure;
use crate::engine::onnx::NodeProto;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Handle = *mut c_void;
type Status = *mut c_void;

/// Places in the table of functions, which never change (`onnxruntime_c_api.h`).
const GET_ERROR_MESSAGE: usize = 2;
const CREATE_ENV: usize = 3;
const CREATE_SESSION: usize = 7;
const RUN: usize = 9;
const CREATE_SESSION_OPTIONS: usize = 10;
const SET_INTRA_OP_NUM_THREADS: usize = 24;
const CREATE_TENSOR_WITH_DATA: usize = 49;
const CREATE_CPU_MEMORY_INFO: usize = 69;
const RELEASE_VALUE: usize = 96;
const FLOAT: c_int = 1;
const INT64: c_int = 7;

type CreateTensor = unsafe extern "C" fn(Handle, *mut c_void, usize, *const i64, usize, c_int, *mut Handle) -> Status;
type Run = unsafe extern "C" fn(
    Handle,
    *const c_void,
    *const *const c_char,
    *const Handle,
    usize,
    *const *const c_char,
    usize,
    *mut Handle,
) -> Status;

/// A session on one thread, with the tensors of the last size of batch.
pub struct Session {
    api: *const *const c_void,
    session: Handle,
    memory: Handle,
    has_labels: bool,
    n_scores: usize,
    input: Vec<f32>,
    labels: Vec<i64>,
    scores: Vec<f32>,
    values: Vec<Handle>,
}

impl Session {
    pub fn new(library: &str, model: &str, node: &NodeProto) -> Result<Self, Failure> {
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        let n_classes = attribute("classlabels_int64s").map(|attribute| attribute.ints.len());
        let n_targets = attribute("n_targets").map(|attribute| attribute.i as usize);
        let (library, model) = (CString::new(library)?, CString::new(model)?);
        // SAFETY: the library is onnxruntime's, whose table of functions has these types at these places.
        unsafe {
            let library = dlopen(library.as_ptr(), 2);
            if library.is_null() {
                return Err("the library does not open".into());
            }
            let base = dlsym(library, c"OrtGetApiBase".as_ptr());
            let base: unsafe extern "C" fn() -> *const *const c_void = std::mem::transmute(base);
            let get_api: unsafe extern "C" fn(u32) -> *const *const c_void = std::mem::transmute(*base());
            let mut session = Self {
                api: get_api(16),
                session: null_mut(),
                memory: null_mut(),
                has_labels: n_classes.is_some(),
                n_scores: n_classes.or(n_targets).ok_or("neither classes nor targets")?,
                input: Vec::new(),
                labels: Vec::new(),
                scores: Vec::new(),
                values: Vec::new(),
            };
            let (mut env, mut options) = (null_mut(), null_mut());
            let create_env: unsafe extern "C" fn(c_int, *const c_char, *mut Handle) -> Status =
                session.function(CREATE_ENV);
            session.check(create_env(3, c"trees".as_ptr(), &raw mut env))?;
            let create_options: unsafe extern "C" fn(*mut Handle) -> Status = session.function(CREATE_SESSION_OPTIONS);
            session.check(create_options(&raw mut options))?;
            let set_threads: unsafe extern "C" fn(Handle, c_int) -> Status = session.function(SET_INTRA_OP_NUM_THREADS);
            session.check(set_threads(options, 1))?;
            let create: unsafe extern "C" fn(Handle, *const c_char, Handle, *mut Handle) -> Status =
                session.function(CREATE_SESSION);
            let mut handle = null_mut();
            session.check(create(env, model.as_ptr(), options, &raw mut handle))?;
            session.session = handle;
            let memory_info: unsafe extern "C" fn(c_int, c_int, *mut Handle) -> Status =
                session.function(CREATE_CPU_MEMORY_INFO);
            let mut memory = null_mut();
            session.check(memory_info(1, 0, &raw mut memory))?;
            session.memory = memory;
            Ok(session)
        }
    }

    /// The function at a place of the table.
    unsafe fn function<F: Copy>(&self, place: usize) -> F {
        assert_eq!(size_of::<F>(), size_of::<*const c_void>());
        // SAFETY: the caller names the type of the function that stands there.
        unsafe { std::mem::transmute_copy(&*self.api.add(place)) }
    }

    unsafe fn check(&self, status: Status) -> Result<(), Failure> {
        if status.is_null() {
            return Ok(());
        }
        // SAFETY: the table has this function at this place, and the message lives as long as the status.
        unsafe {
            let message: unsafe extern "C" fn(Status) -> *const c_char = self.function(GET_ERROR_MESSAGE);
            Err(CStr::from_ptr(message(status)).to_string_lossy().into_owned().into())
        }
    }

    /// Tensors over buffers of our own, made anew where the batch has another size.
    fn bind(&mut self, len: usize, n_features: usize) -> Result<(), Failure> {
        let n_rows = len / n_features;
        self.input = vec![0.0; len];
        self.labels = vec![0; n_rows];
        self.scores = vec![0.0; n_rows * self.n_scores];
        let sizes = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<_>>();
        // SAFETY: the buffers have these sizes and live until they are bound anew.
        unsafe {
            let release: unsafe extern "C" fn(Handle) = self.function(RELEASE_VALUE);
            self.values.drain(..).for_each(|value| release(value));
            let create: CreateTensor = self.function(CREATE_TENSOR_WITH_DATA);
            let mut tensors = vec![(
                self.input.as_mut_ptr().cast::<c_void>(),
                self.input.len() * 4,
                sizes(&[n_rows, n_features]),
                FLOAT,
            )];
            if self.has_labels {
                tensors.push((self.labels.as_mut_ptr().cast(), self.labels.len() * 8, sizes(&[n_rows]), INT64));
            }
            tensors.push((
                self.scores.as_mut_ptr().cast(),
                self.scores.len() * 4,
                sizes(&[n_rows, self.n_scores]),
                FLOAT,
            ));
            for (data, n_bytes, shape, dtype) in tensors {
                let mut value = null_mut();
                self.check(create(self.memory, data, n_bytes, shape.as_ptr(), shape.len(), dtype, &raw mut value))?;
                self.values.push(value);
            }
        }
        Ok(())
    }

    pub fn run(&mut self, rows: &[f32], n_features: usize) -> Result<&[f32], Failure> {
        if self.input.len() != rows.len() {
            self.bind(rows.len(), n_features)?;
        }
        self.input.copy_from_slice(rows);
        let inputs = [c"X".as_ptr()];
        let outputs = [c"label".as_ptr(), c"scores".as_ptr()];
        let outputs = if self.has_labels { &outputs[..] } else { &outputs[1..] };
        // SAFETY: names and values are as many as is said, and the values were made by this library.
        unsafe {
            let run: Run = self.function(RUN);
            let (values, results) = self.values.split_at_mut(1);
            let (names, n_outputs, results) = (outputs.as_ptr(), outputs.len(), results.as_mut_ptr());
            let status = run(self.session, null(), inputs.as_ptr(), values.as_ptr(), 1, names, n_outputs, results);
            self.check(status)?;
        }
        Ok(&self.scores)
    }
}
