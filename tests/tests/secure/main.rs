//! A run over every encrypted and authenticated link, beside a registry that falters, and under an operator's hands.

mod links;
mod operation;
mod patience;
mod rig;
