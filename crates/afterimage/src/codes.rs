//! What every code of a stop or a finding means, and what mends it.

/// One code, as `afterimage explain` tells it.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) mend: &'static str,
}

pub(crate) fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

const fn code(code: &'static str, meaning: &'static str, mend: &'static str) -> Code {
    Code { code, meaning, mend }
}

pub(crate) const CODES: &[Code] = &[code(
    "panic",
    "A defect of this program. Nothing wrong was stored: the next start goes on from the last commit.",
    "start again, and report the line to the project",
)];
