//! Operators that could make more than a budget allows, in the place of jq's own: a number of a payload
//! must not say how often a text is repeated, or how deep a list is nested. The same operators keep the
//! digits of decimal numbers, where jq's own would go through a double. Pure.
//!
//! A program and jq's own definitions are rewritten before they are compiled: `l + r` to `!add(l; r)`,
//! `l - r` to `!subtract(l; r)`, `l * r` to `!multiply(l; r)`, and `[f]` and `{…}` to what checks their
//! depth.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::call;

pub const ADD: &str = "!add";
pub const SUBTRACT: &str = "!subtract";
pub const MULTIPLY: &str = "!multiply";
pub const NESTED: &str = "!nested";
/// The right side of `l += r`, evaluated once.
const OPERAND: &str = "$!operand";

type Body<'s> = Term<&'s str>;

/// The same term, with guarded operators.
pub fn guarded<'s>(term: Body<'s>) -> Body<'s> {
    let boxed = |term: Box<Body<'s>>| Box::new(guarded(*term));
    match term {
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Break(_)
        | Term::Var(_)
        | Term::Arr(None) => term,
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(term) => StrPart::Term(guarded(term)),
                other => other,
            };
            Term::Str(format, parts.into_iter().map(part).collect())
        }
        Term::Arr(Some(inner)) => nested(Term::Arr(Some(boxed(inner)))),
        Term::Obj(entries) => {
            let entry =
                |(key, value): (Body<'s>, Option<Body<'s>>)| (guarded_key(key), value.map(guarded));
            let is_empty = entries.is_empty();
            let object = Term::Obj(entries.into_iter().map(entry).collect());
            if is_empty { object } else { nested(object) }
        }
        Term::Neg(inner) => Term::Neg(boxed(inner)),
        Term::BinOp(left, operator, right) => operation(guarded(*left), operator, guarded(*right)),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)),
        Term::Fold(name, source, pattern, steps) => {
            let steps = steps.into_iter().map(guarded).collect();
            Term::Fold(name, boxed(source), guarded_pattern(pattern), steps)
        }
        Term::TryCatch(inner, otherwise) => Term::TryCatch(boxed(inner), otherwise.map(boxed)),
        Term::IfThenElse(cases, otherwise) => {
            let case = |(condition, then)| (guarded(condition), guarded(then));
            Term::IfThenElse(cases.into_iter().map(case).collect(), otherwise.map(boxed))
        }
        Term::Def(definitions, inner) => {
            let definition = |one: Def<_>| Def { body: guarded(one.body), ..one };
            Term::Def(definitions.into_iter().map(definition).collect(), boxed(inner))
        }
        Term::Call(name, arguments) => call(name, arguments.into_iter().map(guarded).collect()),
        Term::Path(start, Path(parts)) => {
            let part = |(part, optional)| {
                let part = match part {
                    Part::Index(index) => Part::Index(guarded(index)),
                    Part::Range(from, to) => Part::Range(from.map(guarded), to.map(guarded)),
                };
                (part, optional)
            };
            Term::Path(boxed(start), Path(parts.into_iter().map(part).collect()))
        }
    }
}

/// `{a}` and `{$a}` are short for what their keys say: those stay as they are.
fn guarded_key(key: Body<'_>) -> Body<'_> {
    match key {
        Term::Str(..) | Term::BinOp(..) | Term::Call(..) | Term::Path(..) => guarded(key),
        other => other,
    }
}

fn guarded_pattern(pattern: Pattern<&str>) -> Pattern<&str> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(guarded_pattern).collect()),
        Pattern::Obj(entries) => {
            let entry = |(key, pattern)| (guarded_key(key), guarded_pattern(pattern));
            Pattern::Obj(entries.into_iter().map(entry).collect())
        }
    }
}

fn nested(made: Body<'_>) -> Body<'_> {
    Term::BinOp(Box::new(made), BinaryOp::Pipe(None), Box::new(call(NESTED, Vec::new())))
}

fn operation<'s>(left: Body<'s>, operator: BinaryOp<&'s str>, right: Body<'s>) -> Body<'s> {
    let name = |math: &Math| match math {
        Math::Add => Some(ADD),
        Math::Sub => Some(SUBTRACT),
        Math::Mul => Some(MULTIPLY),
        _ => None,
    };
    match operator {
        BinaryOp::Math(math) if let Some(name) = name(&math) => call(name, vec![left, right]),
        // `l += r` is `r as $operand | l |= . + $operand`.
        BinaryOp::UpdateMath(math) if let Some(name) = name(&math) => {
            let sum = call(name, vec![Term::Id, Term::Var(OPERAND)]);
            let update = Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(sum));
            let bind = BinaryOp::Pipe(Some(Pattern::Var(OPERAND)));
            Term::BinOp(Box::new(right), bind, Box::new(update))
        }
        BinaryOp::Pipe(Some(pattern)) => {
            let operator = BinaryOp::Pipe(Some(guarded_pattern(pattern)));
            Term::BinOp(Box::new(left), operator, Box::new(right))
        }
        other => Term::BinOp(Box::new(left), other, Box::new(right)),
    }
}
