//! A parsed expression: conditions over operands. It is what is evaluated, and it prints as what parses to it again.

use std::fmt::{self, Display};

use memchr::memmem::Finder;

use super::names::Names;

/// What is true, false, null or an error.
#[derive(Debug, PartialEq)]
pub(super) enum Condition {
    /// `TRUE`, `FALSE`, `NULL`.
    Constant(Option<bool>),
    /// A property alone: false whatever its text, null without it.
    Property(usize),
    Not(Box<Condition>),
    /// Joined by `AND`, from left to right.
    All(Box<[Condition]>),
    /// Joined by `OR`, from left to right.
    Any(Box<[Condition]>),
    /// `=`, `<>`.
    Equal(Box<Equal>),
    /// `>`, `>=`, `<`, `<=`.
    Order(Box<Order>),
    Between(Box<Between>),
    In(Box<In>),
    /// `CONTAINS`, `STARTSWITH`, `ENDSWITH`.
    Search(Box<Search>),
    /// `IS NULL`, `IS NOT NULL`.
    IsNull {
        operand: Operand,
        negated: bool,
    },
    /// A call of `wasm(...)`, by its place in the expression's list.
    Function(usize),
}

#[derive(Debug, PartialEq)]
pub(super) struct Equal {
    pub(super) left: Operand,
    pub(super) right: Operand,
    pub(super) negated: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub(super) left: Operand,
    pub(super) comparison: Comparison,
    pub(super) right: Operand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, PartialEq)]
pub(super) struct Between {
    pub(super) operand: Operand,
    pub(super) low: Operand,
    pub(super) high: Operand,
    pub(super) negated: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct In {
    /// Always a property.
    pub(super) place: usize,
    /// Sorted, each once.
    pub(super) texts: Box<[Box<str>]>,
    pub(super) negated: bool,
}

#[derive(Debug)]
pub(super) struct Search {
    pub(super) operand: Operand,
    pub(super) side: Side,
    /// What is searched for; finds nothing when it is empty.
    pub(super) needle: Finder<'static>,
    pub(super) negated: bool,
}

impl PartialEq for Search {
    fn eq(&self, other: &Self) -> bool {
        let needles = self.needle.needle() == other.needle.needle();
        needles && self.operand == other.operand && self.side == other.side && self.negated == other.negated
    }
}

/// Where a text must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Anywhere,
    Start,
    End,
}

/// What has a value.
#[derive(Debug, PartialEq)]
pub(super) enum Operand {
    /// A property, by its place among the names.
    Property(usize),
    Text(Box<str>),
    Int(i32),
    Long(i64),
    Double(f64),
    /// Unary minus.
    Negated(Box<Operand>),
    /// A condition that is compared.
    Condition(Box<Condition>),
}

/// One call of `wasm('plugin', 'argument')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall {
    /// The plugin's name.
    pub plugin: String,
    /// What it is told besides, if anything.
    pub argument: Option<String>,
}

/// A node with what its places stand for.
pub(super) struct Named<'e, T> {
    pub(super) node: &'e T,
    pub(super) names: &'e Names,
    pub(super) functions: &'e [FunctionCall],
}

impl<T> Named<'_, T> {
    fn of<'n, U>(&'n self, node: &'n U) -> Named<'n, U> {
        Named { node, names: self.names, functions: self.functions }
    }

    fn joined(&self, f: &mut fmt::Formatter<'_>, conditions: &[Condition], word: &str) -> fmt::Result {
        for (index, condition) in conditions.iter().enumerate() {
            f.write_str(if index == 0 { "(" } else { word })?;
            self.of(condition).fmt(f)?;
        }
        f.write_str(")")
    }
}

/// Everything that is put together stands in parentheses, so that precedence plays no part.
impl fmt::Display for Named<'_, Condition> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: bool| if negated { "NOT " } else { "" };
        match self.node {
            Condition::Constant(Some(true)) => f.write_str("TRUE"),
            Condition::Constant(Some(false)) => f.write_str("FALSE"),
            Condition::Constant(None) => f.write_str("NULL"),
            Condition::Property(place) => f.write_str(self.names.name(*place)),
            Condition::Not(inner) => write!(f, "(NOT {})", self.of(&**inner)),
            Condition::All(conditions) => self.joined(f, conditions, " AND "),
            Condition::Any(conditions) => self.joined(f, conditions, " OR "),
            Condition::Equal(equal) => {
                let sign = if equal.negated { "<>" } else { "=" };
                write!(f, "({} {sign} {})", self.of(&equal.left), self.of(&equal.right))
            }
            Condition::Order(order) => {
                let sign = match order.comparison {
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                };
                write!(f, "({} {sign} {})", self.of(&order.left), self.of(&order.right))
            }
            Condition::Between(between) => {
                let Between { operand, low, high, negated } = &**between;
                let (operand, low, high) = (self.of(operand), self.of(low), self.of(high));
                write!(f, "({operand} {}BETWEEN {low} AND {high})", not(*negated))
            }
            Condition::In(set) => {
                write!(f, "({} {}IN ", self.names.name(set.place), not(set.negated))?;
                for (index, text) in set.texts.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "(" } else { ", " }, Quoted(text))?;
                }
                f.write_str("))")
            }
            Condition::Search(search) => {
                let word = match search.side {
                    Side::Anywhere => "CONTAINS",
                    Side::Start => "STARTSWITH",
                    Side::End => "ENDSWITH",
                };
                let needle = String::from_utf8_lossy(search.needle.needle());
                write!(f, "({} {}{word} {})", self.of(&search.operand), not(search.negated), Quoted(&needle))
            }
            Condition::IsNull { operand, negated } => write!(f, "({} IS {}NULL)", self.of(operand), not(*negated)),
            Condition::Function(place) => self.functions[*place].fmt(f),
        }
    }
}

impl fmt::Display for Named<'_, Operand> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Operand::Property(place) => f.write_str(self.names.name(*place)),
            Operand::Text(text) => Quoted(text).fmt(f),
            Operand::Int(number) => number.fmt(f),
            Operand::Long(number) => number.fmt(f),
            // The shortest form that reads as the same number, always with a point or an exponent.
            Operand::Double(number) => fmt::Debug::fmt(number, f),
            // The blank keeps two of them from beginning a comment.
            Operand::Negated(inner) => write!(f, "(- {})", self.of(&**inner)),
            Operand::Condition(condition) => self.of(&**condition).fmt(f),
        }
    }
}

impl fmt::Display for FunctionCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            None => write!(f, "wasm({})", Quoted(&self.plugin)),
            Some(argument) => write!(f, "wasm({}, {})", Quoted(&self.plugin), Quoted(argument)),
        }
    }
}

struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}
