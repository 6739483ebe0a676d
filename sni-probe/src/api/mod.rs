//! What the daemon tells of itself by HTTP under `/api/v1/`, and what `watch` and the page show.

pub(crate) mod model;
