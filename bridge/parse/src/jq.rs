//! A jq program between a payload and its fields, for shapes that paths cannot say. Compiled once, by jaq;
//! what it may do has limits, and it reaches neither clock nor files, environment or other messages. Pure.

use std::panic::{self, AssertUnwindSafe};

use jaq_core::compile::Undefined;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Lexer, Loader, Parser};
use jaq_core::{Compiler, Ctx, Filter, Vars, load};

use crate::facts::Facts;
use crate::failure::{Failure, Reason};
use crate::jq::budget::{Budget, Data, Exhausted, Language};
use crate::json::Json;

mod budget;
mod functions;
mod guard;
mod values;

pub use budget::{Allowance, Rest};

/// What a program finds beside its input, in the order of their values.
const VARIABLES: [&str; 4] = ["$topic", "$received", "$device_id", "$attributes"];

/// Bytes of the longest program.
pub const PROGRAM_MAX: usize = 64 * 1024;

/// The name of the program among its definitions.
const MAIN: &str = "landfall_program";

/// A compiled program.
pub struct Program {
    filter: Filter<Language>,
    allowance: Allowance,
}

impl Program {
    /// Compiles, or says in a sentence what is wrong and where.
    pub fn compile(text: &str, allowance: Allowance) -> Result<Program, String> {
        if text.len() > PROGRAM_MAX {
            return Err(format!("the program is longer than {PROGRAM_MAX} bytes"));
        }
        let tokens = Lexer::new(text).lex().map_err(|errors| {
            let (wanted, rest) = &errors[0];
            told(text, rest, &format!("here has to be {}", wanted.as_str()))
        })?;
        let term = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
            let (wanted, found) = &errors[0];
            let found = load::lex::Token::opt_as_str(*found, text);
            told(text, found, &format!("here has to be {}", wanted.as_str()))
        })?;
        let arena = Arena::default();
        let mut definitions: Vec<Def<&str>> = functions::definitions();
        definitions.push(Def { name: MAIN, args: Vec::new(), body: term });
        let guarded =
            definitions.into_iter().map(|one| Def { body: guard::guarded(one.body), ..one });
        let modules = Loader::new(guarded)
            .load(&arena, File { code: MAIN, path: () })
            .map_err(|_| "the program cannot be loaded".to_owned())?;
        let filter = Compiler::default()
            .with_funs(functions::natives())
            .with_global_vars(VARIABLES)
            .compile(modules)
            .map_err(|errors| {
                let mut all = errors.iter().flat_map(|(_, errors)| errors);
                all.next().map_or_else(String::new, |(name, what)| undefined(text, name, what))
            })?;
        Ok(Program { filter, allowance })
    }

    /// Hands each output to `visitor`, as a document of its own. What the run takes is taken from `rest`.
    pub fn run(
        &self,
        input: &Json<'_>,
        facts: &Facts<'_>,
        rest: &mut Rest,
        visitor: &mut dyn FnMut(&Json<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let budget = rest.budget(self.allowance);
        let ran = self.run_within(input, facts, &budget, visitor);
        rest.took(&budget);
        ran
    }

    fn run_within(
        &self,
        input: &Json<'_>,
        facts: &Facts<'_>,
        budget: &Budget,
        visitor: &mut dyn FnMut(&Json<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut outputs = within(budget, || {
            let variables = Vars::new(values::of_facts(facts));
            let data = Data { lut: &self.filter.lut, budget };
            let context = Ctx::<Language>::new(data, variables);
            self.filter.id.run((context, values::of_json(input)))
        })?;
        loop {
            let next = within(budget, || {
                Some(match jaq_core::unwrap_valr(outputs.next()?) {
                    Ok(value) => values::to_json(&value, budget),
                    Err(error) => Err(values::failure(&error.into_val())),
                })
            })?;
            let Some(output) = next else { return Ok(()) };
            visitor(&output?)?;
        }
    }
}

/// Runs a step of a program. What it may use up is thrown like a panic, past everything that could
/// catch an error of jq, and no hook hears of it; nothing of the run is used afterwards.
fn within<T>(budget: &Budget, step: impl FnOnce() -> T) -> Result<T, Failure> {
    panic::catch_unwind(AssertUnwindSafe(step)).map_err(|thrown| {
        match thrown.downcast::<Exhausted>() {
            Ok(exhausted) => Failure::new(Reason::JqLimit, exhausted.sentence(budget)),
            Err(_) => Failure::new(Reason::Jq, "the program made its interpreter panic"),
        }
    })
}

impl std::fmt::Debug for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Program")
    }
}

fn told(program: &str, at: &str, what: &str) -> String {
    let place = (at.as_ptr() as usize).checked_sub(program.as_ptr() as usize);
    match place.filter(|place| *place < program.len()) {
        Some(place) => {
            let line = program[..place].matches('\n').count() + 1;
            let column = place - program[..place].rfind('\n').map_or(0, |at| at + 1) + 1;
            format!("line {line}, column {column}: {what}")
        }
        None => format!("at the program's end: {what}"),
    }
}

fn undefined(program: &str, name: &str, what: &Undefined) -> String {
    let kind = match what {
        Undefined::Mod => "module",
        Undefined::Var => "variable",
        Undefined::Label => "label",
        Undefined::Filter(_) => "function",
        _ => "name",
    };
    let arguments = match what {
        Undefined::Filter(arity) => format!(" with {arity} arguments"),
        _ => String::new(),
    };
    let known = match what {
        Undefined::Var => format!("; beside its own it has {}", VARIABLES.join(", ")),
        Undefined::Filter(_) => {
            "; a program has no clock, files, environment, inputs or regular expressions".to_owned()
        }
        _ => String::new(),
    };
    told(program, name, &format!("there is no {kind} {name}{arguments}{known}"))
}

/// A body that is no more than a call, for definitions that are made here.
fn call<'s>(name: &'s str, arguments: Vec<Term<&'s str>>) -> Term<&'s str> {
    Term::Call(name, arguments)
}

#[cfg(test)]
mod tests;
