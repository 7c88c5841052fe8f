//! Passwords that are not on the command line: asked for, or read from standard input.

use std::io::{self, BufRead, IsTerminal};

use super::failure::Failure;
use crate::admin::Command;
use crate::admin::account::AccountCommand;
use crate::admin::password::Password;

/// More than any password has.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Gives a command the password that it lacks.
pub fn fill(command: &mut Command) -> Result<(), Failure> {
    let Command::Account(command) = command else { return Ok(()) };
    let (password, from_stdin, is_new) = match command {
        AccountCommand::RegisterUser(it) => (&mut it.password, it.password_stdin, true),
        AccountCommand::ChangeUserPassword(it) => (&mut it.new_password, it.password_stdin, true),
        AccountCommand::CheckPassword(it) => (&mut it.password, it.password_stdin, false),
        _ => return Ok(()),
    };
    if password.is_none() {
        let stdin = io::stdin();
        *password = Some(match from_stdin || !stdin.is_terminal() {
            true => read(stdin.lock())?,
            false => ask(is_new)?,
        });
    }
    Ok(())
}

/// The first line.
fn read(input: impl BufRead) -> Result<Password, Failure> {
    let mut line = String::new();
    let read = input.take(MAX_LINE_BYTES).read_line(&mut line);
    let failed = |why: &str| Failure::Usage(format!("there is no password on standard input{why}"));
    match read {
        Err(error) => Err(failed(&format!(": {error}"))),
        Ok(_) => match line.trim_end_matches(['\n', '\r']) {
            "" => Err(failed("; give one there, or by --password")),
            password => Ok(Password::new(password.to_owned())),
        },
    }
}

/// A new one twice, since nobody sees what is typed.
fn ask(is_new: bool) -> Result<Password, Failure> {
    let prompt = |text| {
        rpassword::prompt_password(text)
            .map_err(|error| Failure::Usage(format!("the password cannot be asked for: {error}")))
    };
    let password = prompt("Password: ")?;
    if is_new && prompt("Once more: ")? != password {
        return Err(Failure::Usage("the two passwords are not the same".to_owned()));
    }
    Ok(Password::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let password = |input: &str| read(input.as_bytes()).ok().map(|it| it.as_str().to_owned());
        assert_eq!(password("wherefore art\r\nthou\n").as_deref(), Some("wherefore art"));
        assert_eq!(password(" \t").as_deref(), Some(" \t"));
        assert_eq!(password(""), None);
        assert_eq!(password("\nthou"), None);
    }
}
