//! What the platforms that run scoring containers say in the environment: SageMaker and Vertex AI.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{ByteSize, ConfigError, Period, RawConfig};

/// Variables that only SageMaker sets.
const SAGEMAKER: [&str; 6] = [
    "SAGEMAKER_BIND_TO_PORT",
    "SAGEMAKER_SAFE_PORT_RANGE",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB",
    "SAGEMAKER_MULTI_MODEL",
    "SAGEMAKER_REGION",
    "SAGEMAKER_CONTAINER_LOG_LEVEL",
];
/// SageMaker ends a container 30 s after it has asked it to stop.
const SAGEMAKER_DRAIN: Period = Period::from_secs(20);
const SAGEMAKER_MODEL: &str = "/opt/ml/model";
const SAGEMAKER_MODELS: &str = "/opt/ml/models";

/// `raw`, with what the platform says. Ports win over our own settings, for the platform sends its requests there and nowhere
/// else; what else it says fills in what nobody has set.
///
/// # Errors
/// [`ConfigError::Range`] names the variable.
pub(super) fn with_platform(raw: RawConfig, said: impl Fn(&str) -> Option<String>) -> Result<RawConfig, ConfigError> {
    // Vertex AI sets variables to nothing where it has nothing to say.
    let said = |name: &str| said(name).filter(|value| !value.is_empty());
    let raw = if SAGEMAKER.iter().any(|name| said(name).is_some()) { sagemaker(raw, &said)? } else { raw };
    vertex(raw, &said)
}

fn sagemaker(raw: RawConfig, said: &impl Fn(&str) -> Option<String>) -> Result<RawConfig, ConfigError> {
    let port = said("SAGEMAKER_BIND_TO_PORT").map(|text| port("SAGEMAKER_BIND_TO_PORT", &text)).transpose()?;
    let safe = said("SAGEMAKER_SAFE_PORT_RANGE").map(|text| range(&text)).transpose()?;
    let is_multi = raw
        .multi_model
        .unwrap_or_else(|| said("SAGEMAKER_MULTI_MODEL").is_some_and(|text| text.eq_ignore_ascii_case("true")));
    let payload = said("SAGEMAKER_MAX_PAYLOAD_IN_MB").map(|text| megabytes(&text)).transpose()?;
    Ok(RawConfig {
        http_addr: port.map(everywhere).or(raw.http_addr).or_else(|| Some(everywhere(8080))),
        grpc_addr: safe.map(|(first, _)| here(first)).or(raw.grpc_addr),
        ops_addr: safe.map(|(_, second)| here(second)).or(raw.ops_addr),
        body_bytes_max: raw.body_bytes_max.or(payload),
        body_bytes_in_flight_max: raw
            .body_bytes_in_flight_max
            .or(payload.filter(|most| ByteSize::mib(256).bytes() < most.bytes())),
        drain_timeout: raw.drain_timeout.or(Some(SAGEMAKER_DRAIN)),
        models: raw.models.or_else(|| Some(PathBuf::from(if is_multi { SAGEMAKER_MODELS } else { SAGEMAKER_MODEL }))),
        multi_model: raw.multi_model.or(Some(is_multi)),
        ..raw
    })
}

fn vertex(raw: RawConfig, said: &impl Fn(&str) -> Option<String>) -> Result<RawConfig, ConfigError> {
    let port = said("AIP_HTTP_PORT").map(|text| port("AIP_HTTP_PORT", &text)).transpose()?;
    let models = match (said("AIP_STORAGE_URI"), &raw.models) {
        (Some(uri), None) => Some(local_folder(&uri)?),
        _ => None,
    };
    Ok(RawConfig {
        http_addr: port.map(everywhere).or(raw.http_addr),
        health_route: raw.health_route.or_else(|| said("AIP_HEALTH_ROUTE")),
        predict_route: raw.predict_route.or_else(|| said("AIP_PREDICT_ROUTE")),
        models: raw.models.or(models),
        ..raw
    })
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn port(key: &'static str, text: &str) -> Result<u16, ConfigError> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| ConfigError::Range { key, expected: "a port from 1 to 65535", got: text.to_owned() })
}

/// The first two ports of a range.
fn range(text: &str) -> Result<(u16, u16), ConfigError> {
    let ports = text.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        (first != 0 && first < last).then_some((first, first + 1))
    });
    let expected = "two ports or more, as 9000-9999";
    ports.ok_or_else(|| ConfigError::Range { key: "SAGEMAKER_SAFE_PORT_RANGE", expected, got: text.to_owned() })
}

fn megabytes(text: &str) -> Result<ByteSize, ConfigError> {
    let size = text.parse::<u32>().ok().filter(|size| *size != 0).map(|size| ByteSize::mib(size.into()));
    let expected = "a whole number from 1";
    size.ok_or_else(|| ConfigError::Range { key: "SAGEMAKER_MAX_PAYLOAD_IN_MB", expected, got: text.to_owned() })
}

/// The folder that a model's place names, where it is one of this machine.
fn local_folder(uri: &str) -> Result<PathBuf, ConfigError> {
    let path = Path::new(uri.strip_prefix("file://").unwrap_or(uri));
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let expected = "a folder of this machine, since gudgeon fetches nothing: put the models into the image, or mount them, and \
        name the folder with GUDGEON_MODELS";
    Err(ConfigError::Range { key: "AIP_STORAGE_URI", expected, got: uri.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(raw: RawConfig, variables: &[(&str, &str)]) -> Result<RawConfig, String> {
        let said =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        with_platform(raw, said).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refuse(variable: (&str, &str), expected: &str) {
        let error = told(RawConfig::default(), &[variable]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn without_a_platform_nothing_changes() {
        assert_eq!(told(RawConfig::default(), &[("AIP_STORAGE_URI", "")]), Ok(RawConfig::default()));
    }

    #[test]
    fn sagemakers_ports_win_and_the_rest_fills_in() {
        let image =
            RawConfig { http_addr: Some(everywhere(8080)), ops_addr: Some(everywhere(8082)), ..RawConfig::default() };
        let variables = [
            ("SAGEMAKER_BIND_TO_PORT", "8081"),
            ("SAGEMAKER_SAFE_PORT_RANGE", "9000-9999"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "300"),
        ];
        let raw = told(image, &variables).unwrap();
        assert_eq!(
            (raw.http_addr, raw.grpc_addr, raw.ops_addr),
            (Some(everywhere(8081)), Some(here(9000)), Some(here(9001)))
        );
        assert_eq!(
            (raw.body_bytes_max, raw.body_bytes_in_flight_max),
            (Some(ByteSize::mib(300)), Some(ByteSize::mib(300)))
        );
        assert_eq!(raw.models, Some(PathBuf::from("/opt/ml/model")));
        assert_eq!(raw.drain_timeout, Some(SAGEMAKER_DRAIN));
        let own = RawConfig {
            models: Some("/models".into()),
            body_bytes_max: Some(ByteSize::mib(5)),
            ..RawConfig::default()
        };
        let raw = told(own, &variables).unwrap();
        assert_eq!((raw.models, raw.body_bytes_max), (Some(PathBuf::from("/models")), Some(ByteSize::mib(5))));
        let raw = told(RawConfig::default(), &[("SAGEMAKER_REGION", "eu-west-1")]).unwrap();
        assert_eq!((raw.http_addr, raw.body_bytes_max), (Some(everywhere(8080)), None));
        let raw = told(RawConfig::default(), &[("SAGEMAKER_MULTI_MODEL", "true")]).unwrap();
        assert_eq!((raw.multi_model, raw.models), (Some(true), Some(PathBuf::from("/opt/ml/models"))));
    }

    #[test]
    fn vertex_names_its_routes_and_its_port() {
        let variables = [
            ("AIP_HTTP_PORT", "9090"),
            ("AIP_HEALTH_ROUTE", "/v1/endpoints/1/deployedModels/2"),
            ("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict"),
            ("AIP_STORAGE_URI", "file:///srv/models"),
        ];
        let raw = told(RawConfig::default(), &variables).unwrap();
        assert_eq!(raw.http_addr, Some(everywhere(9090)));
        assert_eq!(raw.health_route.as_deref(), Some(variables[1].1));
        assert_eq!(raw.predict_route.as_deref(), Some(variables[2].1));
        assert_eq!(raw.models, Some(PathBuf::from("/srv/models")));
        // Where the models are has been said: what Vertex AI has in its store is not needed.
        let own = RawConfig { models: Some("/models".into()), ..RawConfig::default() };
        assert_eq!(told(own, &[("AIP_STORAGE_URI", "gs://bucket/m")]).unwrap().models, Some(PathBuf::from("/models")));
    }

    #[test]
    fn what_a_platform_cannot_mean_is_named() {
        refuse(
            ("AIP_STORAGE_URI", "gs://bucket/m"),
            "AIP_STORAGE_URI: expected a folder of this machine, since gudgeon fetches nothing",
        );
        refuse(("AIP_HTTP_PORT", "0"), "AIP_HTTP_PORT: expected a port from 1 to 65535, got 0");
        refuse(("SAGEMAKER_BIND_TO_PORT", "x"), "SAGEMAKER_BIND_TO_PORT: expected a port");
        refuse(("SAGEMAKER_MAX_PAYLOAD_IN_MB", "0"), "SAGEMAKER_MAX_PAYLOAD_IN_MB: expected a whole number from 1");
        for text in ["9000", "9000-9000", "0-9", "65535-65536"] {
            refuse(("SAGEMAKER_SAFE_PORT_RANGE", text), "SAGEMAKER_SAFE_PORT_RANGE: expected two ports or more");
        }
    }
}
