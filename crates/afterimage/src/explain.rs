//! `afterimage explain`: what a code means, and what mends it.

use std::fmt::Write as _;

use crate::codes::{Code, all, find};
use crate::config::nearest;
use crate::exit::Exit;
use crate::report::{Trouble, complain, print};

pub(crate) fn explain(code: Option<&str>) -> Result<(), Trouble> {
    let Some(name) = code else {
        let mut text = String::new();
        let width = all().map(|code| code.code.len()).max().unwrap_or(0);
        for Code { code, meaning, .. } in all() {
            let first = meaning.split_inclusive(". ").next().unwrap_or(meaning).trim_end();
            let _ = writeln!(text, "{code:width$}  {first}");
        }
        print(&text);
        return Ok(());
    };
    let Some(Code { code, meaning, mend }) = find(name) else {
        let near = nearest(name, all().map(|code| code.code));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        complain(&format!("`{name}` is no code{near}\n"));
        return Err(Trouble::Told(Exit::Usage));
    };
    print(&format!("{code}\n\n{meaning}\n\nTo mend it: {mend}\n"));
    Ok(())
}
