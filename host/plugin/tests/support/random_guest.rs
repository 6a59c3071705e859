//! Guests that do anything: every export of a world calls imports at random, with arguments that are sometimes right.
//!
//! A guest that is all noise traps at its first call, in what lifts its arguments, and never reaches the host. These begin with a
//! tensor and a request to another model that are right, know which arguments are handles and keep those that calls gave, point into
//! memory that looks like records and lists of the contract, and answer with such memory; now and then they spin, grow, or are out of
//! bounds.

use std::{collections::BTreeMap, fmt::Write as _};

use nereid_seeds::Random;
use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};
use wit_component::dummy_module;
use wit_parser::{
    Function, Handle, LiftLowerAbi, ManglingAndAbi, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem,
    abi::FlatTypes,
};

use super::support::{awaiter::resolved_awaiting, encode_in, resolved};

#[path = "random_awaiting.rs"]
mod random_awaiting;

/// What a world's core module imports and exports.
pub(crate) struct Shape {
    resolve: Resolve,
    world: WorldId,
    imports: Vec<Import>,
    exports: Vec<(String, FuncType)>,
    /// Kinds of handles, by their names.
    resources: BTreeMap<String, u64>,
}

struct Import {
    module: String,
    name: String,
    function: FuncType,
    roles: Roles,
}

/// Which core values of a function are handles.
#[derive(Clone, Default)]
struct Roles {
    /// Of each parameter, as far as there are any.
    takes: Vec<Option<String>>,
    /// The resource that comes with its result.
    gives: Option<String>,
}

/// Results of calls, and what looks like data of the contract, lie in these bytes of memory.
const DATA: std::ops::Range<u64> = 1_024..9_216;
/// Zero: "ok", "none" and "empty" in most types.
const NOTHING: u64 = 16_384;
/// Handles that calls gave, eight of each kind.
const HANDLES: u64 = 12_288;
/// A request to another model, with a tensor: as the contract lays it out.
const CALL: u64 = 20_480;
/// "Ok" with one output, the tensor of that request, as `transform.run` returns it.
const ANSWER: u64 = 24_576;
/// The name of everything: "X", at 16.
const NAME: u64 = 16;
/// An allocator that never runs out of numbers, if of memory.
const ALLOCATOR: &str = r#"
  (global $heap (mut i32) (i32.const 131072))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))))
    (local.get $at))
"#;

// === impl Shape ===

impl Shape {
    /// Of a world of the contract.
    pub(crate) fn of(world: &'static str) -> Self {
        let awaits = world.contains("async");
        let (resolve, id) = if awaits { resolved_awaiting(world) } else { resolved(world, None) };
        let abi = if awaits { LiftLowerAbi::AsyncCallback } else { LiftLowerAbi::Sync };
        let module = dummy_module(&resolve, id, ManglingAndAbi::Legacy(abi));
        let roles = roles(&resolve, id);
        let mut shape =
            Self { resolve, world: id, imports: Vec::new(), exports: Vec::new(), resources: BTreeMap::new() };
        let (mut types, mut functions) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::TypeSection(section) => {
                    let groups = section.into_iter().flat_map(|group| group.unwrap().into_types());
                    types.extend(groups.map(|of| match of.composite_type.inner {
                        CompositeInnerType::Func(function) => function,
                        other => panic!("{world} has a type that is no function: {other:?}"),
                    }));
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        let TypeRef::Func(index) = import.ty else { panic!("{import:?}") };
                        let function = types[index as usize].clone();
                        functions.push(function.clone());
                        shape.import(import.module, import.name, function, &roles);
                    }
                }
                Payload::FunctionSection(section) => {
                    functions.extend(section.into_iter().map(|index| types[index.unwrap() as usize].clone()));
                }
                Payload::ExportSection(section) => {
                    for export in section.into_iter().map(Result::unwrap) {
                        if export.kind == ExternalKind::Func && export.name != "cabi_realloc" {
                            shape.exports.push((export.name.to_owned(), functions[export.index as usize].clone()));
                        }
                    }
                }
                _ => {}
            }
        }
        let exports: Vec<String> = shape.exports.iter().map(|(name, _)| name.clone()).collect();
        shape.imports.retain(|import| !random_awaiting::is_idle(&import.name, &exports));
        assert!(!shape.imports.is_empty() && !shape.exports.is_empty(), "{world} is empty");
        shape
    }

    fn import(&mut self, module: &str, name: &str, function: FuncType, roles: &BTreeMap<(String, String), Roles>) {
        let of_function = roles.get(&(module.to_owned(), random_awaiting::plain(name).to_owned())).cloned();
        let dropped = name.strip_prefix("[resource-drop]").map(|resource| vec![Some(resource.to_owned())]);
        let roles = match of_function.or_else(|| Roles::of_intrinsic(name)) {
            Some(roles) if random_awaiting::is_awaited(name) => roles.awaited(),
            Some(roles) => roles,
            None => Roles { takes: dropped.unwrap_or_default(), gives: None },
        };
        for resource in roles.takes.iter().flatten().chain(&roles.gives) {
            let number = self.resources.len() as u64;
            self.resources.entry(resource.clone()).or_insert(number);
        }
        self.imports.push(Import { module: module.to_owned(), name: name.to_owned(), function, roles });
    }

    /// A component of this world.
    pub(crate) fn component(&self, random: &mut Random) -> Vec<u8> {
        encode_in(&self.resolve, self.world, &self.core(random))
    }

    fn core(&self, random: &mut Random) -> String {
        let mut text = String::from("(module\n");
        for (index, Import { module, name, function, .. }) in self.imports.iter().enumerate() {
            writeln!(text, "  (import {module:?} {name:?} (func $f{index} {}))", signature(function)).unwrap();
        }
        text.push_str("  (memory (export \"memory\") 3)\n");
        text.push_str(ALLOCATOR);
        for (name, function) in &self.exports {
            let body = self.body(random, function, name);
            writeln!(text, "  (func (export {name:?}) {} {body})", signature(function)).unwrap();
        }
        let data: String = data(random).iter().map(|byte| format!("\\{byte:02x}")).collect();
        let (start, name) = (DATA.start, NAME);
        writeln!(text, "  (data (i32.const {name}) \"X\")\n  (data (i32.const {start}) \"{data}\"))").unwrap();
        text
    }

    /// Up to twelve steps, and a result; often none in what has to go well for anything else to happen.
    fn body(&self, random: &mut Random, function: &FuncType, export: &str) -> String {
        let has_to =
            ["_initialize", "initialise", "complete", "check", "cabi_post"].iter().any(|word| export.contains(word));
        let goes_well = has_to && random.chance(80);
        let steps = if goes_well { 0 } else { random.below(12) };
        let mut body = if steps > 0 && random.chance(90) { self.beginning() } else { String::new() };
        if !body.is_empty() && random_awaiting::is_task(export) && random.chance(50) {
            body.push_str(&self.begin_to_await(random));
        }
        for _ in 0..steps {
            let step = self.step(random, function.params());
            writeln!(body, "    {step}").unwrap();
        }
        if random_awaiting::is_task(export) {
            body.push_str(&self.end_of_task(random, export, goes_well));
            return body;
        }
        for result in function.results() {
            let value = match result {
                ValType::I32 if export.ends_with("#run") && random.chance(40) => format!("(i32.const {ANSWER})"),
                ValType::I32 if goes_well || random.chance(40) => format!("(i32.const {NOTHING})"),
                ValType::I32 if random.chance(80) => format!("(i32.const {})", place(random)),
                _ => argument(random, *result, function.params()),
            };
            body.push_str(&value);
        }
        body
    }

    /// A tensor of two numbers, and a request that has it as its input.
    fn beginning(&self) -> String {
        let create = self.imports.iter().position(|import| import.name == "[static]tensor.create");
        let (Some(create), Some(cell)) = (create, self.cell("tensor", 0)) else { return String::new() };
        let (shape, result, input) = (CALL + 512, CALL + 528, CALL + 256);
        let fp32 = 11;
        format!(
            "(i64.store (i32.const {shape}) (i64.const 2))
             (call $f{create} (i32.const {fp32}) (i32.const {shape}) (i32.const 1) (i32.const {result}))
             (i32.store (i32.const {cell}) (i32.load offset=4 (i32.const {result})))
             (i32.store (i32.const {input}) (i32.const {NAME}))
             (i32.store offset=4 (i32.const {input}) (i32.const 1))
             (i32.store offset=8 (i32.const {input}) (i32.load (i32.const {cell})))
             (i32.store (i32.const {CALL}) (i32.const {NAME}))
             (i32.store offset=4 (i32.const {CALL}) (i32.const 1))
             (i32.store offset=24 (i32.const {CALL}) (i32.const {input}))
             (i32.store offset=28 (i32.const {CALL}) (i32.const 1))
             (i32.store offset=4 (i32.const {ANSWER}) (i32.const {input}))
             (i32.store offset=8 (i32.const {ANSWER}) (i32.const 1))
             {}",
            Self::outcome(input)
        )
    }

    /// Where a handle is kept.
    fn cell(&self, resource: &str, index: u64) -> Option<u64> {
        self.resources.get(resource).map(|number| HANDLES + 64 * number + 8 * index)
    }

    fn step(&self, random: &mut Random, parameters: &[ValType]) -> String {
        match random.below(100) {
            0..85 => self.call(random, parameters),
            85..96 => format!("(i32.store (i32.const {}) (i32.const {}))", place(random), word(random).cast_signed()),
            96 => "(loop (br 0))".to_owned(),
            97 => "(drop (memory.grow (i32.const 300)))".to_owned(),
            98 => "(i32.store (i32.const -4) (i32.const 1))".to_owned(),
            _ => "unreachable".to_owned(),
        }
    }

    /// A call of an import, if there are handles for it; one that it gives is kept.
    fn call(&self, random: &mut Random, parameters: &[ValType]) -> String {
        let index = random.index(self.imports.len());
        let Import { name: import, function, roles, .. } = &self.imports[index];
        let (mut arguments, mut conditions) = (Vec::new(), Vec::new());
        for (position, of) in function.params().iter().enumerate() {
            let kept = roles.takes.get(position).and_then(|takes| self.cell(takes.as_ref()?, random.below(3)));
            let is_call = position == 0 && ["infer", "submit"].contains(&random_awaiting::plain(import));
            arguments.push(match kept {
                Some(cell) if random.chance(95) => {
                    conditions.push(format!("(i32.load (i32.const {cell}))"));
                    format!("(i32.load (i32.const {cell}))")
                }
                _ if is_call && random.chance(80) => format!("(i32.const {CALL})"),
                _ => argument(random, *of, parameters),
            });
        }
        // What does not fit into one value is written where the last argument says.
        let written = place(random);
        if (function.results().is_empty() && roles.gives.is_some()) || random_awaiting::is_awaited(import) {
            arguments.pop();
            arguments.push(format!("(i32.const {written})"));
        }
        let call = format!("(call $f{index} {})", arguments.join(" "));
        let kept = roles.gives.as_ref().and_then(|resource| self.cell(resource, random.below(3)));
        let step = match (function.results(), kept) {
            ([], None) => call,
            ([], Some(cell)) => {
                format!("{call} (i32.store (i32.const {cell}) (i32.load offset=4 (i32.const {written})))")
            }
            ([_], Some(cell)) if random_awaiting::is_awaited(import) => {
                format!("(i32.store (i32.const {cell}) (i32.shr_u {call} (i32.const 4)))")
            }
            ([_], Some(cell)) => format!("(i32.store (i32.const {cell}) {call})"),
            ([result], None) => format!("({}.store (i32.const {written}) {call})", name(*result)),
            _ => panic!("{import} has several results"),
        };
        conditions.into_iter().fold(step, |step, condition| format!("(if {condition} (then {step}))"))
    }
}

/// The roles of every imported function, by the names that core modules know it by.
fn roles(resolve: &Resolve, world: WorldId) -> BTreeMap<(String, String), Roles> {
    let mut roles = BTreeMap::new();
    for import in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = import else { continue };
        let module = resolve.id_of(*id).unwrap_or_default();
        for function in resolve.interfaces[*id].functions.values() {
            roles.insert((module.clone(), function.name.clone()), Roles::of(resolve, function));
        }
    }
    roles
}

// === impl Roles ===

impl Roles {
    fn of(resolve: &Resolve, function: &Function) -> Self {
        let mut takes = Vec::new();
        for parameter in &function.params {
            let mut storage = [wit_parser::abi::WasmType::I32; 32];
            let mut flat = FlatTypes::new(&mut storage);
            resolve.push_flat(&parameter.ty, &mut flat);
            let count = flat.to_vec().len();
            takes.push(handle(resolve, &parameter.ty));
            takes.resize(takes.len() - 1 + count, None);
        }
        // More than that are passed in memory.
        if takes.len() > 16 {
            takes.clear();
        }
        let given = function.result.and_then(|result| match result {
            Type::Id(id) => match &resolve.types[id].kind {
                TypeDefKind::Result(result) => handle(resolve, &result.ok?),
                TypeDefKind::Option(inner) => handle(resolve, inner),
                _ => handle(resolve, &result),
            },
            _ => None,
        });
        Self { takes, gives: given }
    }
}

/// The resource that a type is a handle of.
fn handle(resolve: &Resolve, of: &Type) -> Option<String> {
    let Type::Id(id) = of else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
            Some(resource_name(resolve, *resource))
        }
        TypeDefKind::Type(inner) => handle(resolve, inner),
        _ => None,
    }
}

/// Interfaces name each other's resources by names of their own.
fn resource_name(resolve: &Resolve, resource: TypeId) -> String {
    match &resolve.types[resource].kind {
        TypeDefKind::Type(Type::Id(other)) => resource_name(resolve, *other),
        _ => resolve.types[resource].name.clone().unwrap_or_default(),
    }
}

fn signature(function: &FuncType) -> String {
    let list = |what: &str, types: &[ValType]| -> String {
        types.iter().map(|of| format!("({what} {}) ", name(*of))).collect()
    };
    list("param", function.params()) + &list("result", function.results())
}

fn name(of: ValType) -> &'static str {
    match of {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        other => panic!("no type of the canonical ABI: {other}"),
    }
}

/// An aligned address among the data.
fn place(random: &mut Random) -> u64 {
    DATA.start + 8 * random.below((DATA.end - DATA.start) / 8 - 8)
}

/// What may be a discriminant, a handle, a length, a pointer to a name or to data, or nonsense.
fn word(random: &mut Random) -> u32 {
    let word = match random.below(100) {
        0..30 => 0,
        30..55 => random.below(5),
        55..70 => NAME,
        70..90 => place(random),
        90..95 => random.below(1 << 20),
        _ => random.below(1 << 32),
    };
    u32::try_from(word).unwrap()
}

fn argument(random: &mut Random, of: ValType, parameters: &[ValType]) -> String {
    let own: Vec<usize> = (0..parameters.len()).filter(|index| parameters[*index] == of).collect();
    if !own.is_empty() && random.chance(25) {
        return format!("(local.get {})", own[random.index(own.len())]);
    }
    if random.chance(30) {
        return format!("({}.load (i32.const {}))", name(of), place(random));
    }
    match of {
        ValType::I32 => format!("(i32.const {})", word(random).cast_signed()),
        ValType::I64 if random.chance(10) => format!("(i64.const {})", i64::MAX - i64::from(word(random))),
        ValType::I64 => format!("(i64.const {})", word(random)),
        _ => format!("({}.const {})", name(of), ["0", "1.5", "-3e30", "nan", "inf"][random.index(5)]),
    }
}

/// Words, of which every eighth is the pointer of a name with its length.
fn data(random: &mut Random) -> Vec<u8> {
    let mut data = Vec::new();
    while (data.len() as u64) < DATA.end - DATA.start {
        let pair = if random.chance(12) { [NAME as u32, 1] } else { [word(random), word(random)] };
        data.extend(pair.iter().flat_map(|word| word.to_le_bytes()));
    }
    data
}
