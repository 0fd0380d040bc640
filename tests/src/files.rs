//! What is expected and what was seen, side by side.

/// The lines that differ, with `-` for what is missing and `+` for what is too much; a few equal ones around them.
pub fn difference(expected: &[String], seen: &[String]) -> String {
    const AROUND: usize = 2;
    let marked = marked(expected, seen);
    let mut text = String::new();
    let mut skipped = false;
    for (index, (mark, line)) in marked.iter().enumerate() {
        let near = &marked[index.saturating_sub(AROUND)..(index + AROUND + 1).min(marked.len())];
        if *mark == ' ' && near.iter().all(|(mark, _)| *mark == ' ') {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            text.push_str("  ..\n");
        }
        text.push_str(&format!("{mark} {line}\n"));
    }
    text
}

/// A shortest way from one list to the other (longest common subsequence).
fn marked<'a>(expected: &'a [String], seen: &'a [String]) -> Vec<(char, &'a str)> {
    let (rows, columns) = (expected.len(), seen.len());
    let mut common = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if expected[row] == seen[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut marked = Vec::with_capacity(rows.max(columns));
    while row < rows || column < columns {
        if row < rows && column < columns && expected[row] == seen[column] {
            marked.push((' ', expected[row].as_str()));
            row += 1;
            column += 1;
        } else if column == columns
            || (row < rows && common[row + 1][column] >= common[row][column + 1])
        {
            marked.push(('-', expected[row].as_str()));
            row += 1;
        } else {
            marked.push(('+', seen[column].as_str()));
            column += 1;
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown_with_what_is_around() {
        let check = |expected: &str, seen: &str, shown: &str| {
            let lines =
                |text: &str| text.split_terminator(' ').map(str::to_owned).collect::<Vec<_>>();
            let difference =
                difference(&lines(expected), &lines(seen)).replace("  ", "=").replace(' ', "");
            assert_eq!(difference.lines().collect::<Vec<_>>().join(" "), shown);
        };
        check("a b", "a b", "");
        check("a b", "a", "=a -b");
        check("", "a", "+a");
        check("1 2 3 4 5 6 7 8", "1 2 3 4 x 6 7 8", "=.. =3 =4 -5 +x =6 =7");
    }
}
