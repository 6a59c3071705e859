//! Just enough of Rust's syntax to count: code with its strings and comments blanked out, and where functions end.

/// A function's name, the line it begins in (from 1) and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The text with every comment, string and character replaced by spaces, line by line as before.
pub(super) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skip(&characters, at);
        if end == at {
            code.push(characters[at]);
            at += 1;
        } else {
            code.extend(characters[at..end].iter().map(|character| if *character == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none does.
fn skip(characters: &[char], at: usize) -> usize {
    let next = |offset: usize| characters.get(at + offset).copied();
    let after_word = at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_');
    match (characters[at], next(1)) {
        ('/', Some('/')) => find(characters, at, |rest| rest[0] == '\n').unwrap_or(characters.len()),
        ('/', Some('*')) => skip_block_comment(characters, at),
        ('"', _) => skip_string(characters, at + 1),
        ('b', Some('"')) if !after_word => skip_string(characters, at + 2),
        ('r', Some('"' | '#')) if !after_word => skip_raw_string(characters, at + 1).unwrap_or(at),
        ('b', Some('r')) if !after_word => skip_raw_string(characters, at + 2).unwrap_or(at),
        ('\'', Some('\\')) => find(characters, at + 3, |rest| rest[0] == '\'').map_or(characters.len(), |end| end + 1),
        ('\'', Some(_)) if next(2) == Some('\'') => at + 3,
        _ => at,
    }
}

fn find(characters: &[char], from: usize, matches: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..characters.len()).find(|at| matches(&characters[*at..]))
}

fn skip_block_comment(characters: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < characters.len() {
        match (characters[at], characters.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn skip_string(characters: &[char], mut at: usize) -> usize {
    while at < characters.len() && characters[at] != '"' {
        at += if characters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(characters.len())
}

/// `at` is behind the `r`; `None` if this is a raw identifier instead.
fn skip_raw_string(characters: &[char], at: usize) -> Option<usize> {
    let hashes = characters[at..].iter().take_while(|character| **character == '#').count();
    if characters.get(at + hashes) != Some(&'"') {
        return None;
    }
    let ends =
        |rest: &[char]| rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|mark| *mark == '#');
    Some(find(characters, at + hashes + 1, ends).map_or(characters.len(), |end| end + hashes + 1))
}

/// Every function with a body, in the order of their first lines. `code` comes from [`code_only`].
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word =
            at == 0 || !code[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_');
        let rest = &code[at + 3..];
        let name: String =
            rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(rest) {
            let line = code[..at].matches('\n').count() + 1;
            functions.push(Function { name, line, lines: rest[..length].matches('\n').count() + 1 });
        }
    }
    functions
}

/// Behind the brace that ends the body; `None` for a declaration without one.
fn body_end(rest: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, character) in rest.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn strings_comments_and_characters_are_blanked() {
    let text = "let a = \"} // \\\" {\"; // fn x() {\nlet b = r#\"\" fn \"#; /* { /* } */ */ let c = '{'; let d = '\\''; x::<'a>();";
    let code = code_only(text);
    assert_eq!(code.matches(['{', '}']).count(), 0, "{code}");
    assert!(!code.contains("fn") && code.contains("let c =") && code.contains("x::<'a>();"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn functions_are_measured_from_their_name_to_their_last_brace() {
    let code = "trait T { fn a(); }\nfn b(x: [u8; 4]) {\n    if x {\n    }\n}\nimpl S { fn c() {} }\n";
    let found: Vec<_> =
        functions(code).into_iter().map(|function| (function.name, function.line, function.lines)).collect();
    assert_eq!(found, [("b".to_owned(), 2, 4), ("c".to_owned(), 6, 1)]);
}
