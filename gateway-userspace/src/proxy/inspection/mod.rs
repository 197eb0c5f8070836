//! Engines that look into requests and answers; the stages that use them stand in `pipeline/stages/`.

pub mod body;
pub(crate) mod contracts;
pub(crate) mod openapi;
pub mod operator;
pub(crate) mod rules;
pub mod seclang;
pub mod transform;
