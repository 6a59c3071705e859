//! What random guests have besides where they await: tasks instead of calls, sets of what is awaited, and the ways in which a task may end
//! or go on, right and wrong.

use std::fmt::Write as _;

use nereid_seeds::Random;
use wasmparser::ValType;

use super::{ANSWER, CALL, Roles, Shape, argument, place, word};

/// What a task was begun with: dropped, cancelled, and joined to a set.
pub(super) const SUBTASK: &str = "subtask";
const SET: &str = "set";

/// A list of one outcome, an answer with the tensor of the request to another model.
const OUTCOME: u64 = ANSWER + 512;

/// What a task says when it gives the thread back, in the lowest four bits of a number; a set is in the others.
const EXIT: u64 = 0;
const YIELD: u64 = 1;
const WAIT: u64 = 2;

/// How the component model calls a function that is awaited, as core modules import and export it.
const LOWERED: &str = "[async-lower]";
const LIFTED: &str = "[async-lift]";
const CALLED_BACK: &str = "[callback]";
const RETURNS: &str = "[task-return]";

/// Parameters that a call which is awaited has in its core values; more are passed in memory.
const AWAITED_VALUES_MAX: usize = 4;

/// The name of a function in the contract, whether it is awaited or not.
pub(super) fn plain(name: &str) -> &str {
    name.strip_prefix(LOWERED).unwrap_or(name)
}

pub(super) fn is_awaited(name: &str) -> bool {
    name.starts_with(LOWERED)
}

/// Whether the host goes on with the export when it returns, instead of taking a result.
pub(super) fn is_task(export: &str) -> bool {
    export.contains(LIFTED)
}

/// Whether something is imported for an export that is not there: for functions that return.
pub(super) fn is_idle(import: &str, exports: &[String]) -> bool {
    import.strip_prefix(RETURNS).is_some_and(|function| {
        let task = format!("#{function}");
        !exports.iter().any(|export| is_task(export) && export.ends_with(&task))
    })
}

// === impl Roles ===

impl Roles {
    /// Of what the component model offers to those who await.
    pub(super) fn of_intrinsic(name: &str) -> Option<Self> {
        let (takes, gives): (&[&str], _) = match name {
            "[waitable-set-new]" => (&[], Some(SET)),
            "[waitable-set-wait]" | "[waitable-set-poll]" | "[waitable-set-drop]" => (&[SET], None),
            "[waitable-join]" => (&[SUBTASK, SET], None),
            "[subtask-drop]" | "[subtask-cancel]" => (&[SUBTASK], None),
            _ => return None,
        };
        let takes = takes.iter().map(|kind| Some((*kind).to_owned())).collect();
        Some(Self { takes, gives: gives.map(str::to_owned) })
    }

    /// The same function where it is awaited.
    pub(super) fn awaited(mut self) -> Self {
        if self.takes.len() > AWAITED_VALUES_MAX {
            self.takes.clear();
        }
        Self { takes: self.takes, gives: Some(SUBTASK.to_owned()) }
    }
}

// === impl Shape ===

impl Shape {
    /// Asks the other model and joins it to a set, so that there is something to wait for.
    pub(super) fn begin_to_await(&self, random: &mut Random) -> String {
        let named = |name: &str| self.imports.iter().position(|import| import.name == name);
        let found = (named("[async-lower]infer"), named("[waitable-set-new]"), named("[waitable-join]"));
        let cells = (self.cell(SUBTASK, 0), self.cell(SET, 0));
        let ((Some(infer), Some(new), Some(join)), (Some(subtask), Some(set))) = (found, cells) else {
            return String::new();
        };
        let written = place(random);
        format!(
            "(i32.store (i32.const {set}) (call $f{new}))
             (i32.store (i32.const {subtask})
               (i32.shr_u (call $f{infer} (i32.const {CALL}) (i32.const {written})) (i32.const 4)))
             (if (i32.load (i32.const {subtask}))
               (then (call $f{join} (i32.load (i32.const {subtask})) (i32.load (i32.const {set})))))"
        )
    }

    /// How a task gives the thread back.
    pub(super) fn end_of_task(&self, random: &mut Random, export: &str, goes_well: bool) -> String {
        let is_callback = export.starts_with(CALLED_BACK);
        if goes_well {
            return self.returned(random, export, true);
        }
        match random.below(100) {
            0..50 => self.returned(random, export, false),
            50..80 => {
                let set = self.cell(SET, if random.chance(80) { 0 } else { random.below(3) }).unwrap_or_default();
                format!("(i32.or (i32.const {WAIT}) (i32.shl (i32.load (i32.const {set})) (i32.const 4)))")
            }
            // A callback that yields is called for ever.
            80..88 if !is_callback || random.chance(50) => format!("(i32.const {YIELD})"),
            88..93 => format!("(i32.const {EXIT})"),
            _ => format!("(i32.const {})", word(random).cast_signed()),
        }
    }

    /// Says what the task has come to, and exits.
    fn returned(&self, random: &mut Random, export: &str, goes_well: bool) -> String {
        let function = export.rsplit('#').next().unwrap_or_default();
        let name = format!("{RETURNS}{function}");
        let Some(index) = self.imports.iter().position(|import| import.name == name) else {
            panic!("{export} has no {name}")
        };
        let parameters = self.imports[index].function.params();
        let mut call = format!("(call $f{index}");
        let is_answered = function == "execute" && random.chance(50);
        for (position, of) in parameters.iter().enumerate() {
            let value = match (position, of) {
                (0, ValType::I32) if is_answered => format!("(i32.const {OUTCOME})"),
                (1, ValType::I32) if is_answered => "(i32.const 1)".to_owned(),
                _ if goes_well || random.chance(70) => format!("({}.const 0)", super::name(*of)),
                _ => argument(random, *of, &[]),
            };
            write!(call, " {value}").unwrap();
        }
        format!("{call}) (i32.const {EXIT})")
    }

    /// What [`OUTCOME`] says, of the tensor that lies among the inputs at this address.
    pub(super) fn outcome(input: u64) -> String {
        format!(
            "(i32.store offset=4 (i32.const {OUTCOME}) (i32.const {input})) (i32.store offset=8 (i32.const {OUTCOME}) (i32.const 1))"
        )
    }
}
