//! An expression as a subscription uses it: with the plugins behind its functions, and with counters.

use std::sync::Arc;

use gantry_base::metric::Counter;
use gantry_plugin::Binding;
use parking_lot::Mutex;

use super::{Expression, FunctionCall, ParseError};

/// Finds the plugin behind `wasm(name, argument)`, for the topic and group of a subscription; the error is a sentence. Asked
/// when an expression is compiled, and again when a plugin that was found is gone.
pub type Functions<'f> = &'f dyn Fn(&str, Option<&str>) -> Result<Arc<Binding>, String>;

/// A compiled subscription. Immutable but for the plugins behind its functions, which may be replaced while it lives.
pub struct SqlFilter {
    pub(crate) expression: Expression,
    /// By the places of the expression's functions.
    pub(crate) bindings: Box<[Mutex<Arc<Binding>>]>,
    pub(crate) tag_codes: Option<Box<[i64]>>,
    pub(crate) cost: Arc<SqlCost>,
}

/// What the native part of a group's SQL92 subscription costs. Counts messages for which the subscription came to a verdict;
/// what its functions cost is counted at their bindings.
#[derive(Debug, Default)]
pub struct SqlCost {
    /// Messages judged.
    pub messages: Counter,
    /// Of these, those that it selects.
    pub passed: Counter,
    /// Of these, those for which the expression is null.
    pub nulls: Counter,
    /// Of these, those on which the evaluation failed, such as a text compared with a number.
    pub errors: Counter,
    /// Time spent evaluating.
    pub nanoseconds: Counter,
}

/// Why there is no compiled subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It will never compile.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// A function is not there now; it may be later.
    #[error("SQL92 expression: {call} cannot be used: {reason}")]
    Function {
        /// The call.
        call: FunctionCall,
        /// Why not.
        reason: String,
    },
}

impl SqlFilter {
    /// Parses `expression` and finds the plugin of each of its functions; counts at `cost`.
    pub fn compile(expression: &str, functions: Functions<'_>, cost: Arc<SqlCost>) -> Result<Self, CompileError> {
        let expression = Expression::parse(expression)?;
        let find = |call: &FunctionCall| match functions(&call.plugin, call.argument.as_deref()) {
            Ok(binding) => Ok(Mutex::new(binding)),
            Err(reason) => Err(CompileError::Function { call: call.clone(), reason }),
        };
        let bindings = expression.functions().iter().map(find).collect::<Result<_, _>>()?;
        let tag_codes = expression.tag_codes();
        Ok(SqlFilter { expression, bindings, tag_codes, cost })
    }

    /// Whether an entry with this tag code can belong to a message that is selected.
    pub(crate) fn admits_code(&self, tag_code: i64) -> bool {
        let known = self.tag_codes.as_ref();
        known.is_none_or(|codes| codes.binary_search(&tag_code).is_ok() || gantry_model::tag::is_ext_address(tag_code))
    }
}
