//! Why a model cannot be opened or run.

/// Why a model cannot be opened or run. The message is for operators and may quote the inference library; what a client
/// may see is [`EngineError::public_message`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The bytes are no ONNX model at all, or are cut short.
    #[error("not an ONNX model: {0}; export the model again, or check that the file was copied whole")]
    NotOnnx(String),
    /// The model breaks a rule of the format.
    #[error("{place}: {problem}; check the model with onnx.checker and export it again")]
    Invalid {
        /// The part, for example `graph, node 3 (Relu)`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model is over one of [`Limits`](super::Limits).
    #[error("{what}: at most {limit} allowed, got {got}")]
    TooLarge {
        /// What is too large, for example `nodes`.
        what: String,
        /// The limit.
        limit: u64,
        /// What came.
        got: u64,
    },
    /// The model is well-formed, but asks for something that this engine does not have.
    #[error("needs {0}, which this engine does not have")]
    Unsupported(String),
    /// The engine that was asked for does not have what the model needs.
    #[error("needs {what}, which the {engine} engine does not have")]
    Lacks {
        /// The engine.
        engine: super::EngineName,
        /// What it lacks.
        what: String,
    },
    /// The model asks for something that only onnxruntime may have, and nobody says where that is.
    #[error("needs onnxruntime: {0}; set onnxruntime_library, or put libonnxruntime.so beside the binary")]
    NeedsOnnxruntime(String),
    /// The library of onnxruntime cannot be used.
    #[error(
        "onnxruntime cannot be used: {0}; set onnxruntime_library to the library of onnxruntime 1.24 or newer for this machine"
    )]
    Library(String),
    /// The signature given with the model does not fit the graph.
    #[error("the signature does not fit the graph: {0}")]
    Signature(String),
    /// The inference library refused the model.
    #[error("the inference library cannot open the model: {0}")]
    Load(String),
    /// The inputs are not those of the signature.
    #[error("inputs: expected {expected}, got {got}")]
    Inputs {
        /// What the signature asks for.
        expected: String,
        /// What came.
        got: String,
    },
    /// The run failed.
    #[error("the model failed on this input: {0}")]
    Run(String),
    /// An output does not follow the rows of the input.
    #[error(
        "output {output:?}: expected the {n_rows} rows of the input, got shape {got:?}; export the model so that it answers row by row"
    )]
    Rows {
        /// The output.
        output: String,
        /// Rows of the input.
        n_rows: usize,
        /// The output's shape.
        got: Vec<usize>,
    },
    /// There was not as much memory as the model asked for.
    #[error("the model asked for more memory than there is: {0}")]
    OutOfMemory(String),
    /// The run or the load panicked; nothing else was touched.
    #[error("the inference library panicked: {0}")]
    Panicked(String),
}

impl EngineError {
    /// A breach of the format at `place`.
    pub(super) fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), problem: problem.into() }
    }

    /// What a client may see: never the text of the inference library or of the system, and no path.
    pub fn public_message(&self) -> String {
        match self {
            Self::Inputs { .. } => self.to_string(),
            Self::Run(_) | Self::Rows { .. } | Self::OutOfMemory(_) => "the model failed on this input".to_owned(),
            Self::Panicked(_) => "the model failed on this input (internal)".to_owned(),
            Self::NotOnnx(_)
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported(_)
            | Self::Lacks { .. }
            | Self::NeedsOnnxruntime(_)
            | Self::Library(_)
            | Self::Signature(_)
            | Self::Load(_) => "the model cannot be opened".to_owned(),
        }
    }
}
