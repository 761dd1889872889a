//! From words to an expression, by RocketMQ's grammar, loosest binding first:
//!
//! ```text
//! or       := and ( OR and )*
//! and      := equality ( AND equality )*
//! equality := compare ( '=' compare | '<>' compare | IS [NOT] NULL )*
//! compare  := unary ( ('>' | '>=' | '<' | '<=') unary
//!                   | [NOT] BETWEEN unary AND unary
//!                   | [NOT] IN '(' text (',' text)* ')'
//!                   | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text )*
//! unary    := '+' unary | '-' unary | NOT unary | primary
//! primary  := literal | name | wasm '(' text [',' text] ')' | '(' or ')'
//! ```
//!
//! As there, the first complete expression is all: exactly one word behind it is read, and it may be anything that is a word.
//! Source: RocketMQ `SelectorParser.jj`; `wasm` is Gantry's.

use super::{
    ast::{Between, Comparison, Condition, Equal, FunctionCall, In, Operand, Order, Search, Side},
    cursor::Cursor,
    error::{ParseError, excerpt},
    literal,
    names::{NAMES_MAX, Names},
    token::Token,
    value,
};

/// Longest expression, in bytes.
pub const EXPRESSION_LEN_MAX: usize = 64 * 1024;
/// Conditions, operands and texts of lists in one expression.
pub const NODES_MAX: usize = 8_192;
/// How deep parentheses, `NOT`, signs and chains of comparisons may nest; `AND` and `OR` do not count.
pub const DEPTH_MAX: usize = 128;
/// Different calls of `wasm(...)` in one expression.
pub const FUNCTIONS_MAX: usize = 16;

/// What was parsed.
pub(super) struct Parts {
    pub(super) condition: Condition,
    pub(super) names: Names,
    pub(super) functions: Vec<FunctionCall>,
}

pub(super) fn parse(text: &str) -> Result<Parts, ParseError> {
    if text.len() > EXPRESSION_LEN_MAX {
        let found = format!("an expression of {} bytes", text.len());
        return Err(ParseError::new(text, 0, found, format!("at most {EXPRESSION_LEN_MAX}")));
    }
    let words = Cursor::new(text)?;
    let mut parser = Parser { words, nesting: 0, nodes: 0, names: Names::default(), functions: Vec::new() };
    let term = parser.or()?;
    let condition = parser.condition(term)?;
    Ok(Parts { condition, names: parser.names, functions: parser.functions })
}

struct Parser<'t> {
    words: Cursor<'t>,
    nesting: usize,
    nodes: usize,
    names: Names,
    functions: Vec<FunctionCall>,
}

/// Part of an expression that may still become a condition or an operand.
struct Term {
    operand: Operand,
    /// Byte where it begins.
    start: usize,
    depth: usize,
}

type Parsed = Result<Term, ParseError>;

impl<'t> Parser<'t> {
    fn or(&mut self) -> Parsed {
        let first = self.and()?;
        self.chain(first, Token::Or, Self::and, Condition::Any)
    }

    fn and(&mut self) -> Parsed {
        let first = self.equality()?;
        self.chain(first, Token::And, Self::equality, Condition::All)
    }

    /// `first`, or what it becomes when more follow behind `word`.
    fn chain(
        &mut self,
        first: Term,
        word: Token<'static>,
        more: fn(&mut Self) -> Parsed,
        join: fn(Box<[Condition]>) -> Condition,
    ) -> Parsed {
        if self.words.token != word {
            return Ok(first);
        }
        let Term { start, mut depth, .. } = first;
        let mut conditions = vec![self.condition(first)?];
        while self.words.take(word)? {
            let next = more(self)?;
            depth = depth.max(next.depth);
            conditions.push(self.condition(next)?);
        }
        self.composed(join(conditions.into()), start, depth)
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.compare()?;
        loop {
            left = match self.words.token {
                Token::Equal | Token::Unequal => self.equal(left)?,
                Token::Is => self.is_null(left)?,
                _ => return Ok(left),
            };
        }
    }

    fn compare(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            left = match self.words.token {
                Token::Greater | Token::GreaterOrEqual | Token::Less | Token::LessOrEqual => self.order(left)?,
                // Behind an operand NOT can only belong to one of these.
                Token::Not => {
                    self.words.advance()?;
                    self.tested(left, true)?
                }
                Token::Between | Token::In | Token::Contains | Token::StartsWith | Token::EndsWith => {
                    self.tested(left, false)?
                }
                _ => return Ok(left),
            };
        }
    }

    fn equal(&mut self, left: Term) -> Parsed {
        let negated = self.words.token == Token::Unequal;
        self.words.advance()?;
        let right = self.compare()?;
        for side in [&left, &right] {
            if let Operand::Condition(condition) = &side.operand
                && **condition == Condition::Constant(None)
            {
                return Err(self.words.wrong(side.start, "NULL", "a value; write IS NULL or IS NOT NULL"));
            }
        }
        if literal::is_truth(&left.operand)
            && literal::is_constant(&right.operand)
            && !literal::is_truth(&right.operand)
        {
            return Err(self.words.wrong(
                right.start,
                literal::describe(&right.operand),
                "TRUE or FALSE, as on the left",
            ));
        }
        let (start, depth) = (left.start, left.depth.max(right.depth));
        let equal = Equal { left: left.operand, right: right.operand, negated };
        self.composed(Condition::Equal(Box::new(equal)), start, depth)
    }

    fn is_null(&mut self, left: Term) -> Parsed {
        self.words.advance()?;
        let negated = self.words.take(Token::Not)?;
        self.words.expect(Token::Null, if negated { "NULL" } else { "NULL or NOT NULL" })?;
        self.composed(Condition::IsNull { operand: left.operand, negated }, left.start, left.depth)
    }

    fn order(&mut self, left: Term) -> Parsed {
        let comparison = match self.words.token {
            Token::Greater => Comparison::Greater,
            Token::GreaterOrEqual => Comparison::GreaterOrEqual,
            Token::Less => Comparison::Less,
            _ => Comparison::LessOrEqual,
        };
        self.words.advance()?;
        let right = self.unary()?;
        let (start, depth) = (left.start, left.depth.max(right.depth));
        let (left, right) = (self.ordered(left)?, self.ordered(right)?);
        self.composed(Condition::Order(Box::new(Order { left, comparison, right })), start, depth)
    }

    /// What follows an operand and perhaps NOT.
    fn tested(&mut self, left: Term, negated: bool) -> Parsed {
        match self.words.token {
            Token::Between => self.between(left, negated),
            Token::In => self.in_list(left, negated),
            Token::Contains => self.search(left, Side::Anywhere, negated),
            Token::StartsWith => self.search(left, Side::Start, negated),
            Token::EndsWith => self.search(left, Side::End, negated),
            _ => Err(self.words.unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH")),
        }
    }

    fn between(&mut self, left: Term, negated: bool) -> Parsed {
        self.words.advance()?;
        let low = self.unary()?;
        self.words.expect(Token::And, "AND and the other end")?;
        let high = self.unary()?;
        let (start, from, depth) = (left.start, low.start, left.depth.max(low.depth).max(high.depth));
        let (operand, low, high) = (self.ordered(left)?, self.ordered(low)?, self.ordered(high)?);
        // Only what is written as a number: a sign makes it something to be computed. Of NOT BETWEEN RocketMQ asks nothing.
        if !negated
            && let (Some(least), Some(most)) = (literal::number(&low), literal::number(&high))
            && value::compare(most, least).is_ok_and(|order| order.is_lt())
        {
            return Err(self.words.wrong(from, "a lower end above the upper one", "BETWEEN low AND high"));
        }
        self.composed(Condition::Between(Box::new(Between { operand, low, high, negated })), start, depth)
    }

    fn in_list(&mut self, left: Term, negated: bool) -> Parsed {
        self.words.advance()?;
        self.words.expect(Token::Open, "( and texts in single quotes")?;
        let mut texts = Vec::new();
        loop {
            self.count()?;
            texts.push(self.words.text()?.into_boxed_str());
            if !self.words.take(Token::Comma)? {
                break;
            }
        }
        self.words.expect(Token::Close, "a comma or )")?;
        let Operand::Property(place) = left.operand else {
            return Err(self.words.wrong(left.start, literal::describe(&left.operand), "a property before IN"));
        };
        texts.sort_unstable();
        texts.dedup();
        self.composed(Condition::In(Box::new(In { place, texts: texts.into(), negated })), left.start, left.depth)
    }

    fn search(&mut self, left: Term, side: Side, negated: bool) -> Parsed {
        self.words.advance()?;
        let text = self.words.text()?;
        let needle = memchr::memmem::Finder::new(text.as_bytes()).into_owned();
        let search = Search { operand: left.operand, side, needle, negated };
        self.composed(Condition::Search(Box::new(search)), left.start, left.depth)
    }

    fn unary(&mut self) -> Parsed {
        if self.nesting == DEPTH_MAX {
            return Err(self.too_deep(self.words.start));
        }
        self.nesting += 1;
        let term = match self.words.token {
            Token::Plus | Token::Minus | Token::Not => self.signed()?,
            Token::Open => self.parenthesis()?,
            _ => self.primary()?,
        };
        self.nesting -= 1;
        Ok(term)
    }

    fn signed(&mut self) -> Parsed {
        let (sign, start) = (self.words.token, self.words.start);
        self.words.advance()?;
        let inner = self.unary()?;
        let depth = inner.depth;
        match sign {
            Token::Plus => Ok(Term { start, ..inner }),
            Token::Minus => self.node(Operand::Negated(Box::new(inner.operand)), start, depth),
            _ => {
                let inner = self.condition(inner)?;
                self.composed(Condition::Not(Box::new(inner)), start, depth)
            }
        }
    }

    fn parenthesis(&mut self) -> Parsed {
        let start = self.words.start;
        self.words.advance()?;
        let inner = self.or()?;
        self.words.expect(Token::Close, "an operator or )")?;
        Ok(Term { start, ..inner })
    }

    fn primary(&mut self) -> Parsed {
        let start = self.words.start;
        let constant = |truth| Operand::Condition(Box::new(Condition::Constant(truth)));
        let operand = match self.words.token {
            Token::True => constant(Some(true)),
            Token::False => constant(Some(false)),
            Token::Null => constant(None),
            Token::Whole(digits) => {
                literal::whole(digits).map_err(|expected| self.words.wrong(start, excerpt(digits), expected))?
            }
            Token::Fraction(digits) => {
                literal::fraction(digits).map_err(|expected| self.words.wrong(start, excerpt(digits), expected))?
            }
            Token::Text(_) => {
                let text = self.words.text()?;
                return self.node(Operand::Text(text.into()), start, 0);
            }
            Token::Name(name) => return self.name(name),
            _ => return Err(self.words.unexpected("a property, a value, NOT or (")),
        };
        self.words.advance()?;
        self.node(operand, start, 0)
    }

    fn name(&mut self, name: &str) -> Parsed {
        let start = self.words.start;
        self.words.advance()?;
        if name.eq_ignore_ascii_case("wasm") && self.words.token == Token::Open {
            return self.function(start);
        }
        let Some(place) = self.names.place(name) else {
            return Err(self.words.wrong(start, "another property", format!("at most {NAMES_MAX} different ones")));
        };
        self.node(Operand::Property(place), start, 0)
    }

    /// The parentheses of `wasm('plugin', 'argument')`.
    fn function(&mut self, start: usize) -> Parsed {
        self.words.advance()?;
        let plugin = self.words.text()?;
        let argument = if self.words.take(Token::Comma)? { Some(self.words.text()?) } else { None };
        self.words.expect(Token::Close, if argument.is_some() { ")" } else { "a comma and an argument, or )" })?;
        let call = FunctionCall { plugin, argument };
        let known = self.functions.iter().position(|known| *known == call);
        let place = match known {
            Some(place) => place,
            None if self.functions.len() == FUNCTIONS_MAX => {
                let expected = format!("at most {FUNCTIONS_MAX} different ones");
                return Err(self.words.wrong(start, "another call of wasm", expected));
            }
            None => {
                self.functions.push(call);
                self.functions.len() - 1
            }
        };
        self.composed(Condition::Function(place), start, 0)
    }

    fn condition(&self, term: Term) -> Result<Condition, ParseError> {
        match term.operand {
            Operand::Condition(condition) => Ok(*condition),
            Operand::Property(place) => Ok(Condition::Property(place)),
            other => Err(self.words.wrong(term.start, literal::describe(&other), "a condition")),
        }
    }

    /// What `>`, `<` and BETWEEN compare: numbers, and what may be one.
    fn ordered(&self, term: Term) -> Result<Operand, ParseError> {
        match term.operand {
            Operand::Text(_) | Operand::Condition(_) => {
                let expected = "a number or a property, for only those have an order";
                Err(self.words.wrong(term.start, literal::describe(&term.operand), expected))
            }
            operand => Ok(operand),
        }
    }

    fn composed(&mut self, condition: Condition, start: usize, depth: usize) -> Parsed {
        self.node(Operand::Condition(Box::new(condition)), start, depth)
    }

    /// Counts a new node over others of `depth`.
    fn node(&mut self, operand: Operand, start: usize, depth: usize) -> Parsed {
        self.count()?;
        if depth >= DEPTH_MAX {
            return Err(self.too_deep(start));
        }
        Ok(Term { operand, start, depth: depth + 1 })
    }

    fn count(&mut self) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let expected = format!("at most {NODES_MAX} conditions and values");
            return Err(self.words.wrong(self.words.start, "a longer expression", expected));
        }
        Ok(())
    }

    fn too_deep(&self, at: usize) -> ParseError {
        self.words.wrong(at, "more nesting", format!("at most {DEPTH_MAX} levels"))
    }
}
