//! Engines that look into requests; the stages that use them stand in `pipeline/stages/`.

pub mod operator;
pub mod transform;
