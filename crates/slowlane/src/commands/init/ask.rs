//! Questions at the terminal.

use dialoguer::theme::ColorfulTheme;
use dialoguer::{Input, Select};

/// A choice with the arrow keys.
pub(super) fn one_of<'a>(
    question: &str,
    choices: &[&'a str],
    usual: &str,
) -> dialoguer::Result<&'a str> {
    let usual = choices.iter().position(|choice| *choice == usual).unwrap_or(0);
    let theme = ColorfulTheme::default();
    let select = Select::with_theme(&theme).with_prompt(question).items(choices).default(usual);
    Ok(choices[select.interact()?])
}

/// A text, asked for until `read` takes it.
pub(super) fn text<T>(
    question: &str,
    usual: Option<&str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> dialoguer::Result<T> {
    let theme = ColorfulTheme::default();
    loop {
        let mut input = Input::<String>::with_theme(&theme).with_prompt(question);
        if let Some(usual) = usual {
            input = input.default(usual.to_owned());
        }
        match read(input.interact_text()?.trim()) {
            Ok(value) => return Ok(value),
            Err(why) => eprintln!("  {why}"),
        }
    }
}
