//! Failures as gRPC statuses: the one place where they become such.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::http::ApiError;
use crate::lifecycle::ErrorKind;

/// The metadata key of the stable code.
const ERROR_CODE: &str = "x-error-code";

/// The status of `error`; its stable code goes along as `x-error-code`.
pub(super) fn status(error: &ApiError) -> Status {
    let mut status = Status::new(code(error), error.to_string());
    let (_, stable) = error.kind();
    status.metadata_mut().insert(ERROR_CODE, MetadataValue::from_static(stable));
    status
}

fn code(error: &ApiError) -> Code {
    match error {
        ApiError::Malformed(_)
        | ApiError::BrokenHead(_)
        | ApiError::BrokenBody(_)
        | ApiError::BadInput { .. }
        | ApiError::MediaType { .. }
        | ApiError::Coding
        | ApiError::HeadersTooLarge { .. } => Code::InvalidArgument,
        ApiError::Absent(_) | ApiError::UnknownRoute | ApiError::Method { .. } => Code::Unimplemented,
        ApiError::UnknownModel(_) | ApiError::NoDefaultModel { .. } | ApiError::UnknownVersion { .. } => Code::NotFound,
        ApiError::AlreadyLoaded(_) => Code::AlreadyExists,
        ApiError::TooLarge { .. } | ApiError::Overloaded { .. } | ApiError::NoRoom { .. } => Code::ResourceExhausted,
        ApiError::RequestTimeout | ApiError::DeadlinePassed { .. } => Code::DeadlineExceeded,
        ApiError::Unauthorized | ApiError::NoKey => Code::Unauthenticated,
        ApiError::Forbidden(_) => Code::PermissionDenied,
        ApiError::Unavailable { .. } => Code::Unavailable,
        ApiError::Operation { kind, .. } => match kind {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Refused => Code::FailedPrecondition,
            ErrorKind::Conflict => Code::Aborted,
            ErrorKind::Stopped => Code::Unavailable,
            ErrorKind::Storage | ErrorKind::Failed => Code::Internal,
        },
        ApiError::ModelFailed | ApiError::Internal => Code::Internal,
    }
}

/// The HTTP status that says the same: metrics count by its class.
pub(super) fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// The time that a call's `grpc-timeout` gives it: at most eight digits and a unit.
///
/// # Errors
/// [`Status`] where it is no such time.
pub(super) fn timeout(text: &[u8]) -> Result<Duration, Status> {
    let parsed = || {
        let (unit, digits) = text.split_last()?;
        if digits.is_empty() || 8 < digits.len() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
        Some(match unit {
            b'H' => Duration::from_secs(number * 3600),
            b'M' => Duration::from_secs(number * 60),
            b'S' => Duration::from_secs(number),
            b'm' => Duration::from_millis(number),
            b'u' => Duration::from_micros(number),
            b'n' => Duration::from_nanos(number),
            _ => return None,
        })
    };
    parsed().ok_or_else(|| {
        Status::invalid_argument(
            "grpc-timeout: expected up to eight digits and a unit of H, M, S, m, u, n, got another form",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Face;
    use crate::model::Mismatch;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
        ] {
            assert_eq!(timeout(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for wrong in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S"] {
            assert_eq!(timeout(wrong.as_bytes()).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn an_error_becomes_a_code_a_text_and_its_stable_code() {
        #[track_caller]
        fn check(error: &ApiError, code: Code, stable: &str) {
            let status = status(error);
            assert_eq!((status.code(), status.message()), (code, error.to_string().as_str()));
            assert_eq!(status.metadata().get(ERROR_CODE).unwrap(), stable);
        }
        let mismatch = Mismatch::new("inputs[0].shape", "one", "two");
        check(&ApiError::BadInput { face: Face::V2, mismatch }, Code::InvalidArgument, "bad_input");
        check(&ApiError::UnknownModel("x".to_owned()), Code::NotFound, "unknown_model");
        check(&ApiError::Overloaded { retry_after_s: 1 }, Code::ResourceExhausted, "overloaded");
        check(&ApiError::Unauthorized, Code::Unauthenticated, "unauthorized");
        check(&ApiError::DeadlinePassed { timeout_ms: 1 }, Code::DeadlineExceeded, "deadline_passed");
        check(&ApiError::ModelFailed, Code::Internal, "model_failed");
    }
}
