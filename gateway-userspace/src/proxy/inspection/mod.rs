//! What is inside requests and answers.

pub(crate) mod openapi;
