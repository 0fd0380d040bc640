/// Turns records into bytes.
pub trait Encoder: Send {}
