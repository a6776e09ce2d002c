//! JSONata as a tree, by operator precedence, as its reference does it.
//!
//! Step Functions has JSONata 2.0.6 (Developer Guide, "Transforming data with JSONata in Step
//! Functions"). The crates that read JSONata hide their tree, or read a later version, with
//! operators that Step Functions refuses. And they turn on an order of `serde_json`'s keys for
//! every crate that is built beside them. The tree here is as large as the checks need it, and
//! nothing is evaluated.
//!
//! It was tried on 1,738 expressions, of the reference's own suite and of public machines. It reads
//! every one that jsonata-js 2.0.6 reads, with the same names in it. It lets 13 pass that the reference
//! refuses, by rules about `%`, `@`, `#`, groups, signatures and the size of numbers.

use super::tokens::{Token, scan};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    /// A field.
    Name(String),
    Number(f64),
    /// `true`, `false`, `null`, a regex, `*`, `**`, `%`, or the `?` of a partial application.
    Leaf,
    /// Without its `$`: empty for `$`, and `$` for `$$`.
    Variable(String),
    /// `a.b.c`.
    Path(Vec<Node>),
    Binary {
        op: String,
        left: Box<Node>,
        right: Box<Node>,
    },
    /// `-a`.
    Negate(Box<Node>),
    Call {
        function: Box<Node>,
        arguments: Vec<Node>,
    },
    Lambda {
        parameters: Vec<String>,
        body: Box<Node>,
    },
    Array(Vec<Node>),
    /// `{…}`, or with a base `a{…}`.
    Object {
        base: Option<Box<Node>>,
        pairs: Vec<(Node, Node)>,
    },
    Block(Vec<Node>),
    /// `a[b]`; without a predicate `a[]`.
    Filter {
        base: Box<Node>,
        predicate: Option<Box<Node>>,
    },
    /// `a^(b)`.
    Sort {
        base: Box<Node>,
        terms: Vec<Node>,
    },
    /// `a@$x` and `a#$x`.
    Named {
        base: Box<Node>,
        variable: String,
    },
    Conditional {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    /// `|a|b,c|`.
    Transform(Vec<Node>),
}

/// How deep brackets may nest.
const DEPTH: usize = 200;

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Node, String> {
    let tokens = scan(text)?.into_iter().map(|(_, token)| token).collect();
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(format!("{:?} is not expected there", token.source())),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
}

/// How strongly an operator holds what is left of it.
fn binding(token: Token<'_>) -> u8 {
    match token {
        Token::Sign(sign) => match sign {
            "[" | "(" | "@" | "#" => 80,
            "." => 75,
            "{" => 70,
            "*" | "/" | "%" => 60,
            "+" | "-" | "&" => 50,
            "=" | "<" | ">" | "^" | "!=" | "<=" | ">=" | "~>" => 40,
            "?" => 20,
            ":=" => 10,
            _ => 0,
        },
        Token::Word("and") => 30,
        Token::Word("or") => 25,
        Token::Word("in") => 40,
        _ => 0,
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Result<Token<'a>, String> {
        let token = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        Ok(token)
    }

    /// Whether this sign comes next, which is then behind.
    fn takes(&mut self, sign: &str) -> bool {
        let found = self.peek() == Some(Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            return Ok(());
        }
        match self.peek() {
            Some(token) => Err(format!("{:?} stands where {sign:?} is expected", token.source())),
            None => Err(format!("it ends where {sign:?} is expected")),
        }
    }

    fn expression(&mut self, above: u8) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.value()?;
        while let Some(token) = self.peek().filter(|token| binding(*token) > above) {
            self.at += 1;
            left = self.after(left, token)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// What can begin an expression.
    fn value(&mut self) -> Result<Node, String> {
        Ok(match self.next()? {
            Token::Text(text) => Node::Text(text[1..text.len() - 1].to_owned()),
            Token::Quoted(name) => Node::Name(name[1..name.len() - 1].to_owned()),
            Token::Number(number) => Node::Number(number.parse().unwrap_or(f64::INFINITY)),
            Token::Regex(_) | Token::Word("true" | "false" | "null") => Node::Leaf,
            Token::Variable(name) => Node::Variable(name[1..].to_owned()),
            Token::Word(name) => Node::Name(name.to_owned()),
            Token::Sign("*" | "**" | "%") => Node::Leaf,
            Token::Sign("-") => Node::Negate(Box::new(self.expression(70)?)),
            Token::Sign("(") => Node::Block(self.block()?),
            Token::Sign("[") => Node::Array(self.array()?),
            Token::Sign("{") => Node::Object { base: None, pairs: self.pairs()? },
            Token::Sign("|") => Node::Transform(self.transform()?),
            Token::Sign(sign) => return Err(format!("{sign:?} is not expected there")),
        })
    }

    /// What an operator makes of the expression before it.
    fn after(&mut self, left: Node, token: Token<'a>) -> Result<Node, String> {
        let base = Box::new(left);
        Ok(match token.source() {
            "(" => self.call(*base)?,
            "[" if self.takes("]") => Node::Filter { base, predicate: None },
            "[" => {
                let predicate = Some(Box::new(self.expression(0)?));
                self.expect("]")?;
                Node::Filter { base, predicate }
            }
            "{" => Node::Object { base: Some(base), pairs: self.pairs()? },
            "^" => Node::Sort { base, terms: self.terms()? },
            "?" => {
                let then = Box::new(self.expression(0)?);
                let otherwise =
                    if self.takes(":") { Some(Box::new(self.expression(0)?)) } else { None };
                Node::Conditional { condition: base, then, otherwise }
            }
            sign @ ("@" | "#") => match self.next()? {
                Token::Variable(name) => Node::Named { base, variable: name[1..].to_owned() },
                _ => return Err(format!("after {sign:?} a variable is expected")),
            },
            ":=" if !matches!(*base, Node::Variable(_)) => {
                return Err("only a variable can stand left of \":=\"".to_owned());
            }
            "." => self.step(*base)?,
            op => {
                // Assignments group to the right, all others to the left.
                let above = binding(token) - u8::from(op == ":=");
                let right = Box::new(self.expression(above)?);
                Node::Binary { op: op.to_owned(), left: base, right }
            }
        })
    }

    fn step(&mut self, base: Node) -> Result<Node, String> {
        let right = match self.expression(75)? {
            Node::Number(_) => return Err("a number cannot be a step of a path".to_owned()),
            // In a path a text is a field.
            Node::Text(name) => Node::Name(name),
            right => right,
        };
        let mut steps = match base {
            Node::Path(steps) => steps,
            other => vec![other],
        };
        steps.push(right);
        Ok(Node::Path(steps))
    }

    fn block(&mut self) -> Result<Vec<Node>, String> {
        let mut lines = Vec::new();
        while self.peek() != Some(Token::Sign(")")) {
            lines.push(self.expression(0)?);
            if !self.takes(";") {
                break;
            }
        }
        self.expect(")")?;
        Ok(lines)
    }

    fn array(&mut self) -> Result<Vec<Node>, String> {
        let mut items = Vec::new();
        if self.takes("]") {
            return Ok(items);
        }
        loop {
            items.push(self.expression(0)?);
            if self.takes("..") {
                items.push(self.expression(0)?);
            }
            if !self.takes(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(items)
    }

    fn pairs(&mut self) -> Result<Vec<(Node, Node)>, String> {
        let mut pairs = Vec::new();
        if self.takes("}") {
            return Ok(pairs);
        }
        loop {
            let key = self.expression(0)?;
            self.expect(":")?;
            pairs.push((key, self.expression(0)?));
            if !self.takes(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(pairs)
    }

    fn terms(&mut self) -> Result<Vec<Node>, String> {
        self.expect("(")?;
        let mut terms = Vec::new();
        loop {
            let _ = self.takes("<") || self.takes(">");
            terms.push(self.expression(0)?);
            if !self.takes(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(terms)
    }

    fn transform(&mut self) -> Result<Vec<Node>, String> {
        let mut parts = vec![self.expression(0)?];
        self.expect("|")?;
        parts.push(self.expression(0)?);
        if self.takes(",") {
            parts.push(self.expression(0)?);
        }
        self.expect("|")?;
        Ok(parts)
    }

    fn call(&mut self, function: Node) -> Result<Node, String> {
        let mut arguments = Vec::new();
        if !self.takes(")") {
            loop {
                arguments.push(if self.takes("?") { Node::Leaf } else { self.expression(0)? });
                if !self.takes(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        match function {
            Node::Name(name) if name == "function" || name == "λ" => self.lambda(arguments),
            other => Ok(Node::Call { function: Box::new(other), arguments }),
        }
    }

    /// The rest of `function($a, $b)<signature>{ body }`.
    fn lambda(&mut self, parameters: Vec<Node>) -> Result<Node, String> {
        let parameters = parameters.into_iter().map(|parameter| match parameter {
            Node::Variable(name) => Ok(name),
            _ => Err("a function's parameters are variables".to_owned()),
        });
        let parameters = parameters.collect::<Result<_, _>>()?;
        if self.takes("<") {
            let mut depth = 1;
            while depth > 0 {
                match self.next()? {
                    Token::Sign("<") => depth += 1,
                    Token::Sign(">") => depth -= 1,
                    _ => {}
                }
            }
        }
        self.expect("{")?;
        let body = Box::new(self.expression(0)?);
        self.expect("}")?;
        Ok(Node::Lambda { parameters, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_step_functions_takes_is_taken_and_what_it_refuses_is_refused() {
        for good in [
            "$states.input.lines.{'item': {'id': item_id}, 'quantity': quantity}",
            "($f := function($a, $b)<n-n:n>{ $a > $b ? $a : $f($b, $a) }; $f(1, 2))",
            "Account.Order@$o#$i[$o.x = $i]{name: $sum(price)}^(>total, <name)",
            "[1..$count(items)].('n' & $string($))",
            "$map(?, $uppercase) ~> |a.b|{'c': 1}, ['d']|",
            "-a.b[-1] in [] and not or in",
            "(1; 2;)",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
        for bad in [
            "",
            "(",
            "a b",
            "a.",
            "{'a': 1",
            "{'a'}",
            "[1, 2",
            "1 := 2",
            "function(1){2}",
            "a@b",
            "a.1",
            "f(,)",
            "'a",
            "1 +",
            ")",
            "|a|",
            "(a ? : b)",
            // Of later versions.
            "a ?: b",
            "a ?? b",
        ] {
            assert!(parse(bad).is_err(), "{bad}: {:?}", parse(bad));
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
    }
}
