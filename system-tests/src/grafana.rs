//! Grafana's own account of what a dashboard may hold. No Grafana server is needed: the types are published.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab_interface::GRAFANA_PYTHON_VARIABLE;

use crate::process::run;

const CHECK: &str = include_str!("grafana_schema.py");
const TIMEOUT: Duration = Duration::from_mins(1);

/// Checks a dashboard against the types that Grafana publishes.
///
/// # Errors
/// With a line for each key that Grafana does not know, and each value of another type than Grafana's.
pub fn check_dashboard(dashboard: &Path) -> Result<()> {
    let python = std::env::var_os(GRAFANA_PYTHON_VARIABLE).map(PathBuf::from).with_context(|| {
        format!(
            "{GRAFANA_PYTHON_VARIABLE} is not set; run these tests by: cargo xtask system-test dashboard::"
        )
    })?;
    let finished = run(Command::new(python).args(["-I", "-c", CHECK]).arg(dashboard), TIMEOUT)?;
    if !finished.success() {
        bail!("{}:\n{}{}", dashboard.display(), finished.stdout, finished.stderr);
    }
    Ok(())
}
