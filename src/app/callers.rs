//! Who may ask for predictions: the keys of a file.

use std::sync::Arc;

use super::watched::Watched;
use crate::config::Config;
use crate::http::{ApiKeys, ApiKeysError, KeySet};
use crate::metrics::Metrics;

/// Reads the file that the configuration names, if it names one; it is followed from then on.
///
/// # Errors
/// [`ApiKeysError`] names the file and the line.
pub(super) fn load(config: &Config, metrics: &Arc<Metrics>) -> Result<(Arc<ApiKeys>, Option<Watched>), ApiKeysError> {
    let path = config.api_keys_file.clone();
    if path.as_os_str().is_empty() {
        return Ok((Arc::default(), None));
    }
    let watched = Watched::new("the file of API keys", vec![path.clone()]);
    let keys = Arc::new(ApiKeys::of(KeySet::read(&path, metrics)?));
    let (followed, metrics) = (Arc::clone(&keys), Arc::clone(metrics));
    let watched = watched.then(move || {
        followed.replace(KeySet::read(&path, &metrics).map_err(|error| error.to_string())?, &metrics);
        Ok(())
    });
    Ok((keys, Some(watched)))
}
